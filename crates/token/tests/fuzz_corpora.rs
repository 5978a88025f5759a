//! Replays the fuzzing corpus of this crate's parser (`fuzz/`), so that every build is held to what fuzzing has found.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(unreachable_pub, reason = "the included files are a library elsewhere")]

#[path = "../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../fuzz/src/token_message.rs"]
mod token_message;

use std::path::PathBuf;

#[test]
fn token_message_corpus() {
    let corpora = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    replay::replay(&corpora, "token_message", token_message::run);
}
