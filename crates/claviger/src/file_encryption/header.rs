//! The header of an encrypted file: what is needed to get its data key back.

use std::io::{self, Read};

use super::FileError;

pub(super) const SALT_BYTES: usize = 32;
const MAGIC: &[u8; 8] = b"claviger";
const VERSION: u8 = 1;
/// AWS KMS allows ciphertexts of at most this length. Source: `CiphertextType` in the service model.
const ENCRYPTED_KEY_BYTES_MAX: usize = 6144;

/// Format version 1: `claviger` ‖ `01` ‖ salt ‖ length of the encrypted data key, two bytes, big-endian ‖ encrypted data key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    salt: [u8; SALT_BYTES],
    encrypted_key: Vec<u8>,
}

impl Header {
    pub(super) fn new(salt: [u8; SALT_BYTES], encrypted_key: Vec<u8>) -> Result<Self, FileError> {
        if !(1..=ENCRYPTED_KEY_BYTES_MAX).contains(&encrypted_key.len()) {
            return Err(FileError::DataKeyTooLong);
        }
        Ok(Self { salt, encrypted_key })
    }

    /// Reads a header, and nothing behind it.
    ///
    /// # Errors
    /// The input is no encrypted file, of an unknown version, cut off, or cannot be read.
    pub fn read(input: &mut impl Read) -> Result<Self, FileError> {
        let mut start = [0; MAGIC.len() + 1];
        input.read_exact(&mut start).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => FileError::NotEncrypted,
            _ => FileError::Read(error),
        })?;
        match start.split_last() {
            Some((&VERSION, magic)) if magic == MAGIC => {}
            Some((&version, magic)) if magic == MAGIC => return Err(FileError::UnknownVersion(version)),
            _ => return Err(FileError::NotEncrypted),
        }
        let (mut salt, mut length) = ([0; SALT_BYTES], [0; 2]);
        input.read_exact(&mut salt).map_err(cut_off)?;
        input.read_exact(&mut length).map_err(cut_off)?;
        let length = usize::from(u16::from_be_bytes(length));
        if !(1..=ENCRYPTED_KEY_BYTES_MAX).contains(&length) {
            return Err(FileError::DamagedHeader);
        }
        let mut encrypted_key = vec![0; length];
        input.read_exact(&mut encrypted_key).map_err(cut_off)?;
        Ok(Self { salt, encrypted_key })
    }

    /// The data key as the server encrypted it.
    pub fn encrypted_key(&self) -> &[u8] {
        &self.encrypted_key
    }

    pub(super) fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// Its length in the file.
    pub(super) fn length(&self) -> usize {
        MAGIC.len() + 1 + SALT_BYTES + 2 + self.encrypted_key.len()
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.length());
        bytes.extend_from_slice(MAGIC);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.salt);
        // The constructors have seen to it that the length fits.
        bytes.extend_from_slice(&u16::try_from(self.encrypted_key.len()).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend_from_slice(&self.encrypted_key);
        bytes
    }
}

pub(super) fn cut_off(error: io::Error) -> FileError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => FileError::DamagedHeader,
        _ => FileError::Read(error),
    }
}
