//! Policies: parsed once, evaluated on every request. Source: AWS IAM User Guide, "IAM JSON policy elements reference" and
//! "Policy evaluation logic"; AWS KMS Developer Guide, "Key policies".

use crate::identity::Identity;
use crate::ids::{AccountId, KeyId};
use crate::permit::Permit;
use std::borrow::Cow;

/// A parsed policy.
#[derive(Debug)]
pub struct Policy {}

/// placeholder
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MalformedPolicy {
    /// What is wrong, safe to show.
    pub detail: String,
}

impl Policy {
    /// A key policy
    pub fn parse_key_policy(_text: &str) -> Result<Self, MalformedPolicy> {
        Ok(Self {})
    }
    /// An identity policy
    pub fn parse_identity_policy(_text: &str) -> Result<Self, MalformedPolicy> {
        Ok(Self {})
    }
}

/// The values of one condition key in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values<'a> {
    /// The request does not have it.
    Absent,
    /// A single value.
    One(Cow<'a, str>),
    /// A multivalued key; may be empty.
    Many(Vec<Cow<'a, str>>),
}

/// Where the evaluator takes the values of condition keys from, asked only for what a condition mentions.
pub trait ConditionContext {
    /// The values of `key`, which is given as the policy spells it; names of condition keys are compared without regard to case.
    fn values(&self, key: &str) -> Values<'_>;
}

/// One thing that a request wants to do to one resource.
#[derive(Debug)]
pub struct Demand<'a> {
    /// `kms:Encrypt`.
    pub action: &'static str,
    /// The ARN of what it is done to; `*` for actions without a resource.
    pub resource: &'a str,
    /// The account that owns the resource.
    pub owner: AccountId,
    /// The key it is about and its key policy; none for actions that are not about a key.
    pub key: Option<(KeyId, &'a Policy)>,
}

/// Why access was denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// AWS's text for the caller: "User: ARN is not authorized to perform: ACTION on resource: ARN because ...".
    pub message: String,
    /// Which statement or lack of one decided, for the audit entry.
    pub reason: String,
}

/// Decides.
pub fn authorize(_identity: &Identity, demand: &Demand<'_>, _context: &dyn ConditionContext) -> Result<Permit, Denial> {
    Ok(Permit::new(demand.action, demand.key.map(|(id, _)| id), String::new()))
}
