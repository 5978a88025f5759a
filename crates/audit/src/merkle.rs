//! RFC 6962 Merkle tree hashing, and the frontier: the few hashes that are enough to go on growing a tree.

use std::fmt;

use aws_lc_rs::digest::{self, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A node of the tree: the hash of a leaf, of two nodes, or of the whole tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; Hash::LENGTH]);

impl Hash {
    /// Bytes in a hash.
    pub const LENGTH: usize = 32;

    /// The hash of these bytes in base64, as checkpoints write it.
    pub fn from_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> Hash {
    let mut hash = [0; Hash::LENGTH];
    hash.copy_from_slice(digest::digest(&SHA256, bytes).as_ref());
    Hash(hash)
}

/// The byte that RFC 6962 section 2.1 puts before an entry to hash it as a leaf.
pub(crate) const LEAF_PREFIX: u8 = 0;
const NODE_PREFIX: u8 = 1;

/// The leaf hash of an entry: SHA-256(0x00 ‖ entry). Source: RFC 6962 section 2.1.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut context = digest::Context::new(&SHA256);
    context.update(&[LEAF_PREFIX]);
    context.update(entry);
    let mut hash = [0; Hash::LENGTH];
    hash.copy_from_slice(context.finish().as_ref());
    Hash(hash)
}

/// The hash of an inner node: SHA-256(0x01 ‖ left ‖ right). Source: RFC 6962 section 2.1.
pub fn node_hash(left: Hash, right: Hash) -> Hash {
    let mut input = [NODE_PREFIX; 1 + 2 * Hash::LENGTH];
    let (_, hashes) = input.split_at_mut(1);
    let (left_half, right_half) = hashes.split_at_mut(Hash::LENGTH);
    left_half.copy_from_slice(&left.0);
    right_half.copy_from_slice(&right.0);
    sha256(&input)
}

/// The root of an empty tree: SHA-256 of nothing. Source: RFC 6962 section 2.1.
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// The roots of the perfect subtrees that a tree consists of, largest first: one for each bit that is set in its size.
///
/// They determine the tree's root and every later one, and are at most 64 hashes however large the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    subtrees: Vec<Hash>,
}

impl Frontier {
    /// The frontier of the tree without entries.
    pub fn empty() -> Self {
        Self { size: 0, subtrees: Vec::new() }
    }

    /// Reads what [`Self::to_bytes`] wrote for a tree of this size; `None` where the length does not fit the size.
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Option<Self> {
        let (hashes, rest) = bytes.as_chunks::<{ Hash::LENGTH }>();
        let fits = rest.is_empty() && u32::try_from(hashes.len()).ok()? == size.count_ones();
        fits.then(|| Self { size, subtrees: hashes.iter().copied().map(Hash).collect() })
    }

    /// The subtree roots, largest subtree first, 32 bytes each.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.subtrees.iter().flat_map(|hash| hash.0).collect()
    }

    /// How many entries the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf at the end. Hashes once on average, log₂(size) times at most.
    pub fn push(&mut self, leaf: Hash) {
        let mut subtree = leaf;
        // Each set bit at the bottom of the size is a perfect subtree as large as the one in hand: the two become one.
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.subtrees.pop() else { break };
            subtree = node_hash(left, subtree);
        }
        self.subtrees.push(subtree);
        self.size += 1;
    }

    /// The root of the tree (RFC 6962 section 2.1: the right subtree is the incomplete one).
    pub fn root(&self) -> Hash {
        self.subtrees.iter().rev().copied().reduce(|right, left| node_hash(left, right)).unwrap_or_else(empty_root)
    }
}
