//! Reading: what was written comes back, in order, and nothing else does.

use claviger_domain::Timestamp;

use super::{Fixture, account, at, get, ids, insert, key, record};
use crate::RecordKind::{AccessKey, Alias, Key, LastUse, User};
use crate::{List, Record, RecordKey, RecordKind, StoreError};

/// Every column, at its limits too.
pub async fn a_record_is_read_as_it_was_written(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let plain = record(&key(123_456_789_012, Key, "us-east-1/plain"));
    let full = Record {
        version: u64::try_from(i64::MAX).unwrap(),
        account_key_version: u32::MAX,
        scope: "eu-west-3".into(),
        owner: "ключ/'\"%_\\".into(),
        due: at(i64::MAX),
        sealed: (0..=255_u8).cycle().take(100_000).collect(),
        ..record(&key(999_999_999_999, Alias, "eu-west-3/alias/ß'\"%_\\$1"))
    };
    let bare = Record { version: 0, account_key_version: 0, due: at(i64::MIN), sealed: "".into(), ..record(&key(0, User, "x")) };
    let records = [plain, full, bare];
    insert(&*store, records.clone()).await;
    for record in records {
        assert_eq!(get(&*store, &record.key).await, Some(record));
    }
}

/// No record is not an error.
pub async fn a_record_that_is_not_there_is_none(fixture: &impl Fixture) {
    let store = fixture.open().await;
    assert_eq!(get(&*store, &key(1, Key, "nothing")).await, None);
    assert_eq!(store.find(AccessKey, "nothing").await, Ok(None));
    assert_eq!(store.scan(None, 10).await, Ok(vec![]));
    assert_eq!(store.due(Key, Timestamp(i64::MAX), 10).await, Ok(vec![]));
    assert_eq!(store.fact("nothing").await, Ok(None));
    assert_eq!(store.log_head("nobody").await, Ok(None));
    assert_eq!(store.log_nodes().await, Ok(vec![]));
    assert_eq!(store.bundles("nobody", 0, 10).await, Ok(vec![]));
    assert_eq!(store.epochs().await, Ok([0; 64]));
}

/// One id in two accounts and two kinds is four records.
pub async fn accounts_and_kinds_keep_apart(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let keys = [key(1, Key, "x"), key(2, Key, "x"), key(1, LastUse, "x"), key(2, LastUse, "x")];
    insert(&*store, keys.iter().map(record)).await;
    for key in keys {
        assert_eq!(get(&*store, &key).await, Some(record(&key)));
        let page = store.list(List { limit: 9, ..every(&key) }).await.unwrap();
        assert_eq!(page, [record(&key)]);
    }
}

/// An access key names its account, not the other way round.
pub async fn find_looks_in_every_account(fixture: &impl Fixture) {
    let store = fixture.open().await;
    insert(&*store, [record(&key(7, AccessKey, "AKIA1")), record(&key(8, AccessKey, "AKIA2"))]).await;
    for (number, id) in [(7, "AKIA1"), (8, "AKIA2")] {
        assert_eq!(store.find(AccessKey, id).await, Ok(Some(record(&key(number, AccessKey, id)))));
    }
    assert_eq!(store.find(User, "AKIA1").await, Ok(None));
    assert_eq!(store.find(AccessKey, "AKIA").await, Ok(None));
}

/// Two credentials of one id: somebody has copied a row.
pub async fn find_refuses_to_choose(fixture: &impl Fixture) {
    let store = fixture.open().await;
    insert(&*store, [record(&key(7, AccessKey, "AKIA1")), record(&key(8, AccessKey, "AKIA1"))]).await;
    let found = store.find(AccessKey, "AKIA1").await;
    let Err(StoreError::Corrupt(what)) = &found else { panic!("{found:?}") };
    assert!(what.contains("AKIA1") && what.contains("000000000007") && what.contains("000000000008"), "{what}");
}

/// By bytes: not by alphabet, not by length, not by case.
pub async fn lists_are_in_the_order_of_id_bytes(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let mut names = vec!["b", "a", "B", "aa", "a/b", "a-b", "a_b", "Z", "z", "é", "e", "10", "9", "a b", "~", "語"];
    insert(&*store, names.iter().map(|name| record(&key(1, User, name)))).await;
    names.sort_unstable();
    let page = store.list(List { limit: 100, ..every(&key(1, User, "")) }).await.unwrap();
    assert_eq!(ids(&page), names);
}

/// Scope and owner narrow a list, alone and together.
pub async fn lists_filter_by_scope_and_owner(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let mut all = Vec::new();
    for (scope, owner, name) in
        [("a", "k1", "1"), ("a", "k2", "2"), ("b", "k1", "3"), ("b", "", "4"), ("", "", "5"), ("a", "k1", "6")]
    {
        all.push(Record { scope: scope.into(), owner: owner.into(), ..record(&key(1, Alias, name)) });
        all.push(Record { scope: scope.into(), owner: owner.into(), ..record(&key(2, Alias, name)) });
    }
    insert(&*store, all).await;
    let cases: [(Option<&str>, Option<&str>, &[&str]); 11] = [
        (None, None, &["1", "2", "3", "4", "5", "6"]),
        (Some("a"), None, &["1", "2", "6"]),
        (Some("b"), None, &["3", "4"]),
        (Some(""), None, &["5"]),
        (Some("c"), None, &[]),
        (None, Some("k1"), &["1", "3", "6"]),
        (Some("a"), Some("k1"), &["1", "6"]),
        (Some("b"), Some("k2"), &[]),
        (None, Some("k3"), &[]),
        (None, Some(""), &["4", "5"]),
        (Some("b"), Some(""), &["4"]),
    ];
    for (scope, owner, expected) in cases {
        let list = List { scope, owner, limit: 100, ..every(&key(1, Alias, "")) };
        assert_eq!(ids(&store.list(list).await.unwrap()), expected, "{scope:?} {owner:?}");
        let behind_the_first = List { after: expected.first().copied().or(Some("9")), limit: 1, ..list };
        assert_eq!(
            ids(&store.list(behind_the_first).await.unwrap()),
            expected.get(1..2).unwrap_or_default(),
            "{scope:?} {owner:?}"
        );
    }
}

/// Whatever the size of the page, while records are written before and behind the reader.
pub async fn pages_hold_every_record_once(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let names: Vec<String> = (0..50).map(|number| format!("us-east-1/{:03}", number * 7 % 50)).collect();
    let scoped = |name: &String| Record { scope: "us-east-1".into(), ..record(&key(1, Key, name)) };
    insert(&*store, names.iter().map(scoped)).await;
    let mut sorted = names.clone();
    sorted.sort();
    for limit in [1, 7, 50, 51] {
        let mut met: Vec<String> = Vec::new();
        loop {
            let after = met.last().cloned();
            let list = List { scope: Some("us-east-1"), after: after.as_deref(), limit, ..every(&key(1, Key, "")) };
            let page = store.list(list).await.unwrap();
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            met.extend(page.into_iter().map(|record| record.key.id));
        }
        assert_eq!(met, sorted, "pages of {limit}");
    }
    assert_eq!(store.list(List { limit: 0, ..every(&key(1, Key, "")) }).await, Ok(vec![]));
}

/// All kinds and accounts, in pages, always in the same order.
pub async fn scan_meets_every_record_once(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let mut all: Vec<RecordKey> = Vec::new();
    for kind in RecordKind::ALL {
        for number in [0, 5, 999_999_999_999] {
            all.extend(["a", "b/c"].map(|id| key(number, kind, id)));
        }
    }
    insert(&*store, all.iter().map(record)).await;
    let at_once: Vec<RecordKey> = keys(&store.scan(None, 1000).await.unwrap());
    for limit in [1, 5] {
        let mut met: Vec<RecordKey> = Vec::new();
        loop {
            let page = store.scan(met.last(), limit).await.unwrap();
            if page.is_empty() {
                break;
            }
            met.extend(keys(&page));
        }
        assert_eq!(met, at_once);
    }
    let mut met = at_once;
    met.sort();
    all.sort();
    assert_eq!(met, all);
}

/// Background work takes what has waited longest.
pub async fn due_records_come_longest_due_first(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let due = |kind, id: &str, due| Record { due, ..record(&key(1, kind, id)) };
    let records = [
        due(Key, "late", at(3000)),
        due(Key, "b", at(1000)),
        due(Key, "a", at(1000)),
        due(Key, "first", at(-5)),
        due(Key, "never", None),
        due(Alias, "other kind", at(1)),
        Record { due: at(999), ..record(&key(2, Key, "other account")) },
    ];
    insert(&*store, records).await;
    let found = async |until, limit| keys(&store.due(Key, Timestamp(until), limit).await.unwrap());
    let names = |keys: &[RecordKey]| keys.iter().map(|key| key.id.clone()).collect::<Vec<_>>();
    assert_eq!(names(&found(1000, 10).await), ["first", "other account", "a", "b"]);
    assert_eq!(names(&found(999, 10).await), ["first", "other account"]);
    assert_eq!(names(&found(i64::MAX, 10).await), ["first", "other account", "a", "b", "late"]);
    assert_eq!(names(&found(i64::MAX, 2).await), ["first", "other account"]);
    assert_eq!(names(&found(-6, 10).await), [""; 0]);
}

/// In one account or in all.
pub async fn counts_are_per_kind_and_account(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let keys = [key(1, Key, "a"), key(1, Key, "b"), key(2, Key, "a"), key(1, Alias, "a")];
    insert(&*store, keys.iter().map(record)).await;
    assert_eq!(store.count(Key, None).await, Ok(3));
    assert_eq!(store.count(Key, Some(account(1))).await, Ok(2));
    assert_eq!(store.count(Key, Some(account(3))).await, Ok(0));
    assert_eq!(store.count(User, None).await, Ok(0));
}

/// Page by page, and also behind an id that is gone.
pub async fn lists_of_a_scope_come_in_pages(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let scoped = |key: RecordKey, scope: &str| Record { scope: scope.into(), ..record(&key) };
    let mut records: Vec<Record> = ["b", "a", "é", "B", "ab"].iter().map(|id| scoped(key(1, Key, id), "here")).collect();
    records.extend([scoped(key(1, Key, "c"), "there"), scoped(key(2, Key, "d"), "here"), scoped(key(1, Alias, "e"), "here")]);
    insert(&*store, records).await;
    let of = async |number: u64, after, limit| {
        let list = List { scope: Some("here"), after, limit, ..every(&key(number, Key, "")) };
        store.list(list).await.unwrap().into_iter().map(|record| record.key.id).collect::<Vec<_>>()
    };
    let page = async |after, limit| of(1, after, limit).await;
    assert_eq!(page(None, 10).await, ["B", "a", "ab", "b", "é"]);
    assert_eq!(page(None, 2).await, ["B", "a"]);
    assert_eq!(page(Some("a"), 2).await, ["ab", "b"]);
    assert_eq!(page(Some("aa"), 2).await, ["ab", "b"], "behind an id that is not there any more");
    assert_eq!(page(Some("é"), 2).await, [""; 0]);
    assert_eq!(of(3, None, 10).await, [""; 0]);
}

/// In one account and one scope.
pub async fn counts_are_per_scope(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let scoped = |key: RecordKey, scope: &str| Record { scope: scope.into(), ..record(&key) };
    let records = [
        scoped(key(1, Key, "a"), "here"),
        scoped(key(1, Key, "b"), "here"),
        scoped(key(1, Key, "c"), "there"),
        scoped(key(1, Key, "d"), ""),
        scoped(key(2, Key, "e"), "here"),
        scoped(key(1, Alias, "f"), "here"),
    ];
    insert(&*store, records).await;
    for (scope, count) in [("here", 2), ("there", 1), ("", 1), ("her", 0), ("nowhere", 0)] {
        assert_eq!(store.count_in_scope(Key, account(1), scope).await, Ok(count), "{scope}");
    }
    assert_eq!(store.count_in_scope(Key, account(3), "here").await, Ok(0));
}

/// In all accounts together.
pub async fn counts_are_per_owner(fixture: &impl Fixture) {
    let store = fixture.open().await;
    let owned = |key: RecordKey, owner: &str| Record { owner: owner.into(), ..record(&key) };
    let records = [
        owned(key(1, Key, "a"), "enabled"),
        owned(key(1, Key, "b"), "disabled"),
        owned(key(2, Key, "c"), "enabled"),
        owned(key(2, Key, "d"), ""),
        owned(key(1, Alias, "e"), "enabled"),
    ];
    insert(&*store, records).await;
    let expected = [("", 1), ("disabled", 1), ("enabled", 2)].map(|(owner, count)| (owner.to_owned(), count));
    assert_eq!(store.count_by_owner(Key).await.unwrap(), expected);
    assert_eq!(store.count_by_owner(User).await, Ok(vec![]));
}

/// Every record of the account and the kind of a key.
fn every(key: &RecordKey) -> List<'static> {
    List { account: key.account, kind: key.kind, scope: None, owner: None, after: None, limit: 0 }
}

fn keys(records: &[Record]) -> Vec<RecordKey> {
    records.iter().map(|record| record.key.clone()).collect()
}
