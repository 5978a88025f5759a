//! Replays the fuzzing corpora of this crate's parsers (`fuzz/`), so that every build is held to what fuzzing has found.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(unreachable_pub, reason = "the included files are a library elsewhere")]

#[path = "../../../fuzz/src/attestation_document.rs"]
mod attestation_document;
#[path = "../../../fuzz/src/ciphertext_envelope.rs"]
mod ciphertext_envelope;
#[path = "../../../fuzz/src/replay.rs"]
mod replay;

use std::path::Path;

#[test]
fn attestation_document_corpus() {
    replay::replay(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus"),
        "attestation_document",
        attestation_document::run,
    );
}

#[test]
fn ciphertext_envelope_corpus() {
    replay::replay(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus"),
        "ciphertext_envelope",
        ciphertext_envelope::run,
    );
}
