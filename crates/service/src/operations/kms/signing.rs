//! What Sign and Verify ask of a key, and of a message. Sources: AWS KMS API Reference, "MessageType" of Sign; texts recorded from AWS KMS.

use claviger_domain::Refusal;
use claviger_domain::key::{KeyUsage, MessageType, SigningAlgorithm};
use claviger_domain::policy::Values;

use super::state::incompatible;
use crate::conditions::text;
use crate::snapshot::KeySnapshot;

/// Bytes of the message representative µ (FIPS 204, section 6.2).
const MU_BYTES: usize = 64;

/// The key must be in use, for signatures of this algorithm, and the message of a type and length that the algorithm takes.
pub(crate) fn check_signing(
    snapshot: &KeySnapshot,
    operation: &str,
    algorithm: SigningAlgorithm,
    message_type: MessageType,
    message: &[u8],
) -> Result<(), Refusal> {
    snapshot.must_be_enabled()?;
    snapshot.must_be_for(KeyUsage::SignVerify, operation)?;
    let spec = snapshot.key.spec;
    if !spec.signing_algorithms().contains(&algorithm) {
        return Err(incompatible(algorithm.as_str(), spec));
    }
    check_message_type(algorithm, message_type).map_err(|what| {
        let what = if what.is_empty() { format!("key spec {spec}") } else { what };
        Refusal::invalid(format!("Message type {message_type} is incompatible with {what}."))
    })?;
    match message_type {
        MessageType::Digest if message.len() != digest_bytes(algorithm) => {
            Err(Refusal::invalid(format!("Digest is invalid length for algorithm {algorithm}.")))
        }
        MessageType::ExternalMu if message.len() != MU_BYTES => {
            Err(Refusal::invalid(format!("External Mu is invalid length for algorithm {algorithm}.")))
        }
        MessageType::Raw | MessageType::Digest | MessageType::ExternalMu => Ok(()),
    }
}

/// Whether the algorithm takes messages of this type. The error says what the type does not go with: an algorithm, or (empty) the key's spec.
fn check_message_type(algorithm: SigningAlgorithm, message_type: MessageType) -> Result<(), String> {
    use MessageType::{Digest, ExternalMu, Raw};
    use SigningAlgorithm as S;
    match (algorithm, message_type) {
        (S::MlDsaShake256, Raw | ExternalMu) | (S::Ed25519Sha512, Raw) | (S::Ed25519PhSha512, Digest) => Ok(()),
        // Pure ML-DSA takes no digest.
        (S::MlDsaShake256, Digest) | (_, ExternalMu) => Err(String::new()),
        (S::Ed25519Sha512, Digest) | (S::Ed25519PhSha512, Raw) => Err(format!("algorithm {algorithm}")),
        (_, Raw | Digest) => Ok(()),
    }
}

/// Bytes of the digest that the algorithm signs, where it takes one.
fn digest_bytes(algorithm: SigningAlgorithm) -> usize {
    use SigningAlgorithm as S;
    match algorithm {
        S::RsassaPssSha256 | S::RsassaPkcs1V15Sha256 | S::EcdsaSha256 | S::Sm2dsa => 32,
        S::RsassaPssSha384 | S::RsassaPkcs1V15Sha384 | S::EcdsaSha384 => 48,
        S::RsassaPssSha512 | S::RsassaPkcs1V15Sha512 | S::EcdsaSha512 | S::Ed25519PhSha512 => 64,
        S::MlDsaShake256 | S::Ed25519Sha512 => 0,
    }
}

/// The value of `name` (in lower case) for a request with this algorithm and message type.
pub(crate) fn signing_condition(name: &str, algorithm: SigningAlgorithm, message_type: MessageType) -> Values<'static> {
    match name {
        "kms:signingalgorithm" => text(algorithm.as_str()),
        "kms:messagetype" => text(message_type.as_str()),
        _ => Values::Absent,
    }
}
