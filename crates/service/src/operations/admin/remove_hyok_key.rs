//! RemoveHyokKey: takes a key from behind a store. What was encrypted with it can be opened again once it is put back.

use claviger_domain::{AccountId, Caller, ExternalKeyId, HyokStoreName, Refusal};

use super::about_an_account;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct RemoveHyokKey {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The store.
    pub store: HyokStoreName,
    /// What the cloud calls the key.
    pub external: ExternalKeyId,
}

impl Operation for RemoveHyokKey {
    const EVENT: Event = Event::admin("RemoveHyokKey", false);
    type Output = ();
    about_an_account!("claviger:RemoveHyokKey");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        let mut store = service.existing_hyok_store(*account, &self.store).await?;
        store.value.key(&self.external)?;
        store.value.keys.remove(&self.external);
        let change = service.records.update(&store.value, store.version).await?;
        Ok(Effect::change((), vec![change]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            external_key_id: Some(self.external.as_str()),
            store_name: Some(self.store.as_str()),
            ..Parameters::default()
        }
    }
}
