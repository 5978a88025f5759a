//! Sessions: credentials that end by themselves and are stored nowhere. The secret goes out sealed in a token, together with what the
//! session is; the client sends the token with each request, so that any node of the deployment can open it.

use std::sync::Arc;

use claviger_domain::AccessKeyId;
use zeroize::Zeroizing;

use crate::access_secret::{AccessSecret, SECRET_BYTES};
use crate::encoding::AssociatedData;
use crate::error::HsmError;
use crate::hierarchy::Hsm;
use crate::memory::Secret;
use crate::sealed::{self, Blob};

impl Hsm {
    /// A new secret for a session: the text to show once, and the token that holds the secret and `content`. It opens for this access key
    /// in this deployment only.
    pub fn create_session(&self, access_key: &AccessKeyId, content: &[u8]) -> Result<(Zeroizing<String>, Vec<u8>), HsmError> {
        self.state.check()?;
        let root = self.token_root()?;
        let secret = AccessSecret::generate(&self.state)?;
        let mut plaintext = Zeroizing::new(Vec::with_capacity(SECRET_BYTES + content.len()));
        plaintext.extend_from_slice(secret.bits());
        plaintext.extend_from_slice(content);
        let token = sealed::seal(&root.token, root.version, self.session_identity(access_key), &plaintext)?;
        Ok((secret.text()?, token))
    }

    /// Opens a session's token: the secret, and the content. Whatever is not one of ours is [`HsmError::InvalidToken`].
    pub fn open_session(&self, access_key: &AccessKeyId, token: &[u8]) -> Result<(AccessSecret, Vec<u8>), HsmError> {
        self.state.check()?;
        let opened = Blob::parse(token).and_then(|blob| {
            let root = self.token_root_of(blob.key_version)?;
            blob.open(&root.token, self.session_identity(access_key)).ok()
        });
        let opened = opened.ok_or(HsmError::InvalidToken)?;
        let (bits, content) = opened.split_at_checked(SECRET_BYTES).ok_or(HsmError::InvalidToken)?;
        let secret = Secret::from_fill(|padded| {
            padded.split_at_mut(SECRET_BYTES).0.copy_from_slice(bits);
            Ok(())
        })?;
        Ok((AccessSecret::new(secret, Arc::clone(&self.state)), content.to_vec()))
    }

    fn session_identity(&self, access_key: &AccessKeyId) -> AssociatedData {
        AssociatedData::new("session", self.deployment).text(access_key.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{flips, hsm, refusal, wrong_lengths};

    fn access_key() -> AccessKeyId {
        "ASIAIOSFODNN7EXAMPLE".parse().unwrap()
    }

    #[test]
    fn a_token_brings_back_the_secret_that_was_shown_and_what_the_session_is() {
        let hsm = hsm();
        let (text, token) = hsm.create_session(&access_key(), b"whose session it is").unwrap();
        assert_eq!(text.len(), 40);
        let (secret, content) = hsm.open_session(&access_key(), &token).unwrap();
        assert_eq!(content, b"whose session it is");
        assert_eq!(*secret.text().unwrap(), *text);
        let key = secret.signing_key("20261122", "us-east-1", "kms").unwrap();
        let signature = key.sign(b"request").unwrap();
        let (again, _) = hsm.open_session(&access_key(), &token).unwrap();
        assert!(again.signing_key("20261122", "us-east-1", "kms").unwrap().verify(b"request", &signature));
        let (other, _) = hsm.create_session(&access_key(), b"whose session it is").unwrap();
        assert_ne!(*other, *text);
        assert!(hsm.open_session(&access_key(), &hsm.create_session(&access_key(), b"").unwrap().1).unwrap().1.is_empty());
    }

    #[test]
    fn a_token_opens_for_its_access_key_in_its_deployment_only() {
        let hsm = hsm();
        let (_, token) = hsm.create_session(&access_key(), b"session").unwrap();
        let invalid = |result: Result<(AccessSecret, Vec<u8>), HsmError>| refusal(result.map(drop)) == HsmError::InvalidToken;
        assert!(invalid(hsm.open_session(&"ASIAIOSFODNN7EXAMPLF".parse().unwrap(), &token)));
        assert!(invalid(crate::testing::hsm().open_session(&access_key(), &token)));
        for forged in flips(&token).chain(wrong_lengths(&token)) {
            assert!(invalid(hsm.open_session(&access_key(), &forged)), "{}", hex::encode(&forged));
        }
        // What is sealed as another kind of token is no session.
        let marker = hsm.seal_token("session", &[0; 64]).unwrap();
        assert!(invalid(hsm.open_session(&access_key(), &marker)));
        assert_eq!(hsm.open_token("session", &token), Err(HsmError::InvalidToken));
    }
}
