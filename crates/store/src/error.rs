//! What can go wrong in a store, in words for the person who runs it.

use std::fmt;
use std::path::PathBuf;

use crate::RecordKey;

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// The record is not in the version that the commit expected: somebody else was faster. Nothing of the commit was done.
    Conflict(RecordKey),
    /// The commit contradicts itself (changes one record twice, say). Nothing of it was done; trying again cannot help: it is a
    /// mistake in the program that asked.
    Invalid(String),
    /// Another process serves this store.
    InUse {
        /// The store's file.
        path: PathBuf,
        /// The process that has it, as far as it said so.
        process: Option<u32>,
    },
    /// A newer version of the program wrote this store.
    NewerSchema {
        /// The schema version of the store.
        found: u32,
        /// The newest schema version that this program knows.
        known: u32,
    },
    /// What is stored is not what this program would have written. Says what and where; nothing was changed.
    Corrupt(String),
    /// The store cannot do it now: input or output failed, the disk is full, it is closed. Says what, and what to do.
    Unavailable(String),
    /// The file is something else. It was not touched.
    NotAStore(PathBuf),
    /// There is no store at this path.
    Missing(PathBuf),
    /// A new store was to be made, but this file is there already. It was not touched.
    Exists(PathBuf),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(key) => write!(f, "the record {key} has been changed by somebody else in the meantime"),
            Self::Invalid(what) => write!(f, "the store was asked for what cannot be: {what}"),
            Self::InUse { path, process } => {
                match process {
                    Some(id) => write!(f, "the store {} is in use by process {id}", path.display())?,
                    None => write!(f, "the store {} is in use by another process", path.display())?,
                }
                f.write_str(": stop that server first, or give this one a store of its own")
            }
            Self::NewerSchema { found, known } => write!(
                f,
                "the store has schema version {found}, this program knows versions up to {known}: a newer claviger wrote it; \
                 run that version or a later one (nothing was changed)"
            ),
            Self::Corrupt(what) => write!(f, "the store is damaged or has been tampered with: {what}"),
            Self::Unavailable(what) => write!(f, "the store is not available: {what}"),
            Self::NotAStore(path) => {
                write!(f, "{} is not a claviger store (it was not touched): check the path", path.display())
            }
            Self::Missing(path) => write!(f, "there is no store at {}: `claviger init` makes one", path.display()),
            Self::Exists(path) => {
                write!(f, "there is already a file {}: a new store needs a path where nothing is", path.display())
            }
        }
    }
}

impl std::error::Error for StoreError {}
