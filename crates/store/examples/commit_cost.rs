//! What a commit costs: wall time, and CPU time of the writer thread and of the whole process.
//!
//! `cargo run --release -p claviger-store --features contract --example commit_cost [DIRECTORY] [SECONDS] [TASKS]`
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss, reason = "a measurement prints what it found")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use claviger_domain::AccountId;
use claviger_store::contract::log::TestLog;
use claviger_store::{Change, Commit, Entry, Expect, OpenMode, Record, RecordKey, RecordKind, SqliteStore, Store};

const ENTRY_BYTES: usize = 1000;
const SEALED_BYTES: usize = 1500;

#[derive(Clone, Copy, PartialEq)]
enum Workload {
    /// An audit entry alone: the use of a key.
    Use,
    /// Two new records and an entry: a key and its alias.
    Create,
    /// A read by key.
    Get,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let parent = arguments.next().unwrap_or_else(|| ".".into());
    let seconds = arguments.next().map_or(3, |seconds| seconds.parse().unwrap());
    println!(
        "workload  tasks   commits/s   p50 us   p99 us   group   writer us  (own code)  checkpoint us   process us (CPU, each)"
    );
    let only: Option<u64> = arguments.next().map(|tasks| tasks.parse().unwrap());
    let uses = [1, 8, 64, 256].map(|tasks| (Workload::Use, tasks));
    let others = [(Workload::Create, 64), (Workload::Get, 1), (Workload::Get, 64)];
    for (workload, tasks) in uses.into_iter().chain(others).filter(|(_, tasks)| only.is_none_or(|only| only == *tasks)) {
        measure(Path::new(&parent), workload, tasks, Duration::from_secs(seconds)).await;
    }
}

async fn measure(parent: &Path, workload: Workload, tasks: u64, time: Duration) {
    let directory = tempfile::tempdir_in(parent).unwrap();
    let store = Arc::new(SqliteStore::open(&directory.path().join("store.db"), OpenMode::CreateNew).unwrap());
    let (sequencer, control) = TestLog::resume(&*store, "n").await;
    store.attach_log(sequencer);
    let numbers = Arc::new(AtomicU64::new(0));
    for _ in 0..1000 {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        store.commit(Commit::new(vec![create(RecordKind::Key, number)], vec![])).await.unwrap();
    }
    let (writer, checkpoints, process) = (thread_cpu("store-writer"), thread_cpu("store-checkpoin"), process_cpu());
    let begun = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for task in 0..tasks {
        let (store, numbers) = (Arc::clone(&store), Arc::clone(&numbers));
        running.spawn(async move {
            let mut latencies = Vec::new();
            let bytes = Bytes::from(vec![b'x'; ENTRY_BYTES]);
            while begun.elapsed() < time {
                let each = Instant::now();
                let entries = vec![Entry { bytes: bytes.clone(), leaf: [7; 32] }];
                match workload {
                    Workload::Use => drop(store.commit(Commit::new(vec![], entries)).await.unwrap()),
                    Workload::Create => {
                        let number = numbers.fetch_add(1, Ordering::Relaxed);
                        let changes = vec![create(RecordKind::Key, number), create(RecordKind::Alias, number)];
                        drop(store.commit(Commit::new(changes, entries)).await.unwrap());
                    }
                    Workload::Get => drop(store.get(&key(RecordKind::Key, task * 7 % 1000)).await.unwrap().unwrap()),
                }
                latencies.push(each.elapsed());
            }
            latencies
        });
    }
    let mut latencies: Vec<Duration> = running.join_all().await.into_iter().flatten().collect();
    let (wall, count) = (begun.elapsed(), latencies.len() as f64);
    latencies.sort_unstable();
    let at = |percent: usize| latencies.get(latencies.len() * percent / 100).map_or(0, Duration::as_micros);
    let each = |now: u64, before: u64| (now - before) as f64 / 1000.0 / count;
    let name = match workload {
        Workload::Use => "use",
        Workload::Create => "create",
        Workload::Get => "get",
    };
    let groups = control.lock().accepted.max(1) as f64;
    println!(
        "{name:8} {tasks:6} {:11.0} {:8} {:8} {:7.1} {:11.2} {:12.2} {:14.2} {:12.2}",
        count / wall.as_secs_f64(),
        at(50),
        at(99),
        if workload == Workload::Get { 0.0 } else { count / groups },
        each(thread_cpu("store-writer"), writer),
        each(thread_cpu("store-writer"), writer) * writer_user_share(),
        each(thread_cpu("store-checkpoin"), checkpoints),
        each(process_cpu(), process),
    );
}

/// Ids of keys are in the order in which they are made, those of others in none.
fn key(kind: RecordKind, number: u64) -> RecordKey {
    let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let id = match kind {
        RecordKind::Key => format!("us-east-1/{number:016x}-{random:019x}"),
        _ => format!("us-east-1/{random:016x}-{number:019}"),
    };
    RecordKey { account: AccountId::from_number(123_456_789_012).unwrap(), kind, id }
}

fn create(kind: RecordKind, number: u64) -> Change {
    let record = Record {
        key: key(kind, number),
        version: 1,
        account_key_version: 1,
        scope: "us-east-1".into(),
        owner: "enabled".into(),
        due: None,
        sealed: Bytes::from(vec![7; SEALED_BYTES]),
    };
    Change::Put { record, expect: Expect::Absent }
}

/// Nanoseconds on a CPU, of the threads of this name that are alive (Linux).
fn thread_cpu(name: &str) -> u64 {
    sum_of_threads(|thread| thread == name)
}

fn process_cpu() -> u64 {
    sum_of_threads(|_| true)
}

fn sum_of_threads(wanted: impl Fn(&str) -> bool) -> u64 {
    let read = |path: &Path, name| std::fs::read_to_string(path.join(name)).unwrap_or_default();
    let threads = std::fs::read_dir("/proc/self/task").unwrap().map(|thread| thread.unwrap().path());
    let wanted = threads.filter(|path| wanted(read(path, "comm").trim()));
    wanted.map(|path| read(&path, "schedstat").split(' ').next().and_then(|time| time.parse::<u64>().ok()).unwrap_or(0)).sum()
}

/// The share of its CPU time that the writer spent in its own code, not in the kernel's.
fn writer_user_share() -> f64 {
    for thread in std::fs::read_dir("/proc/self/task").unwrap() {
        let stat = std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap_or_default();
        if let Some((_, fields)) = stat.split_once("(store-writer) ") {
            let ticks = |field: usize| fields.split(' ').nth(field).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
            return ticks(11) / (ticks(11) + ticks(12)).max(1.0);
        }
    }
    0.0
}
