//! The decision. Source: AWS IAM User Guide, "Policy evaluation logic" and "Cross-account policy evaluation logic"; AWS KMS Developer
//! Guide, "Key policies in AWS KMS" and "Troubleshooting key access".
//!
//! - An explicit denial anywhere wins.
//! - A key's own account: the key policy allows the caller itself, or it allows the account and the caller's identity policies agree.
//!   Without either nobody may, not even the account root.
//! - Another account's key: the key policy allows the caller or its account, and the caller's identity policies agree.
//! - Actions that are not about a key: identity policies alone, within the caller's account.
//! - An account root needs no identity policies.
//! - A session of a role has the role's identity policies. Its session policy has to agree to everything, except to what a key policy of
//!   its own account, or a grant, allows to the session itself, by the session's name. Source: AWS IAM User Guide, "Session policies".
//! - A service has no account and no identity policies: key policies and grants that name it decide. Services that are users of a tenant's
//!   account reach keys of that account only.
//! - To assume a role is decided by the role's trust policy as if it were a key policy. Source: AWS IAM User Guide, "Methods to assume a
//!   role".
//! - What a hold-your-own-key store may do to the keys behind it is decided by the store's policy.
//! - What takes more work to weigh than a decision may take is denied (`evaluation.rs`).
//! - Where these are silent about a key, a grant decides (`granted.rs`). It needs no identity policy, also across accounts.

use std::sync::Arc;

use super::basis::{Basis, IdentityBasis, ResourceBasis};
use super::document::{Effect, Statement};
use super::evaluation::Evaluation;
use super::granted::Granted;
use super::principal::Reach;
use super::{ConditionContext, NamedPolicy, Policy, granted};
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
    /// Whether a statement denies; otherwise none allows.
    pub explicit: bool,
}

/// Decides whether the identity may do what it demands.
///
/// # Errors
/// The denial, with a message for the caller and a reason for the audit entry.
pub fn authorize(identity: &Identity, demand: &Demand<'_>, context: &dyn ConditionContext) -> Result<Permit, Denial> {
    let guard = demand.key.map(|(_, policy)| Guard::Key(policy));
    match weigh(identity, demand, guard, context) {
        Ok(basis) => Ok(Permit::new(demand.action, demand.key.map(|(id, _)| id), basis)),
        Err(objection) => Err(objection.into_denial(identity, demand)),
    }
}

/// Decides whether the identity may assume the role that the demand is about, or tag its session (`sts:AssumeRole`, `sts:TagSession`).
///
/// # Errors
/// The denial. Its message tells nothing of the role, which may be another account's, or not be there at all.
pub fn authorize_assumption(
    identity: &Identity,
    demand: &Demand<'_>,
    trust: &Policy,
    context: &dyn ConditionContext,
) -> Result<Permit, Denial> {
    match weigh(identity, demand, Some(Guard::Role(trust)), context) {
        Ok(basis) => Ok(Permit::new(demand.action, None, basis)),
        Err(objection) => {
            let reason = objection.reason("trust policy");
            Err(Denial { reason, ..Denial::of_assumption(identity, demand.action, demand.resource) })
        }
    }
}

/// Decides whether a hold-your-own-key store may do what it demands to a key that stands behind it. The store's policy alone decides: whoever
/// put the key there had to be allowed to by the key's own.
///
/// # Errors
/// The denial, with a message for the caller and a reason for the audit entry.
pub fn authorize_through_store(
    identity: &Identity,
    demand: &Demand<'_>,
    policy: &Policy,
    context: &dyn ConditionContext,
) -> Result<Permit, Denial> {
    match weigh(identity, demand, Some(Guard::Store(policy)), context) {
        Ok(basis) => Ok(Permit::new(demand.action, demand.key.map(|(id, _)| id), basis)),
        Err(objection) => {
            let reason = objection.reason("store policy");
            Err(Denial { reason, silent: false, ..objection.into_denial(identity, demand) })
        }
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
        weigh(identity, &demand, Some(Guard::Key(self)), context).is_ok()
    }
}

/// The policy of the resource itself.
#[derive(Clone, Copy)]
enum Guard<'p> {
    /// A key's.
    Key(&'p Policy),
    /// The trust policy of a role that somebody wants to assume.
    Role(&'p Policy),
    /// The policy of the hold-your-own-key store that asks.
    Store(&'p Policy),
}

impl<'p> Guard<'p> {
    fn policy(self) -> &'p Policy {
        match self {
            Self::Key(policy) | Self::Role(policy) | Self::Store(policy) => policy,
        }
    }

    fn basis(self, statement: &Arc<str>) -> ResourceBasis {
        match self {
            Self::Key(_) => ResourceBasis::KeyStatement(Arc::clone(statement)),
            Self::Role(_) => ResourceBasis::TrustStatement(Arc::clone(statement)),
            Self::Store(_) => ResourceBasis::StoreStatement(Arc::clone(statement)),
        }
    }
}

/// The decision, if it could be made within its budget.
fn weigh<'p>(
    identity: &'p Identity,
    demand: &Demand<'p>,
    guard: Option<Guard<'p>>,
    context: &dyn ConditionContext,
) -> Result<Basis, Objection<'p>> {
    let evaluation = Evaluation::of(context);
    let decided = decide(identity, demand, guard, &evaluation);
    if evaluation.is_exhausted() { Err(Objection::TooMuchWork) } else { decided }
}

/// The decision without its words, which only a denial needs. `guard` is the policy of the resource, if it has one.
fn decide<'p>(
    identity: &'p Identity,
    demand: &Demand<'p>,
    guard: Option<Guard<'p>>,
    context: &Evaluation<'_>,
) -> Result<Basis, Objection<'p>> {
    if let Granted::Retiring(grant) = demand.granted {
        return granted::decide_retirement(identity, demand, grant, context);
    }
    match decide_by_policies(identity, demand, guard, context) {
        Err(silent) if silent.is_silence() => granted::decide(identity, demand, context)?.ok_or(silent),
        decided => decided,
    }
}

fn decide_by_policies<'p>(
    identity: &'p Identity,
    demand: &Demand<'p>,
    guard: Option<Guard<'p>>,
    context: &Evaluation<'_>,
) -> Result<Basis, Objection<'p>> {
    let own = demand.owner == identity.account;
    let Some(guard) = guard else {
        if !own {
            return Err(Objection::ForeignResource);
        }
        let agreed = identity_side(identity, demand, context)?;
        let limit = session_side(identity, demand, context)?;
        let identity = agreed.ok_or(Objection::IdentitySilent)?;
        return Ok(Basis { resource: ResourceBasis::None, identity, session: limit.agreed()? });
    };
    if is_out_of_reach(identity, demand) {
        return Err(Objection::KeySilent);
    }
    // The key's side comes first, so that another account's key stays hidden from those whom its policy does not allow.
    let allowed = key_side(guard.policy(), identity, demand, context)?;
    if allowed.is_none() && !own {
        return Err(Objection::KeySilent);
    }
    let agreed = identity_side(identity, demand, context)?;
    let limit = session_side(identity, demand, context)?;
    let Some((reach, statement)) = allowed else {
        return Err(Objection::KeySilent);
    };
    let by_name = reach >= Reach::Caller && (own || identity.is_service());
    let basis = match agreed {
        _ if by_name => IdentityBasis::NotNeeded,
        Some(basis) => basis,
        None => return Err(Objection::IdentitySilent),
    };
    let session = if by_name && reach == Reach::Session { None } else { limit.agreed()? };
    Ok(Basis { resource: guard.basis(statement), identity: basis, session })
}

/// Whether the caller is a tenant's service, and the key is another account's.
pub(super) fn is_out_of_reach(identity: &Identity, demand: &Demand<'_>) -> bool {
    let everywhere = [demand.owner, AccountId::DEPLOYMENT];
    identity.is_service() && !everywhere.contains(&identity.account)
}

/// What the key policy says: the statement that reaches nearest to the caller, if any allows.
pub(super) fn key_side<'p>(
    policy: &'p Policy,
    identity: &Identity,
    demand: &Demand<'_>,
    context: &Evaluation<'_>,
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
    context: &Evaluation<'_>,
) -> Result<Option<IdentityBasis>, Objection<'p>> {
    if identity.is_root() {
        return Ok(Some(IdentityBasis::Root));
    }
    let mut allowed = None;
    for NamedPolicy { name, policy } in &identity.policies {
        for statement in &policy.statements {
            match statement.effect {
                Effect::Deny if concerns(statement, demand, context) => {
                    return Err(Objection::IdentityDenies { policy: name, statement: &statement.name });
                }
                Effect::Allow if allowed.is_none() && concerns(statement, demand, context) => {
                    let (policy, statement) = (Arc::clone(name), Arc::clone(&statement.name));
                    allowed = Some(IdentityBasis::Statement { policy, statement });
                }
                _ => {}
            }
        }
    }
    Ok(allowed)
}

/// What a session policy says.
#[derive(Clone, Copy)]
pub(super) enum Limit<'p> {
    /// There is none.
    None,
    /// This statement allows.
    Agreed(&'p Arc<str>),
    /// It does not allow.
    Silent,
}

impl<'p> Limit<'p> {
    /// What the agreement of the session policy rests on.
    pub(super) fn agreed(self) -> Result<Option<Arc<str>>, Objection<'p>> {
        match self {
            Self::None => Ok(None),
            Self::Agreed(statement) => Ok(Some(Arc::clone(statement))),
            Self::Silent => Err(Objection::SessionSilent),
        }
    }
}

/// What the policy of the caller's session says, if it has one.
pub(super) fn session_side<'p>(
    identity: &'p Identity,
    demand: &Demand<'_>,
    context: &Evaluation<'_>,
) -> Result<Limit<'p>, Objection<'p>> {
    let Some(policy) = &identity.session_policy else { return Ok(Limit::None) };
    let mut limit = Limit::Silent;
    for statement in policy.statements.iter().filter(|statement| concerns(statement, demand, context)) {
        match statement.effect {
            Effect::Deny => return Err(Objection::SessionDenies(&statement.name)),
            Effect::Allow => limit = Limit::Agreed(&statement.name),
        }
    }
    Ok(limit)
}

fn concerns(statement: &Statement, demand: &Demand<'_>, context: &Evaluation<'_>) -> bool {
    statement.concerns(demand.action, demand.resource, context)
}

/// What stands against a demand.
pub(super) enum Objection<'p> {
    /// The resource belongs to another account, and no policy of that account can speak for it.
    ForeignResource,
    /// A statement of the key policy, or of the role's trust policy, denies.
    KeyDenies(&'p str),
    /// No statement of it allows.
    KeySilent,
    /// A statement of the identity policy of this name denies.
    IdentityDenies { policy: &'p str, statement: &'p str },
    /// No identity policy allows.
    IdentitySilent,
    /// A statement of the session policy denies.
    SessionDenies(&'p str),
    /// The session policy does not allow.
    SessionSilent,
    /// The policies could not be weighed against this request within the budget.
    TooMuchWork,
}

impl Objection<'_> {
    /// Whether nobody allows, and nobody denies.
    fn is_silence(&self) -> bool {
        matches!(self, Self::KeySilent | Self::IdentitySilent | Self::SessionSilent)
    }

    fn into_denial(self, identity: &Identity, demand: &Demand<'_>) -> Denial {
        let Demand { action, resource, .. } = demand;
        let silent = self.is_silence() && demand.key.is_some() && !matches!(demand.granted, Granted::Retiring(_));
        let own = demand.owner == identity.account;
        let explicit = matches!(self, Self::KeyDenies(_) | Self::IdentityDenies { .. } | Self::SessionDenies(_));
        let reason = self.reason("key policy");
        let because = match self {
            Self::IdentityDenies { .. } => "with an explicit deny in an identity-based policy".to_owned(),
            Self::IdentitySilent => format!("because no identity-based policy allows the {action} action"),
            Self::SessionDenies(_) => "with an explicit deny in a session policy".to_owned(),
            Self::SessionSilent => format!("because no session policy allows the {action} action"),
            Self::KeyDenies(_) if own => "with an explicit deny in a resource-based policy".to_owned(),
            Self::KeySilent if own => format!("because no resource-based policy allows the {action} action"),
            Self::TooMuchWork if own => "because it takes too much work to weigh the policies against this request".to_owned(),
            Self::ForeignResource | Self::KeyDenies(_) | Self::KeySilent | Self::TooMuchWork => HIDDEN.to_owned(),
        };
        Denial {
            message: format!("User: {} is not authorized to perform: {action} on resource: {resource} {because}", identity.arn),
            reason,
            silent,
            explicit,
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
            explicit: false,
        }
    }

    /// The denial for a role that may not be assumed, in the same words whether it exists or not.
    pub fn of_assumption(identity: &Identity, action: &str, role: &str) -> Self {
        Self {
            message: format!("User: {} is not authorized to perform: {action} on resource: {role}", identity.arn),
            reason: "the role does not exist".to_owned(),
            silent: false,
            explicit: false,
        }
    }
}

impl Objection<'_> {
    /// Which statement or lack of one decided. `guard` is what the resource's policy is called.
    fn reason(&self, guard: &str) -> String {
        match self {
            Self::ForeignResource => "the resource belongs to another account".to_owned(),
            Self::KeyDenies(statement) => format!("{guard} {statement} denies"),
            Self::KeySilent => format!("no statement of the {guard} allows"),
            Self::IdentityDenies { policy, statement } => format!("identity policy \"{policy}\" {statement} denies"),
            Self::IdentitySilent => "no statement of an identity policy allows".to_owned(),
            Self::SessionDenies(statement) => format!("session policy {statement} denies"),
            Self::SessionSilent => "no statement of the session policy allows".to_owned(),
            Self::TooMuchWork => "it takes too much work to weigh the policies against this request".to_owned(),
        }
    }
}
