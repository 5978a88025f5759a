//! Durable records and audit bundles: what a deployment must not lose.
//!
//! A [`Record`] is opaque sealed bytes beside a few clear columns that queries need; an audit [`Bundle`] is opaque too. The store
//! knows no cryptography, no policy and no audit format: it keeps what it is given, exactly, or says that it could not.
//!
//! [`Store::commit`] is the only way to write records and audit entries, both in one transaction, durable when it answers. Commits
//! that wait at the same time become one transaction (group commit) and one audit bundle, which the [`Sequencer`] makes.
//! Every change of a record moves the epoch of its [`Shard`], so that nodes can tell in one small read what they may still cache.
//!
//! The store is not trusted by those who use it: whoever can write to its file can change it, so records are sealed by their
//! owner and the audit log is signed. For its part the store never repairs silently: what does not fit is an error that names it.
//!
//! Start reading at the trait [`Store`]; [`SqliteStore`] is the engine for one node, [`PostgresStore`] that for several. `contract` is the test suite that every
//! engine must pass unchanged, and `sql` holds the statements that engines share.

#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod copy;
mod error;
mod group;
mod log;
mod postgres;
mod record;
mod shard;
mod sql;
mod sqlite;
mod store;

pub use error::StoreError;
pub use log::{Bundle, Entry, LogHead, Sequencer};
pub use postgres::{PostgresOptions, PostgresStore};
pub use record::{Change, Expect, Record, RecordKey, RecordKind};
pub use shard::{Epochs, Shard};
pub use sqlite::{OpenMode, SqliteStore};
pub use store::{Commit, Committed, List, Replica, Store, StoreFuture, StoreHealth};
