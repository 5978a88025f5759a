//! The transparency log: what was asked and what was decided, in an order that nobody can change afterwards unnoticed.
//!
//! Each node keeps one log. An [`entry::Event`] becomes an [`entry::Entry`] (canonical JSON in CloudTrail's shape, and its RFC 6962
//! leaf hash). The entries of one group commit go into one stored blob ([`bundle`]), and [`log::Log`] says what the Merkle tree's root
//! becomes and has the node sign it as a C2SP `tlog-checkpoint`. Because the tree only grows, whoever kept one old checkpoint can
//! tell whether anything before it was altered ([`verify`]); [`export`] writes the log as plain C2SP `tlog-tiles` files, which software
//! that is not ours can check.
//!
//! What this crate is not: it stores nothing (stored bundles come in through [`source::BundleSource`]), holds no private key
//! ([`note::CheckpointSigner`] is implemented by the hsm crate's caller) and knows no clock, except that `export` writes files.
//!
//! Start reading at [`entry::Event`], then [`log::Log::prepare`], then [`verify::verify`].

pub mod bundle;
mod canonical;
pub mod entry;
pub mod export;
pub mod log;
pub mod merkle;
pub mod note;
mod report;
pub mod source;
mod tiles;
pub mod verify;

pub use bundle::Bundle;
pub use entry::{Entry, Event};
pub use log::{Log, Prepared};
pub use merkle::Hash;
pub use note::{CheckpointSigner, Origin, TreeHead, VerifierKey};
pub use source::{BundleSource, StoredBundle};
