//! Copying a store into another engine, record by record and bundle by bundle, and comparing the two.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{Bundle, Change, Commit, Entry, Expect, LogHead, Record, RecordKey, Sequencer, Store, StoreError};

/// How many records are read and written at once.
const PAGE: usize = 500;
/// How many bundles are read at once.
const BUNDLES: usize = 16;

/// How far a copy, or a comparison, is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records that were looked at.
    pub records: u64,
    /// Audit entries that were looked at.
    pub entries: u64,
}

/// Makes `to` equal to `from`: its records, its logs, and these of its facts. What is there already is not written again, so that an interrupted copy
/// goes on where it was.
///
/// Nobody may write to either meanwhile.
///
/// # Errors
/// A log of `from` has a gap, or `to` has entries that `from` has not, or other ones.
pub async fn copy(
    from: &dyn Store,
    to: &dyn Store,
    facts: &[String],
    tell: &mut (dyn FnMut(Progress) + Send),
) -> Result<(), StoreError> {
    let mut progress = Progress::default();
    for name in facts {
        if let Some(value) = from.fact(name).await? {
            to.set_fact(name, &value).await?;
        }
    }
    let next = Arc::new(Mutex::new(None));
    to.attach_log(Box::new(Replay(Arc::clone(&next))));
    for node in from.log_nodes().await? {
        copy_log(from, to, &node, &next, &mut progress, tell).await?;
    }
    let mut after: Option<RecordKey> = None;
    loop {
        let page = from.scan(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        progress.records += page.len() as u64;
        let mut changes = Vec::new();
        for record in page {
            changes.extend(becomes(to, record).await?);
        }
        write(to, changes).await?;
        tell(progress);
    }
    remove_others(from, to).await
}

/// Compares two stores: every record, every bundle, the head of each log, these facts.
///
/// # Errors
/// [`StoreError::Corrupt`] with the first difference.
pub async fn compare(
    one: &dyn Store,
    other: &dyn Store,
    facts: &[String],
    tell: &mut (dyn FnMut(Progress) + Send),
) -> Result<Progress, StoreError> {
    let mut progress = Progress::default();
    let differ = |what: &str| StoreError::Corrupt(format!("{what} is not the same in the copy"));
    for name in facts {
        if one.fact(name).await? != other.fact(name).await? {
            return Err(differ(&format!("the fact {name}")));
        }
    }
    let nodes = one.log_nodes().await?;
    if nodes != other.log_nodes().await? {
        return Err(differ("which nodes have a log"));
    }
    for node in &nodes {
        if one.log_head(node).await? != other.log_head(node).await? {
            return Err(differ(&format!("the head of the log of node {node}")));
        }
        let mut next = 0;
        loop {
            let (here, there) = (one.bundles(node, next, BUNDLES).await?, other.bundles(node, next, BUNDLES).await?);
            if here != there {
                return Err(differ(&format!("the log of node {node} from entry {next} on")));
            }
            let Some(last) = here.last() else { break };
            progress.entries += here.iter().map(|bundle| u64::from(bundle.count)).sum::<u64>();
            next = end(last);
            tell(progress);
        }
    }
    let mut after: Option<RecordKey> = None;
    loop {
        let page = one.scan(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        for record in &page {
            if other.get(&record.key).await?.as_ref() != Some(record) {
                return Err(differ(&record.key.to_string()));
            }
        }
        progress.records += page.len() as u64;
        tell(progress);
    }
    // Each of the one's is there: then as many are the same ones.
    let mut there = 0;
    let mut after: Option<RecordKey> = None;
    loop {
        let page = other.scan(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        there += page.len() as u64;
    }
    if there == progress.records { Ok(progress) } else { Err(differ("the number of records")) }
}

async fn copy_log(
    from: &dyn Store,
    to: &dyn Store,
    node: &str,
    next: &Mutex<Option<Bundle>>,
    progress: &mut Progress,
    tell: &mut (dyn FnMut(Progress) + Send),
) -> Result<(), StoreError> {
    let damaged = |what: &str| {
        StoreError::Corrupt(format!("the log of node {node} {what}: verify it (claviger audit verify) before it is copied"))
    };
    let head = from.log_head(node).await?.ok_or_else(|| damaged("has no head"))?;
    let mut size = to.log_head(node).await?.map_or(0, |head: LogHead| head.size);
    progress.entries += size;
    while size < head.size {
        let bundles = from.bundles(node, size, BUNDLES).await?;
        if bundles.is_empty() {
            return Err(damaged("ends before its head says"));
        }
        for mut bundle in bundles {
            if bundle.first != size {
                return Err(damaged(&format!("has a gap at entry {size}")));
            }
            size = end(&bundle);
            // The right edge of the tree is kept at the log's end only.
            if size == head.size {
                bundle.frontier = head.frontier.clone();
            }
            progress.entries += u64::from(bundle.count);
            let entries = vec![Entry { bytes: Bytes::new(), leaf: [0; 32] }; bundle.count as usize];
            *next.lock() = Some(bundle);
            to.commit(Commit::new(Vec::new(), entries)).await?;
        }
        tell(*progress);
    }
    let copied = to.log_head(node).await?;
    if copied.as_ref() == Some(&head) { Ok(()) } else { Err(damaged("is another one in the copy, or longer")) }
}

/// What has to be done so that `to` has this record.
async fn becomes(to: &dyn Store, record: Record) -> Result<Option<Change>, StoreError> {
    let Some(there) = to.get(&record.key).await? else { return Ok(Some(Change::Put { record, expect: Expect::Absent })) };
    if there == record {
        return Ok(None);
    }
    if there.version >= record.version {
        return Err(StoreError::Corrupt(format!(
            "the copy has {} in version {} already, and another one",
            there.key, there.version
        )));
    }
    Ok(Some(Change::Put { record, expect: Expect::Version(there.version) }))
}

/// Removes from `to` what `from` has not: it was deleted since a copy began that was interrupted.
async fn remove_others(from: &dyn Store, to: &dyn Store) -> Result<(), StoreError> {
    let mut after: Option<RecordKey> = None;
    loop {
        let page = to.scan(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.key.clone());
        let mut changes = Vec::new();
        for Record { key, version, .. } in page {
            if from.get(&key).await?.is_none() {
                changes.push(Change::Delete { key, version });
            }
        }
        write(to, changes).await?;
    }
}

async fn write(to: &dyn Store, changes: Vec<Change>) -> Result<(), StoreError> {
    if changes.is_empty() {
        return Ok(());
    }
    to.commit(Commit::new(changes, Vec::new())).await.map(drop)
}

fn end(bundle: &Bundle) -> u64 {
    bundle.first + u64::from(bundle.count)
}

/// Gives a store the bundles of another one, as they are.
struct Replay(Arc<Mutex<Option<Bundle>>>);

impl Sequencer for Replay {
    fn sequence(&mut self, _: &[Entry]) -> Result<Bundle, String> {
        // Kept until it is durable: a transaction may be tried again.
        self.0.lock().clone().ok_or_else(|| "no bundle is to be copied".to_owned())
    }

    fn accept(&mut self) {
        *self.0.lock() = None;
    }

    fn discard(&mut self) {}
}
