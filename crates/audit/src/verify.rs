//! Verifies a stored log as a whole.
//!
//! Every leaf is computed anew and every root compared with its checkpoint. A log is sound when its last checkpoint is signed by the
//! node's key and every stored entry leads to its root: then no entry was altered, removed, moved or put in. What no look at the store
//! alone can show is that the newest entries, and all that speaks of them, were cut off together; an old checkpoint kept elsewhere
//! shows that, because the log must have grown from it.

use crate::bundle::{Bundle, BundleDamage};
use crate::merkle::{Frontier, Hash};
use crate::note::{TreeHead, VerifierKey};
use crate::report::Prefixes;
use crate::source::{BundleSource, SourceError, StoredBundle};

pub use crate::report::{Finding, OldCheckpoint, Prefix, Problem, Report};

/// What to check beyond the entries and the last checkpoint.
#[derive(Debug, Clone, Default)]
pub struct Checks {
    /// Verify the signature of every stored checkpoint and not only of the last: about 50 µs for each.
    pub every_signature: bool,
    /// Checkpoints that were kept elsewhere, and that the log must have grown from.
    pub old_checkpoints: Vec<OldCheckpoint>,
    /// What the store keeps for resuming the log.
    pub head: Head,
}

/// The head that a store keeps beside a log: it shows when bundles were cut off.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Head {
    /// There is no store that would keep one. A log without entries is then as good as any.
    #[default]
    Unknown,
    /// The store keeps none, so it never had this log, or it was taken away.
    Missing,
    /// The signed note. A log that has a head has entries.
    Stored(String),
}

/// What the stored head is called in reports.
const HEAD: &str = "the head in the store";

/// Reads a whole log and reports what it is, or what is wrong with it. Holds one bundle at a time in memory.
///
/// # Errors
/// When the source cannot be read. What is wrong with the log itself is in the report.
pub fn verify(source: &mut dyn BundleSource, key: &VerifierKey, checks: &Checks) -> Result<Report, SourceError> {
    let mut verification = Verification::new(key, checks);
    let mut from = Some(0);
    while let Some(index) = from {
        let Some(bundle) = source.read(index)? else { break };
        from = bundle.first.checked_add(1);
        verification.bundle(bundle);
    }
    Ok(verification.finish())
}

/// A verification that is handed one bundle after the other, by whoever reads them. [`verify`] is the one that reads them itself.
pub struct Verification {
    report: Report,
    prefixes: Prefixes,
    /// Whether the store was asked for the log's head, and so knows that there is a log.
    asked: bool,
    /// The tree so far; `None` behind a place where entries are missing or unreadable.
    tree: Option<Frontier>,
    /// The index that the next bundle must begin with.
    next: u64,
    /// Whether the last root that could be compared was right: a wrong one is reported once, not with every later bundle.
    follows: bool,
    every_signature: bool,
    /// The newest bundle's range and checkpoint.
    last: Option<((u64, u64), String)>,
}

impl Verification {
    /// Nothing is read yet.
    pub fn new(key: &VerifierKey, checks: &Checks) -> Self {
        let mut report = Report::new(key);
        let mut prefixes = Prefixes::open(&checks.old_checkpoints, &mut report);
        match &checks.head {
            Head::Unknown => {}
            Head::Missing => report.add(None, Problem::NoHead),
            Head::Stored(text) => prefixes.add(&OldCheckpoint { name: HEAD.to_owned(), text: text.clone() }, &mut report),
        }
        prefixes.compare(0, crate::merkle::empty_root, &mut report);
        Self {
            report,
            prefixes,
            asked: checks.head != Head::Unknown,
            tree: Some(Frontier::empty()),
            next: 0,
            follows: true,
            every_signature: checks.every_signature,
            last: None,
        }
    }

    /// The next bundle, in the order of their first entries.
    pub fn bundle(&mut self, bundle: StoredBundle) {
        let declared = (bundle.first, bundle.first.saturating_add(bundle.count.saturating_sub(1)));
        if bundle.first < self.next {
            // What was read first stays; whether it was the right one, its root has told.
            self.report.add(Some(declared), Problem::Duplicate);
            return;
        }
        if bundle.first > self.next {
            self.report.add(Some((self.next, bundle.first - 1)), Problem::Missing);
            self.tree = None;
            self.next = bundle.first;
        }
        match Bundle::parse(&bundle.data) {
            Ok(parsed) => self.entries(&bundle, &parsed),
            Err(damage) => {
                let place = match damage {
                    BundleDamage::Truncated { position } => {
                        let index = bundle.first.saturating_add(u64::try_from(position).unwrap_or(u64::MAX));
                        (index, index)
                    }
                    _ => declared,
                };
                self.report.add(Some(place), Problem::Damaged(damage));
                self.tree = None;
                self.next = bundle.first.saturating_add(bundle.count);
            }
        }
        let range = (bundle.first, self.next.saturating_sub(1).max(bundle.first));
        self.checkpoint(range, &bundle.checkpoint);
        self.last = Some((range, bundle.checkpoint));
    }

    fn entries(&mut self, bundle: &StoredBundle, parsed: &Bundle<'_>) {
        let found = u64::try_from(parsed.entries().len()).unwrap_or(u64::MAX);
        if found != bundle.count {
            let last = bundle.first.saturating_add(found.max(bundle.count).saturating_sub(1));
            self.report.add(Some((bundle.first, last)), Problem::Count { stored: bundle.count, found });
        }
        for entry in parsed.entries() {
            if !entry.is_intact() {
                self.report.add(Some((self.next, self.next)), Problem::Altered);
            }
            // The tree follows the stored leaf hash: if the signed root confirms it, this entry alone was altered, and the rest of the
            // log can still be checked.
            self.next = self.next.saturating_add(1);
            if let Some(tree) = &mut self.tree {
                tree.push(entry.leaf);
                self.prefixes.compare(self.next, || tree.root(), &mut self.report);
            }
        }
    }

    fn checkpoint(&mut self, range: (u64, u64), checkpoint: &str) {
        let opened = if self.every_signature {
            self.report.signatures += 1;
            TreeHead::open(checkpoint, &self.report.key)
        } else {
            TreeHead::open_unverified(checkpoint, self.report.key.origin())
        };
        let head = match opened {
            Ok(head) => head,
            Err(error) => return self.report.add(Some(range), Problem::Checkpoint(error)),
        };
        if head.size != self.next {
            return self.report.add(Some(range), Problem::CheckpointSize { signed: head.size });
        }
        let Some(found) = self.tree.as_ref().map(Frontier::root) else { return };
        let follows = found == head.root;
        if self.follows && !follows {
            self.report.add(Some(range), Problem::Root { signed: head.root, found });
        }
        self.follows = follows;
    }

    /// What came of it.
    pub fn finish(mut self) -> Report {
        if self.asked && self.next == 0 {
            self.report.add(None, Problem::Empty);
        }
        if let Some((range, checkpoint)) = self.last
            && !self.every_signature
        {
            match TreeHead::open(&checkpoint, &self.report.key) {
                Ok(_) => self.report.signatures += 1,
                // What is wrong with its text was found on the way; what is new here is the signature.
                Err(error) if TreeHead::open_unverified(&checkpoint, self.report.key.origin()).is_ok() => {
                    self.report.add(Some(range), Problem::Checkpoint(error));
                }
                Err(_) => {}
            }
        }
        self.report.size = self.next;
        self.report.root = self.tree.as_ref().map(Frontier::root);
        self.prefixes.finish(self.next, &mut self.report);
        self.report
    }
}

/// Whether a tree head is what these leaves make.
pub(crate) fn leads_to(tree: &Frontier, head: TreeHead) -> Result<(), Hash> {
    let found = tree.root();
    if found == head.root && tree.size() == head.size { Ok(()) } else { Err(found) }
}
