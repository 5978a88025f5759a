//! Sessions of roles: what their tokens carry, opened once and kept for as long as there is room. A token says everything itself, so that
//! any node accepts it; whether its role is still there is looked up with each request.

use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroUsize;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger_domain::identity::{Identity, Session};
use claviger_domain::policy::Policy;
use claviger_domain::{AccessKeyId, Refusal, Timestamp};
use lru::LruCache;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::deployment::random_id;
use crate::service::Service;
use crate::snapshot::{RoleSnapshot, SigningKeys};

/// The opened sessions, by their tokens, in separately locked parts.
pub(crate) struct Sessions {
    hasher: RandomState,
    parts: Vec<Mutex<LruCache<Box<str>, Arc<OpenSession>>>>,
}

const PARTS: usize = 64;
/// How many sessions are kept in one part: 4,096 in all, of about 2 KiB each.
const PART_COUNT_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// A session, ready to check signatures.
pub(crate) struct OpenSession {
    pub(crate) access_key: AccessKeyId,
    pub(crate) session: Arc<Session>,
    pub(crate) signing_keys: SigningKeys,
    policy: Option<Arc<Policy>>,
    /// Who the session is, for the role as it was last seen.
    identity: Mutex<Option<(Arc<RoleSnapshot>, Arc<Identity>)>>,
}

/// A session's credential at the only moment at which its secret can be seen.
pub struct SessionCredential {
    /// The public half: `ASIA...`.
    pub access_key: AccessKeyId,
    /// The secret half.
    pub secret: Zeroizing<String>,
    /// What the client has to send with each request.
    pub token: String,
    /// When it ends.
    pub expires: Timestamp,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        let part = || {
            // Unbounded at birth so that an idle server does not pay for the whole table.
            let mut part = LruCache::unbounded();
            part.resize(PART_COUNT_MAX);
            Mutex::new(part)
        };
        Self { hasher: RandomState::new(), parts: (0..PARTS).map(|_| part()).collect() }
    }

    /// Forgets all that were opened: their tokens are opened again, if they can be.
    pub(crate) fn forget_all(&self) {
        self.parts.iter().for_each(|part| part.lock().clear());
    }

    fn part(&self, token: &str) -> Option<&Mutex<LruCache<Box<str>, Arc<OpenSession>>>> {
        let hash = usize::try_from(self.hasher.hash_one(token) % PARTS as u64).unwrap_or(0);
        self.parts.get(hash)
    }
}

impl OpenSession {
    /// Whether it has ended.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        now >= self.session.expires
    }

    /// Who the session is while its role is this one.
    pub(crate) fn identity(&self, role: &Arc<RoleSnapshot>) -> Arc<Identity> {
        let mut known = self.identity.lock();
        match known.as_ref() {
            Some((of, identity)) if Arc::ptr_eq(of, role) => Arc::clone(identity),
            _ => {
                let (session, policy) = (Arc::clone(&self.session), self.policy.clone());
                let identity = Arc::new(Identity::assumed_role(&role.role, role.policies.clone(), session, policy));
                *known = Some((Arc::clone(role), Arc::clone(&identity)));
                identity
            }
        }
    }
}

impl Service {
    /// A new credential for a session.
    pub(crate) fn begin_session(&self, session: &Session) -> Result<SessionCredential, Refusal> {
        let id: AccessKeyId =
            random_id(self.hsm(), "ASIA")?.parse().map_err(|_| Refusal::internal("An access key id could not be made."))?;
        let content = serde_json::to_vec(session).map_err(|_| Refusal::internal("A session could not be serialized."))?;
        let (secret, token) = self.hsm().create_session(&id, &content)?;
        Ok(SessionCredential { access_key: id, secret, token: URL_SAFE_NO_PAD.encode(token), expires: session.expires })
    }

    /// The session of this token, which was given out with this access key; none when it was not given out here.
    pub(crate) fn open_session(&self, access_key: &str, token: &str) -> Option<Arc<OpenSession>> {
        let part = self.sessions.part(token)?;
        if let Some(open) = part.lock().get(token) {
            return (open.access_key.as_str() == access_key).then(|| Arc::clone(open));
        }
        let open = Arc::new(self.unseal_session(access_key, token)?);
        part.lock().put(token.into(), Arc::clone(&open));
        Some(open)
    }

    fn unseal_session(&self, access_key: &str, token: &str) -> Option<OpenSession> {
        let access_key: AccessKeyId = access_key.parse().ok()?;
        let sealed = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (secret, content) = self.hsm().open_session(&access_key, &sealed).ok()?;
        let session: Session = serde_json::from_slice(&content).ok()?;
        let policy = match &session.policy {
            Some(text) => Some(self.policies.identity_policy(text).ok()?),
            None => None,
        };
        Some(OpenSession {
            access_key,
            session: Arc::new(session),
            signing_keys: SigningKeys::new(secret),
            policy,
            identity: Mutex::new(None),
        })
    }
}
