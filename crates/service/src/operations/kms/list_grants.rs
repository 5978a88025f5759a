//! ListGrants: the grants on one key. Source: AWS KMS API Reference, "ListGrants".

use claviger_domain::ids::GrantId;
use claviger_domain::policy::Values;
use claviger_domain::{Caller, Grant, GrantPrincipal, KeyReference, Refusal};
use claviger_store::{List, RecordKind};

use super::grant_conditions::on_behalf_of_a_service;
use crate::event_parameters::Parameters;
use crate::grants::{StoredGrant, grant_record_id, held_by};
use crate::marker::{self, Page};
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::operations::about_one_key;
use crate::records::key_record_id;
use crate::resolve::KeyTarget;
use crate::service::Service;

/// The request. Works in every state of the key.
pub struct ListGrants {
    /// The key; not by alias.
    pub key: KeyReference,
    /// Only this grant.
    pub grant: Option<GrantId>,
    /// Only grants of this grantee.
    pub grantee: Option<GrantPrincipal>,
    /// How many grants at most.
    pub limit: usize,
    /// Where to go on.
    pub marker: Option<String>,
}

impl Operation for ListGrants {
    const EVENT: Event = Event::kms_read("ListGrants");
    type Output = Page<Grant>;
    about_one_key!("kms:ListGrants");

    fn condition<'a>(&'a self, _ask: &Ask<'_>, _target: &'a KeyTarget, key: &str) -> Values<'a> {
        on_behalf_of_a_service(key)
    }

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        target: &KeyTarget,
        _: Allowed<Self>,
    ) -> Result<Effect<Page<Grant>>, Refusal> {
        let key = &target.snapshot.key;
        let of_key = key_record_id(&key.region, key.id);
        let owner = self.grantee.as_ref().map(|grantee| held_by(&of_key, grantee));
        let list = format!("grants/{}/{}", target.snapshot.arn, owner.as_deref().unwrap_or_default());
        let after = self.marker.as_deref().map(|marker| marker::open(service.hsm(), &list, marker)).transpose()?;
        let grants: Vec<Grant> = match self.grant {
            Some(grant) => {
                let found = service.stored_grant(key, grant).await?.map(|found| found.value.grant);
                let is_of = |grant: &Grant| self.grantee.as_ref().is_none_or(|grantee| *grantee == grant.terms.grantee);
                found.into_iter().filter(is_of).collect()
            }
            None => {
                let page = List {
                    account: key.account,
                    kind: RecordKind::Grant,
                    // Each of the two finds them by an index of its own.
                    scope: owner.is_none().then_some(&of_key),
                    owner: owner.as_deref(),
                    after: after.as_deref(),
                    limit: self.limit + 1,
                };
                service.records.list::<StoredGrant>(page).await?.into_iter().map(|found| found.value.grant).collect()
            }
        };
        let id = |grant: &Grant| grant_record_id(&grant.region, grant.key, grant.id);
        Ok(Effect::answer(Page::cut(grants, self.limit, service.hsm(), &list, id)?))
    }

    fn parameters(&self) -> Parameters<'_> {
        let (principal, service) = match &self.grantee {
            Some(GrantPrincipal::Principal(arn)) => (Some(arn.as_str()), None),
            Some(GrantPrincipal::Service(name)) => (None, Some(name.as_str())),
            None => (None, None),
        };
        Parameters {
            grant_id: self.grant.map(|grant| grant.to_string()),
            grantee_principal: principal,
            grantee_service_principal: service,
            key_id: Some(self.key.to_string()),
            limit: Some(self.limit),
            ..Parameters::default()
        }
    }
}
