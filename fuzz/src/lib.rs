//! What the fuzz targets do with their input. Every function says whether the input was accepted, and panics when a promise is broken.
//!
//! The files here are also compiled into the ordinary tests that replay the corpora; they use public interfaces only.

pub mod attestation_document;
pub mod ciphertext_envelope;
pub mod policy_document;
pub mod replay;
pub mod request_body;
pub mod sigv4;
pub mod token_message;
pub mod xks_request;
