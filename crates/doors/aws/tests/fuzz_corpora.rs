//! Replays the fuzzing corpora of this crate's parsers (`fuzz/`), so that every build is held to what fuzzing has found.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(unreachable_pub, reason = "the included files are a library elsewhere")]

#[path = "../../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../../fuzz/src/request_body.rs"]
mod request_body;

use std::path::PathBuf;

fn corpora() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus")
}

#[test]
fn request_body_corpus() {
    replay::replay(&corpora(), "request_body", request_body::run);
}
