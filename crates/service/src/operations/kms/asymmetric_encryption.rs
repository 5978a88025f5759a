//! What encryption under a key pair cannot do that encryption under a symmetric key can. Sources: AWS KMS API Reference, "Encrypt"; texts
//! recorded from AWS KMS.

use claviger_domain::key::{EncryptionAlgorithm, KeySpec};
use claviger_domain::{EncryptionContext, Refusal};

/// A ciphertext of a key pair has no room for an encryption context.
pub(crate) fn check_no_context(algorithm: EncryptionAlgorithm, context: &EncryptionContext) -> Result<(), Refusal> {
    if algorithm == EncryptionAlgorithm::SymmetricDefault || context.is_empty() {
        return Ok(());
    }
    Err(Refusal::invalid("EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs."))
}

/// A plaintext must fit into the one block that a key pair encrypts.
pub(crate) fn check_plaintext(spec: KeySpec, algorithm: EncryptionAlgorithm, plaintext: &[u8]) -> Result<(), Refusal> {
    if plaintext.len() <= plaintext_bytes_max(spec, algorithm) { Ok(()) } else { Err(too_long(spec, algorithm)) }
}

/// The refusal for a plaintext that does not fit.
pub(crate) fn too_long(spec: KeySpec, algorithm: EncryptionAlgorithm) -> Refusal {
    let most = plaintext_bytes_max(spec, algorithm);
    Refusal::invalid(format!("Algorithm {algorithm} and key spec {spec} cannot encrypt data larger than {most} bytes."))
}

/// Bytes that can be encrypted at once. With RSAES-OAEP: the modulus less two digests and two bytes (RFC 8017, section 7.1.1).
fn plaintext_bytes_max(spec: KeySpec, algorithm: EncryptionAlgorithm) -> usize {
    let modulus_bytes = match spec {
        KeySpec::Rsa2048 => 256,
        KeySpec::Rsa3072 => 384,
        _ => 512,
    };
    match algorithm {
        EncryptionAlgorithm::SymmetricDefault => 4096,
        EncryptionAlgorithm::RsaesOaepSha1 => modulus_bytes - 2 * 20 - 2,
        EncryptionAlgorithm::RsaesOaepSha256 => modulus_bytes - 2 * 32 - 2,
        EncryptionAlgorithm::Sm2pke => 1024,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_those_of_the_developer_guide() {
        let limits = [(KeySpec::Rsa2048, 214, 190), (KeySpec::Rsa3072, 342, 318), (KeySpec::Rsa4096, 470, 446)];
        for (spec, sha1, sha256) in limits {
            assert_eq!(plaintext_bytes_max(spec, EncryptionAlgorithm::RsaesOaepSha1), sha1);
            assert_eq!(plaintext_bytes_max(spec, EncryptionAlgorithm::RsaesOaepSha256), sha256);
        }
    }
}
