//! A new version of the root key, in steps that may be interrupted anywhere.
//!
//! 1. [`Hsm::rotate_root`] makes a new version and wraps it with every seal, whose secrets it needs for that, and with the version before it. The
//!    sealed root key now has both versions; once it is stored, [`Hsm::adopt_root`] makes the new one seal account keys, here and on every other
//!    node: those that run take it from its wrapping by the old one. Whoever opens the deployment from here on opens both.
//! 2. When every node has had the time to do so, [`Hsm::seal_tokens_with_newest`], and [`Hsm::rewrap_account_key`] takes each account key over.
//! 3. When none is left, [`Hsm::retire_roots`] is the sealed root key without the old version; once that is stored,
//!    [`Hsm::forget_old_roots`] wipes it, on each node. What was sealed under it (tokens, sessions, account keys of old copies of the store) does not open any more.

use std::sync::Arc;

use claviger_domain::AccountId;

use crate::encoding::AssociatedData;
use crate::error::HsmError;
use crate::hierarchy::{Hsm, Root};
use crate::memory::Secret;
use crate::seal::{self, Handover, SealSecret, SealedRoot};
use crate::sealed::{self, Blob};

impl Hsm {
    /// The versions of the root key that are in use, oldest first. More than one while account keys are being re-wrapped.
    pub fn root_versions(&self) -> Vec<u32> {
        self.roots.read().in_use.iter().map(|root| root.version).collect()
    }

    /// Whether a new version waits to be stored.
    pub fn awaits_new_root(&self) -> bool {
        self.roots.read().candidate.is_some()
    }

    /// Makes a new version of the root key, wrapped by every seal beside the one before it. It is used once it was stored and adopted.
    ///
    /// # Errors
    /// [`HsmError::SealRefused`] when the secret of a seal is missing, which names all of those, or wrong; or while the last rotation is not
    /// finished. [`HsmError::Tampered`] when a seal wraps another root key than this module holds.
    pub fn rotate_root(&self, root: &SealedRoot, secrets: &[(&str, &SealSecret)]) -> Result<SealedRoot, HsmError> {
        self.check_versions(root)?;
        if self.root_versions().len() > 1 {
            return Err(seal::refused("any", "the last rotation is not finished: account keys are still being re-wrapped"));
        }
        let secret_of = |name: &str| secrets.iter().find(|(seal, _)| *seal == name).map(|(_, secret)| *secret);
        let missing: Vec<&str> = root.seals().map(|(name, _)| name).filter(|name| secret_of(name).is_none()).collect();
        if !missing.is_empty() {
            let why = "without its secret it cannot wrap the new root key: bring it, or remove the seal";
            return Err(seal::refused(&missing.join(", "), why));
        }
        let current = self.current_root()?;
        let version = current.version.checked_add(1).ok_or(HsmError::Primitive("numbering of root keys"))?;
        let key = Secret::generate()?;
        let mut rotated = root.clone();
        for seal in &mut rotated.seals {
            let Some(secret) = secret_of(&seal.name) else { return Err(root.no_seal_named(&seal.name)) };
            self.verify_seal(root, &seal.name, secret)?;
            seal.wrap_another(self.deployment, secret, version, &key)?;
        }
        let sealed = sealed::seal(&current.wrap, current.version, self.handover_identity(version), key.expose())?;
        rotated.handover = vec![Handover { version, under: current.version, sealed }];
        let new = Arc::new(Root::new(version, key)?);
        self.roots.write().candidate = Some((rotated.clone(), new));
        Ok(rotated)
    }

    /// Takes over the newer versions of the root key that the store has now: the one that was made here, if this is what was stored; those that
    /// another node made from their wrapping by a version that is held. Says whether there was one. They seal account keys from now on, and tokens
    /// after [`Self::seal_tokens_with_newest`].
    ///
    /// # Errors
    /// [`HsmError::UnknownRoot`] when the store has a newer version that nothing hands over: the rotation ended while nobody was listening.
    pub fn adopt_root(&self, stored: &SealedRoot) -> Result<bool, HsmError> {
        let mut roots = self.roots.write();
        let mut adopted = false;
        if roots.candidate.as_ref().is_some_and(|(sealed, _)| sealed == stored)
            && let Some((_, root)) = roots.candidate.take()
        {
            roots.in_use.push(root);
            adopted = true;
        }
        for version in stored.versions() {
            if roots.in_use.last().is_some_and(|newest| version <= newest.version) {
                continue;
            }
            let handed = stored.handover.iter().find(|handed| handed.version == version);
            let key = handed.and_then(|handed| {
                let held = roots.in_use.iter().find(|root| root.version == handed.under)?;
                let blob = Blob::parse(&handed.sealed).filter(|blob| blob.key_version == held.version)?;
                blob.open_secret(&held.wrap, self.handover_identity(version)).ok()
            });
            roots.in_use.push(Arc::new(Root::new(version, key.ok_or(HsmError::UnknownRoot(version))?)?));
            adopted = true;
        }
        Ok(adopted)
    }

    /// Takes over newer versions of the root key with the secret of a seal, where the store has some that nothing hands over. Says whether there was
    /// one.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn adopt_root_from_seal(&self, stored: &SealedRoot, name: &str, secret: &SealSecret) -> Result<bool, HsmError> {
        self.state.check()?;
        let opened = stored.choose(Some(name), secret)?.open(self.deployment, secret)?;
        let mut roots = self.roots.write();
        let mut adopted = false;
        for (version, key) in opened {
            match roots.in_use.last() {
                Some(newest) if version > newest.version => {
                    roots.in_use.push(Arc::new(Root::new(version, key)?));
                    adopted = true;
                }
                _ => {}
            }
        }
        Ok(adopted)
    }

    /// Seals tokens with the newest version of the root key from now on. To be called when every other node knows it.
    pub fn seal_tokens_with_newest(&self) {
        let mut roots = self.roots.write();
        roots.tokens_under = roots.in_use.last().map_or(roots.tokens_under, |root| root.version);
    }

    /// An account's key under the newest version of the root key; none if it is there already.
    ///
    /// # Errors
    /// [`HsmError::Tampered`] when it does not open.
    pub fn rewrap_account_key(&self, account: AccountId, version: u32, sealed: &[u8]) -> Result<Option<Vec<u8>>, HsmError> {
        self.state.check()?;
        let current = self.current_root()?;
        let tampered = || HsmError::Tampered(format!("account key of account {account}, version {version}"));
        let blob = Blob::parse(sealed).ok_or_else(tampered)?;
        let root = self.root(blob.key_version).ok_or_else(tampered)?;
        let identity = || self.account_key_identity(account, version);
        let key = blob.open_secret(&root.wrap, identity()).map_err(|_| tampered())?;
        if blob.key_version == current.version {
            return Ok(None);
        }
        sealed::seal(&current.wrap, current.version, identity(), key.expose()).map(Some)
    }

    /// The sealed root key with its newest version alone. Store it, and then call [`Self::forget_old_roots`].
    ///
    /// # Errors
    /// When it is not the one that is in use.
    pub fn retire_roots(&self, root: &SealedRoot) -> Result<SealedRoot, HsmError> {
        self.check_versions(root)?;
        let newest = self.current_root()?.version;
        let mut retired = root.clone();
        retired.seals.iter_mut().for_each(|seal| seal.keep_version(newest));
        retired.handover.clear();
        Ok(retired)
    }

    /// Accepts no tokens of older versions than the newest any more. What else is under them still opens.
    pub fn end_old_tokens(&self) {
        let mut roots = self.roots.write();
        if let Some(newest) = roots.in_use.last().map(|root| root.version) {
            (roots.tokens_under, roots.tokens_from) = (newest, newest);
        }
    }

    /// Wipes all versions of the root key but the newest.
    pub fn forget_old_roots(&self) {
        let mut roots = self.roots.write();
        if let Some(newest) = roots.in_use.pop() {
            (roots.tokens_under, roots.tokens_from) = (newest.version, newest.version);
            roots.in_use = vec![newest];
        }
    }

    fn handover_identity(&self, version: u32) -> AssociatedData {
        AssociatedData::new("root key handed over", self.deployment).number(version.into())
    }

    /// Every seal has to wrap the versions that are in use: a change of the seals must not lose one.
    pub(crate) fn check_versions(&self, root: &SealedRoot) -> Result<(), HsmError> {
        self.state.check()?;
        let in_use = self.root_versions();
        match root.seals.iter().find(|seal| !seal.versions().eq(in_use.iter().copied())) {
            Some(seal) => Err(HsmError::Tampered(format!("list of root keys wrapped by the seal {}", seal.name))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::NewSeal;
    use crate::testing::{CHEAP, DEPLOYMENT, account, deployment, file, passphrase, refusal};

    const PEOPLE: &str = "correct horse";

    fn rotate(hsm: &Hsm, root: &SealedRoot) -> SealedRoot {
        hsm.rotate_root(root, &[("disk", &file(1)), ("people", &passphrase(PEOPLE))]).unwrap()
    }

    #[test]
    fn a_rotation_goes_step_by_step_and_every_step_can_be_the_last() {
        let (hsm, root) = deployment();
        let key = hsm.create_account_key(account(), 1).unwrap();
        let reopened = |root: &SealedRoot, secret: &SealSecret| Hsm::open(DEPLOYMENT, root, None, secret).unwrap();
        let opens = |hsm: &Hsm, sealed: &[u8]| hsm.open_account_key(account(), 1, sealed).is_ok();

        let both = rotate(&hsm, &root);
        // Not stored yet: everything is as before.
        assert!(!hsm.adopt_root(&root).unwrap());
        assert_eq!((hsm.root_versions(), hsm.awaits_new_root()), (vec![1], true));
        assert!(hsm.rewrap_account_key(account(), 1, &key).unwrap().is_none());
        // Stored.
        assert!(hsm.adopt_root(&both).unwrap());
        assert_eq!((hsm.root_versions(), hsm.awaits_new_root()), (vec![1, 2], false));
        for secret in [file(1), passphrase(PEOPLE)] {
            let other = reopened(&both, &secret);
            assert!(other.root_versions() == [1, 2] && opens(&other, &key));
        }
        let rewrapped = hsm.rewrap_account_key(account(), 1, &key).unwrap().unwrap();
        assert!(opens(&hsm, &key) && opens(&hsm, &rewrapped));
        assert!(hsm.rewrap_account_key(account(), 1, &rewrapped).unwrap().is_none(), "once is enough");
        // Retired.
        let retired = hsm.retire_roots(&both).unwrap();
        hsm.forget_old_roots();
        for hsm in [hsm, reopened(&retired, &file(1)), reopened(&retired, &passphrase(PEOPLE))] {
            assert_eq!(hsm.root_versions(), [2]);
            assert!(opens(&hsm, &rewrapped) && !opens(&hsm, &key), "the old root key is gone");
        }
    }

    #[test]
    fn it_needs_the_secret_of_every_seal() {
        let (hsm, root) = deployment();
        let (root, shares) = hsm.add_new_seal(&root, "board", &NewSeal::Shares { threshold: 2, count: 2 }, CHEAP).unwrap();
        let error = refusal(hsm.rotate_root(&root, &[("disk", &file(1))]));
        assert!(matches!(&error, HsmError::SealRefused { seal, .. } if seal == "people, board"), "{error}");
        let read = |text: &zeroize::Zeroizing<String>| crate::Share::parse(text).unwrap();
        let board = || SealSecret::Shares(shares.iter().map(read).collect());
        let wrong = hsm.rotate_root(&root, &[("disk", &file(1)), ("people", &passphrase("wrong")), ("board", &board())]);
        assert!(matches!(refusal(wrong), HsmError::SealRefused { seal, .. } if seal == "people"));
        assert!(!hsm.awaits_new_root());
        let people = passphrase(PEOPLE);
        let both = hsm.rotate_root(&root, &[("disk", &file(1)), ("people", &people), ("board", &board())]).unwrap();
        hsm.adopt_root(&both).unwrap();
        hsm.verify_seal(&both, "board", &board()).unwrap();
        let error = refusal(hsm.rotate_root(&both, &[("disk", &file(1)), ("people", &people), ("board", &board())]));
        assert!(matches!(&error, HsmError::SealRefused { why, .. } if why.contains("not finished")), "{error}");
    }

    #[test]
    fn seals_are_not_changed_around_another_root_key_than_the_one_in_use() {
        let (hsm, root) = deployment();
        let both = rotate(&hsm, &root);
        // The store has the new one already, and this module does not know.
        assert!(matches!(refusal(hsm.add_seal(&both, "office", &file(3))), HsmError::Tampered(_)));
        hsm.adopt_root(&both).unwrap();
        assert!(matches!(refusal(hsm.add_seal(&root, "office", &file(3))), HsmError::Tampered(_)));
        let more = hsm.add_seal(&both, "office", &file(3)).unwrap();
        hsm.verify_seal(&more, "office", &file(3)).unwrap();
        assert_eq!(Hsm::open(DEPLOYMENT, &more, Some("office"), &file(3)).unwrap().root_versions(), [1, 2]);
    }

    #[test]
    fn another_node_takes_the_new_root_key_from_the_old_one_while_the_rotation_is_under_way() {
        let (hsm, root) = deployment();
        let other = Hsm::open(DEPLOYMENT, &root, None, &file(1)).unwrap();
        let late = Hsm::open(DEPLOYMENT, &root, None, &file(1)).unwrap();
        let stranger = deployment().0;
        let both = rotate(&hsm, &root);
        hsm.adopt_root(&both).unwrap();
        let both: SealedRoot = serde_json::from_slice(&serde_json::to_vec(&both).unwrap()).unwrap();
        assert!(other.adopt_root(&both).unwrap() && !other.adopt_root(&both).unwrap());
        let key = hsm.create_account_key(account(), 1).unwrap();
        assert_eq!((crate::account_key_version(&key), other.root_versions()), (Some(2), vec![1, 2]));
        other.open_account_key(account(), 1, &key).unwrap();
        // Tokens stay under the old one until everybody has had the time to learn of the new one.
        let token = hsm.seal_token("proof", b"x").unwrap();
        assert!(late.open_token("proof", &token).is_ok());
        hsm.seal_tokens_with_newest();
        let token = hsm.seal_token("proof", b"x").unwrap();
        assert!(other.open_token("proof", &token).is_ok() && late.open_token("proof", &token).is_err());
        assert_eq!(stranger.adopt_root(&both), Err(HsmError::UnknownRoot(2)), "of another deployment");

        other.end_old_tokens();
        assert!(other.open_token("proof", &late.seal_token("proof", b"x").unwrap()).is_err());
        assert!(other.open_token("proof", &token).is_ok());
        assert_eq!(other.root_versions(), [1, 2], "what else is under the old one still opens");

        // It is handed over by this version to this version, and ends with the rotation.
        let mut forged = both.clone();
        forged.handover[0].sealed =
            crate::sealed::seal(&late.root(1).unwrap().wrap, 1, late.handover_identity(3), late.root(1).unwrap().key.expose())
                .unwrap();
        assert_eq!(late.adopt_root(&forged), Err(HsmError::UnknownRoot(2)));
        let retired = hsm.retire_roots(&both).unwrap();
        assert!(retired.handover.is_empty());
        assert_eq!(late.adopt_root(&retired), Err(HsmError::UnknownRoot(2)));
        assert!(late.open_account_key(account(), 1, &key).is_err());
        // A seal of its own gets it back into step.
        assert!(late.adopt_root_from_seal(&retired, "people", &passphrase("wrong")).is_err());
        assert!(late.adopt_root_from_seal(&retired, "disk", &file(1)).unwrap());
        late.open_account_key(account(), 1, &key).unwrap();
        assert!(!late.adopt_root(&root).unwrap(), "what the store had before takes nothing away");
        assert_eq!(late.root_versions(), [1, 2]);
    }
}
