//! The chunks: AES-256-GCM in the STREAM construction, with keys derived from the data key and the whole header.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroizing;

use super::header::Header;
use super::{DATA_KEY_BYTES, FileError};

/// Plaintext in every chunk but the last, which has at most as much.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;
pub(super) const TAG_BYTES: usize = 16;
pub(super) const COMMITMENT_BYTES: usize = 32;

const PURPOSE: &[u8] = b"claviger encrypted file v1";
const KEY_BYTES: usize = 32;
/// The nonce is this prefix, the chunk's number in four bytes, and a byte that says whether the chunk is the last.
const PREFIX_BYTES: usize = 7;

/// What has to be done with the next chunk.
pub(super) struct Chunks {
    key: LessSafeKey,
    prefix: [u8; PREFIX_BYTES],
    number: u64,
}

impl Chunks {
    /// Derives the key and nonce prefix of a file, and the commitment that ties them to its header.
    pub(super) fn derive(header: &Header, data_key: &[u8; DATA_KEY_BYTES]) -> Result<(Self, [u8; COMMITMENT_BYTES]), FileError> {
        struct Length;
        impl KeyType for Length {
            fn len(&self) -> usize {
                KEY_BYTES + PREFIX_BYTES + COMMITMENT_BYTES
            }
        }

        let failed = |_| FileError::Cryptography;
        let header_hash = digest(&SHA256, &header.to_bytes());
        let mut derived = Zeroizing::new([0; KEY_BYTES + PREFIX_BYTES + COMMITMENT_BYTES]);
        Salt::new(HKDF_SHA256, header.salt())
            .extract(data_key)
            .expand(&[PURPOSE, header_hash.as_ref()], Length)
            .and_then(|output| output.fill(derived.as_mut()))
            .map_err(failed)?;

        let (key, rest) = derived.split_at(KEY_BYTES);
        let (prefix_bytes, commitment_bytes) = rest.split_at(PREFIX_BYTES);
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).map_err(failed)?);
        let (mut prefix, mut commitment) = ([0; PREFIX_BYTES], [0; COMMITMENT_BYTES]);
        prefix.copy_from_slice(prefix_bytes);
        commitment.copy_from_slice(commitment_bytes);
        Ok((Self { key, prefix, number: 0 }, commitment))
    }

    /// Encrypts the next chunk in place and appends its tag.
    pub(super) fn seal(&mut self, chunk: &mut Vec<u8>, last: bool) -> Result<(), FileError> {
        let nonce = self.nonce(last)?;
        self.key.seal_in_place_append_tag(nonce, Aad::empty(), chunk).map_err(|_| FileError::Cryptography)?;
        self.number += 1;
        Ok(())
    }

    /// Checks and decrypts the next chunk in place and removes its tag.
    pub(super) fn open(&mut self, chunk: &mut Vec<u8>, last: bool) -> Result<(), FileError> {
        let damaged = FileError::DamagedChunk(self.number);
        // Only an empty file has an empty chunk: there is one way to write each file.
        if chunk.is_empty() || (chunk.len() == TAG_BYTES && self.number > 0) {
            return Err(if self.number == 0 { FileError::CutOff } else { damaged });
        }
        // A file that was cut off between two chunks ends in a chunk that is whole, but not the last.
        let untouched = (last && chunk.len() == CHUNK_BYTES + TAG_BYTES).then(|| chunk.clone());
        let nonce = self.nonce(last)?;
        let length = match self.key.open_in_place(nonce, Aad::empty(), chunk) {
            Ok(plaintext) => plaintext.len(),
            Err(_) => return Err(self.why_not(untouched, damaged)),
        };
        chunk.truncate(length);
        self.number += 1;
        Ok(())
    }

    fn why_not(&self, untouched: Option<Vec<u8>>, damaged: FileError) -> FileError {
        let Some(mut chunk) = untouched else { return damaged };
        let Ok(nonce) = self.nonce(false) else { return damaged };
        let whole = self.key.open_in_place(nonce, Aad::empty(), &mut chunk).is_ok();
        drop(Zeroizing::new(chunk));
        if whole { FileError::CutOff } else { damaged }
    }

    fn nonce(&self, last: bool) -> Result<Nonce, FileError> {
        let number = u32::try_from(self.number).map_err(|_| FileError::TooLong)?;
        let mut nonce = [0; PREFIX_BYTES + 5];
        let (prefix, rest) = nonce.split_at_mut(PREFIX_BYTES);
        prefix.copy_from_slice(&self.prefix);
        let (counter, flag) = rest.split_at_mut(4);
        counter.copy_from_slice(&number.to_be_bytes());
        flag.copy_from_slice(&[u8::from(last)]);
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_never_wraps() {
        let header = Header::new([0; 32], vec![1]).unwrap();
        let (mut chunks, _) = Chunks::derive(&header, &[0; 32]).unwrap();
        chunks.number = u64::from(u32::MAX);
        chunks.seal(&mut vec![], false).unwrap();
        assert!(matches!(chunks.seal(&mut vec![], false), Err(FileError::TooLong)));
    }
}
