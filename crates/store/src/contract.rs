//! The suite of tests that every engine must pass unchanged.
//!
//! An engine's tests write a [`Fixture`], and `claviger_store::contract_suite!(make_fixture)` makes one test of each case below.
//! [`log::TestLog`] stands for the audit crate: a log simple enough that a test can check all of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "these are tests: a panic is how they fail"
)]

pub mod audit;
pub mod commits;
pub mod durability;
pub mod log;
pub mod records;

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use claviger_domain::{AccountId, Timestamp};

use crate::{Change, Commit, Committed, Entry, Expect, Record, RecordKey, RecordKind, Store, StoreError};

/// Storage that a test can open, let go of and open again. Empty and alone at first.
pub trait Fixture: Send + Sync {
    /// Opens the storage. The store that was opened before has been dropped by then.
    fn open(&self) -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + Send + '_>>;
}

/// Makes a test of every case of the suite; `$fixture` is a function that makes a [`Fixture`].
#[macro_export]
macro_rules! contract_suite {
    ($fixture:path) => {
        $crate::contract_suite! { @cases $fixture:
            records::a_record_is_read_as_it_was_written
            records::a_record_that_is_not_there_is_none
            records::accounts_and_kinds_keep_apart
            records::find_looks_in_every_account
            records::find_refuses_to_choose
            records::lists_are_in_the_order_of_id_bytes
            records::lists_filter_by_scope_and_owner
            records::pages_hold_every_record_once
            records::scan_meets_every_record_once
            records::due_records_come_longest_due_first
            records::counts_are_per_kind_and_account
            records::counts_are_per_owner
            records::counts_are_per_scope
            records::lists_of_a_scope_come_in_pages
            commits::a_record_is_made_once
            commits::a_record_is_changed_from_the_expected_version_only
            commits::a_record_is_deleted_in_the_expected_version_only
            commits::a_check_writes_nothing_and_can_fail
            commits::a_commit_is_done_whole_or_not_at_all
            commits::a_contradiction_is_refused
            commits::an_empty_commit_succeeds
            commits::epochs_move_for_touched_shards_only
            commits::no_update_is_lost_among_concurrent_writers
            commits::one_of_many_wins_a_name
            commits::a_large_commit_is_one_commit
            commits::histories_agree_with_a_model
            audit::entries_need_a_log
            audit::entries_are_numbered_in_order
            audit::a_refused_commit_leaves_no_entry
            audit::every_acknowledged_entry_is_in_the_log_once
            audit::a_failing_log_discards_everything
            audit::a_log_that_is_out_of_step_is_refused
            audit::a_bundle_must_hold_every_entry
            audit::bundles_are_read_from_any_index
            audit::each_node_has_its_own_log
            durability::what_was_acknowledged_is_there_after_reopening
            durability::a_log_is_continued_after_reopening
            durability::facts_are_replaced
        }
    };
    (@cases $fixture:path: $($module:ident::$case:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::contract::$module::$case(&$fixture()).await;
            }
        )+
    };
}

/// The account that most cases use.
fn account(number: u64) -> AccountId {
    AccountId::from_number(number).unwrap()
}

fn key(number: u64, kind: RecordKind, id: &str) -> RecordKey {
    RecordKey { account: account(number), kind, id: id.into() }
}

/// A record of version 1 whose content tells it from every other.
fn record(key: &RecordKey) -> Record {
    let sealed = Bytes::from(format!("sealed {key}"));
    let (scope, owner) = (String::new(), String::new());
    Record { key: key.clone(), version: 1, account_key_version: 1, scope, owner, due: None, sealed }
}

fn put(record: Record, expect: Expect) -> Change {
    Change::Put { record, expect }
}

/// The next version of a record, with other content.
fn next(record: &Record) -> Record {
    let sealed = Bytes::from(format!("{} again", String::from_utf8_lossy(&record.sealed)));
    Record { version: record.version + 1, sealed, ..record.clone() }
}

fn entry(text: &str) -> Entry {
    let mut leaf = [0; 32];
    for (place, byte) in text.bytes().enumerate() {
        leaf[place % 32] ^= byte.rotate_left(u32::try_from(place / 32 % 8).unwrap());
    }
    Entry { bytes: Bytes::copy_from_slice(text.as_bytes()), leaf }
}

async fn commit(store: &dyn Store, changes: Vec<Change>, entries: Vec<Entry>) -> Result<Committed, StoreError> {
    store.commit(Commit::new(changes, entries)).await
}

/// Writes new records, which must succeed.
async fn insert(store: &dyn Store, records: impl IntoIterator<Item = Record>) {
    let changes = records.into_iter().map(|record| put(record, Expect::Absent)).collect();
    commit(store, changes, vec![]).await.expect("new records can be written");
}

async fn get(store: &dyn Store, key: &RecordKey) -> Option<Record> {
    store.get(key).await.expect("the store can be read")
}

fn ids(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.key.id.as_str()).collect()
}

fn at(ms: i64) -> Option<Timestamp> {
    Some(Timestamp(ms))
}
