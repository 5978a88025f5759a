//! Where stored bundles come from. The store crate's caller implements it; tests use a plain vector.

use crate::log::Prepared;

/// What went wrong while reading stored bundles, in the words of whoever stores them.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// One group commit as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBundle {
    /// The index of its first entry.
    pub first: u64,
    /// How many entries it has.
    pub count: u64,
    /// The entries: see [`crate::bundle`].
    pub data: Vec<u8>,
    /// The signed note over the log that ends with this bundle.
    pub checkpoint: String,
}

impl StoredBundle {
    /// The stored form of a preparation and the entries that it was made for ([`crate::bundle::encode`]).
    pub fn new(prepared: &Prepared, data: Vec<u8>) -> Self {
        Self { first: prepared.first, count: prepared.count, data, checkpoint: prepared.checkpoint.clone() }
    }
}

/// Reads a node's log, oldest bundle first.
pub trait BundleSource {
    /// The stored bundle with the smallest first index that is at least `from`; `None` behind the last.
    ///
    /// Bundles come as they are stored: gaps and overlaps are not hidden, because finding them is the reader's task.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn read(&mut self, from: u64) -> Result<Option<StoredBundle>, SourceError>;
}

impl BundleSource for &[StoredBundle] {
    fn read(&mut self, from: u64) -> Result<Option<StoredBundle>, SourceError> {
        Ok(self.iter().filter(|bundle| bundle.first >= from).min_by_key(|bundle| bundle.first).cloned())
    }
}
