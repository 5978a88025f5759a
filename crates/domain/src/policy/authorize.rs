//! The decision. Source: AWS IAM User Guide, "Policy evaluation logic" and "Cross-account policy evaluation logic"; AWS KMS Developer
//! Guide, "Key policies in AWS KMS" and "Troubleshooting key access".
//!
//! - An explicit denial anywhere wins.
//! - A key's own account: the key policy allows the caller itself, or it allows the account and the caller's identity policies agree.
//!   Without either nobody may, not even the account root.
//! - Another account's key: the key policy allows the caller or its account, and the caller's identity policies agree.
//! - Actions that are not about a key: identity policies alone, within the caller's account.
//! - An account root needs no identity policies.
//! - Where these are silent about a key, a grant decides (`granted.rs`). It needs no identity policy, also across accounts.

use std::fmt;
use std::sync::Arc;

use super::basis::{Basis, IdentityBasis, ResourceBasis};
use super::document::{Effect, Statement};
use super::granted::Granted;
use super::principal::Reach;
use super::{ConditionContext, Policy, granted};
use crate::arn::KeyArn;
use crate::identity::Identity;
use crate::ids::{AccountId, KeyId};
use crate::permit::Permit;

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
    /// What grants have to do with it.
    pub granted: Granted<'a>,
}

/// Why access was denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// AWS's text for the caller: "User: ARN is not authorized to perform: ACTION on resource: ARN because ...". For a key of another
    /// account it does not tell whether the key exists, unless the key's policy would let the caller use it.
    pub message: String,
    /// Which statement or lack of one decided, for the audit entry.
    pub reason: String,
    /// Whether nobody said no: a grant on the key could still allow it.
    pub silent: bool,
}

/// Decides whether the identity may do what it demands.
///
/// # Errors
/// The denial, with a message for the caller and a reason for the audit entry.
pub fn authorize(identity: &Identity, demand: &Demand<'_>, context: &dyn ConditionContext) -> Result<Permit, Denial> {
    match decide(identity, demand, context) {
        Ok(basis) => Ok(Permit::new(demand.action, demand.key.map(|(id, _)| id), basis)),
        Err(objection) => Err(objection.into_denial(identity, demand)),
    }
}

impl Policy {
    /// Whether this key policy would let the identity put another key policy later on: AWS's lockout safety check of `CreateKey` and
    /// `PutKeyPolicy`. It is the decision that a `kms:PutKeyPolicy` of the same caller would get under this policy, identity policies
    /// included, with the condition keys of the request at hand.
    pub fn allows_policy_update_by(&self, identity: &Identity, arn: &KeyArn, context: &dyn ConditionContext) -> bool {
        let resource = arn.to_string();
        let demand = Demand {
            action: "kms:PutKeyPolicy",
            resource: &resource,
            owner: arn.account,
            key: Some((arn.key, self)),
            granted: Granted::Nothing,
        };
        decide(identity, &demand, context).is_ok()
    }
}

/// The decision without its words, which only a denial needs.
fn decide<'p>(identity: &'p Identity, demand: &Demand<'p>, context: &dyn ConditionContext) -> Result<Basis, Objection<'p>> {
    if let Granted::Retiring(grant) = demand.granted {
        return granted::decide_retirement(identity, demand, grant, context);
    }
    match decide_by_policies(identity, demand, context) {
        Err(silent) if silent.is_silence() => granted::decide(identity, demand, context)?.ok_or(silent),
        decided => decided,
    }
}

fn decide_by_policies<'p>(
    identity: &'p Identity,
    demand: &Demand<'p>,
    context: &dyn ConditionContext,
) -> Result<Basis, Objection<'p>> {
    let own = demand.owner == identity.account;
    let Some((_, key_policy)) = demand.key else {
        if !own {
            return Err(Objection::ForeignResource);
        }
        return identity_side(identity, demand, context)?
            .map(|identity| Basis { resource: ResourceBasis::None, identity })
            .ok_or(Objection::IdentitySilent);
    };
    // The key's side comes first, so that another account's key stays hidden from those whom its policy does not allow.
    let allowed = key_side(key_policy, identity, demand, context)?;
    if allowed.is_none() && !own {
        return Err(Objection::KeySilent);
    }
    let agreed = identity_side(identity, demand, context)?;
    let Some((reach, statement)) = allowed else {
        return Err(Objection::KeySilent);
    };
    let identity = match agreed {
        _ if own && reach == Reach::Caller => IdentityBasis::NotNeeded,
        Some(basis) => basis,
        None => return Err(Objection::IdentitySilent),
    };
    Ok(Basis { resource: ResourceBasis::KeyStatement(Arc::clone(statement)), identity })
}

/// What the key policy says: the statement that reaches nearest to the caller, if any allows.
pub(super) fn key_side<'p>(
    policy: &'p Policy,
    identity: &Identity,
    demand: &Demand<'_>,
    context: &dyn ConditionContext,
) -> Result<Option<(Reach, &'p Arc<str>)>, Objection<'p>> {
    let mut nearest: Option<(Reach, &Arc<str>)> = None;
    for statement in &policy.statements {
        match statement.effect {
            Effect::Deny => {
                if statement.principals.hit(identity) && concerns(statement, demand, context) {
                    return Err(Objection::KeyDenies(&statement.name));
                }
            }
            Effect::Allow => {
                let reach = statement.principals.reach(identity);
                let farthest = nearest.map_or(Reach::Nobody, |(reach, _)| reach);
                if reach > farthest && concerns(statement, demand, context) {
                    nearest = Some((reach, &statement.name));
                }
            }
        }
    }
    Ok(nearest)
}

/// What the caller's side says: nothing, or what its agreement rests on.
pub(super) fn identity_side<'p>(
    identity: &'p Identity,
    demand: &Demand<'_>,
    context: &dyn ConditionContext,
) -> Result<Option<IdentityBasis>, Objection<'p>> {
    if identity.is_root() {
        return Ok(Some(IdentityBasis::Root));
    }
    let mut allowed = None;
    for (index, policy) in identity.policies.iter().enumerate() {
        for statement in &policy.statements {
            match statement.effect {
                Effect::Deny if concerns(statement, demand, context) => {
                    return Err(Objection::IdentityDenies { policy: index + 1, statement: &statement.name });
                }
                Effect::Allow if allowed.is_none() && concerns(statement, demand, context) => {
                    allowed = Some(IdentityBasis::Statement { policy: index + 1, statement: Arc::clone(&statement.name) });
                }
                _ => {}
            }
        }
    }
    Ok(allowed)
}

fn concerns(statement: &Statement, demand: &Demand<'_>, context: &dyn ConditionContext) -> bool {
    statement.concerns(demand.action, demand.resource, context)
}

/// What stands against a demand.
pub(super) enum Objection<'p> {
    /// The resource belongs to another account, and no policy of that account can speak for it.
    ForeignResource,
    /// A statement of the key policy denies.
    KeyDenies(&'p str),
    /// No statement of the key policy allows.
    KeySilent,
    /// A statement of an identity policy (counted from 1) denies.
    IdentityDenies { policy: usize, statement: &'p str },
    /// No identity policy allows.
    IdentitySilent,
}

impl Objection<'_> {
    /// Whether nobody allows, and nobody denies.
    fn is_silence(&self) -> bool {
        matches!(self, Self::KeySilent | Self::IdentitySilent)
    }

    fn into_denial(self, identity: &Identity, demand: &Demand<'_>) -> Denial {
        let Demand { action, resource, .. } = demand;
        let silent = self.is_silence() && demand.key.is_some() && !matches!(demand.granted, Granted::Retiring(_));
        let own = demand.owner == identity.account;
        let because = match self {
            Self::IdentityDenies { .. } => "with an explicit deny in an identity-based policy".to_owned(),
            Self::IdentitySilent => format!("because no identity-based policy allows the {action} action"),
            Self::KeyDenies(_) if own => "with an explicit deny in a resource-based policy".to_owned(),
            Self::KeySilent if own => format!("because no resource-based policy allows the {action} action"),
            Self::ForeignResource | Self::KeyDenies(_) | Self::KeySilent => HIDDEN.to_owned(),
        };
        Denial {
            message: format!("User: {} is not authorized to perform: {action} on resource: {resource} {because}", identity.arn),
            reason: self.to_string(),
            silent,
        }
    }
}

/// AWS's reason for a key of another account, which may or may not exist.
const HIDDEN: &str = "because the resource does not exist in this Region, no resource-based policies allow access, \
                      or a resource-based policy explicitly denies access";

impl Denial {
    /// The denial for a key of another account that does not exist, in the same words as for one that does.
    pub fn of_unknown_key(identity: &Identity, action: &str, resource: &str) -> Self {
        Self {
            message: format!("User: {} is not authorized to perform: {action} on resource: {resource} {HIDDEN}", identity.arn),
            reason: "the key does not exist".to_owned(),
            silent: false,
        }
    }
}

impl fmt::Display for Objection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForeignResource => f.write_str("the resource belongs to another account"),
            Self::KeyDenies(statement) => write!(f, "key policy {statement} denies"),
            Self::KeySilent => f.write_str("no statement of the key policy allows"),
            Self::IdentityDenies { policy, statement } => write!(f, "identity policy {policy} {statement} denies"),
            Self::IdentitySilent => f.write_str("no statement of an identity policy allows"),
        }
    }
}
