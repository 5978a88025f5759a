//! `kill -9` at a random moment: what was acknowledged is there, and the log holds it exactly once.
//!
//! The test starts itself as a child process that writes, and prints each acknowledgement; then it kills the child and looks.
//! `CLAVIGER_CRASH_ROUNDS` sets the number of rounds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use claviger_domain::AccountId;
use claviger_store::contract::log::{TestLog, read_verified};
use claviger_store::{Change, Commit, Entry, Expect, OpenMode, Record, RecordKey, RecordKind, SqliteStore, Store};

const STORE: &str = "CLAVIGER_CRASH_STORE";
const WRITERS: u64 = 8;

fn key(writer: u64) -> RecordKey {
    RecordKey { account: AccountId::from_number(1).unwrap(), kind: RecordKind::Key, id: format!("writer {writer}") }
}

fn entry(text: &str) -> Entry {
    Entry { bytes: Bytes::copy_from_slice(text.as_bytes()), leaf: [u8::try_from(text.len()).unwrap(); 32] }
}

/// The child: each writer moves its record on, with an entry, and uses it, with an entry alone. Never ends by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child process of the test below"]
async fn write_until_killed() {
    let path = PathBuf::from(std::env::var(STORE).expect("only started by the test below"));
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path, OpenMode::Existing).unwrap());
    let (sequencer, _) = TestLog::resume(&*store, "n").await;
    store.attach_log(sequencer);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let mut version = store.get(&key(writer)).await.unwrap().map_or(0, |record| record.version);
            loop {
                let expect = if version == 0 { Expect::Absent } else { Expect::Version(version) };
                version += 1;
                let sealed = Bytes::from(format!("{version} ").repeat(100));
                let (scope, owner) = (String::new(), String::new());
                let record = Record { key: key(writer), version, account_key_version: 1, scope, owner, due: None, sealed };
                let changed = format!("change {writer} {version}");
                let commit = Commit::new(vec![Change::Put { record, expect }], vec![entry(&changed)]);
                acknowledge(store.commit(commit).await.unwrap().first_index, &changed);
                let used = format!("use {writer} {version}");
                let commit = Commit::new(vec![], vec![entry(&used)]);
                acknowledge(store.commit(commit).await.unwrap().first_index, &used);
            }
        });
    }
    writers.join_all().await;
}

/// One write per line, which a pipe takes whole or not at all (POSIX: up to PIPE_BUF bytes).
fn acknowledge(index: Option<u64>, text: &str) {
    let line = format!("acknowledged {} {text}\n", index.unwrap());
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let rounds: u32 = std::env::var("CLAVIGER_CRASH_ROUNDS").map_or(10, |rounds| rounds.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    drop(SqliteStore::open(&path, OpenMode::CreateNew).unwrap());
    let mut acknowledged: BTreeMap<u64, String> = BTreeMap::new();
    for round in 0..rounds {
        let mut child = start(&path);
        let lines = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || lines.lines().map_while(Result::ok).collect::<Vec<_>>());
        std::thread::sleep(some_time(round));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in reader.join().unwrap() {
            // The test harness of the child prints lines of its own, and begins one before the first of ours.
            let Some((_, rest)) = line.split_once("acknowledged ") else { continue };
            let (index, text) = rest.split_once(' ').unwrap();
            let before = acknowledged.insert(index.parse().unwrap(), text.into());
            assert_eq!(before, None, "index {index} was given out twice");
        }
        verify(&path, &acknowledged).await;
    }
    assert!(acknowledged.len() > rounds as usize * 10, "the children wrote next to nothing: {}", acknowledged.len());
}

fn start(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["write_until_killed", "--exact", "--ignored", "--nocapture"])
        .env(STORE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// 100 to 400 ms: in the first of them the child opens the store.
fn some_time(round: u32) -> Duration {
    let nanoseconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos();
    Duration::from_millis(100 + u64::from((nanoseconds / 1000).wrapping_add(round * 7919) % 300))
}

async fn verify(path: &Path, acknowledged: &BTreeMap<u64, String>) {
    let store = SqliteStore::open(path, OpenMode::Existing).unwrap();
    assert_eq!(store.check_storage().await, Ok(vec![]));
    let log = read_verified(&store, "n").await;
    assert_eq!(log.iter().collect::<BTreeSet<_>>().len(), log.len(), "an entry is in the log twice");
    for (index, text) in acknowledged {
        assert_eq!(log.get(usize::try_from(*index).unwrap()), Some(text), "index {index}");
    }
    // Changes and their entries went together, acknowledged or not.
    let mut versions: HashMap<u64, u64> = HashMap::new();
    for text in &log {
        let words: Vec<&str> = text.split(' ').collect();
        if words[0] == "change" {
            let (writer, version): (u64, u64) = (words[1].parse().unwrap(), words[2].parse().unwrap());
            assert_eq!(versions.insert(writer, version).unwrap_or(0) + 1, version);
        }
    }
    for writer in 0..WRITERS {
        let record = store.get(&key(writer)).await.unwrap();
        assert_eq!(record.as_ref().map(|record| record.version), versions.get(&writer).copied());
        if let Some(record) = record {
            assert_eq!(record.sealed, format!("{} ", record.version).repeat(100));
        }
    }
}
