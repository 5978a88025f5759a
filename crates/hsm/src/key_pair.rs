//! Key pairs: what asymmetric keys are made of. One trait; each kind of pair implements what it can do, and everything else is refused.
//!
//! Most private keys live in the parsed form of AWS-LC, because it insists on owning that, and because parsing an RSA key costs nearly as much as a
//! signature. The seed of Ed25519 and the scalar of SM2 stay in locked memory and are expanded for each use. Everywhere else a private key is
//! PKCS#8 (RFC 5958), in DER, in the one encoding that [`KeyPair::pkcs8`] gives.

mod ec;
mod ed25519;
mod ml_dsa;
mod ml_kem;
mod public;
mod rsa;
mod sm2;

use aws_lc_rs::digest;
use claviger_domain::key::{EncryptionAlgorithm, KeySpec, MessageType, SigningAlgorithm};
use zeroize::Zeroizing;

use crate::error::HsmError;

/// A secret, and the ciphertext in which it travels to the holder of the private key.
pub struct Encapsulated {
    /// What the holder of the private key opens.
    pub ciphertext: Vec<u8>,
    /// The secret.
    pub secret: Zeroizing<Vec<u8>>,
}

/// A key pair that is ready for use. What a kind of pair cannot do, it refuses: that the key is of the right kind is the caller's business.
pub(crate) trait KeyPair: Send + Sync {
    /// PKCS#8 in DER, always the same for the same pair.
    fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, HsmError>;

    /// The public half: SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7) in DER, always the same for the same pair.
    fn spki(&self) -> Result<Vec<u8>, HsmError>;

    fn sign(&self, algorithm: SigningAlgorithm, _input: Input<'_>) -> Result<Vec<u8>, HsmError> {
        Err(unfit(algorithm.as_str()))
    }

    /// [`HsmError::InvalidSignature`] when the signature is not one of this pair over this input.
    fn verify(&self, algorithm: SigningAlgorithm, _input: Input<'_>, _signature: &[u8]) -> Result<(), HsmError> {
        Err(unfit(algorithm.as_str()))
    }

    fn encrypt(&self, algorithm: EncryptionAlgorithm, _plaintext: &[u8]) -> Result<Vec<u8>, HsmError> {
        Err(unfit(algorithm.as_str()))
    }

    /// [`HsmError::InvalidCiphertext`] for whatever does not open.
    fn decrypt(&self, algorithm: EncryptionAlgorithm, _ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        Err(unfit(algorithm.as_str()))
    }

    /// The x coordinate of the shared point. [`HsmError::InvalidPublicKey`] unless the peer is a SubjectPublicKeyInfo on the same curve.
    fn agree(&self, _peer: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        Err(unfit("ECDH"))
    }

    fn encapsulate(&self) -> Result<Encapsulated, HsmError> {
        Err(unfit("ML_KEM"))
    }

    /// [`HsmError::InvalidCiphertext`] for a ciphertext of the wrong length. Any other one gives a secret, by the algorithm's implicit rejection.
    fn decapsulate(&self, _ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        Err(unfit("ML_KEM"))
    }
}

/// A new pair. Takes up to seconds for RSA.
pub(crate) fn generate(spec: KeySpec) -> Result<Box<dyn KeyPair>, HsmError> {
    if let Some(size) = rsa::Size::of(spec) {
        return Ok(Box::new(rsa::Rsa::generate(size)?));
    }
    if let Some(curve) = ec::Curve::of(spec) {
        return Ok(Box::new(ec::Ec::generate(curve)?));
    }
    if spec == KeySpec::EccNistEdwards25519 {
        return Ok(Box::new(ed25519::Ed25519::generate()?));
    }
    if let Some(set) = ml_dsa::Set::of(spec) {
        return Ok(Box::new(ml_dsa::MlDsa::generate(set)?));
    }
    if let Some(set) = ml_kem::Set::of(spec) {
        return Ok(Box::new(ml_kem::MlKem::generate(set)?));
    }
    if spec == KeySpec::Sm2 {
        return Ok(Box::new(sm2::Sm2::generate()?));
    }
    Err(no_pair(spec))
}

/// The pair in a PKCS#8 document, which must be of exactly this spec and valid; else [`HsmError::InvalidKeyMaterial`].
pub(crate) fn parse(spec: KeySpec, pkcs8: &[u8]) -> Result<Box<dyn KeyPair>, HsmError> {
    if sequence_content(pkcs8).is_none() {
        return Err(HsmError::InvalidKeyMaterial("it is not one PKCS#8 document in DER"));
    }
    if let Some(size) = rsa::Size::of(spec) {
        return Ok(Box::new(rsa::Rsa::parse(size, pkcs8)?));
    }
    if let Some(curve) = ec::Curve::of(spec) {
        return Ok(Box::new(ec::Ec::parse(curve, pkcs8)?));
    }
    if spec == KeySpec::EccNistEdwards25519 {
        return Ok(Box::new(ed25519::Ed25519::parse(pkcs8)?));
    }
    if let Some(set) = ml_dsa::Set::of(spec) {
        return Ok(Box::new(ml_dsa::MlDsa::parse(set, pkcs8)?));
    }
    if let Some(set) = ml_kem::Set::of(spec) {
        return Ok(Box::new(ml_kem::MlKem::parse(set, pkcs8)?));
    }
    if spec == KeySpec::Sm2 {
        return Ok(Box::new(sm2::Sm2::parse(pkcs8)?));
    }
    Err(no_pair(spec))
}

/// The public half alone, from SubjectPublicKeyInfo in DER, of the kinds of pairs that hardware holds: RSA, and EC on NIST's curves. What needs the
/// private half is refused.
pub(crate) fn parse_public(spec: KeySpec, spki: &[u8]) -> Result<Box<dyn KeyPair>, HsmError> {
    if sequence_content(spki).is_none() {
        return Err(HsmError::InvalidPublicKey);
    }
    if let Some(size) = rsa::Size::of(spec) {
        return Ok(Box::new(public::RsaPublic::parse(size, spki)?));
    }
    let curve = ec::Curve::of(spec).ok_or(HsmError::InvalidPublicKey)?;
    Ok(Box::new(public::EcPublic::parse(curve, spki)?))
}

/// The pairwise consistency check: what the private half does, the public half confirms. Source: FIPS 140-3 (ISO/IEC 19790 section 7.10.3),
/// NIST SP 800-56A, section 5.6.2.1.4.
pub(crate) fn is_consistent(spec: KeySpec, pair: &dyn KeyPair) -> bool {
    let message = Input::Message(b"pairwise consistency");
    match spec.signing_algorithms().first() {
        Some(&algorithm) => {
            pair.sign(algorithm, message).and_then(|signature| pair.verify(algorithm, message, &signature)).is_ok()
        }
        None => pair.encapsulate().is_ok_and(|made| pair.decapsulate(&made.ciphertext).is_ok_and(|secret| secret == made.secret)),
    }
}

/// What is signed, with its length checked.
#[derive(Clone, Copy)]
pub(crate) enum Input<'a> {
    /// The message itself.
    Message(&'a [u8]),
    /// Its digest, of the algorithm's length.
    Digest(&'a [u8]),
    /// The message representative µ of ML-DSA.
    Mu(&'a [u8; 64]),
}

impl<'a> Input<'a> {
    /// # Errors
    /// [`HsmError::WrongMessageType`] when the algorithm takes no such input, [`HsmError::WrongDigestLength`] when it has another length.
    pub(crate) fn new(algorithm: SigningAlgorithm, message_type: MessageType, message: &'a [u8]) -> Result<Self, HsmError> {
        use SigningAlgorithm as S;
        match (message_type, algorithm) {
            (MessageType::ExternalMu, S::MlDsaShake256) => {
                message.try_into().map(Self::Mu).map_err(|_| HsmError::WrongDigestLength)
            }
            (MessageType::Raw, S::Ed25519PhSha512)
            | (MessageType::Digest, S::Ed25519Sha512 | S::MlDsaShake256)
            | (MessageType::ExternalMu, _) => Err(HsmError::WrongMessageType),
            (MessageType::Raw, _) => Ok(Self::Message(message)),
            (MessageType::Digest, _) if message.len() == digest_bytes(algorithm) => Ok(Self::Digest(message)),
            (MessageType::Digest, _) => Err(HsmError::WrongDigestLength),
        }
    }

    /// The digest, computed of a message.
    fn digest(self, algorithm: &'static digest::Algorithm) -> Result<digest::Digest, HsmError> {
        match self {
            Self::Message(message) => Ok(digest::digest(algorithm, message)),
            Self::Digest(given) => digest::Digest::import_less_safe(given, algorithm).map_err(|_| HsmError::WrongDigestLength),
            Self::Mu(_) => Err(HsmError::WrongMessageType),
        }
    }
}

/// Bytes in the digest that an algorithm signs.
fn digest_bytes(algorithm: SigningAlgorithm) -> usize {
    use SigningAlgorithm as S;
    match algorithm {
        S::RsassaPssSha256 | S::RsassaPkcs1V15Sha256 | S::EcdsaSha256 | S::Sm2dsa => 32,
        S::RsassaPssSha384 | S::RsassaPkcs1V15Sha384 | S::EcdsaSha384 => 48,
        S::RsassaPssSha512 | S::RsassaPkcs1V15Sha512 | S::EcdsaSha512 => 64,
        S::MlDsaShake256 | S::Ed25519Sha512 | S::Ed25519PhSha512 => 64,
    }
}

/// What is inside, if the bytes are one DER SEQUENCE and nothing after it. AWS-LC's parsers check what is inside, and ignore what follows.
fn sequence_content(bytes: &[u8]) -> Option<&[u8]> {
    let (&0x30, rest) = bytes.split_first()? else { return None };
    let (&first, rest) = rest.split_first()?;
    if first < 0x80 {
        return (rest.len() == usize::from(first)).then_some(rest);
    }
    let count = usize::from(first & 0x7f);
    let (length, content) = rest.split_at_checked(count).filter(|_| (1..=4).contains(&count))?;
    let length = length.iter().fold(0_u64, |length, &byte| (length << 8) | u64::from(byte));
    (u64::try_from(content.len()) == Ok(length)).then_some(content)
}

/// Whether two SubjectPublicKeyInfos have the same algorithm identifier, byte for byte. It is their first element, and short.
fn same_algorithm(one: &[u8], other: &[u8]) -> bool {
    let algorithm = |spki| {
        let content: &[u8] = sequence_content(spki)?;
        content.get(..usize::from(*content.get(1)?).checked_add(2)?)
    };
    algorithm(one).is_some_and(|found| algorithm(other) == Some(found))
}

fn unfit(algorithm: &str) -> HsmError {
    HsmError::WrongKey(format!("a key was used with {algorithm}, which its spec does not offer"))
}

fn no_pair(spec: KeySpec) -> HsmError {
    HsmError::WrongKey(format!("a key pair was expected, and {spec} is none"))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod wycheproof_tests;
