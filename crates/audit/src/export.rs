//! Writes a log as plain C2SP `tlog-tiles` files, and verifies such a directory with nothing but the verifier key.
//!
//! ```text
//! DIR/vkey                      the verifier key; compare it with one that you have from elsewhere
//! DIR/checkpoint                the last signed checkpoint
//! DIR/tile/entries/000          256 entries, each with its length in front
//! DIR/tile/entries/001.p/17     the last 17
//! DIR/tile/0/000, 001.p/17      their leaf hashes; tile/1/..., tile/2/... the levels above
//! ```

use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::bundle::{Bundle, split_entry};
use crate::entry::ENTRY_LENGTH_MAX;
use crate::merkle::{Frontier, Hash, leaf_hash};
use crate::note::{TreeHead, VerifierKey};
use crate::report::{OldCheckpoint, Prefixes, Problem, Report};
use crate::source::{BundleSource, SourceError};
use crate::tiles::{TILE_WIDTH, Tile, Tiler, entries_path, tile_path};
use crate::verify::leads_to;

/// Largest checkpoint or vkey file that is read, in bytes. A checkpoint with many witnesses' signatures is far smaller.
const NOTE_FILE_MAX: u64 = 1 << 20;

/// Writes the whole log into a directory that is new or empty. Holds one bundle, 256 entries and a few tiles in memory.
///
/// # Errors
/// When the source or the directory fails, and when the log is not sound: nothing that does not verify is exported. The checkpoint is
/// written last, so that an export which was broken off does not look like one.
pub fn export(source: &mut dyn BundleSource, key: &VerifierKey, directory: &Path) -> Result<TreeHead, ExportError> {
    let files = Files { directory };
    files.claim()?;
    let mut writer = Writer { files, tiler: Tiler::default(), tree: Frontier::empty(), entries: Vec::new() };
    let mut checkpoint = None;
    while let Some(bundle) = source.read(writer.tree.size()).map_err(ExportError::Source)? {
        let unsound = || ExportError::Unsound { index: bundle.first };
        if bundle.first != writer.tree.size() {
            return Err(ExportError::Unsound { index: writer.tree.size() });
        }
        let parsed = Bundle::parse(&bundle.data).map_err(|_| unsound())?;
        if parsed.entries().len() == 0 {
            return Err(unsound());
        }
        for entry in parsed.entries() {
            writer.entry(entry.bytes)?;
        }
        checkpoint = Some(bundle.checkpoint);
    }
    let checkpoint = checkpoint.ok_or(ExportError::Empty)?;
    let last = ExportError::Unsound { index: writer.tree.size().saturating_sub(1) };
    let Ok(head) = TreeHead::open(&checkpoint, key) else { return Err(last) };
    if leads_to(&writer.tree, head).is_err() {
        return Err(last);
    }
    writer.finish()?;
    let files = Files { directory };
    files.write("vkey", format!("{key}\n").as_bytes())?;
    files.write("checkpoint", checkpoint.as_bytes())?;
    Ok(head)
}

/// Reads the verifier key that lies in an export. It proves nothing by itself: compare it with one from elsewhere.
///
/// # Errors
/// When it is not there or not a verifier key.
pub fn read_vkey(directory: &Path) -> Result<VerifierKey, ExportError> {
    let files = Files { directory };
    let text = files.read_text("vkey").map_err(|error| ExportError::Io { path: directory.join("vkey"), error })?;
    text.parse().map_err(|_| ExportError::Io {
        path: directory.join("vkey"),
        error: io::Error::new(io::ErrorKind::InvalidData, "this is not a verifier key"),
    })
}

/// Verifies an exported directory: every entry against the leaf hashes, every tile and the signed root against the entries, and that
/// old checkpoints are prefixes. Reads one entry bundle at a time.
///
/// Never fails: what cannot be read is a finding.
pub fn verify_export(directory: &Path, key: &VerifierKey, old_checkpoints: &[OldCheckpoint]) -> Report {
    let mut report = Report::new(key);
    let mut prefixes = Prefixes::open(old_checkpoints, &mut report);
    prefixes.compare(0, crate::merkle::empty_root, &mut report);
    let files = Files { directory };
    let Some(head) = open_checkpoint(&files, &mut report) else {
        prefixes.finish(0, &mut report);
        return report;
    };
    let mut reader = Reader { files, report, prefixes, tiler: Tiler::default(), tree: Some(Frontier::empty()) };
    let complete = (0..head.size.div_ceil(TILE_WIDTH)).all(|index| {
        let width = (head.size - index * TILE_WIDTH).min(TILE_WIDTH);
        reader.entry_bundle(index, width)
    });
    reader.finish(head, complete)
}

fn open_checkpoint(files: &Files<'_>, report: &mut Report) -> Option<TreeHead> {
    let text = match files.read_text("checkpoint") {
        Ok(text) => text,
        Err(error) => {
            report.add(None, Problem::File { path: "checkpoint".to_owned(), reason: error.to_string() });
            return None;
        }
    };
    match TreeHead::open(&text, &report.key) {
        Ok(head) => {
            report.signatures += 1;
            Some(head)
        }
        Err(error) => {
            report.add(None, Problem::Checkpoint(error));
            // Without a valid signature the rest proves nothing, yet what it says may still help to find what happened.
            TreeHead::open_unverified(&text, report.key.origin()).ok()
        }
    }
}

/// Writes entries and tiles.
struct Writer<'d> {
    files: Files<'d>,
    tiler: Tiler,
    tree: Frontier,
    /// The entry bundle in the making.
    entries: Vec<u8>,
}

impl Writer<'_> {
    fn entry(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        let length = u16::try_from(bytes.len()).map_err(|_| ExportError::Unsound { index: self.tree.size() })?;
        self.entries.extend_from_slice(&length.to_be_bytes());
        self.entries.extend_from_slice(bytes);
        let leaf = leaf_hash(bytes);
        self.tree.push(leaf);
        let files = &self.files;
        self.tiler.push(leaf, &mut |tile: Tile<'_>| files.write(&tile.path(), &tile.bytes()))?;
        if self.tree.size().is_multiple_of(TILE_WIDTH) {
            self.files.write(&entries_path(self.tree.size() / TILE_WIDTH - 1, TILE_WIDTH), &self.entries)?;
            self.entries.clear();
        }
        Ok(())
    }

    fn finish(self) -> Result<(), ExportError> {
        let width = self.tree.size() % TILE_WIDTH;
        if width > 0 {
            self.files.write(&entries_path(self.tree.size() / TILE_WIDTH, width), &self.entries)?;
        }
        let files = self.files;
        self.tiler.finish(&mut |tile: Tile<'_>| files.write(&tile.path(), &tile.bytes()))
    }
}

/// Reads entries and compares tiles.
struct Reader<'d> {
    files: Files<'d>,
    report: Report,
    prefixes: Prefixes,
    tiler: Tiler,
    /// The tree so far; `None` behind entries that cannot be read and have no leaf hashes either.
    tree: Option<Frontier>,
}

impl Reader<'_> {
    /// Checks one entry bundle and its leaf hashes. False when neither can be read, so that the tree cannot be followed further.
    fn entry_bundle(&mut self, index: u64, width: u64) -> bool {
        let first = index * TILE_WIDTH;
        let computed = self.entry_leaves(index, width);
        let stored = self.stored_leaves(index, width);
        let range = (first, first + width - 1);
        let leaves = match (computed, stored) {
            (Some(computed), Some(stored)) => {
                for (position, _) in computed.iter().zip(&stored).enumerate().filter(|(_, (computed, stored))| computed != stored)
                {
                    let entry = first + position as u64;
                    self.report.add(Some((entry, entry)), Problem::Altered);
                }
                // As in the store: the tree follows the stored hashes, and the signed root says whether they are right.
                stored
            }
            (Some(leaves), None) | (None, Some(leaves)) => leaves,
            (None, None) => {
                self.report.add(Some(range), Problem::Missing);
                self.tree = None;
                return false;
            }
        };
        for leaf in leaves {
            self.follow(leaf);
        }
        true
    }

    /// The leaf hashes of the entries in a bundle file; `None`, and a finding, where it cannot be read.
    fn entry_leaves(&mut self, index: u64, width: u64) -> Option<Vec<Hash>> {
        let path = entries_path(index, width);
        let bytes = self.read(&path, width * (2 + ENTRY_LENGTH_MAX as u64))?;
        let first = index * TILE_WIDTH;
        let mut rest = bytes.as_slice();
        let mut leaves = Vec::new();
        for position in 0..width {
            let Some((entry, behind)) = split_entry(rest) else {
                let reason = "the file ends within this entry".to_owned();
                self.report.add(Some((first + position, first + position)), Problem::File { path, reason });
                return None;
            };
            leaves.push(leaf_hash(entry));
            rest = behind;
        }
        if !rest.is_empty() {
            let reason = format!("{} bytes follow the last entry", rest.len());
            self.report.add(Some((first, first + width - 1)), Problem::File { path, reason });
        }
        Some(leaves)
    }

    /// The hashes in a tile of level 0; `None`, and a finding, where it cannot be read.
    fn stored_leaves(&mut self, index: u64, width: u64) -> Option<Vec<Hash>> {
        let path = tile_path(0, index, width);
        let bytes = self.read(&path, width * Hash::LENGTH as u64)?;
        let (hashes, rest) = bytes.as_chunks();
        if hashes.len() as u64 != width || !rest.is_empty() {
            self.report.add(None, Problem::Tile { path });
            return None;
        }
        Some(hashes.iter().copied().map(Hash).collect())
    }

    fn follow(&mut self, leaf: Hash) {
        let Some(tree) = &mut self.tree else { return };
        tree.push(leaf);
        self.prefixes.compare(tree.size(), || tree.root(), &mut self.report);
        let (files, report) = (&self.files, &mut self.report);
        let Ok(()) = self.tiler.push(leaf, &mut |tile| compare_tile(files, report, &tile));
    }

    fn finish(mut self, head: TreeHead, complete: bool) -> Report {
        self.report.size = self.tree.as_ref().map_or(head.size, Frontier::size);
        if let Some(tree) = self.tree.filter(|_| complete) {
            let (files, report) = (&self.files, &mut self.report);
            let Ok(()) = self.tiler.finish(&mut |tile| compare_tile(files, report, &tile));
            if let Err(found) = leads_to(&tree, head) {
                self.report.add(None, Problem::Root { signed: head.root, found });
            }
            self.report.root = Some(tree.root());
        }
        self.prefixes.finish(self.report.size, &mut self.report);
        self.report
    }

    /// A file of at most `length_max` bytes; `None`, and a finding, where it cannot be read or is longer.
    fn read(&mut self, path: &str, length_max: u64) -> Option<Vec<u8>> {
        self.files
            .read(path, length_max)
            .map_err(|error| self.report.add(None, Problem::File { path: path.to_owned(), reason: error.to_string() }))
            .ok()
    }
}

/// Compares a tile above level 0 with its file. (Level 0 has been compared with the entries.)
fn compare_tile(files: &Files<'_>, report: &mut Report, tile: &Tile<'_>) -> Result<(), std::convert::Infallible> {
    if tile.level > 0 {
        let (path, expected) = (tile.path(), tile.bytes());
        match files.read(&path, expected.len() as u64) {
            Ok(found) if found == expected => {}
            Ok(_) => report.add(None, Problem::Tile { path }),
            Err(error) => report.add(None, Problem::File { path, reason: error.to_string() }),
        }
    }
    Ok(())
}

/// The files of an export, by their paths within it.
#[derive(Clone, Copy)]
struct Files<'d> {
    directory: &'d Path,
}

impl Files<'_> {
    /// Makes the directory, or makes sure that it is empty.
    fn claim(self) -> Result<(), ExportError> {
        let failed = |error| ExportError::Io { path: self.directory.to_owned(), error };
        fs::create_dir_all(self.directory).map_err(failed)?;
        let mut names = fs::read_dir(self.directory).map_err(failed)?;
        if names.next().is_some() { Err(ExportError::NotEmpty { path: self.directory.to_owned() }) } else { Ok(()) }
    }

    fn write(self, path: &str, bytes: &[u8]) -> Result<(), ExportError> {
        let path = self.directory.join(path);
        let parent = path.parent().unwrap_or(self.directory);
        fs::create_dir_all(parent).and_then(|()| fs::write(&path, bytes)).map_err(|error| ExportError::Io { path, error })
    }

    fn read(self, path: &str, length_max: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        fs::File::open(self.directory.join(path))?.take(length_max.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > length_max {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {length_max} bytes")));
        }
        Ok(bytes)
    }

    fn read_text(self, path: &str) -> io::Result<String> {
        String::from_utf8(self.read(path, NOTE_FILE_MAX)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// Why a log was not exported.
#[derive(Debug)]
pub enum ExportError {
    /// The log has no entries, and so no checkpoint.
    Empty,
    /// There is something in the directory.
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The stored log is not sound at or near this entry.
    Unsound {
        /// The entry's index.
        index: u64,
    },
    /// The store cannot be read.
    Source(SourceError),
    /// A file cannot be read or written.
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the log has no entries yet: there is nothing to export"),
            Self::NotEmpty { path } => write!(f, "{} is not empty: export into a new directory", path.display()),
            Self::Unsound { index } => {
                write!(f, "the stored log is not sound near entry {index}: run `claviger audit verify` to see what is wrong")
            }
            Self::Source(error) => write!(f, "the log cannot be read: {error}"),
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for ExportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Source(error) => Some(error.as_ref()),
            Self::Io { error, .. } => Some(error),
            Self::Empty | Self::NotEmpty { .. } | Self::Unsound { .. } => None,
        }
    }
}
