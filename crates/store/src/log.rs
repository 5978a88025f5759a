//! The audit log as the store sees it: opaque entries, bundles of them, and the head of each node's log.

use bytes::Bytes;

/// One audit entry, hashed by whoever made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The entry as it will be read by verifiers.
    pub bytes: Bytes,
    /// Its hash as a leaf of the log's Merkle tree (RFC 6962, section 2.1).
    pub leaf: [u8; 32],
}

/// The entries that one transaction of the store added to a node's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Whose log it is.
    pub node: String,
    /// The log index of its first entry.
    pub first: u64,
    /// How many entries there are.
    pub count: u32,
    /// The entries, in a form that the audit crate chooses.
    pub data: Bytes,
    /// The signed checkpoint of the log as it is after this bundle.
    pub checkpoint: String,
    /// The right edge of the Merkle tree after this bundle. Kept in the log's head only: empty in bundles that are read back.
    pub frontier: Bytes,
}

/// The end of a node's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogHead {
    /// Whose log it is.
    pub node: String,
    /// How many entries the log has.
    pub size: u64,
    /// The signed checkpoint for that size.
    pub checkpoint: String,
    /// The right edge of the Merkle tree, from which it can be continued.
    pub frontier: Bytes,
}

/// Gives audit entries their place in a node's log. The store calls it from inside its transactions, from one thread.
pub trait Sequencer: Send {
    /// Makes the bundle that adds these entries, in this order, at the end of the log. Never called with no entries, and not
    /// called again before [`accept`](Self::accept) or [`discard`](Self::discard).
    ///
    /// # Errors
    /// A sentence that says why it cannot. Every commit of the transaction then fails with it, and `discard` follows.
    fn sequence(&mut self, entries: &[Entry]) -> Result<Bundle, String>;

    /// The bundle is durable: the log goes on behind it.
    fn accept(&mut self);

    /// The transaction was rolled back: the log goes on where it was before.
    fn discard(&mut self);
}
