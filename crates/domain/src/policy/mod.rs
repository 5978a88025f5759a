//! Policies: parsed once, evaluated on every request.
//!
//! A policy is a JSON document in the language of AWS IAM. A *key policy* belongs to a key and names principals; an *identity policy*
//! belongs to a user or a role and names resources, and so does a *session policy*, which limits a session of a role; a *trust policy*
//! belongs to a role and names those who may assume it; the policy of a hold-your-own-key store speaks about whoever has the store's credential. [`Policy`] is any of them, parsed and checked as a whole, so that evaluation has
//! nothing left to refuse. [`authorize`] weighs all sides, and grants where these are silent, and answers with a [`crate::Permit`] or a [`Denial`].
//!
//! Source: AWS IAM User Guide, "IAM JSON policy elements reference", "Policy evaluation logic" and "Grammar of the IAM JSON policy
//! language"; AWS KMS Developer Guide, "Key policies in AWS KMS". Where AWS's prose leaves room, the module that decides says how.
//!
//! What this is not: it does not know which condition keys exist or what their values are (that is [`ConditionContext`], made by the
//! service), nor whether the principals that a policy names exist ([`Policy::named_principals`] lists them for the service to check).
//!
//! Start reading at `authorize.rs`, then `document.rs` (the elements), `condition.rs` (operators) and `pattern.rs` (wildcards).

mod arn_pattern;
mod authorize;
mod basis;
mod condition;
mod defaults;
mod document;
mod evaluation;
mod granted;
mod json;
mod moment;
mod pattern;
mod principal;
mod variables;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use document::Statement;

pub use authorize::{Demand, Denial, authorize, authorize_assumption, authorize_through_store};
pub use basis::Basis;
pub use defaults::{default_key_policy, default_store_policy, service_managed_key_policy};
pub use granted::Granted;
pub use principal::{PrincipalName, names_in_grants};

/// A parsed policy: a key policy, an identity or session policy, or a trust policy.
#[derive(Debug)]
pub struct Policy {
    statements: Box<[Statement]>,
}

/// An identity policy under the name that it was attached with.
#[derive(Debug, Clone)]
pub struct NamedPolicy {
    /// The name.
    pub name: Arc<str>,
    /// The policy.
    pub policy: Arc<Policy>,
}

impl Policy {
    /// The most bytes that a policy document may have. Source: AWS KMS quotas, "Key policy document size": 32 KB.
    pub const TEXT_BYTES_MAX: usize = 32 * 1024;

    /// Reads a key policy: each statement names principals, and resources among which `*` stands for the key itself.
    ///
    /// # Errors
    /// What is wrong with the document, with AWS's text where AWS has one. Whether the named principals exist is not checked here.
    pub fn parse_key_policy(text: &str) -> Result<Self, MalformedPolicy> {
        document::parse(text, document::PolicyKind::Key)
    }

    /// Reads an identity policy: no statement names principals, since the policy speaks about whoever it is attached to.
    ///
    /// # Errors
    /// What is wrong with the document, with AWS's text where AWS has one.
    pub fn parse_identity_policy(text: &str) -> Result<Self, MalformedPolicy> {
        document::parse(text, document::PolicyKind::Identity)
    }

    /// Reads a role's trust policy: each statement names principals, and actions of STS. It names no resources.
    ///
    /// # Errors
    /// What is wrong with the document, with AWS's text where AWS has one. Whether the named principals exist is not checked here.
    pub fn parse_trust_policy(text: &str) -> Result<Self, MalformedPolicy> {
        document::parse(text, document::PolicyKind::Trust)
    }

    /// Reads the policy of a hold-your-own-key store: it speaks about whoever has the store's credential, and names no principals.
    ///
    /// # Errors
    /// What is wrong with the document, with AWS's text where AWS has one.
    pub fn parse_store_policy(text: &str) -> Result<Self, MalformedPolicy> {
        document::parse(text, document::PolicyKind::Identity)
    }

    /// The most memory that a policy may take that is put today. What people write, and what tools write for them, takes a tenth of it.
    pub const WEIGHT_MAX: usize = 512 * 1024;

    /// About how many bytes of memory it takes: some tens of times its text, where that has many short values with wildcards.
    pub fn weight(&self) -> usize {
        self.statements.iter().map(Statement::weight).sum()
    }

    /// Refuses a policy that takes too much memory. Asked where a policy is put: one that was stored stays readable.
    ///
    /// # Errors
    /// When it takes more than [`Policy::WEIGHT_MAX`].
    pub fn must_be_light(&self) -> Result<(), MalformedPolicy> {
        if self.weight() <= Self::WEIGHT_MAX {
            return Ok(());
        }
        Err(MalformedPolicy::new("The policy has too many values and wildcards. Write fewer values, or split the policy."))
    }

    /// Everybody whom the policy names in `Principal` and `NotPrincipal`, repetitions included. The service refuses a
    /// key policy that names a principal that does not exist, with [`MalformedPolicy::unknown_principal`].
    pub fn named_principals(&self) -> impl Iterator<Item = &PrincipalName> {
        self.statements.iter().flat_map(|statement| statement.principals.names())
    }
}

/// A document that is not a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MalformedPolicy {
    /// What is wrong, safe to show: it holds nothing but AWS's texts and pieces of the document.
    pub detail: String,
}

impl MalformedPolicy {
    fn new(detail: impl Into<String>) -> Self {
        Self { detail: detail.into() }
    }

    /// AWS's text for a key policy that names somebody who cannot be found, and in our own words who that is.
    pub fn unknown_principal(name: &PrincipalName) -> Self {
        Self::new(format!("{} There is no {name} in this deployment.", Self::invalid_principals().detail))
    }

    /// AWS's text for a key policy that names somebody in a way that nobody is named.
    pub fn invalid_principals() -> Self {
        Self::new("Policy contains a statement with one or more invalid principals.")
    }

    /// AWS's text for a trust policy that names somebody who cannot be found, which says who that is.
    pub fn unknown_principal_in_trust(name: &PrincipalName) -> Self {
        Self::new(format!("Invalid principal in policy: \"{}\":\"{name}\"", name.kind()))
    }

    /// AWS's text for a key policy under which the caller could not put another one.
    pub fn locks_out() -> Self {
        Self::new("The new key policy will not allow you to update the key policy in the future.")
    }

    /// The same complaint with the statement (counted from 1) that it is about.
    fn in_statement(self, number: usize) -> Self {
        Self::new(format!("{} (statement {number})", self.detail))
    }
}

impl fmt::Display for MalformedPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for MalformedPolicy {}

/// The values of one condition key in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values<'a> {
    /// The request does not have it.
    Absent,
    /// A single value.
    One(Cow<'a, str>),
    /// A multivalued key; may be empty, which policies cannot tell from absent.
    Many(Vec<Cow<'a, str>>),
    /// Several values for what should have one, because their names differ in case alone. Fits every denial and no permission.
    Ambiguous,
}

impl<'a> Values<'a> {
    /// The value that has this name among pairs of names and values, where the case of names does not matter: that of tags, and of keys of
    /// encryption contexts.
    pub fn named(name: &str, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut found = pairs.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        match (found.next(), found.next()) {
            (None, _) => Self::Absent,
            (Some(value), None) => Self::One(Cow::Borrowed(value)),
            (Some(_), Some(_)) => Self::Ambiguous,
        }
    }

    /// All values, in a form that `for` and the quantifiers of conditions understand.
    fn as_slice(&self) -> &[Cow<'_, str>] {
        match self {
            Self::Absent | Self::Ambiguous => &[],
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

/// Where the evaluator takes the values of condition keys from, asked only for what a condition mentions.
pub trait ConditionContext {
    /// The values of `key`, which is given as the policy spells it; names of condition keys are compared without regard to case.
    fn values(&self, key: &str) -> Values<'_>;

    /// Notes work that is done to compare values. False when there has been too much: then there is no point in going on.
    fn charge(&self, _work: usize) -> bool {
        true
    }
}
