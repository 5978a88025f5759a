//! What was acknowledged stays.

use super::log::{TestLog, read_verified};
use super::{Fixture, commit, entry, get, key, next, put, record};
use crate::RecordKind::{Alias, Key};
use crate::{Change, Expect};

/// Records, their absence, epochs and facts.
pub async fn what_was_acknowledged_is_there_after_reopening(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let (kept, changed, gone) = (record(&key(1, Key, "kept")), record(&key(1, Key, "changed")), record(&key(1, Alias, "gone")));
    super::insert(&*store, [kept.clone(), changed.clone(), gone.clone()]).await;
    let changes = vec![put(next(&changed), Expect::Version(1)), Change::Delete { key: gone.key.clone(), version: 1 }];
    commit(&*store, changes, vec![]).await.unwrap();
    store.set_fact("deployment", "d").await.unwrap();
    let epochs = store.epochs().await.unwrap();
    drop(store);

    let store = fixture.open().await;
    assert_eq!(get(&*store, &kept.key).await, Some(kept));
    assert_eq!(get(&*store, &changed.key).await, Some(next(&changed)));
    assert_eq!(get(&*store, &gone.key).await, None);
    assert_eq!(store.fact("deployment").await.unwrap().as_deref(), Some("d"));
    assert_eq!(store.epochs().await, Ok(epochs));
}

/// Where it ended.
pub async fn a_log_is_continued_after_reopening(fixture: &impl Fixture) {
    for text in ["a", "b", "c"] {
        let store = fixture.open().await;
        let (sequencer, _) = TestLog::resume(&*store, "n").await;
        store.attach_log(sequencer);
        commit(&*store, vec![], vec![entry(text)]).await.unwrap();
    }
    assert_eq!(read_verified(&*fixture.open().await, "n").await, ["a", "b", "c"]);
}

/// By name, each on its own.
pub async fn facts_are_replaced(fixture: &impl Fixture) {
    let store = fixture.open().await;
    store.set_fact("root", "sealed once").await.unwrap();
    store.set_fact("other", "").await.unwrap();
    store.set_fact("root", "sealed twice").await.unwrap();
    assert_eq!(store.fact("root").await.unwrap().as_deref(), Some("sealed twice"));
    assert_eq!(store.fact("other").await.unwrap().as_deref(), Some(""));
}
