//! Who an attested recipient is: AWS Nitro Enclaves and NitroTPM instances prove with a signed document what they run, and which public key is
//! theirs. A plaintext for such a recipient leaves this crate encrypted with that key, and in no other form.
//!
//! Everything here is a pure function of the document, the trusted roots and the time. Read on in `document.rs` (the form), `chain.rs` (the
//! certificates) and `recipient.rs` (the answer). Source: AWS KMS Developer Guide, "Cryptographic attestation support in AWS KMS"; AWS Nitro
//! Enclaves User Guide, "Verifying the root of trust".

use std::collections::BTreeMap;
use std::fmt;

use claviger_domain::key::{DataKeyPairSpec, EncryptionAlgorithm};
use claviger_domain::{EncryptionContext, Permit, Refusal, Timestamp};

use self::chain::Certificate;
use self::document::Document;
use self::recipient::RecipientKey;
use crate::data_key_pair::SealedDataKeyPair;
use crate::envelope::Envelope;
use crate::error::HsmError;
use crate::hierarchy::Hsm;
use crate::material::Material;

mod cbor;
mod chain;
mod document;
mod recipient;

#[cfg(test)]
mod tests;

/// How far a document's own time may be ahead of ours.
const CLOCK_SKEW_MS: i64 = 5 * 60 * 1000;

/// A certificate that attestation documents may go back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationRoot(Vec<u8>);

/// What vouches for a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// An AWS Nitro enclave.
    NitroEnclave,
    /// An Amazon EC2 instance with a NitroTPM.
    NitroTpm,
}

/// What a genuine attestation document says. Only [`Attestation::verify`] can make one, so that nothing is encrypted for a key that nobody vouches
/// for.
pub struct Attestation {
    module_id: String,
    platform: Platform,
    pcrs: BTreeMap<u8, [u8; 48]>,
    recipient: RecipientKey,
}

/// Why an attestation document is not accepted. Safe to show: it tells of the document, which the caller has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttestationError {
    /// It has not the form of one. Says what is wrong.
    Malformed(&'static str),
    /// One of its certificates cannot be accepted. Says why.
    Certificate(&'static str),
    /// It goes back to a root that is not trusted here.
    UnknownRoot,
    /// One of its certificates has expired.
    Expired,
    /// One of its certificates is not valid yet, or the document is from the future.
    NotYetValid,
    /// Its signature is not that of its certificate.
    WrongSignature,
    /// It has no public key that an answer could be encrypted with.
    NoPublicKey,
    /// Its public key is not RSA of 2,048 bits or more, as SubjectPublicKeyInfo in DER.
    UnsuitablePublicKey,
}

impl AttestationRoot {
    /// Takes a certificate in DER that can be a root: an authority with a key on P-384, signed with ECDSA and SHA-384.
    ///
    /// # Errors
    /// It is no such certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, AttestationError> {
        Certificate::parse(der)?.must_be_authority_over(0)?;
        Ok(Self(der.to_vec()))
    }
}

impl Attestation {
    /// Reads a document and checks everything that makes it believable: its form, its certificates up to one of the roots, their validity now, and
    /// its signature. Whoever changes one bit of it gets an error.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn verify(document: &[u8], roots: &[AttestationRoot], now: Timestamp) -> Result<Self, AttestationError> {
        let document = Document::parse(document)?;
        let path: Vec<&[u8]> = document.cabundle.iter().copied().chain([document.certificate]).collect();
        let signer = chain::signer_of(&path, |root| roots.iter().any(|trusted| trusted.0 == root), now)?;
        if !signer.verifies_message(&document.signed(), document.signature) {
            return Err(AttestationError::WrongSignature);
        }
        if i64::try_from(document.timestamp_ms).is_ok_and(|at| at <= now.0.saturating_add(CLOCK_SKEW_MS)) {
            let recipient = RecipientKey::parse(document.public_key.ok_or(AttestationError::NoPublicKey)?)?;
            let module_id = document.module_id.to_owned();
            return Ok(Self { module_id, platform: document.platform, pcrs: document.pcrs, recipient });
        }
        Err(AttestationError::NotYetValid)
    }

    /// Which enclave or instance: `i-1234567890abcdef0-enc1234567890abcdef`.
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// What vouches for it.
    pub fn platform(&self) -> Platform {
        self.platform
    }

    /// The measurements, by the number of their register: SHA-384 each.
    pub fn pcrs(&self) -> &BTreeMap<u8, [u8; 48]> {
        &self.pcrs
    }
}

/// The uses of keys whose plaintext is for an attested recipient. Each is its namesake in `usage.rs`, `asymmetric.rs` or `data_key_pair.rs`, except that the plaintext ends here.
impl Hsm {
    /// What the recipient alone can read of a plaintext that comes from a custom key store.
    pub fn envelop(&self, recipient: &Attestation, plaintext: &[u8]) -> Result<Vec<u8>, HsmError> {
        self.state.check()?;
        recipient.recipient.envelop(plaintext)
    }

    /// Decrypts (`kms:Decrypt`) for the recipient.
    pub fn decrypt_for_recipient(
        &self,
        permit: &Permit,
        material: &Material,
        context: &EncryptionContext,
        envelope: &Envelope<'_>,
        recipient: &Attestation,
    ) -> Result<Vec<u8>, HsmError> {
        recipient.recipient.envelop(&self.decrypt(permit, material, context, envelope)?)
    }

    /// Decrypts with the private half of a key pair (`kms:Decrypt`) for the recipient.
    pub fn decrypt_from_for_recipient(
        &self,
        permit: &Permit,
        material: &Material,
        algorithm: EncryptionAlgorithm,
        ciphertext: &[u8],
        recipient: &Attestation,
    ) -> Result<Vec<u8>, HsmError> {
        recipient.recipient.envelop(&self.decrypt_from(permit, material, algorithm, ciphertext)?)
    }

    /// The secret shared with the holder of another key pair (`kms:DeriveSharedSecret`), for the recipient.
    pub fn derive_shared_secret_for_recipient(
        &self,
        permit: &Permit,
        material: &Material,
        peer_spki: &[u8],
        recipient: &Attestation,
    ) -> Result<Vec<u8>, HsmError> {
        recipient.recipient.envelop(&self.derive_shared_secret(permit, material, peer_spki)?)
    }

    /// A random data key (`kms:GenerateDataKey`): for the recipient, and encrypted under the material.
    pub fn generate_data_key_for_recipient(
        &self,
        permit: &Permit,
        material: &Material,
        context: &EncryptionContext,
        length: usize,
        recipient: &Attestation,
    ) -> Result<(Vec<u8>, Vec<u8>), HsmError> {
        let (plaintext, ciphertext) = self.generate_data_key(permit, material, context, length)?;
        Ok((recipient.recipient.envelop(&plaintext)?, ciphertext))
    }

    /// A new key pair (`kms:GenerateDataKeyPair`): its private half for the recipient, and encrypted under the material.
    pub fn generate_data_key_pair_for_recipient(
        &self,
        permit: &Permit,
        material: &Material,
        context: &EncryptionContext,
        spec: DataKeyPairSpec,
        recipient: &Attestation,
    ) -> Result<(Vec<u8>, SealedDataKeyPair), HsmError> {
        let (private_key, sealed) = self.generate_data_key_pair(permit, material, context, spec)?.into_parts();
        Ok((recipient.recipient.envelop(&private_key)?, sealed))
    }

    /// Random bytes (`kms:GenerateRandom`) for the recipient.
    pub fn generate_random_for_recipient(
        &self,
        permit: &Permit,
        length: usize,
        recipient: &Attestation,
    ) -> Result<Vec<u8>, HsmError> {
        recipient.recipient.envelop(&self.generate_random(permit, length)?)
    }
}

impl fmt::Display for AttestationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) | Self::Certificate(what) => f.write_str(what),
            Self::UnknownRoot => f.write_str("its first certificate is not one of the roots that this deployment trusts"),
            Self::Expired => f.write_str("one of its certificates has expired; get a new document"),
            Self::NotYetValid => f.write_str("it, or one of its certificates, is not valid yet; check the clocks"),
            Self::WrongSignature => f.write_str("its signature is wrong"),
            Self::NoPublicKey => f.write_str("it has no public key for the answer"),
            Self::UnsuitablePublicKey => {
                f.write_str("its public key is not an RSA key of 2048 bits or more, as SubjectPublicKeyInfo in DER")
            }
        }
    }
}

impl std::error::Error for AttestationError {}

impl From<AttestationError> for Refusal {
    fn from(error: AttestationError) -> Self {
        Self::invalid(format!("The attestation document is not accepted: {error}."))
    }
}
