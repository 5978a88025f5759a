//! The file of a backup: a consistent copy of the store, encrypted under a key that any of the deployment's seals gives, in pieces.
//!
//! Format 1, numbers big-endian:
//!
//! | field | bytes | |
//! |---|---|---|
//! | magic | 8 | `CLVGBAK1` |
//! | length, head | 4 + n | JSON: the backup's id, the deployment, when it was made, and the root key as its seals had wrapped it |
//! | length, key | 4 + n | the backup's key, wrapped by the root key together with a digest of the head |
//! | pieces | 4 + n each | sealed pieces of the store's file, of 1 MiB before sealing; the highest bit of the length marks the last one |

use std::io::{self, Read, Write};

use claviger_domain::Timestamp;
use claviger_hsm::{BackupKey, Hsm, HsmError, SealedRoot};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const MAGIC: &[u8; 8] = b"CLVGBAK1";
const PIECE_BYTES: usize = 1 << 20;
/// A sealed root key of many seals is some kilobytes.
const HEAD_BYTES_MAX: usize = 1 << 20;
const LAST: u32 = 1 << 31;

/// What a backup says of itself without being opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The backup's own id.
    pub backup: Uuid,
    /// The deployment that it is of.
    pub deployment: Uuid,
    /// When it was made.
    pub made: Timestamp,
    /// The root key as the seals of that time had wrapped it.
    pub root: SealedRoot,
}

/// Why a backup cannot be made or read.
#[derive(Debug)]
pub enum BackupError {
    /// Reading or writing failed.
    Io(io::Error),
    /// It is no backup, or was changed or cut off. Says what.
    Damaged(String),
    /// The hsm refused.
    Hsm(HsmError),
}

impl std::fmt::Display for BackupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Damaged(what) => f.write_str(what),
            Self::Hsm(error) => write!(f, "{error}"),
        }
    }
}

impl From<io::Error> for BackupError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<HsmError> for BackupError {
    fn from(error: HsmError) -> Self {
        Self::Hsm(error)
    }
}

fn damaged(what: &str) -> BackupError {
    BackupError::Damaged(what.to_owned())
}

/// Writes a backup of what `store` gives.
///
/// # Errors
/// Reading or writing failed, or the hsm refused.
pub fn write(hsm: &Hsm, head: &Head, store: &mut impl Read, out: &mut impl Write) -> Result<(), BackupError> {
    let text = serde_json::to_vec(head).map_err(|error| BackupError::Damaged(error.to_string()))?;
    let (key, sealed) = hsm.create_backup_key(head.backup, &text)?;
    out.write_all(MAGIC)?;
    write_part(out, &text, 0)?;
    write_part(out, &sealed, 0)?;
    let mut piece = read_piece(store)?;
    let mut place = 0;
    loop {
        // Only what follows tells whether this one is the last.
        let next = read_piece(store)?;
        let last = next.is_empty();
        write_part(out, &key.seal_piece(place, last, &piece)?, if last { LAST } else { 0 })?;
        if last {
            return Ok(());
        }
        piece = next;
        place += 1;
    }
}

/// A backup whose head was read.
pub struct Opened<R> {
    /// What it says of itself. Believed once [`Opened::unlock`] has succeeded.
    pub head: Head,
    text: Vec<u8>,
    sealed: Vec<u8>,
    rest: R,
}

/// A backup whose key was unwrapped.
pub struct Unlocked<R> {
    key: BackupKey,
    rest: R,
}

/// Reads the head of a backup.
///
/// # Errors
/// It cannot be read, or is no backup.
pub fn read<R: Read>(mut from: R) -> Result<Opened<R>, BackupError> {
    let mut magic = [0; MAGIC.len()];
    from.read_exact(&mut magic).map_err(|_| damaged("it is not a backup of Claviger"))?;
    if magic != *MAGIC {
        return Err(damaged("it is not a backup of Claviger, or one of a newer version"));
    }
    let (text, _) = read_part(&mut from, HEAD_BYTES_MAX)?;
    let head = serde_json::from_slice(&text).map_err(|_| damaged("its head cannot be read"))?;
    let (sealed, _) = read_part(&mut from, HEAD_BYTES_MAX)?;
    Ok(Opened { head, text, sealed, rest: from })
}

impl<R: Read> Opened<R> {
    /// Unwraps its key with a module that one of its seals opened.
    ///
    /// # Errors
    /// The head was changed.
    pub fn unlock(self, hsm: &Hsm) -> Result<Unlocked<R>, BackupError> {
        let key = hsm.open_backup_key(self.head.backup, &self.text, &self.sealed)?;
        Ok(Unlocked { key, rest: self.rest })
    }
}

impl<R: Read> Unlocked<R> {
    /// Writes out the store's file.
    ///
    /// # Errors
    /// A piece was changed, is missing or too many; what was written until then must not be used.
    pub fn restore(mut self, out: &mut impl Write) -> Result<(), BackupError> {
        for place in 0.. {
            let (sealed, last) = read_part(&mut self.rest, PIECE_BYTES + 4096)?;
            out.write_all(&self.key.open_piece(place, last, &sealed)?)?;
            if last {
                break;
            }
        }
        match self.rest.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(damaged("something follows its end")),
        }
    }
}

fn write_part(out: &mut impl Write, bytes: &[u8], mark: u32) -> Result<(), BackupError> {
    let length = u32::try_from(bytes.len()).map_err(|_| damaged("a part of it would be too long"))?;
    out.write_all(&(length | mark).to_be_bytes())?;
    Ok(out.write_all(bytes)?)
}

fn read_part(from: &mut impl Read, bytes_max: usize) -> Result<(Vec<u8>, bool), BackupError> {
    let cut = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged("it was cut off"),
        _ => BackupError::Io(error),
    };
    let mut length = [0; 4];
    from.read_exact(&mut length).map_err(cut)?;
    let marked = u32::from_be_bytes(length);
    let length = usize::try_from(marked & !LAST).unwrap_or(usize::MAX);
    if length > bytes_max {
        return Err(damaged("a part of it is longer than any that was written"));
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).map_err(cut)?;
    Ok((bytes, marked & LAST != 0))
}

fn read_piece(from: &mut impl Read) -> Result<Vec<u8>, BackupError> {
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    from.take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use claviger_hsm::{NewSeal, SealSecret};

    use super::*;

    fn made(content: &[u8]) -> (Hsm, Vec<u8>) {
        let deployment = Uuid::from_u128(5);
        let file = SealSecret::File(vec![1; 32].into());
        let (hsm, root, _) = Hsm::initialize_with(deployment, &[("disk".to_owned(), NewSeal::Secret(file))]).unwrap();
        let head = Head { backup: Uuid::from_u128(9), deployment, made: Timestamp(0), root };
        let mut out = Vec::new();
        write(&hsm, &head, &mut &content[..], &mut out).unwrap();
        (hsm, out)
    }

    fn restored(hsm: &Hsm, backup: &[u8]) -> Result<Vec<u8>, BackupError> {
        let mut out = Vec::new();
        read(backup)?.unlock(hsm)?.restore(&mut out)?;
        Ok(out)
    }

    #[test]
    fn what_was_backed_up_comes_back() {
        for length in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES] {
            let content: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let (hsm, backup) = made(&content);
            assert!(restored(&hsm, &backup).unwrap() == content, "{length}");
        }
    }

    #[test]
    fn a_changed_or_shortened_backup_is_refused() {
        let (hsm, backup) = made(b"the store");
        for at in 0..backup.len() {
            let mut changed = backup.clone();
            changed[at] ^= 1;
            assert!(restored(&hsm, &changed).is_err(), "byte {at}");
            assert!(restored(&hsm, &backup[..at]).is_err(), "cut at {at}");
        }
        assert!(restored(&hsm, &[&backup[..], b"x"].concat()).is_err());
        let (hsm, long) = made(&vec![7; 2 * PIECE_BYTES + 5]);
        let piece = 4 + PIECE_BYTES + 77;
        let without_the_last = &long[..long.len() - (4 + 5 + 77)];
        assert!(restored(&hsm, without_the_last).is_err());
        let start = long.len() - (4 + 5 + 77) - 2 * piece;
        let mut swapped = long.clone();
        swapped[start..start + 2 * piece].rotate_left(piece);
        assert!(restored(&hsm, &swapped).is_err(), "pieces have their places");
    }
}
