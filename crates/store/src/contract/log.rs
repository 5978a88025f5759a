//! An audit log for tests: it stands where the audit crate's transparency log stands, and can be told to fail.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{Bundle, Entry, LogHead, Sequencer, Store};

/// How the log is to behave, and what has been asked of it.
#[derive(Debug, Default)]
pub struct Control {
    /// Refuse to sequence, with this reason.
    pub fail: Option<String>,
    /// Panic when asked to sequence.
    pub panic: bool,
    /// Leave the last entry out of the bundle.
    pub lose_an_entry: bool,
    /// Begin bundles this far behind the end of the log.
    pub skip: u64,
    /// How often a bundle was accepted.
    pub accepted: u64,
    /// How often one was discarded.
    pub discarded: u64,
}

/// A log whose checkpoint is a running hash of all leaves.
pub struct TestLog {
    node: String,
    now: Position,
    pending: Option<Position>,
    control: Arc<Mutex<Control>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    size: u64,
    hash: u64,
}

impl TestLog {
    /// The log of a node as the store holds it, or an empty one, and what controls it.
    pub async fn resume(store: &dyn Store, node: &str) -> (Box<Self>, Arc<Mutex<Control>>) {
        let now = match store.log_head(node).await.expect("the store can be read") {
            None => Position { size: 0, hash: 0 },
            Some(LogHead { size, frontier, .. }) => {
                Position { size, hash: u64::from_be_bytes(frontier.as_ref().try_into().expect("a frontier of 8 bytes")) }
            }
        };
        let control = Arc::new(Mutex::new(Control::default()));
        (Box::new(Self { node: node.into(), now, pending: None, control: Arc::clone(&control) }), control)
    }
}

impl Position {
    fn append(self, leaf: &[u8]) -> Self {
        let hash = leaf.iter().fold(self.hash ^ self.size, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        Self { size: self.size + 1, hash }
    }

    fn checkpoint(self, node: &str) -> String {
        format!("{node}\n{}\n{:016x}\n", self.size, self.hash)
    }
}

impl Sequencer for TestLog {
    fn sequence(&mut self, entries: &[Entry]) -> Result<Bundle, String> {
        let control = self.control.lock();
        assert!(self.pending.is_none(), "a bundle was neither accepted nor discarded");
        assert!(!entries.is_empty(), "there is nothing to sequence");
        assert!(!control.panic, "told to panic");
        if let Some(why) = &control.fail {
            return Err(why.clone());
        }
        let first = self.now.size + control.skip;
        let kept = &entries[..entries.len() - usize::from(control.lose_an_entry)];
        let mut data = Vec::new();
        let mut after = Position { size: first, ..self.now };
        for entry in kept {
            data.extend_from_slice(&u32::try_from(entry.bytes.len()).unwrap().to_be_bytes());
            data.extend_from_slice(&entry.bytes);
            data.extend_from_slice(&entry.leaf);
            after = after.append(&entry.leaf);
        }
        self.pending = Some(after);
        Ok(Bundle {
            node: self.node.clone(),
            first,
            count: u32::try_from(kept.len()).unwrap(),
            data: data.into(),
            checkpoint: after.checkpoint(&self.node),
            frontier: Bytes::copy_from_slice(&after.hash.to_be_bytes()),
        })
    }

    fn accept(&mut self) {
        self.now = self.pending.take().expect("a bundle to accept");
        self.control.lock().accepted += 1;
    }

    fn discard(&mut self) {
        self.pending = None;
        self.control.lock().discarded += 1;
    }
}

/// Every entry of a node's log, in order, once the whole log has been found in order: bundles without gap or overlap, every
/// checkpoint right, the last one that of the head.
pub async fn read_verified(store: &dyn Store, node: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut now = Position { size: 0, hash: 0 };
    loop {
        let page = store.bundles(node, now.size, 7).await.expect("the store can be read");
        if page.is_empty() {
            break;
        }
        for bundle in page {
            assert_eq!((bundle.node.as_str(), bundle.first), (node, now.size), "bundles follow each other");
            let entries = entries_in(&bundle);
            assert_eq!(bundle.count as usize, entries.len());
            for entry in entries {
                now = now.append(&entry.leaf);
                texts.push(String::from_utf8(entry.bytes.to_vec()).unwrap());
            }
            assert_eq!(bundle.checkpoint, now.checkpoint(node));
        }
    }
    let head = store.log_head(node).await.expect("the store can be read");
    let expected = LogHead {
        node: node.into(),
        size: now.size,
        checkpoint: now.checkpoint(node),
        frontier: Bytes::copy_from_slice(&now.hash.to_be_bytes()),
    };
    assert_eq!(head, (now.size > 0).then_some(expected));
    texts
}

/// The entries of one bundle.
pub fn entries_in(bundle: &Bundle) -> Vec<Entry> {
    let mut rest = bundle.data.clone();
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest.split_to(4).as_ref().try_into().unwrap());
        let bytes = rest.split_to(length as usize);
        entries.push(Entry { bytes, leaf: rest.split_to(32).as_ref().try_into().unwrap() });
    }
    entries
}
