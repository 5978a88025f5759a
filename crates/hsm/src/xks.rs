//! What AWS KMS asks of an external key: AES-256-GCM with an initialization vector, a tag, and up to 20 bytes of metadata. Source: AWS KMS
//! External Keystore (XKS) Proxy API Specification, "Encrypt", "Decrypt" and appendix C.
//!
//! Metadata, format 1: `0x01` ‖ the first 7 bytes of the material's id ‖ N[0..12], where N is a random nonce of 24 bytes. With K the 256 bits
//! of the material:
//! - K' = HKDF-Expand-SHA-256(K, "claviger xks 1"), so that nothing here has anything to do with what AWS KMS's own door encrypts;
//! - message key = CMAC_K'(`00 01 58 00` ‖ N[0..12]) ‖ CMAC_K'(`00 02 58 00` ‖ N[0..12]), as in C2SP's XAES-256-GCM (`xaes.rs`);
//! - AES-256-GCM(message key, iv = N[12..24], aad = u16 length of the additional data ‖ it ‖ u8 length of the metadata ‖ it), and the iv is
//!   what the answer has as its initialization vector.
//!
//! Each message has a key of its own, so that no two messages under one key meet, and nobody has to count to 2^32
//! (docs/decisions/015-signatures-are-a-crate-and-every-external-message-has-a-key.md).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA256};
use claviger_domain::{MaterialId, Permit};
use zeroize::Zeroizing;

use crate::error::HsmError;
use crate::hierarchy::Hsm;
use crate::kdf;
use crate::material::Material;
use crate::xaes::{self, TAG_BYTES};

const FORMAT: u8 = 1;
const LABEL: &[u8] = b"claviger xks 1";
const HINT_BYTES: usize = 7;
const HALF_NONCE_BYTES: usize = 12;
const METADATA_BYTES: usize = 1 + HINT_BYTES + HALF_NONCE_BYTES;
const IV_BYTES: usize = 12;

/// The most bytes of additional authenticated data: their number has two bytes.
pub const XKS_ADDITIONAL_DATA_BYTES_MAX: usize = u16::MAX as usize;

/// What an encryption for AWS KMS came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XksCiphertext {
    /// The ciphertext, as long as the plaintext.
    pub ciphertext: Vec<u8>,
    /// The initialization vector.
    pub initialization_vector: [u8; IV_BYTES],
    /// The tag.
    pub tag: [u8; TAG_BYTES],
    /// What AWS KMS keeps for us beside the ciphertext.
    pub metadata: [u8; METADATA_BYTES],
    /// The integrity value (SHA-256) of all of these and the additional data, where it was asked for.
    pub integrity_value: Option<[u8; 32]>,
}

/// A ciphertext as AWS KMS brings it back.
#[derive(Debug, Clone, Copy)]
pub struct XksMessage<'a> {
    /// The ciphertext.
    pub ciphertext: &'a [u8],
    /// The initialization vector.
    pub initialization_vector: &'a [u8],
    /// The tag.
    pub tag: &'a [u8],
    /// What we gave along with it.
    pub metadata: &'a [u8],
    /// What it is bound to.
    pub additional_data: &'a [u8],
}

impl XksMessage<'_> {
    /// Whether it says that it was encrypted with this material. Seven bytes of the id are a hint: only what opens was.
    pub fn names(&self, material: &MaterialId) -> bool {
        Metadata::parse(self.metadata).is_some_and(|metadata| metadata.hint == hint_of(material))
    }
}

struct Metadata<'a> {
    hint: [u8; HINT_BYTES],
    half_nonce: &'a [u8; HALF_NONCE_BYTES],
}

impl<'a> Metadata<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (&format, rest) = bytes.split_first()?;
        let (hint, rest) = rest.split_first_chunk()?;
        (format == FORMAT).then_some(Self { hint: *hint, half_nonce: rest.try_into().ok()? })
    }
}

impl Hsm {
    /// Encrypts for AWS KMS. With `integrity`, the integrity value is computed, and the ciphertext is then opened again: whoever gets it can
    /// rely on it.
    ///
    /// # Errors
    /// `PlaintextTooLong` for more additional data than [`XKS_ADDITIONAL_DATA_BYTES_MAX`]; a failed trial decryption is a `Primitive`'s.
    pub fn xks_encrypt(
        &self,
        permit: &Permit,
        material: &Material,
        additional_data: &[u8],
        plaintext: &[u8],
        integrity: bool,
    ) -> Result<XksCiphertext, HsmError> {
        self.demand(permit, "xks:Encrypt", material)?;
        let key = key_for_xks(material)?;
        let mut made = encrypt(&key, hint_of(&material.id()), additional_data, plaintext)?;
        if integrity {
            // In this order: what is corrupted after this line does not fit the value, and what was corrupted before does not open.
            made.integrity_value = Some(integrity_value(additional_data, &made));
            let opened = decrypt(&key, made.as_message(additional_data)).map_err(|_| UNSOUND)?;
            verify_slices_are_equal(&opened, plaintext).map_err(|_| UNSOUND)?;
        }
        Ok(made)
    }

    /// Decrypts for AWS KMS.
    ///
    /// # Errors
    /// `InvalidCiphertext`, whatever is wrong with the message.
    pub fn xks_decrypt(
        &self,
        permit: &Permit,
        material: &Material,
        message: XksMessage<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        self.demand(permit, "xks:Decrypt", material)?;
        let key = key_for_xks(material)?;
        decrypt(&key, message)
    }

    /// Does with a key that is made for the occasion what keys are used for: a health check that touches nobody's key.
    ///
    /// # Errors
    /// Whatever would keep a real request from being done.
    pub fn xks_probe(&self) -> Result<(), HsmError> {
        self.state.check()?;
        let mut key = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut *key).map_err(|_| HsmError::Primitive("the random generator"))?;
        let made = encrypt(&key, [0; HINT_BYTES], b"health", b"a health check")?;
        let opened = decrypt(&key, made.as_message(b"health")).map_err(|_| UNSOUND)?;
        verify_slices_are_equal(&opened, b"a health check").map_err(|_| UNSOUND)
    }
}

const UNSOUND: HsmError = HsmError::Primitive("the trial decryption of a new ciphertext");

impl XksCiphertext {
    /// Computes the integrity value of what was made elsewhere: before it is opened again, so that what is corrupted later does not fit.
    pub fn add_integrity_value(&mut self, additional_data: &[u8]) {
        self.integrity_value = Some(integrity_value(additional_data, self));
    }

    fn as_message<'a>(&'a self, additional_data: &'a [u8]) -> XksMessage<'a> {
        XksMessage {
            ciphertext: &self.ciphertext,
            initialization_vector: &self.initialization_vector,
            tag: &self.tag,
            metadata: &self.metadata,
            additional_data,
        }
    }
}

fn hint_of(material: &MaterialId) -> [u8; HINT_BYTES] {
    let mut hint = [0; HINT_BYTES];
    for (to, from) in hint.iter_mut().zip(material.as_bytes()) {
        *to = *from;
    }
    hint
}

fn key_for_xks(material: &Material) -> Result<Zeroizing<[u8; 32]>, HsmError> {
    let mut key = Zeroizing::new([0; 32]);
    kdf::expand_into(material.symmetric()?, &[LABEL], &mut key)?;
    Ok(key)
}

fn encrypt(key: &[u8; 32], hint: [u8; HINT_BYTES], additional_data: &[u8], plaintext: &[u8]) -> Result<XksCiphertext, HsmError> {
    let mut nonce = [0; HALF_NONCE_BYTES + IV_BYTES];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| HsmError::Primitive("the random generator"))?;
    encrypt_with_nonce(key, hint, &nonce, additional_data, plaintext)
}

fn encrypt_with_nonce(
    key: &[u8; 32],
    hint: [u8; HINT_BYTES],
    nonce: &[u8; HALF_NONCE_BYTES + IV_BYTES],
    additional_data: &[u8],
    plaintext: &[u8],
) -> Result<XksCiphertext, HsmError> {
    let (half_nonce, iv) = nonce.split_at(HALF_NONCE_BYTES);
    let mut initialization_vector = [0; IV_BYTES];
    initialization_vector.copy_from_slice(iv);
    let mut metadata = [FORMAT; METADATA_BYTES];
    let parts = hint.iter().chain(half_nonce);
    metadata.iter_mut().skip(1).zip(parts).for_each(|(to, from)| *to = *from);
    let message_key = message_key(key, half_nonce)?;
    let bound = bound_data(additional_data, &metadata)?;
    let (mut ciphertext, mut tag) = (vec![0; plaintext.len()], [0; TAG_BYTES]);
    message_key
        .seal_out_of_place_scatter(
            Nonce::assume_unique_for_key(initialization_vector),
            Aad::from(&bound),
            plaintext,
            &mut ciphertext,
            &[],
            &mut tag,
        )
        .map_err(|_| HsmError::Primitive("AES-256-GCM"))?;
    Ok(XksCiphertext { ciphertext, initialization_vector, tag, metadata, integrity_value: None })
}

fn decrypt(key: &[u8; 32], message: XksMessage<'_>) -> Result<Zeroizing<Vec<u8>>, HsmError> {
    let refused = |_| HsmError::InvalidCiphertext;
    let metadata = Metadata::parse(message.metadata).ok_or(HsmError::InvalidCiphertext)?;
    let iv: [u8; IV_BYTES] = message.initialization_vector.try_into().map_err(|_| HsmError::InvalidCiphertext)?;
    let message_key = message_key(key, metadata.half_nonce)?;
    let bound = bound_data(message.additional_data, message.metadata).map_err(refused)?;
    let mut plaintext = Zeroizing::new(vec![0; message.ciphertext.len()]);
    message_key
        .open_separate_gather(
            Nonce::assume_unique_for_key(iv),
            Aad::from(&bound),
            message.ciphertext,
            message.tag,
            &mut plaintext,
        )
        .map_err(|_| HsmError::InvalidCiphertext)?;
    Ok(plaintext)
}

fn message_key(key: &[u8; 32], half_nonce: &[u8]) -> Result<LessSafeKey, HsmError> {
    let derived = xaes::message_key(key, half_nonce)?;
    UnboundKey::new(&AES_256_GCM, &*derived).map(LessSafeKey::new).map_err(|_| HsmError::Primitive("AES-256-GCM"))
}

/// What the tag protects beside the ciphertext, with its lengths, so that neither part can pass for the other.
fn bound_data(additional_data: &[u8], metadata: &[u8]) -> Result<Vec<u8>, HsmError> {
    let too_long = |_| HsmError::PlaintextTooLong { max: XKS_ADDITIONAL_DATA_BYTES_MAX };
    let length = u16::try_from(additional_data.len()).map_err(too_long)?;
    let metadata_length = u8::try_from(metadata.len()).map_err(too_long)?;
    let mut bound = Vec::with_capacity(3 + additional_data.len() + metadata.len());
    bound.extend_from_slice(&length.to_be_bytes());
    bound.extend_from_slice(additional_data);
    bound.push(metadata_length);
    bound.extend_from_slice(metadata);
    Ok(bound)
}

fn integrity_value(additional_data: &[u8], made: &XksCiphertext) -> [u8; 32] {
    digest(&[additional_data, &made.metadata, &made.initialization_vector, &made.ciphertext, &made.tag])
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut value = [0; 32];
    value.copy_from_slice(context.finish().as_ref());
    value
}

#[cfg(test)]
mod tests;
