//! Exported logs, judged by ourselves, by a third-party tlog-tiles implementation, and by a Python script.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "tests may panic, and each test file uses its part of the common helpers"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use claviger_audit::export::{ExportError, export, read_vkey, verify_export};
use claviger_audit::note::InvalidNote;
use claviger_audit::verify::{OldCheckpoint, Prefix, Problem, Report};
use claviger_audit::{StoredBundle, TreeHead};
use common::{key, log_of};
use tempfile::TempDir;
use tlog_tiles::{HashReader, Tile, TileHashReader, TileReader, check_record, check_tree, prove_record, prove_tree};

fn exported(bundles: &[StoredBundle]) -> (TempDir, TreeHead) {
    let directory = TempDir::new().unwrap();
    let head = export(&mut &*bundles, &key(), directory.path()).unwrap();
    (directory, head)
}

fn check(directory: &Path) -> Report {
    verify_export(directory, &key(), &[])
}

fn files(directory: &Path) -> Vec<String> {
    fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { collect(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    collect(directory, &mut found);
    let mut names: Vec<String> =
        found.iter().map(|path| path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// Runs the independent verifier.
fn python(directory: &Path, arguments: &[&str]) -> (bool, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verify_export.py");
    let output = Command::new("python3").arg(script).arg(directory).args(arguments).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn an_export_is_these_files() {
    let (_, bundles) = log_of(&[100, 200, 230]);
    let (directory, _) = exported(&bundles);
    assert_eq!(
        files(directory.path()),
        [
            "checkpoint",
            "tile/0/000",
            "tile/0/001",
            "tile/0/002.p/18",
            "tile/1/000.p/2",
            "tile/entries/000",
            "tile/entries/001",
            "tile/entries/002.p/18",
            "vkey",
        ]
    );
    assert_eq!(fs::read_to_string(directory.path().join("checkpoint")).unwrap(), bundles[2].checkpoint);
    assert_eq!(fs::read(directory.path().join("tile/0/000")).unwrap().len(), 8192);
    assert_eq!(read_vkey(directory.path()).unwrap(), key());
}

#[test]
fn every_verifier_accepts_exports_of_all_shapes() {
    for size in [1, 2, 255, 256, 257, 512, 700] {
        let (log, bundles) = log_of(&[size]);
        let (directory, head) = exported(&bundles);
        assert_eq!(head, TreeHead { size, root: log.root() });
        let report = check(directory.path());
        assert!(report.is_sound(), "{size}: {report}");
        assert_eq!((report.size, report.root, report.signatures), (size, Some(log.root()), 1));
        let (sound, said) = python(directory.path(), &["--vkey", &key().to_string()]);
        assert!(sound && said.contains(&log.root().to_string()), "{size}: {said}");
    }
}

/// Gives the third-party implementation our files under the paths of the specification.
struct Directory<'d>(&'d Path);

impl TileReader for Directory<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        // The crate writes the height into the path, as Go's checksum database does; tlog-tiles leaves it out.
        let read = |tile: &Tile| fs::read(self.0.join(tile.path().replacen("tile/8/", "tile/", 1))).unwrap();
        Ok(tiles.iter().map(read).collect())
    }

    fn save_tiles(&self, _tiles: &[Tile], _data: &[Vec<u8>]) {}
}

#[test]
fn a_third_party_implementation_proves_entries_and_growth_from_our_tiles() {
    let (log, bundles) = log_of(&[300, 400, 66_000]);
    let (directory, head) = exported(&bundles);
    let tiles = Directory(directory.path());
    let root = tlog_tiles::Hash(head.root.0);
    let reader = TileHashReader::new(head.size, root, &tiles);
    assert_eq!(tlog_tiles::tree_hash(head.size, &reader).unwrap().0, log.root().0);
    for index in [0, 1, 255, 256, 299, 699, 65_535, 65_536, head.size - 1] {
        let proof = prove_record(head.size, index, &reader).unwrap();
        let leaf = tlog_tiles::record_hash(common::entry_at(index).bytes());
        check_record(&proof, head.size, root, index, leaf).unwrap();
    }
    for (size, bundle) in [(300, &bundles[0]), (700, &bundles[1])] {
        let old = TreeHead::open(&bundle.checkpoint, &key()).unwrap();
        let proof = prove_tree(head.size, size, &reader).unwrap();
        check_tree(&proof, head.size, root, size, tlog_tiles::Hash(old.root.0)).unwrap();
    }
    let expected: Vec<String> =
        Tile::new_tiles(8, 0, head.size).iter().map(|tile| tile.path().replacen("tile/8/", "tile/", 1)).collect();
    let mut written: Vec<String> =
        files(directory.path()).into_iter().filter(|path| path.starts_with("tile/") && !path.contains("entries")).collect();
    let mut sorted = expected;
    sorted.sort();
    written.sort();
    assert_eq!(written, sorted);
    // Reading any hash at all goes through the tiles of every level.
    assert!(reader.read_hashes(&[0, 1, 2]).is_ok());
    assert!(check(directory.path()).is_sound());
    let (sound, said) = python(directory.path(), &[]);
    assert!(sound, "{said}");
}

#[test]
fn every_verifier_names_what_was_tampered_with() {
    let (_, bundles) = log_of(&[300]);
    let tampered = |change: &dyn Fn(&Path)| {
        let (directory, _) = exported(&bundles);
        change(directory.path());
        let (sound, said) = python(directory.path(), &["--vkey", &key().to_string()]);
        assert!(!sound, "{said}");
        let report = check(directory.path());
        assert!(!report.is_sound());
        (report.to_string(), said)
    };
    let flip = |path: &'static str, position: usize| {
        move |directory: &Path| {
            let path = directory.join(path);
            let mut bytes = fs::read(&path).unwrap();
            bytes[position] ^= 1;
            fs::write(path, bytes).unwrap();
        }
    };

    let entry_length = 2 + common::entry(0).bytes().len();
    let (ours, theirs) = tampered(&flip("tile/entries/000", 17 * entry_length + 50));
    assert!(ours.contains("entry 17 of node node-1: altered"), "{ours}");
    assert!(theirs.contains("entry 17: "), "{theirs}");

    let (ours, theirs) = tampered(&flip("tile/0/001.p/44", 3 * 32));
    assert!(ours.contains("entry 259 of node node-1: altered"), "{ours}");
    assert!(theirs.contains("entry 259: "), "{theirs}");

    let (ours, theirs) = tampered(&flip("tile/1/000.p/1", 5));
    assert!(ours.contains("tile/1/000.p/1: its hashes are not those of the entries"), "{ours}");
    assert!(theirs.contains("tile/1/000.p/1: "), "{theirs}");

    let (ours, theirs) = tampered(&flip("checkpoint", 60));
    assert!(ours.contains("the signature on the checkpoint is not valid"), "{ours}");
    assert!(theirs.contains("the signature on the checkpoint is not valid"), "{theirs}");

    let (ours, theirs) = tampered(&|directory| fs::remove_file(directory.join("tile/entries/001.p/44")).unwrap());
    assert!(ours.contains("tile/entries/001.p/44: "), "{ours}");
    assert!(theirs.contains("tile/entries/001.p/44: "), "{theirs}");

    let (ours, theirs) = tampered(&|directory| {
        let path = directory.join("tile/entries/001.p/44");
        let bytes = fs::read(&path).unwrap();
        fs::write(path, &bytes[..2 * entry_length + 9]).unwrap();
    });
    assert!(ours.contains("entry 258 of node node-1: tile/entries/001.p/44: the file ends within this entry"), "{ours}");
    assert!(theirs.contains("entry 258: "), "{theirs}");

    let (ours, theirs) = tampered(&|directory| {
        for (path, item) in [("tile/entries/001.p/44", entry_length), ("tile/0/001.p/44", 32)] {
            let path = directory.join(path);
            let mut bytes = fs::read(&path).unwrap();
            let (one, rest) = bytes.split_at_mut(item);
            one.swap_with_slice(&mut rest[..item]);
            fs::write(path, bytes).unwrap();
        }
    });
    assert!(ours.contains("do not lead to the root"), "{ours}");
    assert!(theirs.contains("do not lead to the root"), "{theirs}");
}

#[test]
fn an_export_without_anything_to_read_says_so() {
    let directory = TempDir::new().unwrap();
    let report = check(directory.path());
    assert!(matches!(&report.findings[0].problem, Problem::File { path, .. } if path == "checkpoint"), "{report}");
    assert!(read_vkey(directory.path()).is_err());

    let (_, bundles) = log_of(&[300]);
    fs::write(directory.path().join("checkpoint"), &bundles[0].checkpoint).unwrap();
    let report = check(directory.path());
    assert!(
        report.findings.iter().any(|finding| finding.entries == Some((0, 255)) && finding.problem == Problem::Missing),
        "{report}"
    );
}

#[test]
fn an_export_signed_by_somebody_else_is_refused() {
    let (_, bundles) = log_of(&[3]);
    let (directory, _) = exported(&bundles);
    let other = claviger_audit::VerifierKey::new(common::origin(), [9; 32]);
    let report = verify_export(directory.path(), &other, &[]);
    assert_eq!(report.findings[0].problem, Problem::Checkpoint(InvalidNote::NotSigned));
    let (sound, said) = python(directory.path(), &["--vkey", &other.to_string()]);
    assert!(!sound && said.contains("not signed by the key"), "{said}");
}

#[test]
fn old_checkpoints_are_compared_with_an_export() {
    let (_, bundles) = log_of(&[100, 200]);
    let (directory, _) = exported(&bundles);
    let old = |text: &str| vec![OldCheckpoint { name: "old".to_owned(), text: text.to_owned() }];
    let kept = TempDir::new().unwrap();
    let file = kept.path().join("old");

    let report = verify_export(directory.path(), &key(), &old(&bundles[0].checkpoint));
    assert!(report.is_sound());
    assert_eq!(report.prefixes, [Prefix { name: "old".to_owned(), size: 100 }]);
    fs::write(&file, &bundles[0].checkpoint).unwrap();
    let (sound, said) = python(directory.path(), &["--old", file.to_str().unwrap()]);
    assert!(sound, "{said}");

    let (_, longer) = log_of(&[301]);
    let report = verify_export(directory.path(), &key(), &old(&longer[0].checkpoint));
    assert_eq!(report.findings[0].problem, Problem::Shorter { name: "old".to_owned(), size: 301 });
    fs::write(&file, &longer[0].checkpoint).unwrap();
    assert!(!python(directory.path(), &["--old", file.to_str().unwrap()]).0);

    let mut log = claviger_audit::Log::empty(common::origin());
    let fork = common::append(&mut log, &[common::entry(9)], &common::TestSigner::from_seed(7));
    let report = verify_export(directory.path(), &key(), &old(&fork.checkpoint));
    assert_eq!(report.findings[0].problem, Problem::NotAPrefix { name: "old".to_owned(), size: 1 });
    fs::write(&file, &fork.checkpoint).unwrap();
    let (sound, said) = python(directory.path(), &["--old", file.to_str().unwrap()]);
    assert!(!sound && said.contains("not those of the old checkpoint"), "{said}");

    // Two that are called the same are two, in whichever order.
    let (other, right) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (wrong, right) = (other.path().join("checkpoint"), right.path().join("checkpoint"));
    fs::write(&wrong, &fork.checkpoint).unwrap();
    fs::write(&right, &bundles[0].checkpoint).unwrap();
    let (wrong, right) = (wrong.to_str().unwrap(), right.to_str().unwrap());
    for arguments in [["--old", wrong, "--old", right], ["--old", right, "--old", wrong]] {
        let (sound, said) = python(directory.path(), &arguments);
        assert!(!sound && said.contains(&format!("not those of the old checkpoint {wrong}")), "{said}");
    }
}

#[test]
fn the_independent_verifier_tells_wrong_usage_from_a_wrong_log() {
    let (_, bundles) = log_of(&[3]);
    let (directory, _) = exported(&bundles);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verify_export.py");
    let ask = |arguments: &[&str]| {
        let output = Command::new("python3").arg(&script).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let path = directory.path().to_str().unwrap();
    for arguments in [&[path, "--old", "/nowhere/checkpoint"][..], &["/nowhere"], &[path, "--old", path]] {
        let (code, said) = ask(arguments);
        assert!(code == Some(2) && !said.contains("Traceback"), "{arguments:?}: {code:?} {said}");
    }
    assert_eq!(ask(&[path]).0, Some(0));
}

#[test]
fn nothing_unsound_is_exported_and_nothing_is_overwritten() {
    let (_, bundles) = log_of(&[3, 3]);
    let fails = |bundles: &[StoredBundle]| {
        let directory = TempDir::new().unwrap();
        let error = export(&mut &*bundles, &key(), directory.path()).unwrap_err();
        assert!(!directory.path().join("checkpoint").exists());
        error
    };
    let mut altered = bundles.clone();
    let last = altered[1].data.len() - 20;
    altered[1].data[last] ^= 1;
    assert!(matches!(fails(&altered), ExportError::Unsound { index: 5 }));
    assert!(matches!(fails(&bundles[1..]), ExportError::Unsound { index: 0 }));
    assert!(matches!(fails(&[]), ExportError::Empty));
    let mut truncated = bundles.clone();
    truncated[1].data.pop();
    assert!(fails(&truncated).to_string().contains("claviger audit verify"));

    let (directory, _) = exported(&bundles);
    assert!(matches!(export(&mut &bundles[..], &key(), directory.path()).unwrap_err(), ExportError::NotEmpty { .. }));
}

/// The signature check in the script that stands in for the package `cryptography` agrees with it, and refuses what it must.
#[test]
fn the_script_verifies_ed25519_by_hand() {
    let (_, bundles) = log_of(&[1]);
    let (directory, _) = exported(&bundles);
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let program = format!(
        "import sys; sys.path.insert(0, {tests:?}); sys.dont_write_bytecode = True\n\
         import verify_export as v, pathlib, base64\n\
         d = pathlib.Path({:?})\n\
         name, key_id, key = v.parse_vkey((d / 'vkey').read_text())\n\
         text, _, signature = (d / 'checkpoint').read_text().rpartition('\\n\\n')\n\
         signature = base64.b64decode(signature.split(' ')[2])[4:]\n\
         message = (text + '\\n').encode()\n\
         assert v.ed25519_verifies_by_hand(key, message, signature)\n\
         assert not v.ed25519_verifies_by_hand(key, message + b'x', signature)\n\
         assert not v.ed25519_verifies_by_hand(key, message, signature[:63] + bytes([signature[63] ^ 1]))\n",
        directory.path()
    );
    let output = Command::new("python3").args(["-c", &program]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
