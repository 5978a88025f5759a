//! DeleteHyokCredential: of a store's two credentials, the one that is not used any more. The last one stays: who wants none cuts the store off.

use claviger_domain::{AccessKeyId, AccountId, Caller, HyokStoreName, Refusal};

use super::about_an_account;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct DeleteHyokCredential {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The store.
    pub store: HyokStoreName,
    /// The credential; the older of two when absent.
    pub access_key: Option<AccessKeyId>,
}

impl Operation for DeleteHyokCredential {
    const EVENT: Event = Event::admin("DeleteHyokCredential", false);
    type Output = AccessKeyId;
    about_an_account!("claviger:DeleteHyokCredential");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<AccessKeyId>, Refusal> {
        let mut store = service.existing_hyok_store(*account, &self.store).await?;
        let credentials = &mut store.value.credentials;
        let place = match &self.access_key {
            None => Some(0),
            Some(id) => credentials.iter().position(|credential| credential.access_key == *id),
        };
        let Some(place) = place else {
            return Err(Refusal::not_found(format!("The key store {} has no such credential.", self.store)));
        };
        if credentials.len() < 2 {
            return Err(Refusal::invalid_state(format!(
                "The key store {} has one credential. Rotate it, or cut the store off.",
                self.store
            )));
        }
        let deleted = credentials.remove(place).access_key;
        let change = service.records.update(&store.value, store.version).await?;
        Ok(Effect::change(deleted, vec![change]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            access_key_id: self.access_key.as_ref().map(|id| id.as_str().into()),
            account_id: self.account.map(|id| id.to_string()),
            store_name: Some(self.store.as_str()),
            ..Parameters::default()
        }
    }
}
