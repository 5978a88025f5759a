//! UpdateHyokStore: its rate limit, and which client certificates it accepts.

use claviger_domain::hyok::HyokStore;
use claviger_domain::{AccountId, Caller, HyokStoreName, Refusal};

use super::about_an_account;
use super::hyok_stores::{check_client_authorities, check_client_subjects, check_rate};
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request. What is none stays as it is.
pub struct UpdateHyokStore {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The store.
    pub name: HyokStoreName,
    /// How many requests it may make in a second; zero for any number.
    pub requests_per_second: Option<u32>,
    /// Patterns of subjects, one of which a client's certificate must have; empty where no certificate is needed.
    pub client_subjects: Option<Vec<String>>,
    /// Certificates in PEM of authorities, one of which a client's certificate must go back to; empty where the listener's are enough.
    pub client_authorities: Option<String>,
}

impl Operation for UpdateHyokStore {
    const EVENT: Event = Event::admin("UpdateHyokStore", false);
    type Output = HyokStore;
    about_an_account!("claviger:UpdateHyokStore");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<HyokStore>, Refusal> {
        let mut store = service.existing_hyok_store(*account, &self.name).await?;
        if let Some(rate) = self.requests_per_second {
            store.value.requests_per_second = (rate > 0).then_some(rate);
        }
        if let Some(subjects) = &self.client_subjects {
            store.value.client_subjects = (!subjects.is_empty()).then(|| subjects.clone());
        }
        if let Some(authorities) = &self.client_authorities {
            store.value.client_authorities = (!authorities.trim().is_empty()).then(|| authorities.clone());
        }
        check_client_authorities(store.value.client_authorities.as_deref())?;
        check_rate(store.value.requests_per_second)?;
        check_client_subjects(store.value.client_subjects.as_deref())?;
        let change = service.records.update(&store.value, store.version).await?;
        Ok(Effect::change(store.value, vec![change]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            client_authorities: self.client_authorities.as_deref(),
            client_subjects: self.client_subjects.as_deref(),
            requests_per_second: self.requests_per_second,
            store_name: Some(self.name.as_str()),
            ..Parameters::default()
        }
    }
}
