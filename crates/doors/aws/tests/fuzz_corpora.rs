//! Replays the fuzzing corpora of this crate's parsers (`fuzz/`), so that every build is held to what fuzzing has found.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(unreachable_pub, reason = "the included files are a library elsewhere")]

#[path = "../../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../../fuzz/src/sigv4.rs"]
mod sigv4;

use std::path::Path;

#[test]
fn sigv4_corpus() {
    replay::replay(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus"), "sigv4", sigv4::run);
}
