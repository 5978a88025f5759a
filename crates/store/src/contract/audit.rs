//! The audit log: every acknowledged entry once, in order, and no entry for what did not happen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::log::{TestLog, entries_in, read_verified};
use super::{Fixture, commit, entry, get, insert, key, next, put, record};
use crate::RecordKind::Key;
use crate::{Expect, StoreError};

/// Without a log nothing that must be audited can be done; the rest can.
pub async fn entries_need_a_log(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let made = record(&key(1, Key, "x"));
    let refused = commit(&*store, vec![put(made.clone(), Expect::Absent)], vec![entry("made")]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert_eq!(get(&*store, &made.key).await, None);
    insert(&*store, [made]).await;
    let (sequencer, _) = TestLog::resume(&*store, "n").await;
    store.attach_log(sequencer);
    commit(&*store, vec![], vec![entry("used")]).await.unwrap();
    assert_eq!(read_verified(&*store, "n").await, ["used"]);
}

/// A commit's entries stand together and in its order.
pub async fn entries_are_numbered_in_order(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let (sequencer, _) = TestLog::resume(&*store, "n").await;
    store.attach_log(sequencer);
    for (texts, index) in [(vec!["a"], Some(0)), (vec![], None), (vec!["b", "c", "d"], Some(1)), (vec!["e"], Some(4))] {
        let entries = texts.into_iter().map(entry).collect();
        assert_eq!(commit(&*store, vec![], entries).await.unwrap().first_index, index);
    }
    let large = "x".repeat(300_000);
    assert_eq!(commit(&*store, vec![], vec![entry(&large), entry("")]).await.unwrap().first_index, Some(5));
    assert_eq!(read_verified(&*store, "n").await, ["a", "b", "c", "d", "e", &large, ""]);
}

/// A conflict is not an event.
pub async fn a_refused_commit_leaves_no_entry(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let (sequencer, _) = TestLog::resume(&*store, "n").await;
    store.attach_log(sequencer);
    let made = record(&key(1, Key, "x"));
    let changes = || vec![put(made.clone(), Expect::Absent)];
    commit(&*store, changes(), vec![entry("made")]).await.unwrap();
    commit(&*store, changes(), vec![entry("made again")]).await.unwrap_err();
    let done = commit(&*store, vec![], vec![entry("used")]).await.unwrap();
    assert_eq!(done.first_index, Some(1));
    assert_eq!(read_verified(&*store, "n").await, ["made", "used"]);
}

/// Many at once, of all sorts: the answers' indexes are where the entries are, and nothing else is in the log.
pub async fn every_acknowledged_entry_is_in_the_log_once(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let (sequencer, control) = TestLog::resume(&*store, "n").await;
    store.attach_log(sequencer);
    let contended = record(&key(1, Key, "contended"));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..32 {
        let (store, contended) = (Arc::clone(&store), contended.clone());
        writers.spawn(async move {
            let mut acknowledged = Vec::new();
            for round in 0..20 {
                let texts: Vec<String> = (0..round % 3 + 1).map(|part| format!("{writer}/{round}/{part}")).collect();
                let changes = match (writer + round) % 4 {
                    0 => vec![put(record(&key(2, Key, &texts[0])), Expect::Absent)],
                    1 => vec![put(contended.clone(), Expect::Absent)],
                    _ => vec![],
                };
                let done = commit(&*store, changes, texts.iter().map(|text| entry(text)).collect()).await;
                match done {
                    Ok(done) => acknowledged.push((done.first_index.expect("it had entries"), texts)),
                    Err(error) => assert_eq!(error, StoreError::Conflict(contended.key.clone())),
                }
            }
            acknowledged
        });
    }
    let acknowledged: BTreeMap<u64, Vec<String>> = writers.join_all().await.into_iter().flatten().collect();
    let log = read_verified(&*store, "n").await;
    assert_eq!(acknowledged.into_values().flatten().collect::<Vec<_>>(), log);
    assert_eq!(log.iter().collect::<BTreeSet<_>>().len(), log.len());
    let control = control.lock();
    assert!(control.accepted > 0 && control.discarded == 0, "{control:?}");
}

/// When the log cannot take the entry, what it is about has not happened. It works again when the log does.
pub async fn a_failing_log_discards_everything(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let (sequencer, control) = TestLog::resume(&*store, "n").await;
    store.attach_log(sequencer);
    let there = record(&key(1, Key, "there"));
    commit(&*store, vec![put(there.clone(), Expect::Absent)], vec![entry("there")]).await.unwrap();
    let before = store.epochs().await.unwrap();

    control.lock().fail = Some("the signing key is gone".into());
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..10 {
        let (store, there) = (Arc::clone(&store), there.clone());
        writers.spawn(async move {
            let mut changes = vec![put(record(&key(1, Key, &format!("{number}"))), Expect::Absent)];
            if number == 0 {
                changes.push(put(next(&there), Expect::Version(1)));
            }
            commit(&*store, changes, vec![entry("never")]).await
        });
    }
    for refused in writers.join_all().await {
        let Err(StoreError::Unavailable(why)) = &refused else { panic!("{refused:?}") };
        assert!(why.contains("the signing key is gone"), "{why}");
    }
    assert_eq!(store.count(Key, None).await, Ok(1));
    assert_eq!(get(&*store, &there.key).await, Some(there));
    assert_eq!(store.epochs().await, Ok(before));
    assert_eq!(read_verified(&*store, "n").await, ["there"]);

    control.lock().fail = None;
    let done = commit(&*store, vec![put(record(&key(1, Key, "0")), Expect::Absent)], vec![entry("after")]).await.unwrap();
    assert_eq!(done.first_index, Some(1));
    assert_eq!(read_verified(&*store, "n").await, ["there", "after"]);
    assert!(control.lock().discarded > 0);
}

/// Two servers with one node's name must not fork its log, nor may a log skip an index.
pub async fn a_log_that_is_out_of_step_is_refused(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let (twin, _) = TestLog::resume(&*store, "n").await;
    let (sequencer, control) = TestLog::resume(&*store, "n").await;
    store.attach_log(sequencer);
    commit(&*store, vec![], vec![entry("a")]).await.unwrap();
    control.lock().skip = 1;
    let made = record(&key(1, Key, "x"));
    let gap = commit(&*store, vec![put(made.clone(), Expect::Absent)], vec![entry("gap")]).await;
    assert!(matches!(gap, Err(StoreError::Corrupt(_))), "{gap:?}");
    control.lock().skip = 0;
    commit(&*store, vec![], vec![entry("b")]).await.unwrap();
    store.attach_log(twin);
    let fork = commit(&*store, vec![put(made.clone(), Expect::Absent)], vec![entry("fork")]).await;
    assert!(matches!(fork, Err(StoreError::Corrupt(_))), "{fork:?}");
    assert_eq!(get(&*store, &made.key).await, None);
    assert_eq!(read_verified(&*store, "n").await, ["a", "b"]);
}

/// The store counts, so that a mistake in the log cannot lose an entry unseen.
pub async fn a_bundle_must_hold_every_entry(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let (sequencer, control) = TestLog::resume(&*store, "n").await;
    store.attach_log(sequencer);
    control.lock().lose_an_entry = true;
    let lost = commit(&*store, vec![], vec![entry("a"), entry("b")]).await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    assert_eq!(read_verified(&*store, "n").await, [""; 0]);
}

/// A reader says which entry it wants, and gets the bundle with it and those behind.
pub async fn bundles_are_read_from_any_index(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let (sequencer, _) = TestLog::resume(&*store, "n").await;
    store.attach_log(sequencer);
    // One after another, so that each commit is a bundle: indexes 0..3, 3, 4..6.
    for texts in [&["a", "b", "c"][..], &["d"], &["e", "f"]] {
        commit(&*store, vec![], texts.iter().map(|text| entry(text)).collect()).await.unwrap();
    }
    let firsts = async |from, limit| {
        let bundles = store.bundles("n", from, limit).await.unwrap();
        bundles.iter().map(|bundle| (bundle.first, bundle.count)).collect::<Vec<_>>()
    };
    assert_eq!(firsts(0, 9).await, [(0, 3), (3, 1), (4, 2)]);
    assert_eq!(firsts(2, 9).await, [(0, 3), (3, 1), (4, 2)]);
    assert_eq!(firsts(3, 9).await, [(3, 1), (4, 2)]);
    assert_eq!(firsts(5, 9).await, [(4, 2)]);
    assert_eq!(firsts(6, 9).await, []);
    assert_eq!(firsts(u64::MAX, 9).await, []);
    assert_eq!(firsts(1, 1).await, [(0, 3)]);
    assert_eq!(firsts(0, 0).await, []);
    let bundle = store.bundles("n", 5, 1).await.unwrap().remove(0);
    assert_eq!(entries_in(&bundle), [entry("e"), entry("f")]);
    assert!(bundle.frontier.is_empty());
}

/// The logs of several nodes lie side by side.
pub async fn each_node_has_its_own_log(fixture: &impl Fixture) {
    let store = fixture.open().await;
    for (node, texts) in [("n2", ["a", "b"]), ("n1", ["c", "d"]), ("n10", ["e", "f"])] {
        let (sequencer, _) = TestLog::resume(&*store, node).await;
        store.attach_log(sequencer);
        for (text, index) in texts.into_iter().zip(0..) {
            assert_eq!(commit(&*store, vec![], vec![entry(text)]).await.unwrap().first_index, Some(index));
        }
    }
    assert_eq!(store.log_nodes().await.unwrap(), ["n1", "n10", "n2"]);
    assert_eq!(read_verified(&*store, "n1").await, ["c", "d"]);
    assert_eq!(read_verified(&*store, "n10").await, ["e", "f"]);
    assert_eq!(read_verified(&*store, "n2").await, ["a", "b"]);
}
