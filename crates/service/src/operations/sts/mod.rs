//! The operations of AWS STS.

mod get_caller_identity;

pub use get_caller_identity::{CallerIdentity, GetCallerIdentity};
