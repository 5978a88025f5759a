//! Secrets of others that custom key stores are opened with: the password of a cluster's user, the credential of an external key store proxy.

use claviger_domain::key_store::{KeyStoreId, SealedSecret};
use zeroize::Zeroizing;

use crate::encoding::AssociatedData;
use crate::error::HsmError;
use crate::hierarchy::{AccountKey, Hsm};

impl Hsm {
    /// Seals a secret that opens this store.
    pub fn seal_key_store_secret(
        &self,
        key: &AccountKey,
        store: &KeyStoreId,
        secret: &Zeroizing<String>,
    ) -> Result<SealedSecret, HsmError> {
        self.state.check()?;
        let sealed = key.seal(self.key_store_secret_identity(key, store), secret.as_bytes())?;
        Ok(SealedSecret { account_key_version: key.version(), sealed })
    }

    /// Opens the secret, for whoever connects to what stands behind the store.
    pub fn open_key_store_secret(
        &self,
        key: &AccountKey,
        store: &KeyStoreId,
        secret: &SealedSecret,
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        self.state.check()?;
        let name = || format!("secret of custom key store {store}, account {}", key.account());
        key.open(&secret.sealed, name, |blob, root| blob.open(root, self.key_store_secret_identity(key, store)))
    }

    fn key_store_secret_identity(&self, key: &AccountKey, store: &KeyStoreId) -> AssociatedData {
        AssociatedData::new("key store secret", self.deployment).number(key.account().number()).text(store.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{account, account_key, flips, hsm, other_account, refusal, wrong_lengths};

    #[test]
    fn a_secret_opens_for_its_own_store_only() {
        let hsm = hsm();
        let key = account_key(&hsm, account());
        let (store, other) = (KeyStoreId::from_random([1; 16]), KeyStoreId::from_random([2; 16]));
        let secret = Zeroizing::new("kmsuser's password".to_owned());
        let sealed = hsm.seal_key_store_secret(&key, &store, &secret).unwrap();
        assert_eq!(*hsm.open_key_store_secret(&key, &store, &sealed).unwrap(), secret.as_bytes());
        let tampered = |result| matches!(refusal(result), HsmError::Tampered(name) if name.contains("custom key store"));
        assert!(tampered(hsm.open_key_store_secret(&key, &other, &sealed)));
        assert!(tampered(hsm.open_key_store_secret(&account_key(&hsm, other_account()), &store, &sealed)));
        for forged in flips(&sealed.sealed).chain(wrong_lengths(&sealed.sealed)) {
            let forged = SealedSecret { sealed: forged, ..sealed.clone() };
            assert!(tampered(hsm.open_key_store_secret(&key, &store, &forged)));
        }
    }

    #[test]
    fn nothing_is_done_in_the_error_state() {
        let hsm = hsm();
        let key = account_key(&hsm, account());
        let store = KeyStoreId::from_random([1; 16]);
        let sealed = hsm.seal_key_store_secret(&key, &store, &Zeroizing::new("secret".to_owned())).unwrap();
        hsm.state.fail("AES-256-GCM");
        let failed = HsmError::SelfTestFailed("AES-256-GCM".to_owned());
        assert_eq!(refusal(hsm.seal_key_store_secret(&key, &store, &Zeroizing::new("secret".to_owned()))), failed);
        assert_eq!(refusal(hsm.open_key_store_secret(&key, &store, &sealed)), failed);
    }
}
