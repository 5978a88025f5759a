//! The secrets of hold-your-own-key stores: what a cloud signs its requests to them with. Source: AWS KMS External Keystore Proxy API
//! Specification, "Authentication" and appendix A: 43 to 64 of `A-Za-z0-9/+=`, with at least 256 bits of entropy.
//!
//! A secret is 256 random bits, which base64 writes as 43 characters. It signs as an access key's does.

use std::sync::Arc;

use claviger_domain::{AccessKeyId, HyokStoreName};
use zeroize::Zeroizing;

use crate::access_secret::{AccessSecret, Form};
use crate::encoding::AssociatedData;
use crate::error::HsmError;
use crate::hierarchy::{AccountKey, Hsm};
use crate::memory::Secret;

impl Hsm {
    /// A new secret for a store: the text that the cloud is given, and the secret sealed under the account's key.
    pub fn create_store_secret(
        &self,
        key: &AccountKey,
        store: &HyokStoreName,
        access_key: &AccessKeyId,
    ) -> Result<(Zeroizing<String>, Vec<u8>), HsmError> {
        self.state.check()?;
        let secret = Secret::generate()?;
        let sealed = key.seal(self.store_secret_identity(key, store, access_key), secret.expose())?;
        Ok((AccessSecret::of_form(secret, Form::Store, Arc::clone(&self.state)).text()?, sealed))
    }

    /// Opens a store's secret.
    pub fn open_store_secret(
        &self,
        key: &AccountKey,
        store: &HyokStoreName,
        access_key: &AccessKeyId,
        sealed: &[u8],
    ) -> Result<AccessSecret, HsmError> {
        self.state.check()?;
        let name = || format!("credential {access_key} of key store {store}, account {}", key.account());
        let identity = || self.store_secret_identity(key, store, access_key);
        let secret = key.open(sealed, name, |blob, secret| blob.open_secret(secret, identity()))?;
        Ok(AccessSecret::of_form(secret, Form::Store, Arc::clone(&self.state)))
    }

    /// The text of a store's secret once more, for the file that the cloud reads it from.
    pub fn reveal_store_secret(
        &self,
        key: &AccountKey,
        store: &HyokStoreName,
        access_key: &AccessKeyId,
        sealed: &[u8],
    ) -> Result<Zeroizing<String>, HsmError> {
        self.open_store_secret(key, store, access_key, sealed)?.text()
    }

    fn store_secret_identity(&self, key: &AccountKey, store: &HyokStoreName, access_key: &AccessKeyId) -> AssociatedData {
        AssociatedData::new("store secret", self.deployment)
            .number(key.account().number())
            .text(store.as_str())
            .text(access_key.as_str())
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac;

    use super::*;
    use crate::testing::{account, account_key, flips, hsm, other_account, refusal, wrong_lengths};

    fn names() -> (HyokStoreName, AccessKeyId) {
        ("payroll".parse().unwrap(), "AKIAI2SFODNN7EXAMPLE".parse().unwrap())
    }

    #[test]
    fn the_text_is_what_the_specification_asks_for_and_what_verifies() {
        let hsm = hsm();
        let (key, (store, access_key)) = (account_key(&hsm, account()), names());
        let (text, sealed) = hsm.create_store_secret(&key, &store, &access_key).unwrap();
        assert_eq!(text.len(), 43);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')));
        assert_eq!(hsm.reveal_store_secret(&key, &store, &access_key, &sealed).unwrap(), text);
        // What the cloud does with the text.
        let mut derived = format!("AWS4{}", *text).into_bytes();
        for part in ["20261122", "us-east-1", "kms-xks-proxy", "aws4_request"] {
            derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &derived), part.as_bytes()).as_ref().to_vec();
        }
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &derived), b"request");
        let secret = hsm.open_store_secret(&key, &store, &access_key, &sealed).unwrap();
        let signing = secret.signing_key("20261122", "us-east-1", "kms-xks-proxy").unwrap();
        assert!(signing.verify(b"request", signature.as_ref()));
        assert_ne!(*hsm.create_store_secret(&key, &store, &access_key).unwrap().0, *text);
    }

    #[test]
    fn a_sealed_secret_opens_for_its_own_store_and_credential_only() {
        let hsm = hsm();
        let (key, (store, access_key)) = (account_key(&hsm, account()), names());
        let (_, sealed) = hsm.create_store_secret(&key, &store, &access_key).unwrap();
        let tampered = |result| matches!(refusal(result), HsmError::Tampered(name) if name.contains("credential"));
        let other = "AKIAI2SFODNN7EXAMPLF".parse().unwrap();
        assert!(tampered(hsm.open_store_secret(&key, &"other".parse().unwrap(), &access_key, &sealed)));
        assert!(tampered(hsm.open_store_secret(&key, &store, &other, &sealed)));
        assert!(tampered(hsm.open_store_secret(&account_key(&hsm, other_account()), &store, &access_key, &sealed)));
        assert!(matches!(refusal(hsm.open_access_secret(&key, &access_key, &sealed)), HsmError::Tampered(_)));
        for forged in flips(&sealed).chain(wrong_lengths(&sealed)) {
            assert!(tampered(hsm.open_store_secret(&key, &store, &access_key, &forged)));
        }
        hsm.state.fail("AES-256-GCM");
        let failed = HsmError::SelfTestFailed("AES-256-GCM".to_owned());
        assert_eq!(refusal(hsm.create_store_secret(&key, &store, &access_key)), failed);
        assert_eq!(refusal(hsm.open_store_secret(&key, &store, &access_key, &sealed)), failed);
        assert_eq!(refusal(hsm.reveal_store_secret(&key, &store, &access_key, &sealed)), failed);
    }
}
