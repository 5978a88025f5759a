//! The entries of one group commit as one stored blob.
//!
//! | field | bytes | |
//! |---|---|---|
//! | format | 1 | `0x01` |
//! | count | 4 | number of entries, big-endian |
//! | leaf hashes | 32 each | in order, so that an altered entry is named and not only its group |
//! | entries | 2 + n each | length (big-endian) and bytes, as in a tlog-tiles entry bundle |
//!
//! Reading is total and bounded: whatever the bytes, it allocates in proportion to them and says what is wrong.

use std::fmt;

use crate::entry::{ENTRY_LENGTH_MAX, Entry};
use crate::merkle::{Hash, leaf_hash};

const FORMAT: u8 = 1;
const HEADER_LENGTH: usize = 5;

/// The blob that holds these entries.
///
/// # Errors
/// When there are more than 2³² − 1 entries.
pub fn encode(entries: &[Entry]) -> Result<Vec<u8>, BundleDamage> {
    let count = u32::try_from(entries.len()).map_err(|_| BundleDamage::Count)?;
    let bodies: usize = entries.iter().map(|entry| Hash::LENGTH + 2 + entry.bytes().len()).sum();
    let mut blob = Vec::with_capacity(HEADER_LENGTH + bodies);
    blob.push(FORMAT);
    blob.extend_from_slice(&count.to_be_bytes());
    for entry in entries {
        blob.extend_from_slice(&entry.leaf().0);
    }
    for entry in entries {
        blob.extend_from_slice(&entry.length().to_be_bytes());
        blob.extend_from_slice(entry.bytes());
    }
    Ok(blob)
}

/// A blob that was read back.
#[derive(Debug, Clone)]
pub struct Bundle<'a> {
    entries: Vec<StoredEntry<'a>>,
}

/// An entry in a stored bundle, with the leaf hash that was stored for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredEntry<'a> {
    /// The entry: canonical JSON.
    pub bytes: &'a [u8],
    /// Its leaf hash as it was computed when it was written.
    pub leaf: Hash,
}

impl StoredEntry<'_> {
    /// Whether the entry still is what it was when it was written.
    pub fn is_intact(&self) -> bool {
        leaf_hash(self.bytes) == self.leaf
    }
}

impl<'a> Bundle<'a> {
    /// Reads a blob.
    ///
    /// # Errors
    /// Says what is wrong with it, and at which entry.
    pub fn parse(blob: &'a [u8]) -> Result<Self, BundleDamage> {
        let (format, rest) = blob.split_first().ok_or(BundleDamage::Header)?;
        if *format != FORMAT {
            return Err(BundleDamage::Format(*format));
        }
        let (count, rest) = rest.split_first_chunk().ok_or(BundleDamage::Header)?;
        let count = usize::try_from(u32::from_be_bytes(*count)).map_err(|_| BundleDamage::Count)?;
        let hashes_length = count.checked_mul(Hash::LENGTH).ok_or(BundleDamage::Count)?;
        // Before anything is reserved for it, the count has to be borne out by bytes that are there.
        let (hashes, mut rest) = rest.split_at_checked(hashes_length).ok_or(BundleDamage::Count)?;
        let mut entries = Vec::with_capacity(count);
        for (position, leaf) in hashes.as_chunks().0.iter().enumerate() {
            let (bytes, behind) = split_entry(rest).ok_or(BundleDamage::Truncated { position })?;
            entries.push(StoredEntry { bytes, leaf: Hash(*leaf) });
            rest = behind;
        }
        if rest.is_empty() { Ok(Self { entries }) } else { Err(BundleDamage::Trailing { bytes: rest.len() }) }
    }

    /// The entries, in order.
    pub fn entries(&self) -> &[StoredEntry<'a>] {
        &self.entries
    }
}

/// Splits a length-prefixed entry off the front; `None` where it is cut short.
pub(crate) fn split_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// Why a blob is not a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BundleDamage {
    /// It ends within its header.
    Header,
    /// Its format is not known: damaged, or written by a newer version.
    Format(u8),
    /// Its count of entries cannot be true.
    Count,
    /// It ends within an entry.
    Truncated {
        /// The entry's position in the bundle, from 0.
        position: usize,
    },
    /// Bytes follow the last entry.
    Trailing {
        /// How many.
        bytes: usize,
    },
}

impl fmt::Display for BundleDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => write!(f, "it ends within its header"),
            Self::Format(format) => write!(f, "its format {format} is unknown (damaged, or written by a newer version)"),
            Self::Count => write!(f, "its count of entries is more than it can hold"),
            Self::Truncated { position } => write!(f, "it ends within its entry number {}", position + 1),
            Self::Trailing { bytes } => write!(f, "{bytes} bytes follow its last entry"),
        }
    }
}

impl std::error::Error for BundleDamage {}

const _: () = assert!(ENTRY_LENGTH_MAX <= u16::MAX as usize, "an entry's length is stored in two bytes");
