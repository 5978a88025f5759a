//! RevokeGrant: the end of a grant at the hands of whoever the key's policies allow it. Source: AWS KMS API Reference, "RevokeGrant".

use claviger_domain::ids::GrantId;
use claviger_domain::policy::Values;
use claviger_domain::{Caller, KeyReference, Refusal};

use super::grant_conditions::on_behalf_of_a_service;
use super::state::stop_if_dry;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::operations::about_one_key;
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request. Works in every state of the key.
pub struct RevokeGrant {
    /// The key; not by alias.
    pub key: KeyReference,
    /// The grant.
    pub grant: GrantId,
    /// Whether to stop once everything has been checked.
    pub dry_run: bool,
}

impl Operation for RevokeGrant {
    const EVENT: Event = Event::kms("RevokeGrant");
    type Output = ();
    about_one_key!("kms:RevokeGrant");

    fn condition<'a>(&'a self, _ask: &Ask<'_>, _target: &'a KeyTarget, key: &str) -> Values<'a> {
        on_behalf_of_a_service(key)
    }

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        target: &KeyTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        let found = service.stored_grant(&target.snapshot.key, self.grant).await?;
        let found = found.ok_or_else(|| grant_not_found(self.grant))?;
        stop_if_dry(self.dry_run)?;
        Ok(Effect::change((), service.delete_grant(&found).await?))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            dry_run: self.dry_run,
            grant_id: Some(self.grant.to_string()),
            key_id: Some(self.key.to_string()),
            ..Parameters::default()
        }
    }
}

/// A grant that is not there, or no longer.
pub(crate) fn grant_not_found(grant: GrantId) -> Refusal {
    Refusal::not_found(format!("Grant ID {grant} not found"))
}
