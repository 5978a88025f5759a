//! The audit log's signer: Ed25519 (RFC 8032), one key for each node.

use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use crate::encoding::AssociatedData;
use crate::error::HsmError;
use crate::hierarchy::{AccountKey, Hsm};
use crate::memory::Secret;
use crate::state::State;

/// Signs a node's checkpoints. A handle; the secret stays in locked memory.
#[derive(Clone)]
pub struct LogSigner(Arc<LogSignerInner>);

struct LogSignerInner {
    seed: Secret,
    public_key: [u8; 32],
    state: Arc<State>,
}

impl Hsm {
    /// A new signer for a node: sealed under the deployment's account key, and its public key. Both halves are proven to fit each other first.
    pub fn create_log_signer(&self, key: &AccountKey, node: &str) -> Result<(Vec<u8>, [u8; 32]), HsmError> {
        self.state.check()?;
        let seed = Secret::generate()?;
        let pair = key_pair(&seed)?;
        let probe = b"claviger pairwise consistency";
        let signature = pair.try_sign(probe).map_err(|_| HsmError::Primitive("Ed25519"))?;
        if UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref()).verify(probe, signature.as_ref()).is_err() {
            return Err(self.state.fail("the pairwise consistency of a new Ed25519 key"));
        }
        let sealed = key.seal(self.log_signer_identity(key, node), seed.expose())?;
        Ok((sealed, public_key(&pair)))
    }

    /// Opens a node's signer.
    pub fn open_log_signer(&self, key: &AccountKey, node: &str, sealed: &[u8]) -> Result<LogSigner, HsmError> {
        self.state.check()?;
        let name = || format!("log signer of node {node}, account {}", key.account());
        let seed = key.open(sealed, name, |blob, secret| blob.open_secret(secret, self.log_signer_identity(key, node)))?;
        let public_key = public_key(&key_pair(&seed)?);
        Ok(LogSigner(Arc::new(LogSignerInner { seed, public_key, state: Arc::clone(&self.state) })))
    }

    fn log_signer_identity(&self, key: &AccountKey, node: &str) -> AssociatedData {
        AssociatedData::new("log signer", self.deployment).number(key.account().number()).text(node)
    }
}

impl LogSigner {
    /// The signature of a message.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64], HsmError> {
        self.0.state.check()?;
        let refused = || HsmError::Primitive("Ed25519");
        let signature = key_pair(&self.0.seed)?.try_sign(message).map_err(|_| refused())?;
        signature.as_ref().try_into().map_err(|_| refused())
    }

    /// The public half.
    pub fn public_key(&self) -> [u8; 32] {
        self.0.public_key
    }
}

fn key_pair(seed: &Secret) -> Result<Ed25519KeyPair, HsmError> {
    Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| HsmError::Primitive("Ed25519"))
}

fn public_key(pair: &Ed25519KeyPair) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(pair.public_key().as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use claviger_domain::AccountId;

    use super::*;
    use crate::testing::{account, account_key, flips, hsm, refusal, wrong_lengths};

    #[test]
    fn signatures_verify_with_the_public_key() {
        let hsm = hsm();
        let key = account_key(&hsm, AccountId::DEPLOYMENT);
        let (sealed, public_key) = hsm.create_log_signer(&key, "node-1").unwrap();
        let signer = hsm.open_log_signer(&key, "node-1", &sealed).unwrap();
        assert_eq!(signer.public_key(), public_key);
        let signature = signer.sign(b"checkpoint").unwrap();
        let verifier = UnparsedPublicKey::new(&ED25519, public_key);
        assert!(verifier.verify(b"checkpoint", &signature).is_ok());
        assert!(verifier.verify(b"checkpoinT", &signature).is_err());
        assert_eq!(signer.sign(b"checkpoint").unwrap(), signature, "Ed25519 is deterministic");
    }

    #[test]
    fn a_sealed_signer_opens_for_its_own_node_only() {
        let hsm = hsm();
        let key = account_key(&hsm, AccountId::DEPLOYMENT);
        let (sealed, _) = hsm.create_log_signer(&key, "node-1").unwrap();
        let tampered = |result| matches!(refusal(result), HsmError::Tampered(name) if name.contains("log signer"));
        assert!(tampered(hsm.open_log_signer(&key, "node-2", &sealed)));
        assert!(tampered(hsm.open_log_signer(&account_key(&hsm, account()), "node-1", &sealed)));
        for forged in flips(&sealed).chain(wrong_lengths(&sealed)) {
            assert!(tampered(hsm.open_log_signer(&key, "node-1", &forged)), "{}", hex::encode(&forged));
        }
    }
}
