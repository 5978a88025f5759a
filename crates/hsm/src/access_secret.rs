//! Access keys' secrets and the signatures that they verify. Source: AWS General Reference, "Create a signed AWS API request" (SigV4).
//!
//! A secret is 240 random bits, which base64 writes as the 40 characters that clients know. Only the bits are kept.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use claviger_domain::AccessKeyId;
use zeroize::Zeroizing;

use crate::encoding::AssociatedData;
use crate::error::HsmError;
use crate::hierarchy::{AccountKey, Hsm};
use crate::memory::Secret;
use crate::state::State;

pub(crate) const SECRET_BYTES: usize = 30;
const SECRET_CHARACTERS_MAX: usize = 43;

/// Whose secret it is, which says how many bits it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// An access key's: 30 bytes, 40 characters.
    AccessKey,
    /// A hold-your-own-key store's: 32 bytes, 43 characters.
    Store,
}

/// The secret of an access key, or of a hold-your-own-key store. A handle; the secret stays in locked memory.
#[derive(Clone)]
pub struct AccessSecret(Arc<AccessSecretInner>);

struct AccessSecretInner {
    /// Its bytes, and in an access key's two that do not count.
    secret: Secret,
    form: Form,
    state: Arc<State>,
}

/// The key that signs one day's requests to one service in one Region. A handle, to be cached.
///
/// The HMAC state is kept ready, so that a signature costs two SHA-256 compressions and the message. It is AWS-LC's, in ordinary memory, wiped
/// when dropped: what it could betray is a day's signatures for one access key, not the access key and no key material.
#[derive(Clone)]
pub struct SigningKey(Arc<SigningKeyInner>);

struct SigningKeyInner {
    key: hmac::Key,
    state: Arc<State>,
}

impl Hsm {
    /// A new secret for an access key: the text to show once, and the secret sealed under the account's key.
    pub fn create_access_secret(
        &self,
        key: &AccountKey,
        access_key: &AccessKeyId,
    ) -> Result<(Zeroizing<String>, Vec<u8>), HsmError> {
        self.state.check()?;
        let secret = AccessSecret::generate(&self.state)?;
        let mut padded = Zeroizing::new([0; 32]);
        padded.split_at_mut(SECRET_BYTES).0.copy_from_slice(secret.bits());
        let sealed = key.seal(self.access_secret_identity(key, access_key), &*padded)?;
        Ok((secret.text()?, sealed))
    }

    /// Opens an access key's secret.
    pub fn open_access_secret(
        &self,
        key: &AccountKey,
        access_key: &AccessKeyId,
        sealed: &[u8],
    ) -> Result<AccessSecret, HsmError> {
        self.state.check()?;
        let name = || format!("secret of access key {access_key}, account {}", key.account());
        let secret =
            key.open(sealed, name, |blob, secret| blob.open_secret(secret, self.access_secret_identity(key, access_key)))?;
        Ok(AccessSecret::new(secret, Arc::clone(&self.state)))
    }

    fn access_secret_identity(&self, key: &AccountKey, access_key: &AccessKeyId) -> AssociatedData {
        AssociatedData::new("access secret", self.deployment).number(key.account().number()).text(access_key.as_str())
    }
}

impl AccessSecret {
    /// The secret in these 30 bytes; those after them do not count.
    pub(crate) fn new(secret: Secret, state: Arc<State>) -> Self {
        Self::of_form(secret, Form::AccessKey, state)
    }

    /// The secret of this form in these bytes.
    pub(crate) fn of_form(secret: Secret, form: Form, state: Arc<State>) -> Self {
        Self(Arc::new(AccessSecretInner { secret, form, state }))
    }

    /// A new random secret.
    pub(crate) fn generate(state: &Arc<State>) -> Result<Self, HsmError> {
        Ok(Self::new(Secret::generate()?, Arc::clone(state)))
    }

    /// The secret's bits.
    pub(crate) fn bits(&self) -> &[u8] {
        match self.0.form {
            Form::AccessKey => self.0.secret.expose().split_at(SECRET_BYTES).0,
            Form::Store => self.0.secret.expose(),
        }
    }

    /// The characters that a client knows.
    pub(crate) fn text(&self) -> Result<Zeroizing<String>, HsmError> {
        self.0.state.check()?;
        let mut text = Zeroizing::new(String::with_capacity(SECRET_CHARACTERS_MAX));
        STANDARD_NO_PAD.encode_string(self.bits(), &mut text);
        Ok(text)
    }

    /// The key for one credential scope: the date as `yyyymmdd`, the Region, the service.
    pub fn signing_key(&self, date: &str, region: &str, service: &str) -> Result<SigningKey, HsmError> {
        self.0.state.check()?;
        let mut text = Zeroizing::new([0; 4 + SECRET_CHARACTERS_MAX]);
        let (prefix, secret) = text.split_at_mut(4);
        prefix.copy_from_slice(b"AWS4");
        let length = STANDARD_NO_PAD.encode_slice(self.bits(), secret).map_err(|_| HsmError::Primitive("base64"))?;
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, text.split_at(4 + length).0);
        for part in [date, region, service, "aws4_request"] {
            let mut derived = Zeroizing::new([0; 32]);
            sign_into(&key, part.as_bytes(), &mut derived)?;
            key = hmac::Key::new(hmac::HMAC_SHA256, &*derived);
        }
        Ok(SigningKey(Arc::new(SigningKeyInner { key, state: Arc::clone(&self.0.state) })))
    }
}

impl SigningKey {
    /// Whether these 32 bytes are this key's signature of the string to sign. Compared in constant time. Nothing verifies in the error state.
    pub fn verify(&self, string_to_sign: &[u8], signature: &[u8]) -> bool {
        if self.0.state.check().is_err() {
            return false;
        }
        verify_slices_are_equal(hmac::sign(&self.0.key, string_to_sign).as_ref(), signature).is_ok()
    }

    /// This key's signature of the string to sign.
    pub fn sign(&self, string_to_sign: &[u8]) -> Result<[u8; 32], HsmError> {
        self.0.state.check()?;
        let mut signature = [0; 32];
        sign_into(&self.0.key, string_to_sign, &mut signature)?;
        Ok(signature)
    }
}

/// HMAC-SHA256 straight into a buffer that the caller wipes where the tag is itself a key.
fn sign_into(key: &hmac::Key, data: &[u8], out: &mut [u8; 32]) -> Result<(), HsmError> {
    hmac::sign_to_buffer(key, data, out).map(|_| ()).map_err(|_| HsmError::Primitive("HMAC"))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::testing::{account, account_key, flips, hsm, other_account, refusal, wrong_lengths};

    fn access_key() -> AccessKeyId {
        "AKIAIOSFODNN7EXAMPLE".parse().unwrap()
    }

    /// AWS General Reference, "Examples of how to derive a signing key for Signature Version 4" and its ListUsers request.
    #[test]
    fn the_published_signature_is_made_and_verified() {
        let hsm = hsm();
        let key = account_key(&hsm, account());
        let mut bits = STANDARD.decode("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY").unwrap();
        assert_eq!(bits.len(), SECRET_BYTES);
        bits.extend([0; 2]);
        let sealed = key.seal(hsm.access_secret_identity(&key, &access_key()), &bits).unwrap();
        let secret = hsm.open_access_secret(&key, &access_key(), &sealed).unwrap();
        let signing = secret.signing_key("20150830", "us-east-1", "iam").unwrap();
        let string_to_sign = b"AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n\
            f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59";
        let signature = hex::decode("5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7").unwrap();
        assert_eq!(signing.sign(string_to_sign).unwrap().as_slice(), signature);
        assert!(signing.verify(string_to_sign, &signature));
        for forged in flips(&signature).chain(wrong_lengths(&signature)) {
            assert!(!signing.verify(string_to_sign, &forged));
        }
        for (date, region, service) in
            [("20150831", "us-east-1", "iam"), ("20150830", "us-east-2", "iam"), ("20150830", "us-east-1", "sts")]
        {
            assert!(!secret.signing_key(date, region, service).unwrap().verify(string_to_sign, &signature));
        }
    }

    #[test]
    fn the_text_that_is_shown_is_the_secret_that_verifies() {
        let hsm = hsm();
        let key = account_key(&hsm, account());
        let (text, sealed) = hsm.create_access_secret(&key, &access_key()).unwrap();
        assert_eq!(text.len(), 40);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')), "{}", *text);
        // What a client does with the text.
        let mut derived = format!("AWS4{}", *text).into_bytes();
        for part in ["20261122", "us-east-1", "kms", "aws4_request"] {
            derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &derived), part.as_bytes()).as_ref().to_vec();
        }
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &derived), b"request");
        let secret = hsm.open_access_secret(&key, &access_key(), &sealed).unwrap();
        assert!(secret.signing_key("20261122", "us-east-1", "kms").unwrap().verify(b"request", signature.as_ref()));
    }

    #[test]
    fn a_sealed_secret_opens_for_its_own_access_key_only() {
        let hsm = hsm();
        let key = account_key(&hsm, account());
        let (_, sealed) = hsm.create_access_secret(&key, &access_key()).unwrap();
        let tampered = |result| matches!(refusal(result), HsmError::Tampered(name) if name.contains("access key"));
        assert!(tampered(hsm.open_access_secret(&key, &"AKIAIOSFODNN7EXAMPLF".parse().unwrap(), &sealed)));
        assert!(tampered(hsm.open_access_secret(&account_key(&hsm, other_account()), &access_key(), &sealed)));
        for forged in flips(&sealed).chain(wrong_lengths(&sealed)) {
            assert!(tampered(hsm.open_access_secret(&key, &access_key(), &forged)), "{}", hex::encode(&forged));
        }
    }
}
