//! The cryptographic boundary: the only crate in which plaintext key material exists.
//!
//! What crosses the boundary is plain data (ids, sealed blobs, bytes in, bytes out) and opaque handles ([`Material`], [`AccountKey`],
//! [`AccessSecret`], [`SigningKey`], [`LogSigner`]). Handles are cheap to clone and cannot be printed or serialized; the types that hold the
//! secrets behind them are private to this crate, cannot be cloned, live in locked memory and are wiped when dropped.
//!
//! What this crate is not: it does no I/O (callers hand in bytes and store bytes), knows no protocol, decides nothing about access.
//! It asks for the proof of a decision instead: every use of a key takes a [`Permit`](claviger_domain::Permit).
//!
//! Start reading at [`Hsm`] in `hierarchy.rs` (root key, seals, account keys), then `xaes.rs` (the one construction that encrypts everything),
//! `envelope.rs` (what clients get) and `sealed.rs` (what the store gets), then `usage.rs` (Encrypt, Decrypt and
//! their kin), `asymmetric.rs` with `key_pair.rs` (Sign, Verify and theirs), and
//! `attestation/mod.rs` (plaintexts that only an attested enclave can read).
//! The specification is design/crypto.md; `memory.rs`, `memory/system.rs` and `aws_lc_gap.rs` are the only
//! files with `unsafe`.

mod access_secret;
mod asymmetric;
mod attestation;
mod aws_lc_gap;
mod backup;
mod certificate;
mod data_key_pair;
mod elsewhere;
mod encoding;
mod envelope;
mod error;
mod hierarchy;
mod hygiene;
mod import;
mod kdf;
mod key_pair;
mod key_store_secret;
mod log_signer;
mod mac;
mod material;
mod memory;
mod record;
mod rotation;
mod seal;
mod sealed;
mod self_test;
mod session;
mod shares;
mod state;
mod store_secret;
mod token;
mod usage;
mod xaes;
mod xks;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod wycheproof_tests;

pub use access_secret::{AccessSecret, SigningKey};
pub use attestation::{Attestation, AttestationError, AttestationRoot, Platform};
pub use backup::BackupKey;
pub use certificate::{is_authority, is_certificate};
pub use data_key_pair::{DataKeyPair, SealedDataKeyPair};
pub use elsewhere::OuterEnvelope;
pub use envelope::Envelope;
pub use error::HsmError;
pub use hierarchy::{AccountKey, Hsm};
pub use hygiene::{HygieneProblem, harden_process};
pub use import::{ImportParameters, ImportSecret, ImportToken};
pub use key_pair::Encapsulated;
pub use log_signer::LogSigner;
pub use material::{Material, NewMaterial};
pub use memory::{MemoryReport, memory_report};
pub use record::RecordIdentity;
pub use seal::{
    NewSeal, PassphraseCost, PrintedShares, SealSecret, SealedRoot, SharedSeal, TokenWrapped, generate_file_seal_secret,
};
pub use sealed::account_key_version;
pub use self_test::self_test;
pub use shares::{SHARE_LINES, SHARES_MAX, Share, ShareError, THRESHOLD_MIN};
pub use usage::{Destination, Source};
pub use xks::{XKS_ADDITIONAL_DATA_BYTES_MAX, XksCiphertext, XksMessage};
