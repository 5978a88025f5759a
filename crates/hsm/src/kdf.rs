//! Keys from keys: HKDF with SHA-256. Source: RFC 5869.

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

use crate::error::HsmError;
use crate::memory::Secret;

/// A key for one purpose, from a uniformly random key. `parts` are authenticated into it one after another; callers make them unambiguous.
pub(crate) fn expand(key: &Secret, parts: &[&[u8]]) -> Result<Secret, HsmError> {
    Secret::from_fill(|out| expand_into(key.expose(), parts, out))
}

/// [`expand`] into any 32 bytes.
pub(crate) fn expand_into(key: &[u8; 32], parts: &[&[u8]], out: &mut [u8; 32]) -> Result<(), HsmError> {
    Prk::new_less_safe(HKDF_SHA256, key)
        .expand(parts, Length32)
        .and_then(|material| material.fill(out))
        .map_err(|_| HsmError::Primitive("HKDF"))
}

/// A key for one purpose, from a secret of any length and shape that has enough entropy (so never a passphrase).
pub(crate) fn extract_and_expand(secret: &[u8], salt: &[u8], parts: &[&[u8]], out: &mut [u8; 32]) -> Result<(), HsmError> {
    Salt::new(HKDF_SHA256, salt)
        .extract(secret)
        .expand(parts, Length32)
        .and_then(|material| material.fill(out))
        .map_err(|_| HsmError::Primitive("HKDF"))
}

#[derive(Clone, Copy)]
struct Length32;

impl KeyType for Length32 {
    fn len(&self) -> usize {
        32
    }
}
