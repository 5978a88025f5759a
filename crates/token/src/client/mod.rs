//! The server's side of a token: one host process that is started, watched and started again, and requests that end within their deadline.
//!
//! A [`Token`] has three states. *Up*: requests go to the host. *Starting*, at the beginning and right after a host that worked has ended: requests wait,
//! within their deadline. *Down*: the token could not be opened; requests fail at once with the reason, while it is tried again in the
//! background. Each change of state is one line in the log.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

mod connection;
mod meters;
mod process;
mod supervisor;

use crate::wire::{
    Answer, Fault, FaultKind, Hash, KeyKind, MadeKey, ObjectFacts, Outcome, Purpose, Request, Scheme, Secret, Selector,
    TokenFacts, TokenName,
};
use connection::{Connection, Unanswered};
use meters::Meters;

/// Making an RSA key takes a token seconds.
const SLOW: Duration = Duration::from_secs(30);

/// Which token, and how it is used.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What it is called here: in the configuration, in logs and metrics.
    pub name: String,
    /// The vendor's PKCS#11 library.
    pub library: PathBuf,
    /// Which of the library's tokens.
    pub token: TokenName,
    /// Sessions that are kept open: so many requests are worked on at the same time.
    pub sessions: u16,
    /// Environment variables for the library, beside the server's own; such as the place of its configuration.
    pub environment: BTreeMap<String, String>,
    /// How long a request may take, waiting included. Making a key may take longer.
    pub timeout: Duration,
}

/// How a host process is started.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Environment variables that a vendor's library has no business with: those that hold secrets of ours.
    pub hidden: Vec<String>,
}

/// Reads the PIN whenever a host is started, so that it may change.
pub type PinSource = Arc<dyn Fn() -> Result<Secret, String> + Send + Sync>;

/// How a token is.
#[derive(Debug, Clone)]
pub enum Health {
    /// A host is being started.
    Starting,
    /// It works.
    Up(Arc<TokenFacts>),
    /// It does not, and this is why.
    Down(Fault),
}

/// A token, kept alive for as long as the value is.
pub struct Token {
    inner: Arc<Inner>,
    supervisor: AbortHandle,
}

struct Inner {
    settings: Settings,
    link: watch::Sender<Link>,
    meters: Meters,
}

/// What stands between us and the token.
#[derive(Clone)]
enum Link {
    Starting,
    Up(Arc<Connection>),
    Down(Fault),
}

impl Token {
    /// Starts to keep a token open. Returns at once; has to be called within a tokio runtime.
    pub fn start(settings: Settings, launcher: Launcher, pin: PinSource) -> Self {
        let meters = Meters::of(&settings.name);
        let inner = Arc::new(Inner { settings, link: watch::Sender::new(Link::Starting), meters });
        let supervisor = tokio::spawn(supervisor::run(Arc::downgrade(&inner), launcher, pin)).abort_handle();
        Self { inner, supervisor }
    }

    /// What it is called here.
    pub fn name(&self) -> &str {
        &self.inner.settings.name
    }

    /// How it is, without asking it.
    pub fn health(&self) -> Health {
        match &*self.inner.link.borrow() {
            Link::Starting => Health::Starting,
            Link::Up(connection) => Health::Up(Arc::clone(&connection.facts)),
            Link::Down(fault) => Health::Down(fault.clone()),
        }
    }

    /// How it is, once a host was started or could not be; at most so much later.
    pub async fn settled(&self, patience: Duration) -> Health {
        let mut link = self.inner.link.subscribe();
        let _ = tokio::time::timeout(patience, link.wait_for(|link| !matches!(link, Link::Starting))).await;
        self.health()
    }

    /// Asks the token how it is.
    ///
    /// # Errors
    /// It does not work; as for all the others here, the fault says why.
    pub async fn status(&self) -> Result<TokenFacts, Fault> {
        match self.ask(&Request::Status).await? {
            Answer::Token { facts } => Ok(facts),
            _ => Err(unexpected()),
        }
    }

    /// Makes a key of this id in the token. Asking again with the same id answers with the same key.
    ///
    /// # Errors
    /// As for [`Token::status`]; or the token cannot make such a key.
    pub async fn generate(
        &self,
        kind: KeyKind,
        purpose: Purpose,
        id: &[u8],
        label: &str,
        extractable: bool,
    ) -> Result<MadeKey, Fault> {
        self.key(&Request::Generate { kind, purpose, id: id.to_vec(), label: label.to_owned(), extractable }).await
    }

    /// Takes a key that is in the token already.
    ///
    /// # Errors
    /// As for [`Token::status`]; or there is no such key, or several, or none that can be used.
    pub async fn adopt(&self, selector: Selector) -> Result<MadeKey, Fault> {
        self.key(&Request::Adopt { selector }).await
    }

    /// The secret and private keys that the token shows.
    ///
    /// # Errors
    /// As for [`Token::status`].
    pub async fn list(&self) -> Result<Vec<ObjectFacts>, Fault> {
        self.objects(&Request::List).await
    }

    /// Lets a key prove itself, and says what the token says of it.
    ///
    /// # Errors
    /// As for [`Token::status`]; or the key is gone, or another one is in its place.
    pub async fn inspect(&self, reference: &[u8]) -> Result<ObjectFacts, Fault> {
        self.objects(&Request::Inspect { reference: reference.to_vec() }).await?.pop().ok_or_else(unexpected)
    }

    /// Destroys a key. One that is gone already is destroyed.
    ///
    /// # Errors
    /// As for [`Token::status`]; or another key is in its place.
    pub async fn destroy(&self, reference: &[u8]) -> Result<(), Fault> {
        self.done(&Request::Destroy { reference: reference.to_vec() }).await
    }

    /// Encrypts with AES-GCM, under an IV that was never used before. The answer holds all that [`Token::decrypt`] needs but the associated data.
    ///
    /// # Errors
    /// As for [`Token::inspect`].
    pub async fn encrypt(&self, reference: &[u8], plaintext: &[u8], aad: &[u8]) -> Result<Vec<u8>, Fault> {
        let plaintext = plaintext.to_vec().into();
        let request = Request::Encrypt { reference: reference.to_vec(), plaintext, aad: aad.to_vec() };
        self.bytes(&request).await.map(|bytes| bytes.to_vec())
    }

    /// Decrypts what [`Token::encrypt`] made.
    ///
    /// # Errors
    /// As for [`Token::inspect`]; or [`FaultKind::InvalidCiphertext`].
    pub async fn decrypt(&self, reference: &[u8], ciphertext: &[u8], aad: &[u8]) -> Result<Secret, Fault> {
        let (reference, ciphertext, aad) = (reference.to_vec(), ciphertext.to_vec(), aad.to_vec());
        self.bytes(&Request::Decrypt { reference, ciphertext, aad }).await
    }

    /// Signs a digest. The answer is as X.509 has it: ECDSA in DER.
    ///
    /// # Errors
    /// As for [`Token::inspect`].
    pub async fn sign(&self, reference: &[u8], scheme: Scheme, digest: &[u8]) -> Result<Vec<u8>, Fault> {
        let request = Request::Sign { reference: reference.to_vec(), scheme, digest: digest.to_vec() };
        self.bytes(&request).await.map(|bytes| bytes.to_vec())
    }

    /// RSAES-OAEP with an empty label.
    ///
    /// # Errors
    /// As for [`Token::inspect`]; or [`FaultKind::InvalidCiphertext`].
    pub async fn oaep_decrypt(&self, reference: &[u8], hash: Hash, ciphertext: &[u8]) -> Result<Secret, Fault> {
        let request = Request::OaepDecrypt { reference: reference.to_vec(), hash, ciphertext: ciphertext.to_vec() };
        self.bytes(&request).await
    }

    /// HMAC.
    ///
    /// # Errors
    /// As for [`Token::inspect`].
    pub async fn mac(&self, reference: &[u8], hash: Hash, message: &[u8]) -> Result<Vec<u8>, Fault> {
        let request = Request::Mac { reference: reference.to_vec(), hash, message: message.to_vec().into() };
        self.bytes(&request).await.map(|bytes| bytes.to_vec())
    }

    /// The shared secret with an uncompressed point of the other side.
    ///
    /// # Errors
    /// As for [`Token::inspect`].
    pub async fn agree(&self, reference: &[u8], point: &[u8]) -> Result<Secret, Fault> {
        self.bytes(&Request::Agree { reference: reference.to_vec(), point: point.to_vec() }).await
    }

    /// Wraps a key for another token which has the same wrapping key.
    ///
    /// # Errors
    /// As for [`Token::inspect`]; or the token does not let this key be wrapped.
    pub async fn wrap(&self, under: Selector, reference: &[u8]) -> Result<Vec<u8>, Fault> {
        self.bytes(&Request::Wrap { under, reference: reference.to_vec() }).await.map(|bytes| bytes.to_vec())
    }

    /// Takes a key that another token wrapped, under the same reference. One that is there already is fine.
    ///
    /// # Errors
    /// As for [`Token::inspect`]; or the token does not let keys be unwrapped.
    pub async fn unwrap(&self, under: Selector, reference: &[u8], wrapped: &[u8]) -> Result<(), Fault> {
        self.done(&Request::Unwrap { under, reference: reference.to_vec(), wrapped: wrapped.to_vec() }).await
    }

    /// Random bytes of the token's own making, at most 1024.
    ///
    /// # Errors
    /// As for [`Token::status`].
    pub async fn random(&self, length: u32) -> Result<Secret, Fault> {
        self.bytes(&Request::Random { length }).await
    }

    async fn key(&self, request: &Request) -> Result<MadeKey, Fault> {
        match self.ask(request).await? {
            Answer::Key { key } => Ok(key),
            _ => Err(unexpected()),
        }
    }

    async fn objects(&self, request: &Request) -> Result<Vec<ObjectFacts>, Fault> {
        match self.ask(request).await? {
            Answer::Objects { objects } => Ok(objects),
            _ => Err(unexpected()),
        }
    }

    async fn bytes(&self, request: &Request) -> Result<Secret, Fault> {
        match self.ask(request).await? {
            Answer::Bytes { bytes } => Ok(bytes),
            _ => Err(unexpected()),
        }
    }

    async fn done(&self, request: &Request) -> Result<(), Fault> {
        match self.ask(request).await? {
            Answer::Done => Ok(()),
            _ => Err(unexpected()),
        }
    }

    /// Asks, and ends within the deadline. What was lost with a host is asked once more of the next one: every request may be, because the ones that
    /// change something find out that it is done.
    async fn ask(&self, request: &Request) -> Outcome {
        let started = Instant::now();
        let slow = matches!(
            request,
            Request::Generate { .. } | Request::Unwrap { .. } | Request::Wrap { .. } | Request::Destroy { .. } | Request::List
        );
        let patience = if slow { SLOW.max(self.inner.settings.timeout) } else { self.inner.settings.timeout };
        let outcome = self.ask_until(request, started + patience, slow).await;
        self.inner.meters.count(started.elapsed(), &outcome);
        outcome
    }

    async fn ask_until(&self, request: &Request, deadline: Instant, slow: bool) -> Outcome {
        let first = match self.try_once(request, deadline, slow).await {
            Err(fault) if matches!(fault.kind, FaultKind::Lost | FaultKind::Unavailable) && Instant::now() < deadline => fault,
            outcome => return outcome,
        };
        match self.try_once(request, deadline, slow).await {
            // Why it went wrong says more than that there was no time for another try.
            Err(fault) if fault.kind == FaultKind::Expired => Err(first),
            outcome => outcome,
        }
    }

    async fn try_once(&self, request: &Request, deadline: Instant, slow: bool) -> Outcome {
        let connection = self.connection(deadline).await?;
        match connection.ask(request, deadline, slow).await {
            Ok(Err(fault)) if fault.kind == FaultKind::Unavailable => {
                // The host has tried what it can. The next one loads the library anew.
                connection.condemn();
                Err(fault)
            }
            Ok(outcome) => outcome,
            Err(Unanswered::Lost) => {
                // The writer may have noticed before the reader: the next try must not take the same connection.
                connection.condemn();
                Err(Fault::new(FaultKind::Lost, "the process that holds the token's library ended while it worked on this"))
            }
            Err(Unanswered::TooLong) => {
                Err(Fault::new(FaultKind::Busy, "too much is waiting for the token already, or this is too long for it"))
            }
            Err(Unanswered::Late) => {
                if connection.is_stalled(self.inner.settings.timeout) {
                    connection.condemn();
                }
                Err(expired(&self.inner.settings))
            }
        }
    }

    async fn connection(&self, deadline: Instant) -> Result<Arc<Connection>, Fault> {
        let mut link = self.inner.link.subscribe();
        let settled = |link: &Link| match link {
            Link::Starting => false,
            Link::Up(connection) => connection.is_open(),
            Link::Down(_) => true,
        };
        match timeout_at(deadline, link.wait_for(settled)).await {
            Ok(Ok(link)) => match &*link {
                Link::Up(connection) => Ok(Arc::clone(connection)),
                Link::Down(fault) => Err(fault.clone()),
                Link::Starting => Err(expired(&self.inner.settings)),
            },
            _ => Err(expired(&self.inner.settings)),
        }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

fn expired(settings: &Settings) -> Fault {
    let milliseconds = settings.timeout.as_millis();
    Fault::new(FaultKind::Expired, format!("the token {} did not answer within {milliseconds} ms", settings.name))
}

fn unexpected() -> Fault {
    Fault::new(FaultKind::Protocol, "the token's host answered something else than was asked")
}
