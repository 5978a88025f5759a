//! A seal whose secret a key in a PKCS#11 token has encrypted: 32 random bytes, which only that token gives back. The key was made in the token, or found
//! there, and never leaves it.
//!
//! The token is reached through a host process of its own ([`claviger_token`]), which is started when the seal is first used and kept for as long as
//! the configuration is: it remembers a PIN that was refused, so that trying again does not lock the token.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPublicEncryptingKey, PublicEncryptingKey};
use claviger_hsm::{NewSeal, SealSecret, TokenWrapped, generate_file_seal_secret};
use claviger_token::{
    Fault, FaultKind, Hash, Health, KeyKind, Launcher, MadeKey, PinSource, Purpose, Reference, Selector, Settings, Token,
    TokenName,
};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::config::{CREDENTIAL_VARIABLES, PassphraseSource, TokenConfig};
use crate::problem::Problem;

/// How long a token may take to open.
const OPENING: Duration = Duration::from_secs(35);
/// What is authenticated with the encrypted secret.
const PURPOSE: &[u8] = b"claviger seal";

/// Which token and which key in it, as the configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSeal {
    /// The token.
    pub token: TokenConfig,
    /// The label of the key.
    pub key: String,
    /// Environment variables that the library does not see.
    hidden: Vec<String>,
    link: Link,
}

/// The token, once it is open: one for all copies of a configuration.
#[derive(Clone, Default)]
struct Link(Arc<OnceLock<Arc<Token>>>);

impl PartialEq for Link {
    /// What is open is no part of what was configured.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Link {}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() { "started" } else { "not started" })
    }
}

/// How the secret was encrypted: the first byte of what is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By the token, with AES-GCM.
    AesGcm = 1,
    /// Here, under the public key of the token's RSA key.
    OaepSha256 = 2,
    /// The same with SHA-1, for tokens that can nothing else: OAEP does not need its hash to resist collisions.
    OaepSha1 = 3,
}

impl TokenSeal {
    /// A seal in this token under this key.
    pub fn new(
        library: PathBuf,
        token: TokenName,
        key: String,
        pin: PassphraseSource,
        environment: BTreeMap<String, String>,
    ) -> Self {
        let token = TokenConfig { library, token, pin, sessions: 1, timeout: Duration::from_secs(10), environment };
        let hidden = token.pin.variable().into_iter().chain(CREDENTIAL_VARIABLES).map(str::to_owned).collect();
        Self { token, key, hidden, link: Link::default() }
    }

    /// Keeps these environment variables from the token's library too: other secrets of the configuration.
    pub(crate) fn hide(&mut self, variables: &[String]) {
        self.hidden.extend_from_slice(variables);
    }

    /// Has the token decrypt the secret. Blocks: on a thread for blocking work within a runtime.
    ///
    /// # Errors
    /// It cannot, with why; and whether the same may succeed later.
    pub fn unwrap(&self, wrapped: &TokenWrapped) -> Result<SealSecret, (Problem, bool)> {
        let opened = wait(async {
            let token = self.opened().await?;
            decrypt(&token, &wrapped.key, &wrapped.secret).await
        });
        match opened {
            Ok(secret) => Ok(SealSecret::Token(secret)),
            Err(fault) => Err((self.problem(&fault), may_come_back(fault.kind))),
        }
    }

    /// A new secret, encrypted by the token's key; the key is made first where it is not there and may be. Blocks, as [`TokenSeal::unwrap`] does.
    ///
    /// # Errors
    /// The token cannot be opened, has no such key, or the key cannot do it.
    pub fn wrap_new(&self, generate: bool) -> Result<NewSeal, Problem> {
        let secret = generate_file_seal_secret().map_err(|error| Problem::new(error.to_string()))?;
        let wrapped = wait(self.wrap(&secret, generate)).map_err(|fault| match fault.kind {
            FaultKind::NotFound if !generate => {
                self.problem(&fault).remedy("name a key that is there with --key, or have it made with --generate")
            }
            _ => self.problem(&fault),
        })?;
        Ok(NewSeal::Token { wrapped, secret })
    }

    async fn wrap(&self, secret: &Zeroizing<Vec<u8>>, generate: bool) -> Result<TokenWrapped, Fault> {
        let token = self.opened().await?;
        let found = token.adopt(Selector::Label { label: self.key.clone() }).await;
        let key = match found {
            Err(fault) if fault.kind == FaultKind::NotFound && generate => {
                // Neither shown nor let out, whatever is asked later.
                token.generate(KeyKind::Aes256, Purpose::Encrypt, Uuid::new_v4().as_bytes(), &self.key, false).await?
            }
            found => found?,
        };
        let key = for_decryption(key)?;
        let encrypted = encrypt(&token, &key, secret).await?;
        let Health::Up(facts) = token.health() else { return Err(Fault::new(FaultKind::Unavailable, "the token has just gone")) };
        Ok(TokenWrapped { token: format!("{} (serial {})", facts.label, facts.serial), key: key.reference, secret: encrypted })
    }

    async fn opened(&self) -> Result<Arc<Token>, Fault> {
        let token = Arc::clone(self.link.0.get_or_init(|| Arc::new(self.start())));
        match token.settled(OPENING).await {
            Health::Up(_) => Ok(token),
            Health::Down(fault) => Err(fault),
            Health::Starting => Err(Fault::new(FaultKind::Unavailable, "it takes too long to open")),
        }
    }

    fn start(&self) -> Token {
        let TokenConfig { library, token, pin, sessions, timeout, environment } = self.token.clone();
        let settings = Settings { name: "seal".to_owned(), library, token, sessions, environment, timeout };
        let hidden = self.hidden.clone();
        let typed = OnceLock::new();
        let pin: PinSource = Arc::new(move || {
            // A person is asked once, and not whenever the token has to be opened again.
            let pin = match &pin {
                PassphraseSource::Prompt => typed.get_or_init(type_pin).clone()?,
                _ => pin
                    .read_secret("the PIN of the seal's token", "[seal.pkcs11] pin")
                    .map_err(|problem| problem.happened().to_owned())?,
            };
            Ok(pin.as_bytes().to_vec().into())
        });
        let arguments = ["hsm-host", "--token", "seal"].into_iter().map(OsString::from).collect();
        Token::start(settings, Launcher { program: PathBuf::from("/proc/self/exe"), arguments, hidden }, pin)
    }

    fn problem(&self, fault: &Fault) -> Problem {
        let name = match &self.token.token {
            TokenName::Label { label } => label,
            TokenName::Serial { serial } => serial,
        };
        Problem::new(format!("the token {name} does not give the seal's secret: {}", fault.detail))
            .remedy("look at the token (claviger token check, pkcs11-tool), and at [seal.pkcs11]")
    }
}

fn type_pin() -> Result<Zeroizing<String>, String> {
    if !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        return Err("its PIN should be typed, but there is no terminal".to_owned());
    }
    let typed = rpassword::prompt_password("PIN of the seal's token: ");
    typed.map(Zeroizing::new).map_err(|error| format!("its PIN cannot be read from the terminal: {error}"))
}

/// An RSA key that may sign and decrypt is taken for signing where nobody says what it is for.
fn for_decryption(key: MadeKey) -> Result<MadeKey, Fault> {
    if !matches!(key.kind, KeyKind::Rsa { .. }) {
        return Ok(key);
    }
    let reference = Reference::parse(&key.reference);
    let reference = reference.map_err(|_| Fault::new(FaultKind::Protocol, "the token's answer cannot be understood"))?;
    let reference = Reference { purpose: Purpose::Encrypt, ..reference }.to_bytes();
    Ok(MadeKey { reference, purpose: Purpose::Encrypt, ..key })
}

/// Encrypts the secret, and proves that the token gives it back.
async fn encrypt(token: &Token, key: &MadeKey, secret: &Zeroizing<Vec<u8>>) -> Result<Vec<u8>, Fault> {
    let ways: &[Way] = match key.kind {
        KeyKind::Aes256 => &[Way::AesGcm],
        KeyKind::Rsa { .. } => &[Way::OaepSha256, Way::OaepSha1],
        KeyKind::Ec { .. } | KeyKind::Secret { .. } => &[],
    };
    let mut last = Fault::new(FaultKind::Unsupported, "the key is neither an AES nor an RSA key that may decrypt");
    for way in ways {
        let encrypted = match way {
            Way::AesGcm => token.encrypt(&key.reference, secret, PURPOSE).await,
            Way::OaepSha256 => oaep(&key.public_key, &OAEP_SHA256_MGF1SHA256, secret),
            Way::OaepSha1 => oaep(&key.public_key, &OAEP_SHA1_MGF1SHA1, secret),
        };
        let stored = encrypted.map(|encrypted| [&[*way as u8][..], &encrypted].concat());
        match stored {
            Err(fault) => last = fault,
            Ok(stored) => match decrypt(token, &key.reference, &stored).await {
                Ok(again) if again == *secret => return Ok(stored),
                Ok(_) => last = Fault::new(FaultKind::Refused, "the token gives something else back than was encrypted"),
                Err(fault) => last = fault,
            },
        }
    }
    Err(last)
}

async fn decrypt(token: &Token, key: &[u8], stored: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let unknown = || Fault::new(FaultKind::Unsupported, "the seal's record is of a kind that this version does not know");
    let (way, encrypted) = stored.split_first().ok_or_else(unknown)?;
    let secret = match *way {
        1 => token.decrypt(key, encrypted, PURPOSE).await?,
        2 => token.oaep_decrypt(key, Hash::Sha256, encrypted).await?,
        3 => token.oaep_decrypt(key, Hash::Sha1, encrypted).await?,
        _ => return Err(unknown()),
    };
    Ok(Zeroizing::new(secret.to_vec()))
}

fn oaep(spki: &[u8], algorithm: &'static OaepAlgorithm, secret: &[u8]) -> Result<Vec<u8>, Fault> {
    let failed = || Fault::new(FaultKind::Unsupported, "the token's public key cannot be used");
    let key = PublicEncryptingKey::from_der(spki).map_err(|_| failed())?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| failed())?;
    let mut encrypted = vec![0; key.ciphertext_size()];
    let length = key.encrypt(algorithm, secret, &mut encrypted, None).map_err(|_| failed())?.len();
    encrypted.truncate(length);
    Ok(encrypted)
}

/// Whether the same may succeed later without anybody changing the configuration. Not so where a PIN was refused: trying again would lock the token.
fn may_come_back(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::Unavailable
            | FaultKind::NoSuchToken
            | FaultKind::Busy
            | FaultKind::Expired
            | FaultKind::Lost
            | FaultKind::Library
            | FaultKind::NotFound
    )
}

/// Waits for a token on a thread that may block.
fn wait<T>(asked: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.block_on(asked),
        Err(_) => Err(Fault::new(FaultKind::Unavailable, "a defect of Claviger: a token was asked outside of the runtime")),
    }
}
