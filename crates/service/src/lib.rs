//! The verbs of Claviger, and the one pipeline they all run through.
//!
//! [`Service::perform`] is the only way in: it resolves what an operation is about, authorises it, executes it, and commits its changes
//! together with its audit entry. A door makes a [`Caller`](claviger_domain::Caller) through [`Service::authenticate`] and hands over an
//! [`Operation`]; it never reaches the hsm or the store.
//!
//! Start reading at [`operation::Operation`] (what an operation declares), then `pipeline.rs` (the way of a request), then any file in
//! [`operations`]: one operation, one type, one file.
//!
//! What this crate is not: it speaks no protocol, and it holds no plaintext key material.

mod accounts;
mod audit_trail;
pub mod authenticate;
mod background;
mod cache;
mod canaries;
pub mod clock;
mod complaints;
mod conditions;
mod confirm;
mod crew;
pub mod deployment;
mod effective;
mod elsewhere;
mod event_parameters;
mod freshness;
mod grace;
mod grants;
mod heartbeat;
pub mod hyok;
mod hyok_health;
pub mod key_stores;
mod last_use;
mod leader;
mod marker;
mod metering;
mod node_log;
pub mod operation;
pub mod operations;
mod pipeline;
pub mod quotas;
pub mod recipient;
mod records;
pub mod recovery;
mod replication;
mod resolve;
mod room;
mod root_watch;
pub mod seals;
mod sequencer;
pub mod service;
mod sessions;
mod snapshot;
mod standing;
mod store_meters;
mod throttle;
pub mod verify_store;
mod work;
mod xks_elsewhere;

pub use authenticate::{Assertions, SignatureClaim};
pub use clock::{Clock, ManualClock, SystemClock};
pub use deployment::{InitialCredential, Initialized, initialize};
pub use effective::Effective;
pub use hyok::FoundStore;
pub use metering::Meters;
pub use operation::Operation;
pub use service::{Readiness, Service, Settings};
pub use sessions::SessionCredential;
