//! What a verification found, for people and for programs.

use std::fmt;

use crate::bundle::BundleDamage;
use crate::merkle::Hash;
use crate::note::{InvalidNote, TreeHead, VerifierKey};

/// Findings that a report lists at most; the rest is counted.
const FINDINGS_MAX: usize = 100;

/// The result of a verification.
#[derive(Debug, Clone)]
pub struct Report {
    /// The key that the log was verified with.
    pub key: VerifierKey,
    /// The tree that the stored entries make; of a log with gaps, only the size.
    pub size: u64,
    /// Its root; absent where entries are missing or unreadable.
    pub root: Option<Hash>,
    /// How many signatures on checkpoints were verified.
    pub signatures: u64,
    /// The old checkpoints that are prefixes of the log.
    pub prefixes: Vec<Prefix>,
    /// What is wrong, in the order in which it was found; at most 100.
    pub findings: Vec<Finding>,
    /// How many findings are not listed.
    pub unlisted: u64,
}

/// An old checkpoint that the log was shown to have grown from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    /// The name that the caller gave it, such as its file's.
    pub name: String,
    /// How many entries the log had then.
    pub size: u64,
}

/// Something that is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The first and last index of the entries it is about; `None` where it is about the log as a whole.
    pub entries: Option<(u64, u64)>,
    /// What is wrong.
    pub problem: Problem,
}

/// The ways in which a log can be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The entry is not what its leaf hash was made from.
    Altered,
    /// Entries are not there at all.
    Missing,
    /// Entries are stored a second time.
    Duplicate,
    /// The stored bundle cannot be read.
    Damaged(BundleDamage),
    /// The bundle is said to hold another number of entries than it does.
    Count {
        /// What is said.
        stored: u64,
        /// What is there.
        found: u64,
    },
    /// The checkpoint stored with these entries is for another size.
    CheckpointSize {
        /// What it says.
        signed: u64,
    },
    /// The checkpoint stored with these entries is refused.
    Checkpoint(InvalidNote),
    /// The entries do not lead to the root that was signed: at least one of these, or its leaf hash, was replaced.
    Root {
        /// The root in the checkpoint.
        signed: Hash,
        /// The root of the entries.
        found: Hash,
    },
    /// An exported file is missing or cannot be read.
    File {
        /// Its path within the export.
        path: String,
        /// Why.
        reason: String,
    },
    /// An exported hash tile is not what the entries make it.
    Tile {
        /// Its path within the export.
        path: String,
    },
    /// An old checkpoint is refused itself.
    OldCheckpoint {
        /// Its name.
        name: String,
        /// Why.
        reason: InvalidNote,
    },
    /// There are no entries. Every log begins with the entry that tells of its node.
    Empty,
    /// The store keeps no head for this log.
    NoHead,
    /// The log does not start with what an old checkpoint spoke of: history was rewritten.
    NotAPrefix {
        /// The checkpoint's name.
        name: String,
        /// How many entries it speaks of.
        size: u64,
    },
    /// The log is shorter than an old checkpoint: it was cut or rolled back.
    Shorter {
        /// The checkpoint's name.
        name: String,
        /// How many entries it speaks of.
        size: u64,
    },
    /// Because of other findings an old checkpoint could not be compared.
    NotCompared {
        /// The checkpoint's name.
        name: String,
    },
}

impl Report {
    pub(crate) fn new(key: &VerifierKey) -> Self {
        Self { key: key.clone(), size: 0, root: None, signatures: 0, prefixes: Vec::new(), findings: Vec::new(), unlisted: 0 }
    }

    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    pub(crate) fn add(&mut self, entries: Option<(u64, u64)>, problem: Problem) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { entries, problem });
        } else {
            self.unlisted += 1;
        }
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.key.origin().node();
        writeln!(f, "log      {}", self.key.origin())?;
        writeln!(f, "key      {}", self.key)?;
        writeln!(f, "entries  {}", self.size)?;
        if let Some(root) = self.root {
            writeln!(f, "root     {root}")?;
        }
        writeln!(f, "signed   {} verified", counted(self.signatures, "checkpoint", "checkpoints"))?;
        for prefix in &self.prefixes {
            let entries = counted(prefix.size, "entry", "entries");
            writeln!(f, "prefix   {} ({entries}): the log has grown from it", prefix.name)?;
        }
        if self.is_sound() {
            return write!(f, "sound    nothing was altered, removed or put in");
        }
        writeln!(f, "NOT SOUND")?;
        for finding in &self.findings {
            match finding.entries {
                Some((first, last)) if first == last => write!(f, "  entry {first} of node {node}: ")?,
                Some((first, last)) => write!(f, "  entries {first} to {last} of node {node}: ")?,
                None => write!(f, "  log of node {node}: ")?,
            }
            writeln!(f, "{}", finding.problem)?;
        }
        if self.unlisted > 0 {
            writeln!(f, "  and {} more", self.unlisted)?;
        }
        write!(f, "Keep this store as it is, and compare it with a backup or an export.")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Altered => write!(f, "altered: the content does not fit the leaf hash that was stored for it"),
            Self::Missing => write!(f, "missing"),
            Self::Duplicate => write!(f, "stored twice"),
            Self::Damaged(damage) => write!(f, "the stored bundle cannot be read: {damage}"),
            Self::Count { stored, found } => write!(f, "the bundle is said to hold {stored} entries and holds {found}"),
            Self::CheckpointSize { signed } => write!(f, "the checkpoint stored with them is for a log of {signed} entries"),
            Self::Checkpoint(error) => write!(f, "{error}"),
            Self::Root { signed, found } => write!(
                f,
                "they do not lead to the root that the checkpoint states ({signed}, found {found}): one of them, or the checkpoint, \
                 was replaced"
            ),
            Self::File { path, reason } => write!(f, "{path}: {reason}"),
            Self::Tile { path } => write!(f, "{path}: its hashes are not those of the entries"),
            Self::OldCheckpoint { name, reason } => write!(f, "old checkpoint {name}: {reason}"),
            Self::Empty => {
                write!(f, "it has no entries, but every log begins with the one that tells of its node: it was taken away")
            }
            Self::NoHead => write!(f, "the store keeps no head for it: it was taken away, or the log was put in from outside"),
            Self::NotAPrefix { name, size } => {
                write!(f, "its first {size} entries are not those of the old checkpoint {name}: history was rewritten")
            }
            Self::Shorter { name, size } => {
                write!(f, "the old checkpoint {name} speaks of {size} entries: the log was cut or rolled back since")
            }
            Self::NotCompared { name } => {
                write!(f, "the old checkpoint {name} could not be compared, because of the other findings")
            }
        }
    }
}

/// A signed checkpoint that somebody kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldCheckpoint {
    /// What to call it in the report, such as its file's name.
    pub name: String,
    /// The signed note.
    pub text: String,
}

/// Old checkpoints on their way to be compared with the growing tree.
pub(crate) struct Prefixes {
    waiting: Vec<(String, TreeHead)>,
}

impl Prefixes {
    /// Opens the checkpoints; those that do not open are findings.
    pub(crate) fn open(old: &[OldCheckpoint], report: &mut Report) -> Self {
        let mut prefixes = Self { waiting: Vec::with_capacity(old.len()) };
        for checkpoint in old {
            prefixes.add(checkpoint, report);
        }
        prefixes
    }

    /// Opens one more.
    pub(crate) fn add(&mut self, checkpoint: &OldCheckpoint, report: &mut Report) {
        match TreeHead::open(&checkpoint.text, &report.key) {
            Ok(head) => {
                report.signatures += 1;
                self.waiting.push((checkpoint.name.clone(), head));
            }
            Err(reason) => report.add(None, Problem::OldCheckpoint { name: checkpoint.name.clone(), reason }),
        }
    }

    /// Compares those that speak of a tree of this size.
    pub(crate) fn compare(&mut self, size: u64, root: impl Fn() -> Hash, report: &mut Report) {
        if self.waiting.is_empty() {
            return;
        }
        for (name, head) in self.waiting.extract_if(.., |(_, head)| head.size == size) {
            if head.root == root() {
                report.prefixes.push(Prefix { name, size });
            } else {
                report.add(None, Problem::NotAPrefix { name, size });
            }
        }
    }

    /// What is left at the end is longer than the log, or lies behind a place where the tree could not be followed.
    pub(crate) fn finish(self, size: u64, report: &mut Report) {
        for (name, head) in self.waiting {
            let shorter = head.size > size;
            report.add(None, if shorter { Problem::Shorter { name, size: head.size } } else { Problem::NotCompared { name } });
        }
    }
}
