//! What a permission rests on, kept cheap: it is made on every request and written out only with the audit entry.

use std::fmt;
use std::sync::Arc;

use crate::ids::GrantId;

/// Which policies and statements, or which grant, allowed something. `Display` writes it for the audit entry: `key policy statement "Use"
/// and identity policy "readers" statement 2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis {
    pub(super) resource: ResourceBasis,
    pub(super) identity: IdentityBasis,
    /// The statement of the session policy, where there is one that had to agree.
    pub(super) session: Option<Arc<str>>,
}

/// What the resource's side contributed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ResourceBasis {
    /// Nothing: the resource has no policy of its own.
    None,
    /// A statement of the key policy.
    KeyStatement(Arc<str>),
    /// A statement of the trust policy of the role that is assumed.
    TrustStatement(Arc<str>),
    /// A statement of the policy of the hold-your-own-key store that asks.
    StoreStatement(Arc<str>),
    /// A grant whose grantee the caller is.
    Grant(GrantId),
    /// A grant whose retiring principal the caller is.
    Retiring(GrantId),
    /// A grant that the caller's account made, or that is on the caller's account's key.
    OwnGrant(GrantId),
}

/// What the caller's side contributed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum IdentityBasis {
    /// The resource's side was enough.
    NotNeeded,
    /// The account root needs no identity policy.
    Root,
    /// The statement of the identity policy of this name.
    Statement { policy: Arc<str>, statement: Arc<str> },
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.resource {
            ResourceBasis::None => {}
            ResourceBasis::KeyStatement(statement) => write!(f, "key policy {statement}")?,
            ResourceBasis::TrustStatement(statement) => write!(f, "trust policy {statement}")?,
            ResourceBasis::StoreStatement(statement) => write!(f, "store policy {statement}")?,
            ResourceBasis::Grant(grant) => write!(f, "grant {grant}")?,
            ResourceBasis::Retiring(grant) => write!(f, "retiring principal of grant {grant}")?,
            ResourceBasis::OwnGrant(grant) => write!(f, "account of grant {grant}")?,
        }
        if self.resource != ResourceBasis::None && self.identity != IdentityBasis::NotNeeded {
            f.write_str(" and ")?;
        }
        match &self.identity {
            IdentityBasis::NotNeeded => Ok(()),
            IdentityBasis::Root => f.write_str("account root"),
            IdentityBasis::Statement { policy, statement } => write!(f, "identity policy \"{policy}\" {statement}"),
        }?;
        match &self.session {
            Some(statement) => write!(f, " and session policy {statement}"),
            None => Ok(()),
        }
    }
}
