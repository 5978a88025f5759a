//! What grants decide. Source: AWS KMS Developer Guide, "Grants in AWS KMS" and "Retiring and revoking grants".
//!
//! - A grant allows its operations to its grantee while its constraints hold; an explicit denial in any policy still wins.
//! - A grant to a role is limited by the policy of a session, a grant to the session itself is not.
//! - A grant to an account lets the account's identity policies decide, as a key policy that names the account does.
//! - `CreateGrant` through a grant is for grants that allow no more than that one.
//! - `RetireGrant` is decided by the grant that is to be retired: its retiring principal may, its grantee if the grant says so, and whoever
//!   the identity policies of the account allow it that made the grant or owns the key. A key policy cannot allow it.

use std::sync::Arc;

use super::authorize::{Demand, Limit, Objection, identity_side, is_out_of_reach, key_side, session_side};
use super::basis::{Basis, IdentityBasis, ResourceBasis};
use super::evaluation::Evaluation;
use super::principal::{Reach, reaching_names};
use crate::grant::{Grant, GrantOperation, GrantPrincipal, GrantTerms};
use crate::identity::Identity;

/// What grants have to do with a demand.
#[derive(Debug, Clone, Copy)]
pub enum Granted<'a> {
    /// Nothing, or it is not known yet: they are only looked for where policies are silent.
    Nothing,
    /// These grants are on the key, and name the caller or its account as the grantee.
    Held {
        /// The grants.
        grants: &'a [Arc<[Grant]>],
        /// For `kms:CreateGrant`: what the new grant is to say.
        proposed: Option<&'a GrantTerms>,
    },
    /// The demand is `kms:RetireGrant` of this grant.
    Retiring(&'a Grant),
}

/// What the grants say where policies are silent: nothing, or what their permission rests on.
pub(super) fn decide<'p>(
    identity: &'p Identity,
    demand: &Demand<'p>,
    context: &Evaluation<'_>,
) -> Result<Option<Basis>, Objection<'p>> {
    let (Granted::Held { grants, proposed }, Some(operation)) = (demand.granted, GrantOperation::of_action(demand.action)) else {
        return Ok(None);
    };
    if is_out_of_reach(identity, demand) {
        return Ok(None);
    }
    let names = reaching_names(identity);
    let mut nearest: Option<(Reach, &Grant)> = None;
    for grant in grants.iter().flat_map(|grants| grants.iter()) {
        let reach = reach(&names, &grant.terms.grantee);
        let farthest = nearest.map_or(Reach::Nobody, |(reach, _)| reach);
        if reach > farthest && allows(grant, operation, proposed, context) {
            nearest = Some((reach, grant));
        }
    }
    let Some((reach, grant)) = nearest else { return Ok(None) };
    // Policies may have been silent before the caller's own were asked for a denial.
    let agreed = identity_side(identity, demand, context)?;
    let limit = session_side(identity, demand, context)?;
    Ok(basis(ResourceBasis::Grant(grant.id), reach, agreed, limit))
}

fn allows(grant: &Grant, operation: GrantOperation, proposed: Option<&GrantTerms>, context: &Evaluation<'_>) -> bool {
    let terms = &grant.terms;
    let passes_on = || operation != GrantOperation::CreateGrant || proposed.is_some_and(|proposed| proposed.are_within(terms));
    terms.operations.contains(&operation) && terms.constraints.hold(operation, context) && passes_on()
}

/// Whether the caller may retire a grant.
pub(super) fn decide_retirement<'p>(
    identity: &'p Identity,
    demand: &Demand<'p>,
    grant: &Grant,
    context: &Evaluation<'_>,
) -> Result<Basis, Objection<'p>> {
    if let Some((_, policy)) = demand.key {
        // Asked for a denial only.
        key_side(policy, identity, demand, context)?;
    }
    let agreed = identity_side(identity, demand, context)?;
    let limit = session_side(identity, demand, context)?;
    let (names, terms) = (reaching_names(identity), &grant.terms);
    let retiring = terms.retiring.as_ref().map_or(Reach::Nobody, |principal| reach(&names, principal));
    let as_grantee = terms.operations.contains(&GrantOperation::RetireGrant);
    let grantee = if as_grantee { reach(&names, &terms.grantee) } else { Reach::Nobody };
    let own = identity.account == grant.issuing_account || identity.account == demand.owner;
    let issuer = if own { Reach::Account } else { Reach::Nobody };
    let ways = [
        (ResourceBasis::Retiring(grant.id), retiring),
        (ResourceBasis::Grant(grant.id), grantee),
        (ResourceBasis::OwnGrant(grant.id), issuer),
    ];
    let involved = ways.iter().any(|(_, reach)| *reach > Reach::Nobody);
    let found = ways.into_iter().find_map(|(resource, reach)| basis(resource, reach, agreed.clone(), limit));
    found.ok_or(if involved { Objection::IdentitySilent } else { Objection::KeySilent })
}

/// The permission that a grant gives to somebody it reaches so far: an account's identity policies have to agree, and a session's policy
/// unless the grant is to the session itself.
fn basis(resource: ResourceBasis, reach: Reach, agreed: Option<IdentityBasis>, limit: Limit<'_>) -> Option<Basis> {
    let identity = match reach {
        Reach::Nobody => return None,
        Reach::Account => agreed?,
        Reach::Caller | Reach::Session => IdentityBasis::NotNeeded,
    };
    let session = if reach == Reach::Session { None } else { limit.agreed().ok()? };
    Some(Basis { resource, identity, session })
}

fn reach(names: &[(GrantPrincipal, Reach)], principal: &GrantPrincipal) -> Reach {
    names.iter().filter(|(name, _)| name == principal).map(|(_, reach)| *reach).max().unwrap_or(Reach::Nobody)
}
