//! What a key is: ids and ARNs, specs and states, policy documents and their evaluation, refusals.
//!
//! Pure: no I/O, no async, no clock, no cryptography, and no protocol. Everything here is plain data and functions over it, so
//! that each rule can be tested by calling it.
//!
//! Start reading at [`key::Key`] (the managed object), then [`policy`] (who may do what with it) and [`permit::Permit`]
//! (the value that proves that somebody was allowed to). Every failure in the project is a [`refusal::Refusal`].
//!
//! What this crate is not: it does not store, seal or encrypt anything, and it never sees key material.

pub mod arn;
pub mod availability;
pub mod caller;
pub mod encryption_context;
pub mod grant;
pub mod hyok;
pub mod identity;
pub mod ids;
pub mod key;
pub mod key_store;
mod names;
pub mod permit;
pub mod policy;
pub mod refusal;
pub mod timestamp;

pub use arn::{AliasArn, KeyArn, KeyReference};
pub use caller::Caller;
pub use encryption_context::EncryptionContext;
pub use grant::{Grant, GrantConstraints, GrantOperation, GrantPrincipal, GrantTerms};
pub use identity::{Identity, Principal};
pub use ids::{
    AccessKeyId, AccountId, AliasName, ExternalKeyId, GrantId, HyokStoreName, KeyId, MaterialId, Region, RoleName, ServiceName,
    SessionName, StorePath, UserName,
};
pub use permit::Permit;
pub use refusal::{Kind, Refusal};
pub use timestamp::Timestamp;
