//! GetHyokStore.

use claviger_domain::hyok::HyokStore;
use claviger_domain::{AccountId, Caller, HyokStoreName, Refusal};

use super::about_an_account;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct GetHyokStore {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The store.
    pub name: HyokStoreName,
}

impl Operation for GetHyokStore {
    const EVENT: Event = Event::admin("GetHyokStore", true);
    type Output = HyokStore;
    about_an_account!("claviger:GetHyokStore");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<HyokStore>, Refusal> {
        Ok(Effect::answer(service.existing_hyok_store(*account, &self.name).await?.value))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            store_name: Some(self.name.as_str()),
            ..Parameters::default()
        }
    }
}
