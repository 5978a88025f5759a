//! Replays the fuzzing corpus of this crate's parser (`fuzz/`), so that every build is held to what fuzzing has found.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(unreachable_pub, reason = "the included files are a library elsewhere")]

#[path = "../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../fuzz/src/sigv4.rs"]
mod sigv4;

use std::path::PathBuf;

#[test]
fn sigv4_corpus() {
    let corpora = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    replay::replay(&corpora, "sigv4", sigv4::run);
}
