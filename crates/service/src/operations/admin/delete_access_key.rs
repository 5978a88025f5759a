//! DeleteAccessKey. The credential that makes the request is not deleted by it, so that nobody is locked out by a slip.

use claviger_domain::{AccessKeyId, AccountId, Caller, Refusal};

use super::about_an_account;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
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
    about_an_account!("claviger:DeleteAccessKey");

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        account: &AccountId,
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
