//! Tokens that hold the same keys: a key is made on one and wrapped to the others, and used on whichever works.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use claviger_domain::key_store::ConnectionError;
use claviger_domain::{Kind, Refusal};
use claviger_service::key_stores::{HealthStatus, KeyUse, ManagerHealth, NewRemoteKey, RemoteKey};
use claviger_token::{Fault, FaultKind, Form, Health, MadeKey, Reference, Selector, Token};
use parking_lot::Mutex;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::key_uses::{self, kind_of};
use super::message_counts::{Claim, MessageCounts};
use super::pool_reference::PoolReference;

/// How long a connection attempt waits for tokens that are being opened.
const OPENING: Duration = Duration::from_secs(20);

/// How soon a token says how it is that is well: a cloud waits 250 ms for the answer about all.
const PROMPT: Duration = Duration::from_millis(150);

/// The tokens of one cluster.
pub(super) struct Pool {
    id: String,
    tokens: Vec<Arc<Token>>,
    copies_min: usize,
    wrapping_key: Option<String>,
    counts: Arc<MessageCounts>,
    /// Whose turn it is among equals.
    turn: AtomicUsize,
    /// Copies that are being made, by the token's name and the key.
    copying: Mutex<HashSet<(String, Vec<u8>)>>,
}

impl Pool {
    pub(super) fn new(
        id: &str,
        tokens: Vec<Arc<Token>>,
        copies_min: usize,
        wrapping_key: Option<String>,
        counts: Arc<MessageCounts>,
    ) -> Arc<Self> {
        let (turn, copying) = (AtomicUsize::new(0), Mutex::new(HashSet::new()));
        Arc::new(Self { id: id.to_owned(), tokens, copies_min, wrapping_key, counts, turn, copying })
    }

    /// Whether at least one token works, asked of the tokens themselves.
    pub(super) async fn connect(&self) -> Result<(), ConnectionError> {
        let mut worst = ConnectionError::InsufficientHsms;
        for token in &self.tokens {
            let fault = match token.settled(OPENING).await {
                Health::Down(fault) => fault,
                Health::Starting => Fault::new(FaultKind::Expired, "it does not open in time"),
                Health::Up(_) => match token.status().await {
                    Ok(_) => return Ok(()),
                    Err(fault) => fault,
                },
            };
            tracing::warn!(cluster = %self.id, token = token.name(), %fault, "a token of a cluster cannot be used");
            worst = match fault.kind {
                FaultKind::PinRefused => ConnectionError::InvalidCredentials,
                FaultKind::PinLocked => ConnectionError::UserLockedOut,
                FaultKind::Expired => ConnectionError::NetworkErrors,
                FaultKind::Library | FaultKind::Protocol => ConnectionError::InternalError,
                _ => worst,
            };
        }
        Err(worst)
    }

    /// Makes a key on as many tokens as the configuration demands, and on the others if it can.
    pub(super) async fn make(&self, wanted: &NewRemoteKey<'_>) -> Result<RemoteKey, Refusal> {
        let (kind, purpose) = kind_of(wanted.spec, wanted.usage)?;
        let working = self.working();
        self.must_be_enough(working.len())?;
        let (id, label) = (wanted.key.uuid(), format!("claviger {}", wanted.key));
        // What cannot be wrapped cannot be brought to another token.
        let extractable = self.wrapping_key.is_some() && self.tokens.len() > 1;
        let mut last = None;
        for origin in &working {
            match origin.generate(kind, purpose, id.as_bytes(), &label, extractable).await {
                Ok(made) => return self.spread(origin, made, &working).await,
                Err(fault) if is_about_the_token(&fault) => last = Some(fault),
                Err(fault) => return Err(self.refusal(&fault)),
            }
        }
        Err(last.map_or_else(|| self.nobody(), |fault| self.refusal(&fault)))
    }

    async fn spread(&self, origin: &Token, made: MadeKey, working: &[Arc<Token>]) -> Result<RemoteKey, Refusal> {
        let mut names = vec![origin.name().to_owned()];
        let mut last = None;
        for other in working.iter().filter(|token| token.name() != origin.name()) {
            match self.copy(origin, other, &made.reference).await {
                Ok(()) => names.push(other.name().to_owned()),
                Err(fault) => {
                    tracing::warn!(cluster = %self.id, token = other.name(), %fault, "a new key could not be copied to a token");
                    last = Some(fault);
                }
            }
        }
        if names.len() < self.copies_min {
            let everywhere = PoolReference { adopted: false, tokens: names, key: made.reference };
            if let Err(refusal) = self.destroy(&everywhere.to_bytes()).await {
                tracing::warn!(cluster = %self.id, %refusal, "a key that is on too few tokens stays there; remove it");
            }
            return Err(last.map_or_else(|| self.nobody(), |fault| self.too_few(&fault)));
        }
        self.counts.begin(&self.counted(&made.reference)?.1).await?;
        let reference = PoolReference { adopted: false, tokens: names, key: made.reference };
        Ok(RemoteKey { reference: reference.to_bytes(), public_key: made.public_key })
    }

    /// Takes a key that is there already, on as many tokens as the configuration demands.
    pub(super) async fn adopt(&self, wanted: &NewRemoteKey<'_>, name: &str) -> Result<RemoteKey, Refusal> {
        let selector = selector_of(name)?;
        let (kind, purpose) = kind_of(wanted.spec, wanted.usage)?;
        let mut found: Option<MadeKey> = None;
        let mut names = Vec::new();
        let mut last = None;
        for token in self.working() {
            let here = match &found {
                None => token.adopt(selector.clone()).await.map(Some),
                // The same key, not just one of the same name.
                Some(first) => token.inspect(&first.reference).await.map(|_| None),
            };
            match here {
                Ok(Some(first)) if (first.kind, first.purpose) != (kind, purpose) => {
                    let detail = format!(
                        "The key {selector} in the token is {}, for another use than the KMS key that would stand for it.",
                        first.kind
                    );
                    return Err(Refusal::new(Kind::InvalidKeyUsage, detail));
                }
                Ok(first) => {
                    found = found.or(first);
                    names.push(token.name().to_owned());
                }
                Err(fault) => last = Some(fault),
            }
        }
        match (found, last) {
            (Some(key), _) if names.len() >= self.copies_min => {
                let reference = PoolReference { adopted: true, tokens: names, key: key.reference };
                Ok(RemoteKey { reference: reference.to_bytes(), public_key: key.public_key })
            }
            (Some(_), Some(fault)) => {
                let detail = format!("The key is on {} of the {} tokens that it has to be on.", names.len(), self.copies_min);
                Err(Refusal::new(Kind::ClusterInvalidConfiguration, detail).with_reason(fault.detail))
            }
            (None, Some(fault)) => Err(self.refusal(&fault)),
            (_, None) => Err(self.nobody()),
        }
    }

    /// Destroys a key wherever it is, unless it was there before us.
    pub(super) async fn destroy(&self, reference: &[u8]) -> Result<(), Refusal> {
        let reference = PoolReference::parse(reference)?;
        if reference.adopted {
            return Ok(());
        }
        let mut failed = None;
        for token in &self.tokens {
            if let Err(fault) = token.destroy(&reference.key).await {
                failed = Some(Fault::new(fault.kind, format!("token {}: {fault}", token.name())));
            }
        }
        if let Ok((_, name)) = self.counted(&reference.key) {
            self.counts.end(&name).await;
        }
        failed.map_or(Ok(()), |fault| Err(self.refusal(&fault)))
    }

    /// Uses a key on the first token that can.
    pub(super) async fn perform(
        self: &Arc<Self>,
        reference: &[u8],
        use_of_key: KeyUse<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let reference = PoolReference::parse(reference)?;
        if let KeyUse::Encrypt { .. } = use_of_key {
            self.count(&reference).await?;
        }
        let mut missing = Vec::new();
        let mut last: Option<Fault> = None;
        for token in self.in_order(&reference) {
            match key_uses::perform(&token, &reference.key, use_of_key).await? {
                Ok(answer) => {
                    missing.into_iter().for_each(|lacking| self.copy_later(&token, lacking, &reference.key));
                    return Ok(answer);
                }
                Err(fault) if is_about_the_token(&fault) || fault.kind == FaultKind::NotFound => {
                    if fault.kind == FaultKind::NotFound {
                        missing.push(token);
                    }
                    // That another token has no copy says less than why the one that has it does not work.
                    let keeps =
                        last.as_ref().is_some_and(|last| last.kind != FaultKind::NotFound && fault.kind == FaultKind::NotFound);
                    last = if keeps { last } else { Some(fault) };
                }
                Err(fault) if fault.kind == FaultKind::Swapped => {
                    tracing::error!(cluster = %self.id, token = token.name(), "ANOTHER KEY IS IN THE PLACE OF A KEY IN THIS TOKEN: it was not used");
                    last = Some(fault);
                }
                Err(fault) => return Err(self.refusal(&fault)),
            }
        }
        Err(last.map_or_else(|| self.nobody(), |fault| self.refusal(&fault)))
    }

    /// How each token is, asked of itself.
    pub(super) async fn health(&self) -> Vec<ManagerHealth> {
        let mut asked = tokio::task::JoinSet::new();
        for token in &self.tokens {
            asked.spawn(health_of(Arc::clone(token)));
        }
        let mut found = asked.join_all().await;
        found.sort_by(|one, other| one.id.cmp(&other.id));
        found
    }

    /// Random bytes of the first token that makes them.
    pub(super) async fn random(&self, length: usize) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let length = u32::try_from(length).map_err(|_| Refusal::invalid("Too many random bytes."))?;
        let mut last = None;
        for token in self.working() {
            match token.random(length).await {
                Ok(bytes) => return Ok(bytes),
                Err(fault) => last = Some(fault),
            }
        }
        Err(last.map_or_else(|| self.nobody(), |fault| self.refusal(&fault)))
    }

    /// Counts a message of a key that encrypts with random IVs itself.
    async fn count(&self, reference: &PoolReference) -> Result<(), Refusal> {
        let (form, name) = self.counted(&reference.key)?;
        if form == Form::Derived {
            return Ok(());
        }
        match self.counts.claim(&name).await? {
            Claim::Granted => Ok(()),
            Claim::UsedUp => Err(Refusal::limit_exceeded(
                "This key has encrypted as many messages as AES-GCM with random IVs allows (NIST SP 800-38D, section 8.3). It still decrypts; \
                 encrypt under a new key.",
            )),
        }
    }

    /// How a key encrypts, and under which name its messages are counted: the key's in the tokens, however often it was adopted.
    fn counted(&self, key: &[u8]) -> Result<(Form, Vec<u8>), Refusal> {
        let key = Reference::parse(key).map_err(|_| unreadable())?;
        let name = if key.id.is_empty() { key.label.into_bytes() } else { key.id };
        Ok((key.form, [self.id.as_bytes(), b"/", &name].concat()))
    }

    async fn copy(&self, from: &Token, to: &Token, key: &[u8]) -> Result<(), Fault> {
        let Some(label) = &self.wrapping_key else {
            return Err(Fault::new(FaultKind::Unsupported, "the cluster has no wrapping_key in the configuration"));
        };
        let under = || Selector::Label { label: label.clone() };
        let wrapped = from.wrap(under(), key).await?;
        to.unwrap(under(), key, &wrapped).await
    }

    /// Brings a key to a token that was away when it was made.
    fn copy_later(self: &Arc<Self>, from: &Arc<Token>, to: Arc<Token>, key: &[u8]) {
        let name = (to.name().to_owned(), key.to_vec());
        if self.wrapping_key.is_none() || !self.copying.lock().insert(name.clone()) {
            return;
        }
        let (pool, from) = (Arc::clone(self), Arc::clone(from));
        tokio::spawn(async move {
            match pool.copy(&from, &to, &name.1).await {
                Ok(()) => {
                    tracing::info!(cluster = %pool.id, token = to.name(), "a key was copied to a token that had it not");
                    pool.copying.lock().remove(&name);
                }
                // Stays in the list, so that it is not tried with each request.
                Err(fault) => {
                    tracing::warn!(cluster = %pool.id, token = to.name(), %fault, "a key cannot be copied to a token that has it not");
                }
            }
        });
    }

    fn working(&self) -> Vec<Arc<Token>> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let all = self.tokens.iter().cycle().skip(first % self.tokens.len().max(1)).take(self.tokens.len());
        all.filter(|token| matches!(token.health(), Health::Up(_))).cloned().collect()
    }

    /// Those that have the key and work, by turns; then the others that work; then those that may come up again; then those that do not work.
    fn in_order(&self, reference: &PoolReference) -> Vec<Arc<Token>> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let all = self.tokens.iter().cycle().skip(first % self.tokens.len().max(1)).take(self.tokens.len());
        let mut ordered: Vec<_> = all.cloned().collect();
        ordered.sort_by_key(|token| {
            let state = match token.health() {
                Health::Up(_) => 0,
                Health::Starting => 1,
                Health::Down(_) => 2,
            };
            (state, !reference.tokens.iter().any(|name| name == token.name()))
        });
        ordered
    }

    fn must_be_enough(&self, working: usize) -> Result<(), Refusal> {
        if working >= self.copies_min {
            return Ok(());
        }
        let detail = format!("{working} of the {} tokens that a new key has to be on work now.", self.copies_min);
        Err(Refusal::new(Kind::ClusterInvalidConfiguration, detail))
    }

    fn too_few(&self, fault: &Fault) -> Refusal {
        let detail = format!("The key could not be put on the {} tokens that the cluster demands.", self.copies_min);
        Refusal::new(Kind::ClusterInvalidConfiguration, detail).with_reason(fault.detail.clone())
    }

    fn nobody(&self) -> Refusal {
        Refusal::key_unavailable("No token of the cluster works at the moment. Try again shortly.")
    }

    /// A fault in the words of the service. What a token says is for the audit log: it may name what is not the caller's business.
    fn refusal(&self, fault: &Fault) -> Refusal {
        let refusal = match fault.kind {
            FaultKind::InvalidCiphertext => return Refusal::invalid_ciphertext(),
            FaultKind::NotFound => Refusal::invalid_state("The material of this key is not in the cluster."),
            FaultKind::Ambiguous => Refusal::invalid_state("Several keys in the cluster have that name."),
            FaultKind::Swapped => Refusal::internal(
                "Another key is in the place of this one in the cluster. It was not used. Ask the operator to look into the tokens.",
            ),
            FaultKind::Unsupported | FaultKind::Refused => {
                Refusal::unsupported("The cluster's tokens do not do this with this key.")
            }
            FaultKind::Expired => Refusal::new(Kind::DependencyTimeout, "The cluster did not answer in time. Try again."),
            _ => self.nobody(),
        };
        refusal.with_reason(fault.detail.clone())
    }
}

async fn health_of(token: Arc<Token>) -> ManagerHealth {
    let model = match token.health() {
        Health::Up(facts) => format!("{} {}", facts.manufacturer, facts.model),
        _ => "PKCS#11 token".to_owned(),
    };
    let status = match (token.health(), timeout(PROMPT, token.status()).await) {
        (_, Ok(Ok(_))) => HealthStatus::Active,
        (Health::Up(_), Err(_)) => HealthStatus::Degraded,
        _ => HealthStatus::Unavailable,
    };
    ManagerHealth { id: token.name().to_owned(), model, status }
}

/// Whether another token may do better.
fn is_about_the_token(fault: &Fault) -> bool {
    matches!(
        fault.kind,
        FaultKind::Unavailable
            | FaultKind::NoSuchToken
            | FaultKind::PinRefused
            | FaultKind::PinLocked
            | FaultKind::Busy
            | FaultKind::Expired
            | FaultKind::Protocol
            | FaultKind::Library
            | FaultKind::Lost
    )
}

/// `id:` and hexadecimal digits, `label:` and a label, or a label alone.
fn selector_of(name: &str) -> Result<Selector, Refusal> {
    if let Some(digits) = name.strip_prefix("id:") {
        let id = (0..digits.len()).step_by(2).map(|at| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()));
        let id: Option<Vec<u8>> = id.collect();
        let wrong = || Refusal::invalid("An id in a token is an even number of hexadecimal digits.");
        return id.filter(|id| !id.is_empty()).map(|id| Selector::Id { id }).ok_or_else(wrong);
    }
    Ok(Selector::Label { label: name.strip_prefix("label:").unwrap_or(name).to_owned() })
}

pub(super) fn unreadable() -> Refusal {
    Refusal::internal(
        "What this deployment keeps of the key's place in the cluster cannot be read. Ask the operator to run 'claviger store verify'.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_tokens_are_named_by_label_or_id() {
        assert_eq!(selector_of("id:0aFf").unwrap(), Selector::Id { id: vec![0x0a, 0xff] });
        assert_eq!(selector_of("label:id:0a").unwrap(), Selector::Label { label: "id:0a".into() });
        assert_eq!(selector_of("my key").unwrap(), Selector::Label { label: "my key".into() });
        for wrong in ["id:", "id:0", "id:xy", "id:0aé"] {
            assert!(selector_of(wrong).is_err(), "{wrong}");
        }
    }
}
