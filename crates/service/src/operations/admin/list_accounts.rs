//! ListAccounts.

use claviger_domain::identity::Account;
use claviger_domain::{AccountId, Caller, Refusal};
use claviger_store::{List, RecordKind};

use super::about_the_deployment;
use crate::event_parameters::Parameters;
use crate::marker::{self, Page};
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct ListAccounts {
    /// How many accounts at most.
    pub limit: usize,
    /// Where to go on.
    pub marker: Option<String>,
}

impl Operation for ListAccounts {
    const EVENT: Event = Event::admin("ListAccounts", true);
    type Output = Page<Account>;
    about_the_deployment!("claviger:ListAccounts");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        (): &(),
        _: Allowed<Self>,
    ) -> Result<Effect<Page<Account>>, Refusal> {
        let list = "accounts";
        let after = self.marker.as_deref().map(|marker| marker::open(service.hsm(), list, marker)).transpose()?;
        let page = List {
            account: AccountId::DEPLOYMENT,
            kind: RecordKind::Account,
            scope: None,
            owner: None,
            after: after.as_deref(),
            limit: self.limit + 1,
        };
        let accounts = service.records.list::<Account>(page).await?.into_iter().map(|account| account.value).collect();
        Ok(Effect::answer(Page::cut(accounts, self.limit, service.hsm(), list, |account: &Account| account.id.to_string())?))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { limit: Some(self.limit), ..Parameters::default() }
    }
}
