//! DeleteAccessKey. The credential that makes the request is not deleted by it, so that nobody is locked out by a slip.

use claviger_domain::{AccessKeyId, AccountId, Caller, Refusal};

use super::{OwnedAccessKey, ask_to_administer_one};
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct DeleteAccessKey {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The credential.
    pub id: AccessKeyId,
}

impl Operation for DeleteAccessKey {
    const EVENT: Event = Event::admin("DeleteAccessKey", false);
    type Output = ();
    type Target = OwnedAccessKey;

    async fn resolve(&self, service: &Service, caller: &Caller) -> Result<OwnedAccessKey, Refusal> {
        service.owned_access_key(caller, self.account, &self.id, "claviger:DeleteAccessKey").await
    }

    fn demands<'a>(&'a self, caller: &'a Caller, target: &'a OwnedAccessKey) -> Vec<Ask<'a>> {
        vec![ask_to_administer_one("claviger:DeleteAccessKey", caller, target.account, &target.resource)]
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        OwnedAccessKey { account, .. }: &OwnedAccessKey,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        if caller.access_key == self.id {
            return Err(Refusal::conflict("An access key cannot delete itself. Use another one for this request."));
        }
        let key = service.existing_access_key(*account, &self.id).await?;
        let mut changes = vec![service.records.delete(&key.value, key.version)];
        changes.extend(service.delete_last_use(*account, self.id.as_str()).await?);
        service.forget_use_of_access_key(*account, &self.id);
        Ok(Effect::change((), changes))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            access_key_id: Some(self.id.as_str().into()),
            account_id: self.account.map(|id| id.to_string()),
            ..Parameters::default()
        }
    }
}
