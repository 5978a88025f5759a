//! Message authentication codes: HMAC (FIPS 198-1) with the hashes of SHA-2 (FIPS 180-4).

use aws_lc_rs::hmac;
use claviger_domain::key::{KeySpec, MacAlgorithm};

use crate::error::HsmError;

/// Bytes of material that a key of this spec has; none if it is not for HMAC. As long as the code.
pub(crate) fn material_bytes(spec: KeySpec) -> Option<usize> {
    match spec {
        KeySpec::Hmac224 => Some(28),
        KeySpec::Hmac256 => Some(32),
        KeySpec::Hmac384 => Some(48),
        KeySpec::Hmac512 => Some(64),
        _ => None,
    }
}

/// The code of a message.
pub(crate) fn sign(algorithm: MacAlgorithm, key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hash(algorithm), key), message).as_ref().to_vec()
}

/// Compares in constant time. Only the whole code is right, never a part of it.
pub(crate) fn verify(algorithm: MacAlgorithm, key: &[u8], message: &[u8], mac: &[u8]) -> Result<(), HsmError> {
    hmac::verify(&hmac::Key::new(hash(algorithm), key), message, mac).map_err(|_| HsmError::InvalidMac)
}

fn hash(algorithm: MacAlgorithm) -> hmac::Algorithm {
    match algorithm {
        MacAlgorithm::HmacSha224 => hmac::HMAC_SHA224,
        MacAlgorithm::HmacSha256 => hmac::HMAC_SHA256,
        MacAlgorithm::HmacSha384 => hmac::HMAC_SHA384,
        MacAlgorithm::HmacSha512 => hmac::HMAC_SHA512,
    }
}
