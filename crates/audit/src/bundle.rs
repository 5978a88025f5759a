//! The entries of one group commit as one stored blob.
//!
//! | field | bytes | |
//! |---|---|---|
//! | format | 1 | `0x01`: entries as they are; `0x02`: entries as an LZ4 block |
//! | count | 4 | number of entries, big-endian |
//! | leaf hashes | 32 each | in order, so that an altered entry is named and not only its group |
//! | plain length | 4 | format `0x02` only: length of the entries before compression, big-endian |
//! | entries | 2 + n each | length (big-endian) and bytes, as in a tlog-tiles entry bundle |
//!
//! Entries of a group are alike, so that 64 of them take about a tenth of their length: a group commit then writes a tenth too. What is
//! hashed and signed are the plain entries; the compression is nobody's concern but the store's.
//!
//! Reading is total and bounded: whatever the bytes, it allocates in proportion to them and says what is wrong.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use crate::entry::{ENTRY_LENGTH_MAX, Entry};
use crate::merkle::{Hash, leaf_hash};

const PLAIN: u8 = 1;
const COMPRESSED: u8 = 2;
const HEADER_LENGTH: usize = 5;
/// An LZ4 block grows to at most this many times its length. Source: the LZ4 block format: a length byte stands for at most 255 bytes.
const EXPANSION_MAX: usize = 255;

/// The blob that holds these entries, compressed.
///
/// # Errors
/// When there are more than 2³² − 1 entries, or bytes.
pub fn encode(entries: &[Entry]) -> Result<Vec<u8>, BundleDamage> {
    let mut blob = header(COMPRESSED, entries)?;
    let mut plain = Vec::with_capacity(entries_length(entries));
    write_entries(&mut plain, entries);
    let length = u32::try_from(plain.len()).map_err(|_| BundleDamage::Count)?;
    blob.extend_from_slice(&length.to_be_bytes());
    blob.extend_from_slice(&lz4_flex::block::compress(&plain));
    Ok(blob)
}

/// The blob that holds these entries as they are.
///
/// # Errors
/// When there are more than 2³² − 1 entries.
pub fn encode_plain(entries: &[Entry]) -> Result<Vec<u8>, BundleDamage> {
    let mut blob = header(PLAIN, entries)?;
    blob.reserve(entries_length(entries));
    write_entries(&mut blob, entries);
    Ok(blob)
}

fn header(format: u8, entries: &[Entry]) -> Result<Vec<u8>, BundleDamage> {
    let count = u32::try_from(entries.len()).map_err(|_| BundleDamage::Count)?;
    let mut blob = Vec::with_capacity(HEADER_LENGTH + entries.len() * Hash::LENGTH);
    blob.push(format);
    blob.extend_from_slice(&count.to_be_bytes());
    for entry in entries {
        blob.extend_from_slice(&entry.leaf().0);
    }
    Ok(blob)
}

fn entries_length(entries: &[Entry]) -> usize {
    entries.iter().map(|entry| 2 + entry.bytes().len()).sum()
}

fn write_entries(out: &mut Vec<u8>, entries: &[Entry]) {
    for entry in entries {
        out.extend_from_slice(&entry.length().to_be_bytes());
        out.extend_from_slice(entry.bytes());
    }
}

/// A blob that was read back.
#[derive(Debug, Clone)]
pub struct Bundle<'a> {
    /// The entries with their lengths, one after the other.
    text: Cow<'a, [u8]>,
    /// Where in the text each entry is, and the leaf hash that was stored for it.
    places: Vec<(Range<usize>, Hash)>,
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
        if ![PLAIN, COMPRESSED].contains(format) {
            return Err(BundleDamage::Format(*format));
        }
        let (count, rest) = rest.split_first_chunk().ok_or(BundleDamage::Header)?;
        let count = usize::try_from(u32::from_be_bytes(*count)).map_err(|_| BundleDamage::Count)?;
        let hashes_length = count.checked_mul(Hash::LENGTH).ok_or(BundleDamage::Count)?;
        // Before anything is reserved for it, the count has to be borne out by bytes that are there.
        let (hashes, rest) = rest.split_at_checked(hashes_length).ok_or(BundleDamage::Count)?;
        let text = if *format == PLAIN { Cow::Borrowed(rest) } else { Cow::Owned(decompress(rest)?) };
        let mut places = Vec::with_capacity(count);
        let mut start = 0;
        for (position, leaf) in hashes.as_chunks().0.iter().enumerate() {
            let behind = text.get(start..).unwrap_or_default();
            let (entry, _) = split_entry(behind).ok_or(BundleDamage::Truncated { position })?;
            let place = start + 2..start + 2 + entry.len();
            start = place.end;
            places.push((place, Hash(*leaf)));
        }
        match text.len() - start {
            0 => Ok(Self { text, places }),
            bytes => Err(BundleDamage::Trailing { bytes }),
        }
    }

    /// The entries, in order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = StoredEntry<'_>> + DoubleEndedIterator + Clone {
        // The places were taken from the text, so that each is there.
        let entry = |(place, leaf): &(Range<usize>, Hash)| StoredEntry {
            bytes: self.text.get(place.clone()).unwrap_or_default(),
            leaf: *leaf,
        };
        self.places.iter().map(entry)
    }
}

fn decompress(block: &[u8]) -> Result<Vec<u8>, BundleDamage> {
    let (length, block) = block.split_first_chunk().ok_or(BundleDamage::Header)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| BundleDamage::Compression)?;
    // Before anything is reserved for it, the length has to be one that the block can have.
    if length > block.len().saturating_mul(EXPANSION_MAX) {
        return Err(BundleDamage::Compression);
    }
    let text = lz4_flex::block::decompress(block, length).map_err(|_| BundleDamage::Compression)?;
    if text.len() == length { Ok(text) } else { Err(BundleDamage::Compression) }
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
    /// Its entries cannot be decompressed.
    Compression,
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
            Self::Compression => write!(f, "its entries cannot be decompressed"),
            Self::Truncated { position } => write!(f, "it ends within its entry number {}", position + 1),
            Self::Trailing { bytes } => write!(f, "{bytes} bytes follow its last entry"),
        }
    }
}

impl std::error::Error for BundleDamage {}

const _: () = assert!(ENTRY_LENGTH_MAX <= u16::MAX as usize, "an entry's length is stored in two bytes");
