//! RetireGrant: the end of a grant at the hands of those whom the grant itself names, or of the account. Source: AWS KMS API Reference,
//! "RetireGrant"; AWS KMS Developer Guide, "Retiring and revoking grants".

use claviger_domain::ids::GrantId;
use claviger_domain::policy::Values;
use claviger_domain::{Caller, KeyReference, Refusal};

use super::grant_conditions::constraint_condition;
use super::revoke_grant::grant_not_found;
use super::state::stop_if_dry;
use crate::event_parameters::Parameters;
use crate::grants::{StoredGrant, open_token};
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::records::Versioned;
use crate::resolve::{KeyTarget, hidden};
use crate::service::Service;

/// The request. Works in every state of the key.
pub struct RetireGrant {
    /// The grant.
    pub grant: GrantReference,
    /// Whether to stop once everything has been checked.
    pub dry_run: bool,
}

/// How a request names a grant.
pub enum GrantReference {
    /// By a token that CreateGrant gave out.
    Token(String),
    /// By the key that it is on, not by alias, and its id.
    Id(KeyReference, GrantId),
}

/// A grant and its key.
pub struct KeyAndGrant {
    key: KeyTarget,
    grant: Versioned<StoredGrant>,
}

const ACTION: &str = "kms:RetireGrant";

impl Operation for RetireGrant {
    const EVENT: Event = Event::kms("RetireGrant");
    type Target = KeyAndGrant;
    type Output = ();

    async fn resolve(&self, service: &Service, caller: &Caller) -> Result<KeyAndGrant, Refusal> {
        let (reference, id) = match &self.grant {
            GrantReference::Token(token) => {
                let (arn, id) = open_token(service.hsm(), token)?;
                (&KeyReference::Arn(arn), id)
            }
            GrantReference::Id(key, id) => (key, *id),
        };
        let key = service.resolve_key(caller, reference, ACTION).await?;
        match service.stored_grant(&key.snapshot.key, id).await? {
            Some(grant) => Ok(KeyAndGrant { key, grant }),
            None if key.snapshot.key.account == caller.identity.account => Err(grant_not_found(id)),
            // Who may not retire it must not learn whether it is there.
            None => Err(hidden(caller, ACTION, &key.snapshot.arn)),
        }
    }

    fn demands<'a>(&'a self, _caller: &'a Caller, target: &'a KeyAndGrant) -> Vec<Ask<'a>> {
        vec![Ask::key(ACTION, &target.key).retiring(&target.grant.value.grant)]
    }

    fn condition<'a>(&'a self, _ask: &Ask<'_>, target: &'a KeyAndGrant, key: &str) -> Values<'a> {
        constraint_condition(key, &target.grant.value.grant.terms.constraints)
    }

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        target: &KeyAndGrant,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        stop_if_dry(self.dry_run)?;
        Ok(Effect::change((), service.delete_grant(&target.grant).await?))
    }

    fn parameters(&self) -> Parameters<'_> {
        let dry_run = self.dry_run;
        match &self.grant {
            // CloudTrail tells of a token by the grant's key, among the resources.
            GrantReference::Token(_) => Parameters { dry_run, ..Parameters::default() },
            GrantReference::Id(key, id) => {
                Parameters { dry_run, grant_id: Some(id.to_string()), key_id: Some(key.to_string()), ..Parameters::default() }
            }
        }
    }
}
