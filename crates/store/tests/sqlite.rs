//! What is SQLite's own: the file, its lock, its schema, a full disk, the writer's end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use claviger_domain::{AccountId, Timestamp};
use claviger_store::contract::log::{TestLog, read_verified};
use claviger_store::{
    Change, Commit, Committed, Entry, Expect, List, OpenMode, Record, RecordKey, RecordKind, SqliteStore, Store, StoreError,
};

fn directory() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    (directory, path)
}

fn create(path: &Path) -> SqliteStore {
    SqliteStore::open(path, OpenMode::CreateNew).unwrap()
}

fn refused(path: &Path, mode: OpenMode) -> StoreError {
    SqliteStore::open(path, mode).err().expect("it must not open")
}

fn key(id: &str) -> RecordKey {
    RecordKey { account: AccountId::from_number(1).unwrap(), kind: RecordKind::Key, id: id.into() }
}

fn record(id: &str) -> Record {
    let (scope, owner, sealed) = (String::new(), String::new(), Bytes::from_static(b"sealed"));
    Record { key: key(id), version: 1, account_key_version: 1, scope, owner, due: None, sealed }
}

fn entry(bytes: impl Into<Bytes>) -> Entry {
    Entry { bytes: bytes.into(), leaf: [7; 32] }
}

async fn make(store: &SqliteStore, id: &str) -> Result<Committed, StoreError> {
    store.commit(Commit::new(vec![Change::Put { record: record(id), expect: Expect::Absent }], vec![])).await
}

async fn log(store: &SqliteStore, entry: Entry) -> Result<Committed, StoreError> {
    store.commit(Commit::new(vec![], vec![entry])).await
}

/// Changes the file behind the store's back.
fn tamper(path: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch(sql).unwrap();
}

/// Every file in a directory with its content.
fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths.map(|path| (path.clone(), std::fs::read(&path).unwrap_or_default())).collect();
    files.sort();
    files
}

#[test]
fn a_second_server_is_told_who_has_the_store() {
    let (_directory, path) = directory();
    let store = create(&path);
    let error = refused(&path, OpenMode::Existing);
    assert_eq!(error, StoreError::InUse { path: path.clone(), process: Some(std::process::id()) });
    let sentence = error.to_string();
    assert!(sentence.contains(&format!("in use by process {}", std::process::id())), "{sentence}");
    drop(store);
    SqliteStore::open(&path, OpenMode::Existing).unwrap();
}

#[test]
fn a_new_store_takes_nobodys_place() {
    let (directory, path) = directory();
    drop(create(&path));
    let before = contents(directory.path());
    assert_eq!(refused(&path, OpenMode::CreateNew), StoreError::Exists(path.clone()));
    assert_eq!(contents(directory.path()), before);

    // A log without its store would be replayed into the new one.
    let (_directory, path) = self::directory();
    let wal = path.with_file_name("store.db-wal");
    std::fs::write(&wal, "left over").unwrap();
    assert_eq!(refused(&path, OpenMode::CreateNew), StoreError::Exists(wal));
    assert!(!path.exists());
}

#[tokio::test]
async fn a_store_that_was_half_made_is_made_again() {
    let (directory, path) = directory();
    std::fs::write(path.with_file_name("store.db.new"), "half of a store").unwrap();
    std::fs::write(path.with_file_name("store.db.new-journal"), "and its journal").unwrap();
    let store = create(&path);
    make(&store, "x").await.unwrap();
    drop(store);
    let names: Vec<_> = contents(directory.path()).into_iter().map(|(path, _)| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["store.db", "store.db.lock"]);
}

#[test]
fn a_missing_store_is_named() {
    let (directory, path) = directory();
    assert_eq!(refused(&path, OpenMode::Existing), StoreError::Missing(path.clone()));
    assert_eq!(SqliteStore::open_read_only(&path).err(), Some(StoreError::Missing(path)));
    assert_eq!(contents(directory.path()), []);
}

#[test]
fn what_is_not_ours_is_not_touched() {
    for content in ["", "a text", &"a long text ".repeat(100)] {
        let (directory, path) = directory();
        std::fs::write(&path, content).unwrap();
        let before = contents(directory.path());
        assert_eq!(refused(&path, OpenMode::Existing), StoreError::NotAStore(path.clone()));
        assert_eq!(SqliteStore::open_read_only(&path).err(), Some(StoreError::NotAStore(path)));
        assert_eq!(contents(directory.path()), before);
    }
    // Somebody's database, with changes that still lie in its write-ahead log.
    let (directory, path) = directory();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE records (x); INSERT INTO records VALUES (1)").unwrap();
    let before = contents(directory.path());
    assert_eq!(refused(&path, OpenMode::Existing), StoreError::NotAStore(path.clone()));
    assert_eq!(SqliteStore::open_read_only(&path).err(), Some(StoreError::NotAStore(path)));
    assert_eq!(contents(directory.path()), before);
    // And a directory.
    let (_directory, path) = self::directory();
    std::fs::create_dir(&path).unwrap();
    assert_eq!(refused(&path, OpenMode::Existing), StoreError::NotAStore(path));
}

#[tokio::test]
async fn a_newer_store_is_refused_with_a_sentence_that_says_what_to_do() {
    let (_directory, path) = directory();
    let store = create(&path);
    make(&store, "x").await.unwrap();
    drop(store);
    tamper(&path, "UPDATE schema SET version = 99");
    let before = std::fs::read(&path).unwrap();
    for error in [refused(&path, OpenMode::Existing), SqliteStore::open_read_only(&path).err().unwrap()] {
        assert!(matches!(error, StoreError::NewerSchema { found: 99, known: 1.. }), "{error:?}");
        let sentence = error.to_string();
        assert!(sentence.contains("99") && sentence.contains("run that version or a later one"), "{sentence}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn tables_that_are_not_ours_are_refused_by_name() {
    let cases = [
        ("CREATE TRIGGER undo AFTER UPDATE ON records BEGIN SELECT 1; END", "trigger undo"),
        ("DROP INDEX records_by_due", "index records_by_due"),
        ("CREATE VIEW facts_too AS SELECT * FROM facts", "view facts_too"),
        ("ALTER TABLE records ADD COLUMN extra TEXT", "table records"),
        ("CREATE TABLE more (x)", "table more"),
    ];
    for (sql, name) in cases {
        let (_directory, path) = directory();
        drop(create(&path));
        tamper(&path, sql);
        for error in [refused(&path, OpenMode::Existing), SqliteStore::open_read_only(&path).err().unwrap()] {
            let StoreError::Corrupt(what) = &error else { panic!("{sql}: {error:?}") };
            assert!(what.contains(name), "{sql}: {what}");
        }
    }
}

#[tokio::test]
async fn rows_that_cannot_be_ours_are_errors_that_name_them() {
    let cases = [
        ("UPDATE records SET kind = 'keyz'", "(keyz, mine, 1)"),
        ("UPDATE records SET account = -1", "(key, mine, -1)"),
        ("UPDATE records SET account = 1000000000000", "(key, mine, 1000000000000)"),
        ("UPDATE records SET version = -1", "(key, mine, 1)"),
        ("UPDATE records SET account_key_version = 4294967296", "(key, mine, 1)"),
        ("UPDATE records SET sealed = 'text'", "Text"),
        ("UPDATE records SET version = 'text'", "version"),
        ("UPDATE records SET due = 'text'", "due"),
    ];
    for (sql, name) in cases {
        let (_directory, path) = directory();
        let store = create(&path);
        make(&store, "mine").await.unwrap();
        drop(store);
        tamper(&path, sql);
        let store = SqliteStore::open(&path, OpenMode::Existing).unwrap();
        let scanned = store.scan(None, 10).await;
        let Err(StoreError::Corrupt(what)) = &scanned else { panic!("{sql}: {scanned:?}") };
        assert!(what.contains(name), "{sql}: {what}");
    }
    let (_directory, path) = directory();
    drop(create(&path));
    tamper(&path, "INSERT INTO shards VALUES (64, 1)");
    let store = SqliteStore::open(&path, OpenMode::Existing).unwrap();
    assert!(matches!(store.epochs().await, Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn a_damaged_index_is_found_by_the_file_check() {
    let (_directory, path) = directory();
    let store = create(&path);
    make(&store, "mine").await.unwrap();
    assert_eq!(store.check_storage().await, Ok(vec![]));
    drop(store);
    // The row goes, its entry in an index that is hidden meanwhile stays.
    let hide = "PRAGMA writable_schema = ON;
        CREATE TABLE hidden AS SELECT * FROM sqlite_schema WHERE name = 'records_by_account';
        DELETE FROM sqlite_schema WHERE name = 'records_by_account';";
    let show = "PRAGMA writable_schema = ON;
        INSERT INTO sqlite_schema SELECT * FROM hidden;
        DROP TABLE hidden;";
    tamper(&path, hide);
    tamper(&path, "DELETE FROM records");
    tamper(&path, show);
    let store = SqliteStore::open(&path, OpenMode::Existing).unwrap();
    let found = store.check_storage().await.unwrap();
    assert!(found.iter().any(|line| line.contains("records_by_account")), "{found:?}");
}

#[tokio::test]
async fn a_reader_looks_on_beside_the_server() {
    let (_directory, path) = directory();
    let store = create(&path);
    let (sequencer, _) = TestLog::resume(&store, "n").await;
    store.attach_log(sequencer);
    make(&store, "before").await.unwrap();
    let reader = SqliteStore::open_read_only(&path).unwrap();
    make(&store, "after").await.unwrap();
    log(&store, entry("an entry")).await.unwrap();
    let everything = List { account: key("").account, kind: RecordKind::Key, scope: None, owner: None, after: None, limit: 9 };
    assert_eq!(reader.list(everything).await.unwrap().len(), 2);
    assert_eq!(reader.bundles("n", 0, 9).await.unwrap().len(), 1);
    for error in [make(&reader, "x").await.unwrap_err(), reader.set_fact("a", "b").await.unwrap_err()] {
        assert_eq!(error, StoreError::Unavailable("it was opened for reading only".into()));
    }
    drop(reader);
    make(&store, "the reader is gone").await.unwrap();
    drop(store);
    let reader = SqliteStore::open_read_only(&path).unwrap();
    assert_eq!(reader.count(RecordKind::Key, None).await, Ok(3));
    // Having been read is no obstacle to being served.
    let store = SqliteStore::open(&path, OpenMode::Existing).unwrap();
    make(&store, "served again").await.unwrap();
    assert_eq!(reader.count(RecordKind::Key, None).await, Ok(4));
}

#[tokio::test]
async fn closing_finishes_what_waits_and_then_refuses() {
    let (directory, path) = directory();
    let store = Arc::new(create(&path));
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..50 {
        let store = Arc::clone(&store);
        waiting.spawn(async move { (number, make(&store, &number.to_string()).await) });
    }
    tokio::task::yield_now().await;
    store.close();
    let closed = StoreError::Unavailable("it has been closed".into());
    let mut done = Vec::new();
    for (number, result) in waiting.join_all().await {
        match result {
            Ok(_) => done.push(number.to_string()),
            Err(error) => assert_eq!(error, closed),
        }
    }
    assert_eq!(make(&store, "late").await, Err(closed.clone()));
    assert_eq!(store.get(&key("0")).await, Err(closed.clone()));
    store.close();
    let names: Vec<_> = contents(directory.path()).into_iter().map(|(path, _)| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["store.db", "store.db.lock"], "everything is in the file itself");

    let store = SqliteStore::open(&path, OpenMode::Existing).unwrap();
    assert_eq!(store.count(RecordKind::Key, None).await, Ok(done.len() as u64));
    for id in done {
        assert!(store.get(&key(&id)).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_until_there_is_room() {
    let (_directory, path) = directory();
    let store = create(&path);
    let (sequencer, control) = TestLog::resume(&store, "n").await;
    store.attach_log(sequencer);
    make(&store, "before").await.unwrap();
    store.limit_pages(100).await.unwrap();
    let mut acknowledged = 0;
    let error = loop {
        match log(&store, entry(vec![b'x'; 50_000])).await {
            Ok(done) => {
                assert_eq!(done.first_index, Some(acknowledged));
                acknowledged += 1;
            }
            Err(error) => break error,
        }
    };
    let StoreError::Unavailable(why) = &error else { panic!("{error:?}") };
    assert!(why.contains("no space left") && why.contains("make room"), "{why}");
    assert!(acknowledged > 3 && control.lock().discarded == 1);
    log(&store, entry(vec![b'x'; 50_000])).await.unwrap_err();
    // Reading goes on, and what was acknowledged is there.
    assert_eq!(read_verified(&store, "n").await.len() as u64, acknowledged);
    assert_eq!(store.get(&key("before")).await, Ok(Some(record("before"))));

    store.limit_pages(u32::MAX - 1).await.unwrap();
    let done = log(&store, entry(vec![b'x'; 50_000])).await.unwrap();
    assert_eq!(done.first_index, Some(acknowledged));
    drop(store);
    let store = SqliteStore::open(&path, OpenMode::Existing).unwrap();
    assert_eq!(read_verified(&store, "n").await.len() as u64, acknowledged + 1);
}

/// Run with `CLAVIGER_SMALL_DISK=DIR`, where DIR is on a file system of some 20 MB (`mount -t tmpfs -o size=20m`).
#[tokio::test]
#[ignore = "needs a small file system in CLAVIGER_SMALL_DISK"]
async fn a_disk_that_is_really_full_is_an_error_until_there_is_room() {
    let directory = tempfile::tempdir_in(std::env::var("CLAVIGER_SMALL_DISK").expect("CLAVIGER_SMALL_DISK")).unwrap();
    let path = directory.path().join("store.db");
    let store = create(&path);
    let (sequencer, _) = TestLog::resume(&store, "n").await;
    store.attach_log(sequencer);
    let ballast = directory.path().join("ballast");
    std::fs::write(&ballast, vec![0; 5 << 20]).unwrap();
    let mut acknowledged = 0;
    let error = loop {
        match log(&store, entry(vec![b'x'; 100_000])).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("no space left"), "{error}");
    assert_eq!(read_verified(&store, "n").await.len(), acknowledged);
    std::fs::remove_file(&ballast).unwrap();
    log(&store, entry("after")).await.unwrap();
    drop(store);
    let store = SqliteStore::open(&path, OpenMode::Existing).unwrap();
    assert_eq!(read_verified(&store, "n").await.len(), acknowledged + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_died_answers_nobody_with_success() {
    let (_directory, path) = directory();
    let store = Arc::new(create(&path));
    let (sequencer, control) = TestLog::resume(&*store, "n").await;
    store.attach_log(sequencer);
    log(&store, entry("before")).await.unwrap();
    control.lock().panic = true;
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..20 {
        let store = Arc::clone(&store);
        waiting.spawn(async move {
            let changes = vec![Change::Put { record: record(&number.to_string()), expect: Expect::Absent }];
            store.commit(Commit::new(changes, vec![entry("never")])).await
        });
    }
    let mut results = waiting.join_all().await;
    results.push(make(&store, "late").await);
    for result in results {
        let Err(StoreError::Unavailable(why)) = &result else { panic!("{result:?}") };
        assert!(why.contains("restart the server"), "{why}");
    }
    assert_eq!(store.count(RecordKind::Key, None).await, Ok(0));
    drop(store);
    let store = SqliteStore::open(&path, OpenMode::Existing).unwrap();
    assert_eq!(read_verified(&store, "n").await, ["before"]);
    make(&store, "after").await.unwrap();
}

#[tokio::test]
async fn the_write_ahead_log_stays_small_under_constant_writing() {
    let (_directory, path) = directory();
    let store = Arc::new(create(&path));
    let (sequencer, _) = TestLog::resume(&*store, "n").await;
    store.attach_log(sequencer);
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for _ in 0..100 {
                log(&store, entry(vec![b'x'; 500_000])).await.unwrap();
            }
        });
    }
    writers.join_all().await;
    // 200 MB have gone through it.
    let size = std::fs::metadata(path.with_file_name("store.db-wal")).unwrap().len();
    assert!(size < 100 << 20, "{size} bytes");
    assert_eq!(read_verified(&*store, "n").await.len(), 400);
}

#[tokio::test]
async fn due_records_survive_changes_of_their_clear_columns() {
    let (_directory, path) = directory();
    let store = create(&path);
    make(&store, "x").await.unwrap();
    let mut expected = record("x");
    for (version, due) in [(2, Some(5)), (3, Some(1)), (4, None), (5, Some(9))] {
        let before = expected.version;
        expected = Record { version, due: due.map(Timestamp), owner: format!("o{version}"), ..expected };
        let changes = vec![Change::Put { record: expected.clone(), expect: Expect::Version(before) }];
        store.commit(Commit::new(changes, vec![])).await.unwrap();
        let found = store.due(RecordKind::Key, Timestamp(i64::MAX), 9).await.unwrap();
        assert_eq!(found, due.map(|_| expected.clone()).into_iter().collect::<Vec<_>>());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let (directory, path) = directory();
    let store = create(&path);
    make(&store, "x").await.unwrap();
    let files = contents(directory.path());
    assert!(files.len() >= 4, "{:?}", files.iter().map(|(path, _)| path).collect::<Vec<_>>());
    for (path, _) in files {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
}
