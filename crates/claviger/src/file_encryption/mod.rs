//! Encrypted files: envelope encryption of files of any size, streamed, under a data key that only the server can open again.
//!
//! The format is written down in `docs/formats/encrypted-file.md`: a header with the encrypted data key, then chunks of 64 KiB in
//! the STREAM construction (Hoang, Reyhanitabar, Rogaway and Vizar, "Online Authenticated-Encryption and its Nonce-Reuse
//! Misuse-Resistance", CRYPTO 2015), so that a chunk that was changed, moved, repeated, cut off or appended is found.
//!
//! This module turns bytes into bytes. It asks no server (a caller hands in the [`DataKey`]) and knows no file names, except that
//! [`NewFile`] makes a file appear under its name only when it is complete.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};

use zeroize::Zeroizing;

mod header;
mod new_file;
mod stream;

pub use header::Header;
pub use new_file::NewFile;

use stream::{CHUNK_BYTES, Chunks, TAG_BYTES};

/// What a data key has to be: AES-256.
pub const DATA_KEY_BYTES: usize = 32;

/// The encryption context under which the data keys of files are made: they open nothing else, and nothing else opens them.
pub fn encryption_context() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([("purpose", "claviger-encrypted-file-v1")])
}

/// A data key in both forms. Wiped when dropped.
pub struct DataKey {
    /// What encrypts the file.
    pub plaintext: Zeroizing<[u8; DATA_KEY_BYTES]>,
    /// What the header carries: the server's `CiphertextBlob`.
    pub encrypted: Vec<u8>,
}

/// Why a file could not be encrypted or decrypted.
#[derive(Debug)]
pub enum FileError {
    /// It does not begin as an encrypted file does.
    NotEncrypted,
    /// It was written by a newer version of the format.
    UnknownVersion(u8),
    /// The header is cut off, or says impossible things.
    DamagedHeader,
    /// The header was changed, or the data key is not the one of this file.
    WrongDataKey,
    /// The chunk with this number (from 0) was changed, moved, or cut off.
    DamagedChunk(u64),
    /// The file ends at the border of two chunks, before its last one.
    CutOff,
    /// More than 2^32 chunks: 256 TiB.
    TooLong,
    /// The server's encrypted data key does not fit into a header.
    DataKeyTooLong,
    /// The cryptographic library refused, which it does only when the machine is in trouble.
    Cryptography,
    /// What should be read cannot be.
    Read(io::Error),
    /// What should be written cannot be.
    Write(io::Error),
    /// Somebody asked to stop.
    Stopped,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEncrypted => f.write_str("this is not a file that `claviger encrypt` made"),
            Self::UnknownVersion(version) => write!(f, "the file has format version {version}, and this program knows version 1"),
            Self::DamagedHeader => f.write_str("the file's header is damaged or cut off"),
            Self::WrongDataKey => f.write_str("the file's header was changed: the data key that it holds is not this file's"),
            Self::DamagedChunk(number) => {
                write!(f, "the file was changed or cut off: its chunk {number} (64 KiB each, from 0) is not as it was written")
            }
            Self::CutOff => f.write_str("the file is cut off: its end is missing"),
            Self::TooLong => f.write_str("the file is longer than 256 TiB"),
            Self::DataKeyTooLong => f.write_str("the server's encrypted data key is longer than the format allows"),
            Self::Cryptography => f.write_str("the cryptographic library failed"),
            Self::Read(error) => write!(f, "cannot read: {error}"),
            Self::Write(error) => write!(f, "cannot write: {error}"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

impl std::error::Error for FileError {}

/// Told after each chunk how many bytes of input are done. Answers whether to go on.
pub type Progress<'a> = &'a mut dyn FnMut(u64) -> bool;

/// Encrypts everything that `input` has. The caller flushes `output`.
///
/// # Errors
/// See [`FileError`]; what was written so far is then no complete file.
pub fn encrypt(key: &DataKey, input: impl Read, output: impl Write, progress: Progress<'_>) -> Result<(), FileError> {
    let mut salt = [0; header::SALT_BYTES];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| FileError::Cryptography)?;
    encrypt_with_salt(key, salt, input, output, progress)
}

fn encrypt_with_salt(
    key: &DataKey,
    salt: [u8; header::SALT_BYTES],
    mut input: impl Read,
    mut output: impl Write,
    progress: Progress<'_>,
) -> Result<(), FileError> {
    let header = Header::new(salt, key.encrypted.clone())?;
    let (mut chunks, commitment) = Chunks::derive(&header, &key.plaintext)?;
    output.write_all(&header.to_bytes()).map_err(FileError::Write)?;
    output.write_all(&commitment).map_err(FileError::Write)?;

    let mut current = Zeroizing::new(Vec::with_capacity(CHUNK_BYTES + TAG_BYTES));
    let mut next = Zeroizing::new(Vec::with_capacity(CHUNK_BYTES + TAG_BYTES));
    let mut done = 0;
    read_chunk(&mut input, &mut current, CHUNK_BYTES)?;
    loop {
        // Only a look ahead tells whether this chunk is the last.
        read_chunk(&mut input, &mut next, CHUNK_BYTES)?;
        let last = next.is_empty();
        done += current.len() as u64;
        chunks.seal(&mut current, last)?;
        output.write_all(&current).map_err(FileError::Write)?;
        if !progress(done) {
            return Err(FileError::Stopped);
        }
        if last {
            return Ok(());
        }
        std::mem::swap(&mut current, &mut next);
    }
}

/// Decrypts what follows a [`Header`] that was read from `input`. Each chunk is checked before it is written, but only a result of
/// `Ok` says that the file is complete: until then the caller must not use what was written.
///
/// # Errors
/// See [`FileError`].
pub fn decrypt(
    header: &Header,
    key: &[u8; DATA_KEY_BYTES],
    mut input: impl Read,
    mut output: impl Write,
    progress: Progress<'_>,
) -> Result<(), FileError> {
    let (mut chunks, expected) = Chunks::derive(header, key)?;
    let mut commitment = [0; stream::COMMITMENT_BYTES];
    input.read_exact(&mut commitment).map_err(header::cut_off)?;
    if aws_lc_rs::constant_time::verify_slices_are_equal(&commitment, &expected).is_err() {
        return Err(FileError::WrongDataKey);
    }

    let mut current = Zeroizing::new(Vec::with_capacity(CHUNK_BYTES + TAG_BYTES));
    let mut next = Zeroizing::new(Vec::with_capacity(CHUNK_BYTES + TAG_BYTES));
    let mut done = (header.length() + commitment.len()) as u64;
    read_chunk(&mut input, &mut current, CHUNK_BYTES + TAG_BYTES)?;
    loop {
        read_chunk(&mut input, &mut next, CHUNK_BYTES + TAG_BYTES)?;
        let last = next.is_empty();
        done += current.len() as u64;
        chunks.open(&mut current, last)?;
        output.write_all(&current).map_err(FileError::Write)?;
        if !progress(done) {
            return Err(FileError::Stopped);
        }
        if last {
            return Ok(());
        }
        std::mem::swap(&mut current, &mut next);
    }
}

/// Reads a whole chunk, or what is left of the input.
fn read_chunk(input: &mut impl Read, chunk: &mut Vec<u8>, bytes: usize) -> Result<(), FileError> {
    chunk.clear();
    input.by_ref().take(bytes as u64).read_to_end(chunk).map_err(FileError::Read)?;
    Ok(())
}

#[cfg(test)]
mod tests;
