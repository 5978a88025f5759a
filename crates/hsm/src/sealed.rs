//! Sealed blobs: what the store keeps of anything secret. Format 1, big-endian:
//!
//! | field | bytes | |
//! |---|---|---|
//! | format | 1 | `0x01` |
//! | key version | 4 | which version of the sealing key (root or account key) opens it |
//! | message | 72 + n | KC-XAES-256-GCM: nonce ‖ commitment ‖ ciphertext ‖ tag |
//!
//! Format and key version are authenticated with the identity of what is sealed.

use zeroize::Zeroizing;

use crate::encoding::AssociatedData;
use crate::error::HsmError;
use crate::memory::Secret;
use crate::xaes::{self, DoesNotOpen, Message};

const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 5;

/// Which version of the account key opens this blob (a record, material, an access key's secret or a log signer). None if the bytes are no
/// sealed blob. The answer is a hint from untrusted storage, confirmed when the blob is opened.
pub fn account_key_version(sealed: &[u8]) -> Option<u32> {
    Blob::parse(sealed).map(|blob| blob.key_version)
}

/// A sealed blob's parts.
pub(crate) struct Blob<'a> {
    /// The version of the key that sealed it, as claimed.
    pub(crate) key_version: u32,
    message: Message<'a>,
}

impl<'a> Blob<'a> {
    /// The parts of these bytes; none if they are not of a format known here.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (&format, rest) = bytes.split_first()?;
        let (version, rest) = rest.split_first_chunk()?;
        let message = Message::parse(rest)?;
        (format == FORMAT).then_some(Self { key_version: u32::from_be_bytes(*version), message })
    }

    /// Opens into a buffer that is wiped when dropped.
    pub(crate) fn open(&self, key: &Secret, identity: AssociatedData) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let mut plaintext = Zeroizing::new(vec![0; self.message.plaintext_bytes()]);
        xaes::open(key.expose(), with_header(identity, self.key_version).as_slice(), self.message, &mut plaintext)?;
        Ok(plaintext)
    }

    /// Opens 32 bytes straight into locked memory.
    pub(crate) fn open_secret(&self, key: &Secret, identity: AssociatedData) -> Result<Secret, DoesNotOpen> {
        if self.message.plaintext_bytes() != crate::memory::SECRET_BYTES {
            return Err(DoesNotOpen);
        }
        let identity = with_header(identity, self.key_version);
        Secret::from_fill(|out| {
            xaes::open(key.expose(), identity.as_slice(), self.message, out).map_err(|_| HsmError::InvalidToken)
        })
        .map_err(|_| DoesNotOpen)
    }
}

/// Seals bytes under this version of a key, bound to an identity.
pub(crate) fn seal(key: &Secret, key_version: u32, identity: AssociatedData, plaintext: &[u8]) -> Result<Vec<u8>, HsmError> {
    let mut sealed = Vec::with_capacity(HEADER_BYTES + xaes::OVERHEAD + plaintext.len());
    sealed.push(FORMAT);
    sealed.extend_from_slice(&key_version.to_be_bytes());
    xaes::seal(key.expose(), with_header(identity, key_version).as_slice(), plaintext, &mut sealed)?;
    Ok(sealed)
}

fn with_header(identity: AssociatedData, key_version: u32) -> AssociatedData {
    identity.fixed(&[FORMAT]).fixed(&key_version.to_be_bytes())
}
