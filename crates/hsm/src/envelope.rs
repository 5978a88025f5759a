//! The ciphertext envelope: what clients get from Encrypt and give to Decrypt. Version 1, big-endian:
//!
//! | field | bytes | |
//! |---|---|---|
//! | format | 1 | `0x01` |
//! | key id | 16 | the key's UUID |
//! | material id | 16 | the first 16 bytes of the material's id |
//! | nonce | 24 | random |
//! | commitment | 32 | |
//! | ciphertext | n | KC-XAES-256-GCM |
//! | tag | 16 | |
//!
//! Associated data = format ‖ key id ‖ material id ‖ the canonical encryption context.

use claviger_domain::EncryptionContext;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::error::HsmError;
use crate::material::Material;
use crate::xaes::{self, Message};

const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 1 + 16 + 16;

/// A ciphertext's parts. What it says of key and material is a claim until it is opened.
#[derive(Clone, Copy)]
pub struct Envelope<'a> {
    header: &'a [u8; HEADER_BYTES],
    message: Message<'a>,
}

impl<'a> Envelope<'a> {
    /// What a ciphertext is longer than its plaintext, in bytes.
    pub const OVERHEAD: usize = HEADER_BYTES + xaes::OVERHEAD;

    /// The parts of these bytes; none if they are no envelope of a version known here.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let message = Message::parse(rest)?;
        (header.first() == Some(&FORMAT)).then_some(Self { header, message })
    }

    /// The UUID of the key that made it, as claimed.
    pub fn key(&self) -> Uuid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(self.header.split_at(1).1.split_at(16).0);
        Uuid::from_bytes(bytes)
    }

    /// The first 16 bytes of the id of the material that made it, as claimed.
    pub fn material(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(self.header.split_at(17).1);
        bytes
    }

    /// Bytes in the plaintext.
    pub fn plaintext_bytes(&self) -> usize {
        self.message.plaintext_bytes()
    }
}

/// Encrypts into a new envelope.
pub(crate) fn seal(material: &Material, context: &EncryptionContext, plaintext: &[u8]) -> Result<Vec<u8>, HsmError> {
    let header = header(material);
    let mut out = Vec::with_capacity(Envelope::OVERHEAD + plaintext.len());
    out.extend_from_slice(&header);
    with_associated_data(&header, context, |data| xaes::seal(material.expose(), data, plaintext, &mut out))?;
    Ok(out)
}

/// Decrypts. Whatever does not fit is [`HsmError::InvalidCiphertext`]; the header is compared only after everything else was computed, because
/// the associated data is made of what the material says of itself.
pub(crate) fn open(
    material: &Material,
    context: &EncryptionContext,
    envelope: &Envelope<'_>,
) -> Result<Zeroizing<Vec<u8>>, HsmError> {
    let header = header(material);
    let mut plaintext = Zeroizing::new(vec![0; envelope.plaintext_bytes()]);
    let opened =
        with_associated_data(&header, context, |data| xaes::open(material.expose(), data, envelope.message, &mut plaintext));
    if opened.is_err() || envelope.header != &header {
        return Err(HsmError::InvalidCiphertext);
    }
    Ok(plaintext)
}

fn header(material: &Material) -> [u8; HEADER_BYTES] {
    let mut header = [FORMAT; HEADER_BYTES];
    let (key, id) = header.split_at_mut(1).1.split_at_mut(16);
    key.copy_from_slice(material.key_id().uuid().as_bytes());
    id.copy_from_slice(&material.id().short());
    header
}

/// Calls with format ‖ key id ‖ material id ‖ canonical context, which needs no heap while the context is empty, as it mostly is.
fn with_associated_data<T>(header: &[u8; HEADER_BYTES], context: &EncryptionContext, call: impl FnOnce(&[u8]) -> T) -> T {
    if context.is_empty() {
        // The canonical form of no pairs is a count of zero.
        let mut data = [0; HEADER_BYTES + 2];
        data.split_at_mut(HEADER_BYTES).0.copy_from_slice(header);
        return call(&data);
    }
    let mut data = Vec::with_capacity(HEADER_BYTES + 256);
    data.extend_from_slice(header);
    context.write_canonical(&mut data);
    call(&data)
}
