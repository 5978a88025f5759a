//! Writing: expectations hold or nothing happens, and epochs tell what happened.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::log::{TestLog, read_verified};
use super::{Fixture, commit, entry, get, insert, key, next, put, record};
use crate::RecordKind::{Alias, Key, LastUse, Setting, User};
use crate::{Change, Committed, Epochs, Expect, Record, RecordKey, Shard, StoreError};

/// The second one to make it is told so.
pub async fn a_record_is_made_once(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let first = record(&key(1, Key, "x"));
    insert(&*store, [first.clone()]).await;
    let again = commit(&*store, vec![put(next(&first), Expect::Absent)], vec![]).await;
    assert_eq!(again, Err(StoreError::Conflict(first.key.clone())));
    assert_eq!(get(&*store, &first.key).await, Some(first));
}

/// Not from an older version, not from a newer one, not from none.
pub async fn a_record_is_changed_from_the_expected_version_only(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let first = record(&key(1, Key, "x"));
    let second = Record { scope: "s".into(), owner: "o".into(), due: super::at(5), account_key_version: 2, ..next(&first) };
    let third = next(&second);
    let conflict = Err(StoreError::Conflict(first.key.clone()));
    assert_eq!(commit(&*store, vec![put(second.clone(), Expect::Version(1))], vec![]).await, conflict);
    insert(&*store, [first.clone()]).await;
    assert_eq!(commit(&*store, vec![put(third.clone(), Expect::Version(2))], vec![]).await, conflict);
    assert_eq!(get(&*store, &first.key).await, Some(first.clone()));
    commit(&*store, vec![put(second.clone(), Expect::Version(1))], vec![]).await.unwrap();
    assert_eq!(commit(&*store, vec![put(second.clone(), Expect::Version(1))], vec![]).await, conflict);
    assert_eq!(get(&*store, &first.key).await, Some(second));
    commit(&*store, vec![put(third.clone(), Expect::Version(2))], vec![]).await.unwrap();
    assert_eq!(get(&*store, &first.key).await, Some(third));
}

/// And can be made again afterwards.
pub async fn a_record_is_deleted_in_the_expected_version_only(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let first = record(&key(1, Alias, "x"));
    let delete = |version| vec![Change::Delete { key: first.key.clone(), version }];
    let conflict = Err(StoreError::Conflict(first.key.clone()));
    assert_eq!(commit(&*store, delete(1), vec![]).await, conflict);
    insert(&*store, [first.clone()]).await;
    assert_eq!(commit(&*store, delete(2), vec![]).await, conflict);
    assert_eq!(get(&*store, &first.key).await, Some(first.clone()));
    commit(&*store, delete(1), vec![]).await.unwrap();
    assert_eq!(get(&*store, &first.key).await, None);
    assert_eq!(commit(&*store, delete(1), vec![]).await, conflict);
    insert(&*store, [first]).await;
}

/// An alias is made for a key that is still the one that was looked at.
pub async fn a_check_writes_nothing_and_can_fail(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let target = record(&key(1, Key, "target"));
    insert(&*store, [target.clone()]).await;
    let before = store.epochs().await.unwrap();
    let check = |version| Change::Check { key: target.key.clone(), version };

    let alone = commit(&*store, vec![check(1)], vec![]).await;
    assert_eq!(alone, Ok(Committed::default()));
    assert_eq!(store.epochs().await, Ok(before));

    let alias = record(&key(1, Alias, "alias"));
    let stale = commit(&*store, vec![put(alias.clone(), Expect::Absent), check(2)], vec![]).await;
    assert_eq!(stale, Err(StoreError::Conflict(target.key.clone())));
    assert_eq!(get(&*store, &alias.key).await, None);

    let gone = Change::Check { key: key(1, Key, "gone"), version: 1 };
    assert_eq!(commit(&*store, vec![gone], vec![]).await, Err(StoreError::Conflict(key(1, Key, "gone"))));

    // A check beside a change of the same record is about the record before the change.
    let changes = vec![put(next(&target), Expect::Version(1)), check(1), put(alias.clone(), Expect::Absent)];
    let done = commit(&*store, changes, vec![]).await.unwrap();
    assert_eq!(
        done.epochs.len(),
        [&target.key, &alias.key].map(Shard::of).iter().collect::<std::collections::BTreeSet<_>>().len()
    );
    assert_eq!(get(&*store, &alias.key).await, Some(alias));
    assert_eq!(get(&*store, &target.key).await, Some(next(&target)));
}

/// However many of its changes could have been made.
pub async fn a_commit_is_done_whole_or_not_at_all(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let (there, gone, blocked) = (record(&key(1, Key, "there")), record(&key(1, Key, "gone")), record(&key(1, Key, "blocked")));
    insert(&*store, [there.clone(), gone.clone(), blocked.clone()]).await;
    let before = store.epochs().await.unwrap();
    let fresh = record(&key(1, Key, "fresh"));
    let mut changes = vec![
        put(fresh.clone(), Expect::Absent),
        put(next(&there), Expect::Version(1)),
        Change::Delete { key: gone.key.clone(), version: 1 },
        put(Record { version: 10, ..blocked.clone() }, Expect::Version(9)),
    ];
    for _ in 0..changes.len() {
        changes.rotate_left(1);
        let refused = commit(&*store, changes.clone(), vec![]).await;
        assert_eq!(refused, Err(StoreError::Conflict(blocked.key.clone())));
        assert_eq!(get(&*store, &fresh.key).await, None);
        assert_eq!(get(&*store, &there.key).await, Some(there.clone()));
        assert_eq!(get(&*store, &gone.key).await, Some(gone.clone()));
        assert_eq!(get(&*store, &blocked.key).await, Some(blocked.clone()));
        assert_eq!(store.epochs().await, Ok(before));
    }
}

/// What could not be right in any store is told apart from a conflict: nobody should try it again.
pub async fn a_contradiction_is_refused(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let first = record(&key(1, Key, "x"));
    insert(&*store, [first.clone()]).await;
    let again = || put(next(&first), Expect::Version(1));
    let other = record(&key(1, Key, "y"));
    let wrong = [
        vec![again(), again()],
        vec![again(), Change::Delete { key: first.key.clone(), version: 1 }],
        vec![put(other.clone(), Expect::Absent), put(next(&other), Expect::Version(1))],
        vec![put(first.clone(), Expect::Version(1))],
        vec![put(Record { version: 0, ..first.clone() }, Expect::Version(1))],
        vec![put(Record { version: u64::MAX, ..first.clone() }, Expect::Version(1))],
        vec![put(record(&key(1, Key, "")), Expect::Absent)],
        vec![put(record(&key(1, Key, "a\0b")), Expect::Absent)],
    ];
    for changes in wrong {
        let refused = commit(&*store, changes.clone(), vec![]).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{changes:?}: {refused:?}");
    }
    assert_eq!(get(&*store, &first.key).await, Some(first));
    assert_eq!(store.count(Key, None).await, Ok(1));
}

/// Nothing to do is done.
pub async fn an_empty_commit_succeeds(fixture: &impl Fixture) {
    let store = fixture.open().await;
    assert_eq!(commit(&*store, vec![], vec![]).await, Ok(Committed::default()));
    assert_eq!(store.epochs().await, Ok([0; 64]));
}

/// For makes, changes and deletes; not for refusals, entries, checks and projections.
pub async fn epochs_move_for_touched_shards_only(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let (sequencer, _) = TestLog::resume(&*store, "n").await;
    store.attach_log(sequencer);
    let mut expected: Epochs = [0; 64];
    let records: Vec<Record> = (0..20).map(|number| record(&key(1, Key, &format!("{number}")))).collect();
    let keys: Vec<&RecordKey> = records.iter().map(|record| &record.key).collect();

    let made = commit(&*store, records.iter().map(|record| put(record.clone(), Expect::Absent)).collect(), vec![]).await.unwrap();
    assert_eq!(moved(&mut expected, &keys), sorted(made));
    assert_eq!(store.epochs().await, Ok(expected));

    let changed = commit(&*store, vec![put(next(&records[3]), Expect::Version(1))], vec![entry("a")]).await.unwrap();
    assert_eq!(moved(&mut expected, &[keys[3]]), sorted(changed));
    let deleted = commit(&*store, vec![Change::Delete { key: keys[4].clone(), version: 1 }], vec![]).await.unwrap();
    assert_eq!(moved(&mut expected, &[keys[4]]), sorted(deleted));
    assert_eq!(store.epochs().await, Ok(expected));

    let refused = commit(&*store, vec![put(next(&records[5]), Expect::Absent)], vec![entry("refused")]).await;
    assert_eq!(refused, Err(StoreError::Conflict(keys[5].clone())));
    let used = commit(&*store, vec![], vec![entry("b")]).await.unwrap();
    assert_eq!(used.epochs, []);
    let projection = record(&key(1, LastUse, "5"));
    let projected = commit(&*store, vec![put(projection, Expect::Absent)], vec![]).await.unwrap();
    assert_eq!(projected.epochs, []);
    store.set_fact("fact", "value").await.unwrap();
    assert_eq!(store.epochs().await, Ok(expected));
}

/// Counting up from many tasks, each trying again after a conflict.
pub async fn no_update_is_lost_among_concurrent_writers(fixture: &impl Fixture) {
    const WRITERS: u64 = 16;
    const ROUNDS: u64 = 10;
    let store = fixture.open().await;
    let counters: Vec<Record> = (0..3).map(|number| record(&key(1, Setting, &format!("counter {number}")))).collect();
    insert(&*store, counters.clone()).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (store, counters) = (Arc::clone(&store), counters.clone());
        writers.spawn(async move {
            for round in 0..ROUNDS {
                let counter = &counters[usize::try_from((writer + round) % 3).unwrap()].key;
                loop {
                    let now = get(&*store, counter).await.unwrap();
                    match commit(&*store, vec![put(next(&now), Expect::Version(now.version))], vec![]).await {
                        Ok(_) => break,
                        Err(error) => assert_eq!(error, StoreError::Conflict(counter.clone())),
                    }
                }
            }
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    let mut versions = 0;
    for counter in &counters {
        versions += get(&*store, &counter.key).await.unwrap().version - 1;
    }
    assert_eq!(versions, WRITERS * ROUNDS);
}

/// Twenty want one alias; exactly one gets it, and only its entry is in the log.
pub async fn one_of_many_wins_a_name(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let (sequencer, _) = TestLog::resume(&*store, "n").await;
    store.attach_log(sequencer);
    let name = record(&key(1, User, "name"));
    let mut candidates = tokio::task::JoinSet::new();
    for number in 0..20 {
        let store = Arc::clone(&store);
        let mine = Record { owner: format!("{number}"), ..name.clone() };
        candidates.spawn(async move {
            let own = record(&key(1, Key, &format!("{number}")));
            let changes = vec![put(own, Expect::Absent), put(mine, Expect::Absent)];
            (number, commit(&*store, changes, vec![entry(&format!("won by {number}"))]).await)
        });
    }
    let results: BTreeMap<i32, _> = candidates.join_all().await.into_iter().collect();
    let winners: Vec<_> = results.iter().filter(|(_, result)| result.is_ok()).map(|(number, _)| *number).collect();
    let [winner] = winners[..] else { panic!("{results:?}") };
    for (_, result) in results.into_iter().filter(|(number, _)| *number != winner) {
        assert_eq!(result, Err(StoreError::Conflict(name.key.clone())));
    }
    assert_eq!(get(&*store, &name.key).await.unwrap().owner, winner.to_string());
    assert_eq!(store.count(Key, None).await, Ok(1));
    assert_eq!(read_verified(&*store, "n").await, [format!("won by {winner}")]);
}

/// A re-wrap or a projection may write thousands at once.
pub async fn a_large_commit_is_one_commit(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let records: Vec<Record> = (0..6000).map(|number| record(&key(1, LastUse, &format!("{number:05}")))).collect();
    insert(&*store, records.clone()).await;
    let mut changes: Vec<Change> = records.iter().map(|record| put(next(record), Expect::Version(1))).collect();
    let missing = record(&key(1, LastUse, "missing"));
    changes.push(put(next(&missing), Expect::Version(1)));
    assert_eq!(commit(&*store, changes.clone(), vec![]).await, Err(StoreError::Conflict(missing.key)));
    assert_eq!(get(&*store, &records[0].key).await, Some(records[0].clone()));
    changes.pop();
    commit(&*store, changes, vec![]).await.unwrap();
    for at in [0, 2999, 5999] {
        assert_eq!(get(&*store, &records[at].key).await, Some(next(&records[at])));
    }
}

/// Some hundred commits made by a coin, on few records: every answer, and everything that is there in the end, as in a map.
pub async fn histories_agree_with_a_model(fixture: &impl Fixture) {
    let mut coin = Coin(0x1234_5678_9abc_def1);
    let mut store = fixture.open().await;
    let mut model: BTreeMap<RecordKey, Record> = BTreeMap::new();
    let mut epochs: Epochs = [0; 64];
    let (mut done, mut refused) = (0, 0);
    for step in 0..600_u64 {
        if step % 150 == 149 {
            drop(store);
            store = fixture.open().await;
        }
        let changes = coin.changes(&model, step);
        let conflict = changes.iter().find(|change| match change.expect() {
            Expect::Absent => model.contains_key(change.key()),
            Expect::Version(version) => model.get(change.key()).is_none_or(|record| record.version != version),
        });
        let expected = match conflict {
            Some(change) => Err(StoreError::Conflict(change.key().clone())),
            None => Ok(moved(&mut epochs, &changes.iter().filter(|change| change.writes()).map(Change::key).collect::<Vec<_>>())),
        };
        if expected.is_ok() {
            for change in &changes {
                match change {
                    Change::Put { record, .. } => drop(model.insert(record.key.clone(), record.clone())),
                    Change::Delete { key, .. } => drop(model.remove(key)),
                    Change::Check { .. } => {}
                }
            }
        }
        *(if expected.is_ok() { &mut done } else { &mut refused }) += 1;
        assert_eq!(commit(&*store, changes, vec![]).await.map(sorted), expected, "step {step}");
    }
    assert!(done > 100 && refused > 100, "{done} done, {refused} refused: the coin is loaded");
    assert_eq!(store.epochs().await, Ok(epochs));
    let mut found = store.scan(None, 1000).await.unwrap();
    found.sort_by(|one, other| one.key.cmp(&other.key));
    assert_eq!(found, model.into_values().collect::<Vec<_>>());
}

/// Xorshift (Marsaglia, 2003): the same history in every run.
struct Coin(u64);

impl Coin {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// One to three changes of different records, mostly with expectations that hold.
    fn changes(&mut self, model: &BTreeMap<RecordKey, Record>, step: u64) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::new();
        for _ in 0..=self.below(3) {
            let kind = [Key, Alias, User][usize::try_from(self.below(3)).unwrap()];
            let key = key(1 + self.below(2), kind, &format!("{}", self.below(4)));
            if changes.iter().any(|change| *change.key() == key) {
                continue;
            }
            let now = model.get(&key).map(|record| record.version);
            // One in eight is wrong about what is there.
            let believed = if self.below(8) == 0 { Some(step + 1) } else { now };
            let text = |number: u64| if number == 0 { String::new() } else { number.to_string() };
            let (scope, owner) = (text(self.below(3)), text(self.below(3)));
            let due = (self.below(2) == 0).then(|| claviger_domain::Timestamp(i64::try_from(self.below(100)).unwrap()));
            let version = believed.unwrap_or(0) + 1 + self.below(2);
            let new = Record { version, scope, owner, due, ..record(&key) };
            changes.push(match (believed, self.below(4)) {
                (None, _) => put(new, Expect::Absent),
                (Some(version), 0) => Change::Delete { key, version },
                (Some(version), 1) => Change::Check { key, version },
                (Some(version), _) => put(new, Expect::Version(version)),
            });
        }
        changes
    }
}

/// Moves the expected epochs as a commit of these records must, and says what it must answer.
fn moved(expected: &mut Epochs, keys: &[&RecordKey]) -> Vec<(Shard, u64)> {
    let shards: std::collections::BTreeSet<Shard> = keys.iter().map(|key| Shard::of(key)).collect();
    shards
        .into_iter()
        .map(|shard| {
            expected[shard.number()] += 1;
            (shard, expected[shard.number()])
        })
        .collect()
}

fn sorted(committed: Committed) -> Vec<(Shard, u64)> {
    let mut epochs = committed.epochs;
    epochs.sort_unstable();
    epochs
}
