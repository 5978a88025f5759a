//! The growing tree of one node's log.

use std::fmt;

use crate::merkle::{Frontier, Hash};
use crate::note::{CheckpointSigner, InvalidNote, Origin, SigningFailed, TreeHead, VerifierKey};

/// A log that entries are added to: its name, its size, and the frontier of its tree.
///
/// Adding takes two steps, so that memory never runs ahead of the disk: [`Log::prepare`] computes what to store, and once that is
/// durable [`Log::advance`] makes it so. A preparation that could not be stored is dropped, and the log is as it was.
#[derive(Debug, Clone)]
pub struct Log {
    origin: Origin,
    frontier: Frontier,
}

/// What adding a group of entries makes of the log. Stored in one transaction with the entries.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The index of the first entry of the group.
    pub first: u64,
    /// How many entries the group has.
    pub count: u64,
    /// The root of the tree that ends with this group.
    pub root: Hash,
    /// The signed note that says so.
    pub checkpoint: String,
    /// The new frontier, for [`Log::resume`].
    pub frontier: Vec<u8>,
    grown: Frontier,
}

impl Prepared {
    /// The size of the log with this group.
    pub fn size(&self) -> u64 {
        self.grown.size()
    }
}

impl Log {
    /// A log without entries.
    pub fn empty(origin: Origin) -> Self {
        Self { origin, frontier: Frontier::empty() }
    }

    /// Takes up a log where it was left, from storage that is not trusted: the frontier must hash to the root that the node signed.
    ///
    /// What this cannot see is a store that was put back to an older state as a whole; that is what checkpoints kept elsewhere are for.
    ///
    /// # Errors
    /// Says what does not fit.
    pub fn resume(key: &VerifierKey, size: u64, frontier: &[u8], checkpoint: &str) -> Result<Self, CannotResume> {
        let head = TreeHead::open(checkpoint, key).map_err(CannotResume::Checkpoint)?;
        if head.size != size {
            return Err(CannotResume::Size { stored: size, signed: head.size });
        }
        let frontier = Frontier::from_bytes(size, frontier).ok_or(CannotResume::Frontier { size })?;
        if frontier.root() != head.root {
            return Err(CannotResume::Frontier { size });
        }
        Ok(Self { origin: key.origin().clone(), frontier })
    }

    /// The log's name.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// How many entries the log has; also the index of the next one.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// Computes and signs what the log becomes with these entries after the present ones. Changes nothing.
    ///
    /// Costs one to two SHA-256 of 65 bytes for each entry, log₂(size) more for the root, and one signature.
    ///
    /// # Errors
    /// When the checkpoint cannot be signed.
    pub fn prepare(&self, leaves: &[Hash], signer: &dyn CheckpointSigner) -> Result<Prepared, SigningFailed> {
        let mut grown = self.frontier.clone();
        for leaf in leaves {
            grown.push(*leaf);
        }
        let head = TreeHead { size: grown.size(), root: grown.root() };
        Ok(Prepared {
            first: self.size(),
            count: head.size - self.size(),
            root: head.root,
            checkpoint: head.sign(&self.origin, signer)?,
            frontier: grown.to_bytes(),
            grown,
        })
    }

    /// Makes a preparation the log's state. Call it when entries and checkpoint are durable, not before.
    ///
    /// # Errors
    /// When the log has advanced since the preparation was made: storing it would fork the log.
    pub fn advance(&mut self, prepared: &Prepared) -> Result<(), Stale> {
        if prepared.first != self.size() {
            return Err(Stale { prepared_at: prepared.first, size: self.size() });
        }
        self.frontier = prepared.grown.clone();
        Ok(())
    }
}

/// Why a stored log cannot be taken up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CannotResume {
    /// The stored checkpoint is not one of this log, or not signed by its key.
    Checkpoint(InvalidNote),
    /// The stored size is not the one that was signed.
    Size {
        /// Entries in the store.
        stored: u64,
        /// Entries according to the checkpoint.
        signed: u64,
    },
    /// The stored frontier does not hash to the signed root.
    Frontier {
        /// Entries in the store.
        size: u64,
    },
}

impl fmt::Display for CannotResume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the audit log cannot be continued: ")?;
        match self {
            Self::Checkpoint(error) => write!(f, "its last checkpoint is refused, {error}")?,
            Self::Size { stored, signed } => {
                write!(f, "the store holds {stored} entries, the last signed checkpoint speaks of {signed}")?;
            }
            Self::Frontier { size } => {
                write!(f, "the stored tree state for {size} entries does not lead to the root that was signed")?;
            }
        }
        f.write_str(". The stored log was altered or damaged: run `claviger audit verify`")
    }
}

impl std::error::Error for CannotResume {}

/// A preparation that the log has grown past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stale {
    /// The size of the log when the preparation was made.
    pub prepared_at: u64,
    /// The size of the log now.
    pub size: u64,
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the audit log has {} entries, but this group was prepared at {}", self.size, self.prepared_at)
    }
}

impl std::error::Error for Stale {}
