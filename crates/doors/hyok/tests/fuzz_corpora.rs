//! Replays the fuzzing corpus of this crate's parsers (`fuzz/`), so that every build is held to what fuzzing has found.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(unreachable_pub, reason = "the included files are a library elsewhere")]

#[path = "../../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../../fuzz/src/xks_request.rs"]
mod xks_request;

use std::path::PathBuf;

#[test]
fn xks_request_corpus() {
    let corpora = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus");
    replay::replay(&corpora, "xks_request", xks_request::run);
}
