//! What group commit is in every engine: many commits become one transaction and one audit bundle, and each of them goes through or fails alone.

use std::collections::HashSet;

use crate::{Bundle, Change, Committed, Epochs, Expect, Shard, StoreError};

/// One transaction takes at most about this many changes and entries...
pub(crate) const MOST_PARTS: usize = 4096;
/// ...and this many bytes.
pub(crate) const MOST_BYTES: usize = 8 << 20;

/// What a commit that goes through contributed to its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// The shards that it changed something in, one bit each.
    pub(crate) shards: u64,
    /// Where its entries begin among those of the transaction, if it has any.
    pub(crate) first_entry: Option<usize>,
}

/// The answer to each commit of a transaction, in order.
pub(crate) fn answers(
    parts: Vec<Result<Part, StoreError>>,
    epochs: Epochs,
    first_index: u64,
) -> impl Iterator<Item = Result<Committed, StoreError>> {
    let epoch = move |shard: Shard| epochs.get(shard.number()).copied().unwrap_or_default();
    parts.into_iter().map(move |part| {
        part.map(|part| Committed {
            epochs: shards_in(part.shards).map(|shard| (shard, epoch(shard))).collect(),
            first_index: part.first_entry.map(|offset| first_index + offset as u64),
        })
    })
}

/// The shards whose epochs these changes move, one bit each.
pub(crate) fn shards_of(changes: &[Change]) -> u64 {
    let moving = changes.iter().filter(|change| change.writes() && !change.key().kind.derived());
    moving.fold(0, |shards, change| shards | 1 << Shard::of(change.key()).number())
}

/// The shards whose bits are set.
pub(crate) fn shards_in(bits: u64) -> impl Iterator<Item = Shard> {
    (0..Shard::COUNT).filter(move |number| bits >> number & 1 == 1).filter_map(Shard::from_number)
}

/// Refuses what could not be carried out whatever is in the store.
pub(crate) fn check_form(changes: &[Change]) -> Result<(), StoreError> {
    let mut written = HashSet::new();
    for change in changes.iter().filter(|change| change.writes()) {
        let key = change.key();
        if changes.len() > 1 && !written.insert(key) {
            return Err(StoreError::Invalid(format!("it changes {key} twice")));
        }
        let Change::Put { record, expect } = change else { continue };
        if record.key.id.is_empty() {
            return Err(StoreError::Invalid(format!("a record of kind {} has an empty id", key.kind)));
        }
        if [&record.key.id, &record.scope, &record.owner].iter().any(|text| text.contains('\0')) {
            return Err(StoreError::Invalid(format!("{key} has a zero byte in a clear column")));
        }
        if i64::try_from(record.version).is_err() || matches!(expect, Expect::Version(before) if record.version <= *before) {
            return Err(StoreError::Invalid(format!("the version of {key} would go to {}", record.version)));
        }
    }
    Ok(())
}

/// The bundle that a sequencer has made for so many entries, if it holds them.
pub(crate) fn check_bundle(made: Result<Bundle, String>, entries: usize) -> Result<Bundle, StoreError> {
    let unavailable = |why: String| StoreError::Unavailable(format!("the audit log takes no entries: {why}"));
    let bundle = made.map_err(unavailable)?;
    if bundle.count as usize != entries {
        return Err(unavailable(format!("its bundle has {} entries instead of {entries}", bundle.count)));
    }
    Ok(bundle)
}

/// Why a commit with entries is refused before there is a log.
pub(crate) fn no_log() -> StoreError {
    StoreError::Unavailable("no audit log has been attached to it yet".into())
}

/// Why nothing more is written to a log that does not end where its sequencer believes.
pub(crate) fn split_log(node: &str, end: u64) -> StoreError {
    StoreError::Corrupt(format!(
        "the audit log of node {node} in the store does not end at {end}, where this server's log does: \
         nothing more is written to it; restart the server, and if that does not help, verify the log"
    ))
}
