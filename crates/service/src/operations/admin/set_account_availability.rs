//! SetAccountAvailability: whether an account's keys may be used by nodes that cannot reach the store, unless a key says otherwise itself.

use claviger_domain::availability::Availability;
use claviger_domain::identity::Account;
use claviger_domain::{AccountId, Caller, Refusal};

use super::about_an_account;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct SetAccountAvailability {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// What shall be.
    pub availability: Availability,
}

impl Operation for SetAccountAvailability {
    const EVENT: Event = Event::admin("SetAccountAvailability", false);
    type Output = Availability;
    about_an_account!("claviger:SetAccountAvailability");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<Availability>, Refusal> {
        let found = service.records.get::<Account>(AccountId::DEPLOYMENT, &account.to_string()).await?;
        let mut found = found.ok_or_else(|| Refusal::not_found(format!("Account {account} does not exist.")))?;
        found.value.availability = Some(self.availability);
        let change = service.records.update(&found.value, found.version).await?;
        Ok(Effect::change(self.availability, vec![change]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            availability: Some(self.availability.to_string()),
            ..Parameters::default()
        }
    }
}
