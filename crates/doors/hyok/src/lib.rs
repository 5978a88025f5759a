//! The door `hyok`: what clouds call to use keys that they do not hold. Today: AWS KMS, which calls it an external key store (XKS) proxy.
//!
//! A door only translates. It finds the store that a path belongs to, reads who signed the request (`claviger_sigv4`), turns its body into an
//! operation of the service crate (one file for each operation), and turns what comes back into bytes. It knows neither hsm nor store, and
//! decides nothing.
//!
//! Start reading at [`Door::handle`], then `path.rs`, then at any operation's file. What a refusal is called on the wire is said in `errors.rs`
//! alone.
//!
//! Source: AWS KMS External Keystore (XKS) Proxy API Specification, version 1.

mod body;
mod decrypt;
mod door;
mod encrypt;
mod errors;
mod get_health_status;
mod get_key_metadata;
mod mapping;
mod path;
mod request_metadata;

pub use door::{Door, Peer};

/// Entry points for fuzzing and for the replay of its corpora: the parsers, without a service behind them.
pub mod fuzz {
    pub use crate::mapping::read_request_body;
    pub use crate::path::is_request_path;
}
