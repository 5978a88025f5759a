//! UpdateAccessKey: switches a credential off and on. The credential that makes the request is not switched off by it, so that nobody is locked
//! out by a slip.

use claviger_domain::{AccessKeyId, AccountId, Caller, Refusal};

use super::{OwnedAccessKey, ask_to_administer_one};
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct UpdateAccessKey {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The credential.
    pub id: AccessKeyId,
    /// Whether it may be used.
    pub active: bool,
}

impl Operation for UpdateAccessKey {
    const EVENT: Event = Event::admin("UpdateAccessKey", false);
    type Output = ();
    type Target = OwnedAccessKey;

    async fn resolve(&self, service: &Service, caller: &Caller) -> Result<OwnedAccessKey, Refusal> {
        service.owned_access_key(caller, self.account, &self.id, "claviger:UpdateAccessKey").await
    }

    fn demands<'a>(&'a self, caller: &'a Caller, target: &'a OwnedAccessKey) -> Vec<Ask<'a>> {
        vec![ask_to_administer_one("claviger:UpdateAccessKey", caller, target.account, &target.resource)]
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        OwnedAccessKey { account, .. }: &OwnedAccessKey,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        if !self.active && caller.access_key == self.id {
            return Err(Refusal::conflict("An access key cannot deactivate itself. Use another one for this request."));
        }
        let mut key = service.existing_access_key(*account, &self.id).await?;
        key.value.active = self.active;
        Ok(Effect::change((), vec![service.records.update(&key.value, key.version).await?]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            access_key_id: Some(self.id.as_str().into()),
            account_id: self.account.map(|id| id.to_string()),
            status: Some(if self.active { "Active" } else { "Inactive" }),
            ..Parameters::default()
        }
    }
}
