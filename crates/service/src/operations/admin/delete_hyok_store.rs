//! DeleteHyokStore: one without keys. Its path is free again.

use claviger_domain::hyok::HyokPath;
use claviger_domain::{AccountId, Caller, HyokStoreName, Refusal};

use super::about_an_account;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct DeleteHyokStore {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The store.
    pub name: HyokStoreName,
}

impl Operation for DeleteHyokStore {
    const EVENT: Event = Event::admin("DeleteHyokStore", false);
    type Output = ();
    about_an_account!("claviger:DeleteHyokStore");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        let records = &service.records;
        let store = service.existing_hyok_store(*account, &self.name).await?;
        if !store.value.keys.is_empty() {
            return Err(Refusal::invalid_state(format!(
                "The key store {} has keys. Remove them first; to stop their use at once, cut the store off.",
                self.name
            )));
        }
        let mut changes = vec![records.delete(&store.value, store.version)];
        if let Some(path) = records.get::<HyokPath>(AccountId::DEPLOYMENT, store.value.path.as_str()).await? {
            changes.push(records.delete(&path.value, path.version));
        }
        Ok(Effect::change((), changes))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            store_name: Some(self.name.as_str()),
            ..Parameters::default()
        }
    }
}
