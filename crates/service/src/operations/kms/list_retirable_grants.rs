//! ListRetirableGrants: the grants that a principal of the caller's account may retire, whoever owns the keys. Source: AWS KMS API
//! Reference, "ListRetirableGrants".

use claviger_domain::policy::names_in_grants;
use claviger_domain::{Caller, Grant, GrantPrincipal, Kind, Refusal};
use claviger_store::{List, RecordKind};

use crate::event_parameters::Parameters;
use crate::grants::{GrantRetirement, StoredGrant, grant_record_id, holder_of, retired_by};
use crate::marker::{self, Page};
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::records::Stored as _;
use crate::service::Service;

/// The request.
pub struct ListRetirableGrants {
    /// The retiring principal: one of the caller's account, or the service that asks.
    pub retiring: GrantPrincipal,
    /// How many grants at most.
    pub limit: usize,
    /// Where to go on.
    pub marker: Option<String>,
}

impl Operation for ListRetirableGrants {
    const EVENT: Event = Event::kms_read("ListRetirableGrants");
    type Target = ();
    type Output = Page<Grant>;

    async fn resolve(&self, _service: &Service, caller: &Caller) -> Result<(), Refusal> {
        if holder_of(&self.retiring).is_none() {
            return Err(Refusal::invalid_arn(format!("ARN does not refer to a valid principal: {}", self.retiring)));
        }
        // A service's grants are on keys of all accounts.
        if matches!(self.retiring, GrantPrincipal::Service(_)) && !names_in_grants(&caller.identity).contains(&self.retiring) {
            let detail = format!(
                "User: {} is not authorized to perform: kms:ListRetirableGrants because only the service itself may list by \
                 RetiringServicePrincipal",
                caller.identity.arn
            );
            return Err(Refusal::new(Kind::AccessDenied, detail).with_reason("the caller is not that service"));
        }
        Ok(())
    }

    /// The resource is the retiring principal.
    fn demands<'a>(&'a self, caller: &'a Caller, (): &'a ()) -> Vec<Ask<'a>> {
        let owner = match self.retiring {
            GrantPrincipal::Principal(_) => holder_of(&self.retiring).unwrap_or(caller.identity.account),
            GrantPrincipal::Service(_) => caller.identity.account,
        };
        vec![Ask::resource("kms:ListRetirableGrants", self.retiring.to_string(), owner)]
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        (): &(),
        _: Allowed<Self>,
    ) -> Result<Effect<Page<Grant>>, Refusal> {
        let owner = retired_by(&caller.request.region, &self.retiring);
        let list = format!("retirable-grants/{owner}");
        let after = self.marker.as_deref().map(|marker| marker::open(service.hsm(), &list, marker)).transpose()?;
        let holder = holder_of(&self.retiring).unwrap_or(caller.identity.account);
        let found = List {
            account: holder,
            kind: RecordKind::GrantRetirement,
            scope: None,
            owner: Some(&owner),
            after: after.as_deref(),
            limit: self.limit + 1,
        };
        let found = service.records.list::<GrantRetirement>(found).await?.into_iter().map(|found| found.value).collect();
        let page = Page::cut(found, self.limit, service.hsm(), &list, GrantRetirement::id)?;
        let mut grants = Vec::with_capacity(page.items.len());
        for GrantRetirement { key_owner, region, key, grant, .. } in page.items {
            // Somebody may have deleted it since.
            let id = grant_record_id(&region, key, grant);
            grants.extend(service.records.get::<StoredGrant>(key_owner, &id).await?.map(|found| found.value.grant));
        }
        Ok(Effect::answer(Page { items: grants, next: page.next }))
    }

    fn parameters(&self) -> Parameters<'_> {
        let (principal, service) = match &self.retiring {
            GrantPrincipal::Principal(arn) => (Some(arn.as_str()), None),
            GrantPrincipal::Service(name) => (None, Some(name.as_str())),
        };
        Parameters {
            limit: Some(self.limit),
            retiring_principal: principal,
            retiring_service_principal: service,
            ..Parameters::default()
        }
    }
}
