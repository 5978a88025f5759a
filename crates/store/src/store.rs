//! The port that every engine implements.

use std::pin::Pin;
use std::time::Duration;

use claviger_domain::{AccountId, Timestamp};

use crate::{Bundle, Change, Entry, Epochs, LogHead, Record, RecordKey, RecordKind, Sequencer, Shard, StoreError};

/// What the store answers with, later.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// What is written together: all of it or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// Changes to records; each record at most once, checks aside.
    pub changes: Vec<Change>,
    /// Audit entries, in the order in which they are to stand in the log.
    pub entries: Vec<Entry>,
    /// For how long it may be held back, so that others come to share its transaction. An engine makes use of that where it saves work.
    pub leisure: Duration,
}

impl Commit {
    /// One that has no time to lose.
    pub fn new(changes: Vec<Change>, entries: Vec<Entry>) -> Self {
        Self { changes, entries, leisure: Duration::ZERO }
    }

    /// The same, with time to wait for others.
    #[must_use]
    pub fn at_leisure(self, leisure: Duration) -> Self {
        Self { leisure, ..self }
    }
}

/// What came of a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// The shards that the commit changed, each with its new epoch. Commits that were written together share epochs.
    pub epochs: Vec<(Shard, u64)>,
    /// The log index of the commit's first entry; the others follow it.
    pub first_index: Option<u64>,
}

/// One page of a list. Everything given must match.
#[derive(Debug, Clone, Copy)]
pub struct List<'a> {
    /// Whose records.
    pub account: AccountId,
    /// Which kind.
    pub kind: RecordKind,
    /// Only records with this scope.
    pub scope: Option<&'a str>,
    /// Only records with this owner; the empty one means those without.
    pub owner: Option<&'a str>,
    /// Only ids behind this one: the last of the page before.
    pub after: Option<&'a str>,
    /// At most so many records.
    pub limit: usize,
}

/// What an engine can tell of itself, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreHealth {
    /// The engine and its version: `SQLite 3.50.4`, `PostgreSQL 15.14`.
    pub engine: String,
    /// Whether a commit waits for a copy elsewhere; none where the engine has no copies.
    pub synchronous: Option<bool>,
    /// The copies of the database that the engine knows of.
    pub replicas: Vec<Replica>,
}

/// A copy of the database, as the engine sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// What it calls itself, and where it is.
    pub name: String,
    /// The engine's word for how it is: `streaming`.
    pub state: String,
    /// Whether commits wait for it.
    pub synchronous: bool,
    /// How many bytes of changes it has not taken over yet, if that is known.
    pub lag_bytes: Option<u64>,
    /// How old what it has taken over is, in milliseconds, if that is known.
    pub lag_ms: Option<u64>,
}

/// Durable records and audit bundles.
///
/// Reads see every commit that was answered before they were asked for. Every method may answer [`StoreError::Unavailable`],
/// and every read [`StoreError::Corrupt`] where a row cannot be understood.
pub trait Store: Send + Sync {
    /// The record with this key.
    fn get(&self, key: &RecordKey) -> StoreFuture<'_, Option<Record>>;

    /// The record with this id, whichever account it belongs to, for kinds whose ids are unique in the deployment (access
    /// keys). Two records with that id are an error ([`StoreError::Corrupt`]), not a choice.
    fn find(&self, kind: RecordKind, id: &str) -> StoreFuture<'_, Option<Record>>;

    /// One page of an account's records of a kind, in the order of the bytes of their ids.
    fn list(&self, list: List<'_>) -> StoreFuture<'_, Vec<Record>>;

    /// One page of every record there is, in an order that the store chooses and keeps: for verification and re-wrapping.
    fn scan(&self, after: Option<&RecordKey>, limit: usize) -> StoreFuture<'_, Vec<Record>>;

    /// Records that are due at `until` or before, the longest due first.
    fn due(&self, kind: RecordKind, until: Timestamp, limit: usize) -> StoreFuture<'_, Vec<Record>>;

    /// How many records of a kind there are, in one account or in all.
    fn count(&self, kind: RecordKind, account: Option<AccountId>) -> StoreFuture<'_, u64>;

    /// How many records of a kind with this scope an account has. Reads an index of them from end to end.
    fn count_in_scope(&self, kind: RecordKind, account: AccountId, scope: &str) -> StoreFuture<'_, u64>;

    /// How many records of a kind each owner has, in all accounts together, in the order of the bytes of the owners. Reads an index
    /// from end to end: for gauges, not for requests.
    fn count_by_owner(&self, kind: RecordKind) -> StoreFuture<'_, Vec<(String, u64)>>;

    /// Writes all of this, durably, or nothing of it. The only way to change records and to add audit entries.
    ///
    /// A future that is dropped once it has been polled may still have been carried out.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] with the first record that was not as expected; [`StoreError::Invalid`] for a commit that
    /// contradicts itself. In both cases other commits go on undisturbed, and no audit entry was written.
    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed>;

    /// How often the engine has connected anew to where it writes. After that it may be another database, and what was read in an earlier era may
    /// have been said by one that was left behind: it is to be looked at again. Epochs of an era are later than all of those before.
    fn era(&self) -> u64 {
        0
    }

    /// The epoch of every shard.
    fn epochs(&self) -> StoreFuture<'_, Epochs>;

    /// Whether other nodes may write to it at the same time. Where none can, nobody has to agree with anybody about who does what.
    fn is_shared(&self) -> bool;

    /// What time it is on the store's clock.
    fn time(&self) -> StoreFuture<'_, Timestamp>;

    /// What the engine tells of itself. For people: it may cost some queries.
    fn health(&self) -> StoreFuture<'_, StoreHealth>;

    /// A small clear fact about the deployment (its id, the wrapped root key), by name.
    fn fact(&self, name: &str) -> StoreFuture<'_, Option<String>>;

    /// Writes a fact, durably, over an older one of that name.
    fn set_fact(&self, name: &str, value: &str) -> StoreFuture<'_, ()>;

    /// The end of a node's log, if it has one.
    fn log_head(&self, node: &str) -> StoreFuture<'_, Option<LogHead>>;

    /// The nodes that have a log's head or any of its bundles, in the order of the bytes of their names.
    fn log_nodes(&self) -> StoreFuture<'_, Vec<String>>;

    /// The bundle that contains the entry `from` and those behind it, in order. Empty when the log ends before `from`.
    fn bundles(&self, node: &str, from: u64, limit: usize) -> StoreFuture<'_, Vec<Bundle>>;

    /// What the engine's own check of its storage finds wrong; empty when all is well. An engine whose server looks after that itself finds nothing.
    fn check_storage(&self) -> StoreFuture<'_, Vec<String>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Writes what is waiting, and lets go of the storage. From then on every call answers [`StoreError::Unavailable`].
    fn close(&self) -> StoreFuture<'_, ()>;

    /// Gives audit entries a log to go to. Until then commits with entries are refused. A second one takes the place of the first.
    fn attach_log(&self, sequencer: Box<dyn Sequencer>);
}
