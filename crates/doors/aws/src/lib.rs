//! The AWS door: AWS KMS (JSON 1.1), AWS STS (query protocol), and Claviger's own administration in the same JSON form.
//!
//! A door only translates: it reads who signed a request (`claviger_sigv4`), turns its body into an operation of the service crate (`kms`, `sts`,
//! `admin`: one file for each operation), and turns what comes back into bytes. It knows neither hsm nor store, and decides nothing.
//!
//! Start reading at [`Door::handle`], then at any file in `kms`. What a refusal is called on the wire is said in `errors.rs` alone.
//!
//! Source: `facts/aws-kms.md` of the project's design, and the service model of AWS KMS as botocore carries it.

mod admin;
mod door;
mod errors;
mod json;
mod kms;
mod mapping;
mod sts;
mod validation;

pub use door::{Door, Peer, unavailable};

/// Entry points for fuzzing and for the replay of its corpora: the parsers, without a service behind them.
pub mod fuzz {
    pub use crate::mapping::read_request_body;
}
