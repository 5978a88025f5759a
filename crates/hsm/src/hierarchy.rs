//! The key hierarchy: seals open the root key, the root key opens account keys, an account key opens everything that is the account's.

use std::sync::Arc;

use claviger_domain::AccountId;
use uuid::Uuid;

use crate::encoding::AssociatedData;
use crate::error::HsmError;
use crate::kdf;
use crate::memory::Secret;
use crate::seal::{self, PassphraseCost, Seal, SealSecret, SealedRoot};
use crate::sealed::{self, Blob};
use crate::self_test::self_test;
use crate::state::State;

/// The opened cryptographic module of one deployment: holds the root key. To be shared behind an `Arc`.
pub struct Hsm {
    pub(crate) deployment: Uuid,
    pub(crate) state: Arc<State>,
    /// All versions, oldest first, never empty. The last one seals.
    roots: Vec<Root>,
}

/// One version of the root key, and what is derived from it so that no key serves two algorithms.
pub(crate) struct Root {
    pub(crate) version: u32,
    key: Secret,
    wrap: Secret,
    pub(crate) token: Secret,
}

impl Root {
    fn new(version: u32, key: Secret) -> Result<Self, HsmError> {
        let wrap = kdf::expand(&key, &[b"claviger root wrap 1"])?;
        let token = kdf::expand(&key, &[b"claviger root token 1"])?;
        Ok(Self { version, key, wrap, token })
    }
}

/// An account's key: opens what the account has stored. A handle; the secret stays in locked memory.
#[derive(Clone)]
pub struct AccountKey(Arc<AccountKeyInner>);

struct AccountKeyInner {
    account: AccountId,
    version: u32,
    secret: Secret,
}

impl AccountKey {
    /// Whose it is.
    pub fn account(&self) -> AccountId {
        self.0.account
    }

    /// Which version of the account's key it is.
    pub fn version(&self) -> u32 {
        self.0.version
    }

    /// Seals bytes of this account.
    pub(crate) fn seal(&self, identity: AssociatedData, plaintext: &[u8]) -> Result<Vec<u8>, HsmError> {
        sealed::seal(&self.0.secret, self.0.version, identity, plaintext)
    }

    /// Opens a blob with this key, or says that `name` was tampered with.
    pub(crate) fn open<T>(
        &self,
        sealed: &[u8],
        name: impl FnOnce() -> String,
        open: impl FnOnce(&Blob<'_>, &Secret) -> Result<T, crate::xaes::DoesNotOpen>,
    ) -> Result<T, HsmError> {
        let blob = Blob::parse(sealed).filter(|blob| blob.key_version == self.0.version);
        let opened = blob.and_then(|blob| open(&blob, &self.0.secret).ok());
        opened.ok_or_else(|| HsmError::Tampered(name()))
    }
}

impl Hsm {
    const FIRST_ROOT_VERSION: u32 = 1;

    /// Makes a new deployment's root key and wraps it with each of these seals. There must be at least one.
    pub fn initialize(deployment: Uuid, seals: &[(&str, SealSecret)]) -> Result<(Self, SealedRoot), HsmError> {
        Self::initialize_with_cost(deployment, seals, PassphraseCost::DEFAULT)
    }

    /// [`Self::initialize`] with another cost for passphrases: more on strong machines, less in tests.
    pub fn initialize_with_cost(
        deployment: Uuid,
        seals: &[(&str, SealSecret)],
        cost: PassphraseCost,
    ) -> Result<(Self, SealedRoot), HsmError> {
        self_test()?;
        if seals.is_empty() {
            return Err(seal::refused("any", "a deployment needs at least one seal, or its root key would be lost at once"));
        }
        let roots = vec![Root::new(Self::FIRST_ROOT_VERSION, Secret::generate()?)?];
        let hsm = Self { deployment, state: Arc::default(), roots };
        let mut root = SealedRoot { seals: Vec::new() };
        for (name, secret) in seals {
            root = hsm.add_seal_with_cost(&root, name, secret, cost)?;
        }
        Ok((hsm, root))
    }

    /// Opens a deployment with one of its seals: the named one, or the only one of the secret's kind. A secret that does not open says which
    /// seal refused and why; no other seal is tried.
    pub fn open(deployment: Uuid, root: &SealedRoot, name_of_seal: Option<&str>, secret: &SealSecret) -> Result<Self, HsmError> {
        self_test()?;
        let roots = root.choose(name_of_seal, secret)?.open(deployment, secret)?;
        let roots = roots.into_iter().map(|(version, key)| Root::new(version, key)).collect::<Result<_, _>>()?;
        Ok(Self { deployment, state: Arc::default(), roots })
    }

    /// The sealed root with one more seal around it. Store it before telling anybody.
    pub fn add_seal(&self, root: &SealedRoot, name: &str, secret: &SealSecret) -> Result<SealedRoot, HsmError> {
        self.add_seal_with_cost(root, name, secret, PassphraseCost::DEFAULT)
    }

    /// [`Self::add_seal`] with another cost for passphrases.
    pub fn add_seal_with_cost(
        &self,
        root: &SealedRoot,
        name: &str,
        secret: &SealSecret,
        cost: PassphraseCost,
    ) -> Result<SealedRoot, HsmError> {
        self.state.check()?;
        if name.is_empty() || root.seals().any(|(taken, _)| taken == name) {
            return Err(seal::refused(name, "each seal needs a name of its own"));
        }
        let keys = self.roots.iter().map(|root| (root.version, &root.key));
        let mut root = root.clone();
        root.seals.push(Seal::new(self.deployment, name, secret, cost, keys)?);
        Ok(root)
    }

    /// The deployment that this module belongs to. Everything sealed is bound to it.
    pub fn deployment(&self) -> Uuid {
        self.deployment
    }

    /// Why the module is in its error state; none while it works.
    pub fn failure(&self) -> Option<&str> {
        self.state.failure()
    }

    /// Runs the self-tests again. When one fails the module enters its error state, in which it refuses every operation until it is restarted.
    pub fn check(&self) -> Result<(), HsmError> {
        self.state.check()?;
        self_test().map_err(|error| match error {
            HsmError::SelfTestFailed(what) => self.state.fail(&what),
            other => self.state.fail(&other.to_string()),
        })
    }

    /// A new key for an account, sealed under the root key. `version` is 1 for a new account.
    pub fn create_account_key(&self, account: AccountId, version: u32) -> Result<Vec<u8>, HsmError> {
        self.state.check()?;
        let root = self.current_root()?;
        let key = Secret::generate()?;
        sealed::seal(&root.wrap, root.version, self.account_key_identity(account, version), key.expose())
    }

    /// Opens an account's key.
    pub fn open_account_key(&self, account: AccountId, version: u32, sealed: &[u8]) -> Result<AccountKey, HsmError> {
        self.state.check()?;
        let secret = Blob::parse(sealed).and_then(|blob| {
            let root = self.root(blob.key_version)?;
            blob.open_secret(&root.wrap, self.account_key_identity(account, version)).ok()
        });
        let secret = secret.ok_or_else(|| HsmError::Tampered(format!("account key of account {account}, version {version}")))?;
        Ok(AccountKey(Arc::new(AccountKeyInner { account, version, secret })))
    }

    /// The newest root key, which seals.
    pub(crate) fn current_root(&self) -> Result<&Root, HsmError> {
        self.roots.last().ok_or_else(|| HsmError::WrongKey("there is no root key".to_owned()))
    }

    /// The root key of this version.
    pub(crate) fn root(&self, version: u32) -> Option<&Root> {
        self.roots.iter().find(|root| root.version == version)
    }

    fn account_key_identity(&self, account: AccountId, version: u32) -> AssociatedData {
        AssociatedData::new("account key", self.deployment).number(account.number()).number(version.into())
    }
}
