//! ListHyokStores.

use claviger_domain::hyok::HyokStore;
use claviger_domain::{AccountId, Caller, Refusal};
use claviger_store::{List, RecordKind};

use super::about_an_account;
use crate::event_parameters::Parameters;
use crate::marker::{self, Page};
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct ListHyokStores {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// How many stores at most.
    pub limit: usize,
    /// Where to go on.
    pub marker: Option<String>,
}

impl Operation for ListHyokStores {
    const EVENT: Event = Event::admin("ListHyokStores", true);
    type Output = Page<HyokStore>;
    about_an_account!("claviger:ListHyokStores");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<Page<HyokStore>>, Refusal> {
        let list = format!("hyok-stores/{account}");
        let after = self.marker.as_deref().map(|marker| marker::open(service.hsm(), &list, marker)).transpose()?;
        let page = List {
            account: *account,
            kind: RecordKind::HyokStore,
            scope: None,
            owner: None,
            after: after.as_deref(),
            limit: self.limit + 1,
        };
        let stores = service.records.list::<HyokStore>(page).await?.into_iter().map(|store| store.value).collect();
        Ok(Effect::answer(Page::cut(stores, self.limit, service.hsm(), &list, |store: &HyokStore| store.name.to_string())?))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { account_id: self.account.map(|id| id.to_string()), limit: Some(self.limit), ..Parameters::default() }
    }
}
