//! The key hierarchy: seals open the root key, the root key opens account keys, an account key opens everything that is the account's.

use std::borrow::Borrow;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use claviger_domain::AccountId;
use parking_lot::RwLock;
use uuid::Uuid;

use crate::encoding::AssociatedData;
use crate::error::HsmError;
use crate::kdf;
use crate::memory::Secret;
use crate::seal::{self, NewSeal, PassphraseCost, PrintedShares, Seal, SealSecret, SealedRoot};
use crate::sealed::{self, Blob};
use crate::self_test::self_test;
use crate::state::State;

/// The opened cryptographic module of one deployment: holds the root key. To be shared behind an `Arc`.
pub struct Hsm {
    pub(crate) deployment: Uuid,
    pub(crate) state: Arc<State>,
    pub(crate) roots: RwLock<Roots>,
}

/// The versions of the root key that are in use, and one that may come into use.
pub(crate) struct Roots {
    /// All versions, oldest first, never empty. The last one seals account keys.
    pub(crate) in_use: Vec<Arc<Root>>,
    /// The version that seals tokens: the newest that every other node knows as well.
    pub(crate) tokens_under: u32,
    /// The oldest version of which tokens are accepted.
    pub(crate) tokens_from: u32,
    /// A new version, and the sealed root key that has to be stored before it is used.
    pub(crate) candidate: Option<(SealedRoot, Arc<Root>)>,
}

/// One version of the root key, and what is derived from it so that no key serves two algorithms.
pub(crate) struct Root {
    pub(crate) version: u32,
    pub(crate) key: Secret,
    pub(crate) wrap: Secret,
    pub(crate) token: Secret,
}

impl Root {
    pub(crate) fn new(version: u32, key: Secret) -> Result<Self, HsmError> {
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

    /// Opens a blob that strangers may have made.
    pub(crate) fn open_blob(
        &self,
        blob: &Blob<'_>,
        identity: AssociatedData,
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, crate::xaes::DoesNotOpen> {
        blob.open(&self.0.secret, identity)
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
    pub fn initialize(deployment: Uuid, seals: &[(&str, impl Borrow<SealSecret>)]) -> Result<(Self, SealedRoot), HsmError> {
        Self::initialize_with_cost(deployment, seals, PassphraseCost::DEFAULT)
    }

    /// [`Self::initialize`] with another cost for passphrases: more on strong machines, less in tests.
    pub fn initialize_with_cost(
        deployment: Uuid,
        seals: &[(&str, impl Borrow<SealSecret>)],
        cost: PassphraseCost,
    ) -> Result<(Self, SealedRoot), HsmError> {
        let (hsm, mut root) = Self::unsealed(deployment)?;
        if seals.is_empty() {
            return Err(no_seals());
        }
        for (name, secret) in seals {
            root = hsm.add_seal_with_cost(&root, name, secret.borrow(), cost)?;
        }
        Ok((hsm, root))
    }

    /// [`Self::initialize`] with seals of every kind: the module, the sealed root, and the shares of each seal, to be told once.
    pub fn initialize_with(
        deployment: Uuid,
        seals: &[(String, NewSeal)],
    ) -> Result<(Self, SealedRoot, Vec<PrintedShares>), HsmError> {
        let (hsm, mut root) = Self::unsealed(deployment)?;
        if seals.is_empty() {
            return Err(no_seals());
        }
        let mut printed = Vec::with_capacity(seals.len());
        for (name, new) in seals {
            let (more, shares) = hsm.add_new_seal(&root, name, new, PassphraseCost::DEFAULT)?;
            root = more;
            printed.push(shares);
        }
        Ok((hsm, root, printed))
    }

    /// A module with a new root key that nothing wraps yet.
    fn unsealed(deployment: Uuid) -> Result<(Self, SealedRoot), HsmError> {
        self_test()?;
        let root = Root::new(Self::FIRST_ROOT_VERSION, Secret::generate()?)?;
        Ok((Self::holding(deployment, vec![Arc::new(root)]), SealedRoot { seals: Vec::new(), handover: Vec::new() }))
    }

    /// Opens a deployment with one of its seals: the named one, or the only one of the secret's kind. A secret that does not open says which
    /// seal refused and why; no other seal is tried.
    pub fn open(deployment: Uuid, root: &SealedRoot, name_of_seal: Option<&str>, secret: &SealSecret) -> Result<Self, HsmError> {
        self_test()?;
        let roots = root.choose(name_of_seal, secret)?.open(deployment, secret)?;
        let roots = roots.into_iter().map(|(version, key)| Root::new(version, key).map(Arc::new)).collect::<Result<_, _>>()?;
        Ok(Self::holding(deployment, roots))
    }

    fn holding(deployment: Uuid, in_use: Vec<Arc<Root>>) -> Self {
        let tokens_under = in_use.last().map_or(0, |root| root.version);
        Self {
            deployment,
            state: Arc::default(),
            roots: RwLock::new(Roots { in_use, tokens_under, tokens_from: 0, candidate: None }),
        }
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
        self.check_new_name(root, name)?;
        let roots = self.roots_in_use();
        let keys = roots.iter().map(|root| (root.version, &root.key));
        let seal = Seal::of_secret(self.deployment, name, secret, cost, keys)?;
        Ok(with_seal(root, seal))
    }

    /// The sealed root with one more seal of any kind, and the seal's shares, if it is of shares. Store it before telling anybody.
    pub fn add_new_seal(
        &self,
        root: &SealedRoot,
        name: &str,
        new: &NewSeal,
        cost: PassphraseCost,
    ) -> Result<(SealedRoot, PrintedShares), HsmError> {
        self.check_new_name(root, name)?;
        let roots = self.roots_in_use();
        let keys = roots.iter().map(|root| (root.version, &root.key));
        let (seal, shares) = Seal::new(self.deployment, name, new, cost, keys)?;
        Ok((with_seal(root, seal), shares))
    }

    fn check_new_name(&self, root: &SealedRoot, name: &str) -> Result<(), HsmError> {
        self.state.check()?;
        if name.is_empty() || root.seals().any(|(taken, _)| taken == name) {
            return Err(seal::refused(name, "each seal needs a name of its own"));
        }
        self.check_versions(root)
    }

    /// The sealed root without one of its seals, which then opens this deployment no more. Store it before telling anybody.
    ///
    /// Whoever has the seal's secret and an older copy of the store still has the root key: rotate it where that matters.
    ///
    /// # Errors
    /// [`HsmError::SealRefused`] when there is no such seal, or no other one.
    pub fn remove_seal(&self, root: &SealedRoot, name: &str) -> Result<SealedRoot, HsmError> {
        self.state.check()?;
        let mut left = root.clone();
        left.seals.retain(|seal| seal.name != name);
        if left.seals.len() == root.seals.len() {
            return Err(root.no_seal_named(name));
        }
        if left.seals.is_empty() {
            return Err(seal::refused(name, "it is the last seal: without it every key would be lost. Add another one first"));
        }
        Ok(left)
    }

    /// Proves that a secret opens this seal, and that what it opens is the root key that this module holds, in all of its versions.
    ///
    /// # Errors
    /// [`HsmError::SealRefused`] when the secret is not that of the seal; [`HsmError::Tampered`] when the seal's record was changed, or wraps
    /// another root key.
    pub fn verify_seal(&self, root: &SealedRoot, name: &str, secret: &SealSecret) -> Result<(), HsmError> {
        self.state.check()?;
        let opened = root.choose(Some(name), secret)?.open(self.deployment, secret)?;
        let roots = self.roots_in_use();
        let same = opened.len() == roots.len()
            && opened.iter().zip(&roots).all(|((version, key), root)| {
                *version == root.version && verify_slices_are_equal(key.expose(), root.key.expose()).is_ok()
            });
        if same { Ok(()) } else { Err(HsmError::Tampered(format!("root key that the seal {name} wraps (it is another one)"))) }
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

    /// The root key that seals tokens, which other nodes have to open.
    pub(crate) fn token_root(&self) -> Result<Arc<Root>, HsmError> {
        let roots = self.roots.read();
        let found = roots.in_use.iter().find(|root| root.version == roots.tokens_under).or(roots.in_use.last());
        found.cloned().ok_or_else(|| HsmError::WrongKey("there is no root key".to_owned()))
    }

    /// The root key that opens tokens of this version.
    pub(crate) fn token_root_of(&self, version: u32) -> Option<Arc<Root>> {
        let roots = self.roots.read();
        roots.in_use.iter().find(|root| root.version == version && version >= roots.tokens_from).cloned()
    }

    /// The newest root key, which seals account keys.
    pub(crate) fn current_root(&self) -> Result<Arc<Root>, HsmError> {
        self.roots.read().in_use.last().cloned().ok_or_else(|| HsmError::WrongKey("there is no root key".to_owned()))
    }

    /// The root key of this version.
    pub(crate) fn root(&self, version: u32) -> Option<Arc<Root>> {
        self.roots.read().in_use.iter().find(|root| root.version == version).cloned()
    }

    pub(crate) fn roots_in_use(&self) -> Vec<Arc<Root>> {
        self.roots.read().in_use.clone()
    }

    pub(crate) fn account_key_identity(&self, account: AccountId, version: u32) -> AssociatedData {
        AssociatedData::new("account key", self.deployment).number(account.number()).number(version.into())
    }
}

fn no_seals() -> HsmError {
    seal::refused("any", "a deployment needs at least one seal, or its root key would be lost at once")
}

fn with_seal(root: &SealedRoot, seal: Seal) -> SealedRoot {
    let mut root = root.clone();
    root.seals.push(seal);
    root
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::testing::{
        CHEAP, DEPLOYMENT, account, deployment, file, flips, hsm, other_account, passphrase, refusal, wrong_lengths,
    };

    /// A token that only the same root key opens: what proves that two modules hold the same one.
    fn same_root(one: &Hsm, other: &Hsm) -> bool {
        other.open_token("proof", &one.seal_token("proof", b"x").unwrap()).is_ok()
    }

    fn why<T>(result: Result<T, HsmError>) -> (String, String) {
        match refusal(result) {
            HsmError::SealRefused { seal, why } => (seal, why),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn any_of_the_seals_opens_the_deployment() {
        let (hsm, root) = deployment();
        let root: SealedRoot = serde_json::from_str(&serde_json::to_string(&root).unwrap()).unwrap();
        assert!(same_root(&hsm, &Hsm::open(DEPLOYMENT, &root, None, &file(1)).unwrap()));
        assert!(same_root(&hsm, &Hsm::open(DEPLOYMENT, &root, None, &passphrase("correct horse")).unwrap()));
        assert!(same_root(&hsm, &Hsm::open(DEPLOYMENT, &root, Some("people"), &passphrase("correct horse")).unwrap()));
        let more = hsm.add_seal_with_cost(&root, "office", &passphrase("battery staple"), CHEAP).unwrap();
        assert!(same_root(&hsm, &Hsm::open(DEPLOYMENT, &more, Some("office"), &passphrase("battery staple")).unwrap()));
        assert!(same_root(&hsm, &Hsm::open(DEPLOYMENT, &more, Some("people"), &passphrase("correct horse")).unwrap()));
        assert_eq!(more.seals().collect::<Vec<_>>(), [("disk", "file"), ("people", "passphrase"), ("office", "passphrase")]);
        assert!(!same_root(&hsm, &deployment().0), "two deployments have two root keys");
    }

    #[test]
    fn a_wrong_seal_says_which_and_why() {
        let (hsm, root) = deployment();
        let open = |name, secret: &SealSecret| why(Hsm::open(DEPLOYMENT, &root, name, secret));
        assert_eq!(open(None, &passphrase("wrong")), ("people".to_owned(), "the passphrase is wrong".to_owned()));
        assert_eq!(open(None, &passphrase("")), ("people".to_owned(), "the passphrase is empty".to_owned()));
        let (seal, reason) = open(Some("disk"), &file(2));
        assert!(seal == "disk" && reason.contains("not the key file"), "{reason}");
        let (seal, reason) = open(Some("disk"), &SealSecret::File(vec![1; 31].into()));
        assert!(seal == "disk" && reason.contains("exactly 32 bytes") && reason.contains("31"), "{reason}");
        let (seal, reason) = open(Some("disk"), &passphrase("correct horse"));
        assert!(seal == "disk" && reason.contains("of kind file"), "{reason}");
        let (seal, reason) = open(Some("cellar"), &file(1));
        assert!(seal == "cellar" && reason.contains("disk (file), people (passphrase)"), "{reason}");
        let more = hsm.add_seal_with_cost(&root, "office", &passphrase("battery staple"), CHEAP).unwrap();
        let (_, reason) = why(Hsm::open(DEPLOYMENT, &more, None, &passphrase("battery staple")));
        assert!(reason.contains("name one of"), "never a guess: {reason}");
        let (seal, reason) = why(hsm.add_seal(&root, "disk", &file(3)));
        assert!(seal == "disk" && reason.contains("a name of its own"), "{reason}");
        assert!(why(Hsm::initialize(DEPLOYMENT, &[] as &[(&str, SealSecret)])).1.contains("at least one seal"));
        // Another deployment's store with this deployment's secret.
        assert!(Hsm::open(uuid::Uuid::nil(), &root, None, &file(1)).is_err());
    }

    #[test]
    fn the_last_seal_cannot_be_removed() {
        let (hsm, root) = deployment();
        let (seal, reason) = why(hsm.remove_seal(&root, "cellar"));
        assert!(seal == "cellar" && reason.contains("disk (file), people (passphrase)"), "{reason}");
        let left = hsm.remove_seal(&root, "disk").unwrap();
        assert_eq!(left.seals().collect::<Vec<_>>(), [("people", "passphrase")]);
        assert!(same_root(&hsm, &Hsm::open(DEPLOYMENT, &left, None, &passphrase("correct horse")).unwrap()));
        assert_eq!(why(Hsm::open(DEPLOYMENT, &left, Some("disk"), &file(1))).0, "disk");
        let (seal, reason) = why(hsm.remove_seal(&left, "people"));
        assert!(seal == "people" && reason.contains("last seal"), "{reason}");
    }

    #[test]
    fn a_seal_is_verified_against_the_root_key_that_is_in_use() {
        let (hsm, root) = deployment();
        hsm.verify_seal(&root, "disk", &file(1)).unwrap();
        hsm.verify_seal(&root, "people", &passphrase("correct horse")).unwrap();
        assert_eq!(why(hsm.verify_seal(&root, "people", &passphrase("wrong"))).0, "people");
        assert_eq!(why(hsm.verify_seal(&root, "disk", &passphrase("correct horse"))).0, "disk");
        // A seal of the same name and secret around another root key.
        let other = deployment().1;
        let error = refusal(hsm.verify_seal(&other, "disk", &file(1)));
        assert!(matches!(&error, HsmError::Tampered(what) if what.contains("disk")), "{error}");
        // The seals of two deployments, swapped for one another.
        let mut mixed = serde_json::to_value(&root).unwrap();
        mixed["seals"][0] = serde_json::to_value(&other).unwrap()["seals"][0].clone();
        let mixed: SealedRoot = serde_json::from_value(mixed).unwrap();
        assert!(matches!(refusal(hsm.verify_seal(&mixed, "disk", &file(1))), HsmError::Tampered(_)));
        hsm.verify_seal(&mixed, "people", &passphrase("correct horse")).unwrap();
    }

    #[test]
    fn a_stored_seal_that_was_touched_does_not_open() {
        let (_, root) = deployment();
        let stored = serde_json::to_value(&root).unwrap();
        let open = |changed: serde_json::Value, secret: &SealSecret| {
            let root: SealedRoot = serde_json::from_value(changed).unwrap();
            // Without the self-tests that `Hsm::open` begins with, which would only make this slow.
            root.choose(None, secret).and_then(|seal| seal.open(DEPLOYMENT, secret)).err()
        };
        assert_eq!(open(stored.clone(), &file(1)), None);
        let sealed = STANDARD.decode(stored["seals"][0]["roots"][0]["sealed"].as_str().unwrap()).unwrap();
        for forged in flips(&sealed).chain(wrong_lengths(&sealed)) {
            let mut changed = stored.clone();
            changed["seals"][0]["roots"][0]["sealed"] = STANDARD.encode(&forged).into();
            let error = open(changed, &file(1)).unwrap();
            assert!(matches!(&error, HsmError::Tampered(name) if name.contains("root key") && name.contains("disk")), "{error}");
        }
        for (pointer, value) in [
            ("/seals/0/name", serde_json::json!("desk")),
            ("/seals/0/check", serde_json::json!("")),
            ("/seals/0/check", serde_json::json!(STANDARD.encode([0; 32]))),
            ("/seals/0/roots/0/version", serde_json::json!(2)),
            ("/seals/0/roots/0", stored["seals"][1]["roots"][0].clone()),
            ("/seals/0/roots", serde_json::json!([])),
        ] {
            let mut changed = stored.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            assert!(open(changed, &file(1)).is_some(), "{pointer}");
        }
        let mut twice = stored.clone();
        let wrapped = stored["seals"][0]["roots"][0].clone();
        twice["seals"][0]["roots"] = serde_json::json!([wrapped, wrapped]);
        assert!(open(twice, &file(1)).is_some(), "one version twice");
    }

    #[test]
    fn stored_costs_beyond_reason_are_refused_before_they_are_paid() {
        let (_, root) = deployment();
        let stored = serde_json::to_value(&root).unwrap();
        for (field, value) in
            [("memory_kib", u32::MAX), ("memory_kib", 0), ("passes", u32::MAX), ("passes", 0), ("lanes", 4096), ("lanes", 0)]
        {
            let mut changed = stored.clone();
            changed["seals"][1]["kind"]["cost"][field] = value.into();
            let root: SealedRoot = serde_json::from_value(changed).unwrap();
            let (seal, _) = why(Hsm::open(DEPLOYMENT, &root, None, &passphrase("correct horse")));
            assert_eq!(seal, "people");
        }
        let mut changed = stored;
        changed["seals"][1]["kind"]["salt"] = "".into();
        let root: SealedRoot = serde_json::from_value(changed).unwrap();
        assert_eq!(why(Hsm::open(DEPLOYMENT, &root, None, &passphrase("correct horse"))).0, "people");
    }

    #[test]
    fn the_default_cost_of_a_passphrase_works() {
        let (hsm, root) = Hsm::initialize(DEPLOYMENT, &[("people", passphrase("correct horse"))]).unwrap();
        assert!(same_root(&hsm, &Hsm::open(DEPLOYMENT, &root, None, &passphrase("correct horse")).unwrap()));
    }

    #[test]
    fn an_account_key_opens_for_its_own_account_and_version_only() {
        let hsm = hsm();
        let sealed = hsm.create_account_key(account(), 3).unwrap();
        let key = hsm.open_account_key(account(), 3, &sealed).unwrap();
        assert_eq!((key.account(), key.version()), (account(), 3));
        let tampered = |result| matches!(refusal(result), HsmError::Tampered(name) if name.contains("account key"));
        assert!(tampered(hsm.open_account_key(other_account(), 3, &sealed)));
        assert!(tampered(hsm.open_account_key(account(), 2, &sealed)));
        assert!(tampered(deployment().0.open_account_key(account(), 3, &sealed)));
        for forged in flips(&sealed).chain(wrong_lengths(&sealed)) {
            assert!(tampered(hsm.open_account_key(account(), 3, &forged)), "{}", hex::encode(&forged));
        }
    }

    #[test]
    fn what_one_kind_of_key_sealed_no_other_kind_opens() {
        // An account key's blob offered as a token, and the other way round.
        let hsm = hsm();
        let account_key = hsm.create_account_key(account(), 1).unwrap();
        let token = hsm.seal_token("proof", &[7; 32]).unwrap();
        assert_eq!(hsm.open_token("proof", &account_key), Err(HsmError::InvalidToken));
        assert!(matches!(refusal(hsm.open_account_key(account(), 1, &token)), HsmError::Tampered(_)));
    }
}
