//! What can go wrong inside the boundary. No variant carries a secret.

use std::fmt;

use claviger_domain::{Kind, Refusal};

/// Why the hsm refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HsmError {
    /// A seal did not open, or could not be made.
    SealRefused {
        /// Which one.
        seal: String,
        /// Why, and what to do.
        why: String,
    },
    /// Something that was stored does not open: it was changed, moved or replaced outside of Claviger. Names the record.
    Tampered(String),
    /// The hsm is in its error state: a self-test or a consistency check failed, and every operation is refused from then on.
    SelfTestFailed(String),
    /// A ciphertext does not open: wrong key, wrong context, truncated or forged. Deliberately one error.
    InvalidCiphertext,
    /// A signature is not one of this key over this message.
    InvalidSignature,
    /// A code is not that of this key for this message.
    InvalidMac,
    /// A peer's public key is not a valid SubjectPublicKeyInfo on the curve of the key.
    InvalidPublicKey,
    /// Material that somebody brought is not what a key of that spec needs. Says why, and nothing of the material.
    InvalidKeyMaterial(&'static str),
    /// A digest, or a message representative, has another length than the algorithm's.
    WrongDigestLength,
    /// The signing algorithm does not take messages of this type.
    WrongMessageType,
    /// A plaintext is longer than the key can encrypt.
    PlaintextTooLong {
        /// The most bytes that it can.
        max: usize,
    },
    /// A token was not made by this deployment for this purpose, or was changed.
    InvalidToken,
    /// An import token was not made by this deployment for this key, or was changed.
    InvalidImportToken,
    /// The stored root key has a version that this module does not hold, and that nothing hands over to it.
    UnknownRoot(u32),
    /// The permit is for another key or another action. A defect of the caller, never of a client.
    PermitMismatch,
    /// A handle does not belong to the thing it was used for. A defect of the caller, never of a client. Says which.
    WrongKey(String),
    /// The system gave no memory for a secret. Says why.
    SecretMemory(String),
    /// A primitive refused, which it does only when memory or randomness run out. Names the primitive.
    Primitive(&'static str),
}

impl fmt::Display for HsmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SealRefused { seal, why } => write!(f, "the seal \"{seal}\" did not open: {why}"),
            Self::Tampered(record) => write!(
                f,
                "the stored {record} does not open: it was changed, moved or replaced outside of Claviger. Nothing was repaired; \
                 restore the store from a backup, and find out who can write to it"
            ),
            Self::SelfTestFailed(what) => write!(
                f,
                "the hsm is in its error state, and refuses every operation, because the test of {what} failed. Restart the node; \
                 if it fails again, do not trust this machine or this build"
            ),
            Self::InvalidCiphertext => f.write_str("the ciphertext does not open"),
            Self::InvalidSignature => f.write_str("the signature is not one of this key over this message"),
            Self::InvalidMac => f.write_str("the code is not that of this key for this message"),
            Self::InvalidPublicKey => {
                f.write_str("the public key is not a valid SubjectPublicKeyInfo in DER on the curve of the key")
            }
            Self::InvalidKeyMaterial(why) => write!(f, "the key material does not fit the key: {why}"),
            Self::WrongDigestLength => f.write_str("the digest has another length than the signing algorithm's"),
            Self::WrongMessageType => f.write_str("the signing algorithm does not take messages of this type"),
            Self::PlaintextTooLong { max } => write!(f, "the key encrypts at most {max} bytes with this algorithm"),
            Self::InvalidToken => f.write_str("the token was not made by this deployment for this purpose"),
            Self::InvalidImportToken => f.write_str("the import token was not made by this deployment for this key"),
            Self::UnknownRoot(version) => write!(
                f,
                "the root key was rotated to version {version}, which this node does not know: it takes it from its seals if it can; \
                 otherwise restart it, and open it with one of the deployment's seals"
            ),
            Self::PermitMismatch => {
                f.write_str("the permit is for another key or another action (a defect in Claviger: please report it)")
            }
            Self::WrongKey(what) => write!(f, "{what} (a defect in Claviger: please report it)"),
            Self::SecretMemory(why) => write!(f, "no memory for a secret: {why}"),
            Self::Primitive(name) => write!(f, "{name} failed, which it does only when memory or randomness run out"),
        }
    }
}

impl std::error::Error for HsmError {}

impl From<HsmError> for Refusal {
    /// What a client is told. Names of records and inner reasons go to the audit entry only.
    fn from(error: HsmError) -> Self {
        let reason = error.to_string();
        let refusal = match error {
            HsmError::InvalidCiphertext => return Self::invalid_ciphertext(),
            HsmError::InvalidSignature => return Self::new(Kind::InvalidSignature, ""),
            HsmError::InvalidMac => return Self::new(Kind::InvalidMac, ""),
            HsmError::InvalidKeyMaterial(_) => {
                return Self::new(Kind::IncorrectKeyMaterial, format!("{}.", capitalized(&reason)));
            }
            HsmError::InvalidPublicKey
            | HsmError::WrongDigestLength
            | HsmError::WrongMessageType
            | HsmError::PlaintextTooLong { .. } => return Self::new(Kind::Invalid, format!("{}.", capitalized(&reason))),
            HsmError::InvalidToken => return Self::new(Kind::InvalidMarker, "The marker is not valid."),
            HsmError::InvalidImportToken => {
                let detail = "The import token is not valid for this key. Get a new one, and wrap the material with the public key that comes with it.";
                return Self::new(Kind::InvalidImportToken, detail);
            }
            HsmError::Tampered(_) => {
                Self::internal("A stored record failed its integrity check. The operator finds it in the audit log.")
            }
            HsmError::SealRefused { .. } => Self::key_unavailable("The deployment's seal did not open."),
            HsmError::SelfTestFailed(_) => {
                Self::key_unavailable("A self-test of the cryptographic module failed. It refuses every operation.")
            }
            HsmError::UnknownRoot(_) => Self::key_unavailable(
                "The deployment's root key was rotated, and this node does not know the new one. Ask the operator to restart it.",
            ),
            HsmError::PermitMismatch | HsmError::WrongKey(_) | HsmError::SecretMemory(_) | HsmError::Primitive(_) => {
                Self::internal("The cryptographic module refused. The operator finds the reason in the audit log.")
            }
        };
        refusal.with_reason(reason)
    }
}

/// The reason as a sentence begins.
fn capitalized(reason: &str) -> String {
    let mut letters = reason.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
