//! What a permission rests on, kept cheap: it is made on every request and written out only with the audit entry.

use std::fmt;
use std::sync::Arc;

/// Which policies and statements allowed something. `Display` writes it for the audit entry: `key policy statement "Use" and identity
/// policy 1 statement 2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis {
    pub(super) key_statement: Option<Arc<str>>,
    pub(super) identity: IdentityBasis,
}

/// What the caller's side contributed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum IdentityBasis {
    /// The key policy was enough.
    NotNeeded,
    /// The account root needs no identity policy.
    Root,
    /// The statement of the policy at this place among the identity's policies, counted from 1.
    Statement { policy: usize, statement: Arc<str> },
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(statement) = &self.key_statement {
            write!(f, "key policy {statement}")?;
            if self.identity != IdentityBasis::NotNeeded {
                f.write_str(" and ")?;
            }
        }
        match &self.identity {
            IdentityBasis::NotNeeded => Ok(()),
            IdentityBasis::Root => f.write_str("account root"),
            IdentityBasis::Statement { policy, statement } => write!(f, "identity policy {policy} {statement}"),
        }
    }
}
