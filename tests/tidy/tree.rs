//! The files of the repository.

use std::fs;
use std::path::{Path, PathBuf};

/// What is not ours, or is made by building.
const NOT_OURS: &[&str] = &["target", ".git", ".venv", ".dev", "node_modules", "__pycache__", ".pytest_cache", "artifacts"];

/// The repository's root.
pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package lies in the repository").to_owned()
}

/// Whether a path, from the root, is there.
pub(super) fn exists(path: &str) -> bool {
    root().join(path).exists()
}

/// The text of a file, from the root.
pub(super) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path} cannot be read: {error}"))
}

/// All files below a directory with this ending, as paths from the root, sorted.
pub(super) fn files(below: &str, ending: &str) -> Vec<String> {
    let root = root();
    let mut found = Vec::new();
    walk(&root.join(below), &mut found);
    let mut paths: Vec<String> = found
        .iter()
        .filter_map(|path| path.strip_prefix(&root).ok()?.to_str())
        .filter(|path| path.ends_with(ending))
        .map(str::to_owned)
        .collect();
    paths.sort();
    paths
}

/// The name of a file without directory and ending.
pub(super) fn stem(path: &str) -> &str {
    Path::new(path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}

/// Fails with everything that was found, and with what to do about it.
pub(super) fn report(findings: &[String], what_to_do: &str) {
    assert!(findings.is_empty(), "\n{}\n\nWhat to do: {what_to_do}\n", findings.join("\n"));
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.map(|entry| entry.expect("a directory that can be read")) {
        let (path, name) = (entry.path(), entry.file_name());
        if NOT_OURS.iter().any(|other| name == *other) {
            continue;
        }
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}
