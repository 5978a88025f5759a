//! The invariants of design/architecture.md as this crate keeps them, each tested so that breaking it fails a test.
//!
//! Everything runs in process on a real SQLite store, a real hsm and a clock that the tests move. `common` makes the deployment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod administration;
mod asymmetric;
mod auditing;
mod authorization;
mod cluster;
mod common;
mod freshness;
mod grace;
mod grants;
mod hyok;
mod imports;
mod key_stores;
mod last_use;
mod multi_region;
mod paging;
mod quotas;
mod recipients;
mod roles;
mod seals;
mod services;
mod tampering;
mod time;
