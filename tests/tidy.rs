//! Checks of the tree itself: what no compiler and no lint looks at, and what reviewers would otherwise have to say again and again.
//!
//! Each failure says what to do. The rules are those of `CONTRIBUTING.md` and `ARCHITECTURE.md`; where a rule is a list (which crate
//! may know which, which licences are fine), it is read from the document that people read too, so that the two cannot disagree.
//!
//! Start reading at `tidy/sources.rs`. `tidy/rust_source.rs` tells code, comments, literals and tests of a Rust file apart.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may panic, and these read a tree that they know"
)]

mod tidy {
    mod arrows;
    mod dependencies;
    mod documents;
    mod operations;
    mod rust_source;
    mod sources;
    mod tree;
}
