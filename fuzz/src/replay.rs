//! Runs a corpus through its target's function, for the ordinary tests.

use std::path::Path;

/// Replays `corpus/TARGET/`, and holds the seeds to their names.
///
/// # Panics
/// When a seed is accepted or refused against its name, when the function panics, or when the corpus has lost its seeds.
pub fn replay(corpora: &Path, target: &str, run: fn(&[u8]) -> bool) {
    let (mut accepted, mut refused) = (0, 0);
    let directory = corpora.join(target);
    for entry in std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
        let path = entry.expect("a directory entry").path();
        let outcome = run(&std::fs::read(&path).expect("a readable seed"));
        match path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split_once('-')) {
            Some(("accepted", _)) => {
                assert!(outcome, "{} was refused", path.display());
                accepted += 1;
            }
            Some(("refused", _)) => {
                assert!(!outcome, "{} was accepted", path.display());
                refused += 1;
            }
            _ => {}
        }
    }
    assert!(accepted >= 3 && refused >= 3, "{target}: the corpus has lost its seeds ({accepted} accepted, {refused} refused)");
}
