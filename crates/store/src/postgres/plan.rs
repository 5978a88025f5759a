//! What a transaction shall do: the commits that waited together, held against the versions that were found, become the fewest writes.

use std::collections::BTreeMap;

use crate::group::{Part, check_form, no_log, shards_of};
use crate::{Change, Commit, Entry, Expect, Record, RecordKey, StoreError};

/// The records that a transaction looks at, with the versions that they have, as far as they are there.
pub(super) type Versions = BTreeMap<RecordKey, u64>;

/// What a transaction shall do.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// What becomes of each commit, in order.
    pub(super) parts: Vec<Result<Part, StoreError>>,
    /// The entries of all commits that go through, in order.
    pub(super) entries: Vec<Entry>,
    /// The shards that anything is changed in, one bit each.
    pub(super) shards: u64,
    /// Records that were not there.
    pub(super) inserts: Vec<Record>,
    /// Records that were there, in this version.
    pub(super) updates: Vec<(u64, Record)>,
    /// Records that were there, in this version, and shall be no more.
    pub(super) deletes: Vec<(u64, RecordKey)>,
}

/// The records that have to be looked at before these commits can be carried out, each once, in one order for everybody, so that two nodes
/// do not wait for each other. An id with a zero byte, which no text of PostgreSQL has, is nobody's.
pub(super) fn looked_at<'a>(commits: impl Iterator<Item = &'a Commit>) -> Vec<RecordKey> {
    let changes = commits.flat_map(|commit| &commit.changes).map(Change::key);
    let mut keys: Vec<RecordKey> = changes.filter(|key| !key.id.contains('\0')).cloned().collect();
    keys.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
    keys.dedup();
    keys
}

/// The order of the records' primary key in the database.
fn order(key: &RecordKey) -> (&str, &str, claviger_domain::AccountId) {
    (key.kind.as_str(), &key.id, key.account)
}

impl Plan {
    /// Decides what becomes of each commit, one after the other, each on top of those before it.
    pub(super) fn of<'a>(commits: impl Iterator<Item = &'a Commit>, found: &Versions, has_log: bool) -> Self {
        let mut plan = Self::default();
        // What the commits so far make of the records that they write.
        let mut written: BTreeMap<RecordKey, Option<Record>> = BTreeMap::new();
        for commit in commits {
            let part = plan.take(commit, found, &mut written, has_log);
            plan.parts.push(part);
        }
        for (key, record) in written {
            match (found.get(&key), record) {
                (None, Some(record)) => plan.inserts.push(record),
                (Some(version), Some(record)) => plan.updates.push((*version, record)),
                (Some(version), None) => plan.deletes.push((*version, key)),
                // Made and removed at once.
                (None, None) => {}
            }
        }
        plan
    }

    fn take(
        &mut self,
        commit: &Commit,
        found: &Versions,
        written: &mut BTreeMap<RecordKey, Option<Record>>,
        has_log: bool,
    ) -> Result<Part, StoreError> {
        if !commit.entries.is_empty() && !has_log {
            return Err(no_log());
        }
        check_form(&commit.changes)?;
        for change in &commit.changes {
            let key = change.key();
            let version = match written.get(key) {
                Some(record) => record.as_ref().map(|record| record.version),
                None => found.get(key).copied(),
            };
            let holds = match change.expect() {
                Expect::Absent => version.is_none(),
                Expect::Version(expected) => version == Some(expected),
            };
            if !holds {
                return Err(StoreError::Conflict(key.clone()));
            }
        }
        for change in &commit.changes {
            match change {
                Change::Put { record, .. } => drop(written.insert(record.key.clone(), Some(record.clone()))),
                Change::Delete { key, .. } => drop(written.insert(key.clone(), None)),
                Change::Check { .. } => {}
            }
        }
        let shards = shards_of(&commit.changes);
        self.shards |= shards;
        let first_entry = (!commit.entries.is_empty()).then_some(self.entries.len());
        self.entries.extend(commit.entries.iter().cloned());
        Ok(Part { shards, first_entry })
    }

    /// Whether any record is written.
    pub(super) fn writes(&self) -> bool {
        !(self.inserts.is_empty() && self.updates.is_empty() && self.deletes.is_empty())
    }
}
