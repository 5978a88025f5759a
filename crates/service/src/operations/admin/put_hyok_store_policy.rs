//! PutHyokStorePolicy: what the requests to a store may do.

use claviger_domain::{AccountId, Caller, HyokStoreName, Refusal};

use super::about_an_account;
use super::hyok_stores::check_policy;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct PutHyokStorePolicy {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The store.
    pub name: HyokStoreName,
    /// The policy, which names no principals.
    pub policy: String,
}

impl Operation for PutHyokStorePolicy {
    const EVENT: Event = Event::admin("PutHyokStorePolicy", false);
    type Output = ();
    about_an_account!("claviger:PutHyokStorePolicy");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        check_policy(&self.policy)?;
        let mut store = service.existing_hyok_store(*account, &self.name).await?;
        store.value.policy.clone_from(&self.policy);
        let change = service.records.update(&store.value, store.version).await?;
        Ok(Effect::change((), vec![change]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            policy: Some(&self.policy),
            store_name: Some(self.name.as_str()),
            ..Parameters::default()
        }
    }
}
