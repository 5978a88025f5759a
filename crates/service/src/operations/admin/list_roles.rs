//! ListRoles.

use claviger_domain::identity::Role;
use claviger_domain::{AccountId, Caller, Refusal};
use claviger_store::{List, RecordKind};

use super::about_an_account;
use crate::event_parameters::Parameters;
use crate::marker::{self, Page};
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct ListRoles {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// How many roles at most.
    pub limit: usize,
    /// Where to go on.
    pub marker: Option<String>,
}

impl Operation for ListRoles {
    const EVENT: Event = Event::admin("ListRoles", true);
    type Output = Page<Role>;
    about_an_account!("claviger:ListRoles");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<Page<Role>>, Refusal> {
        let list = format!("roles/{account}");
        let after = self.marker.as_deref().map(|marker| marker::open(service.hsm(), &list, marker)).transpose()?;
        let page = List {
            account: *account,
            kind: RecordKind::Role,
            scope: None,
            owner: None,
            after: after.as_deref(),
            limit: self.limit + 1,
        };
        let roles = service.records.list::<Role>(page).await?.into_iter().map(|role| role.value).collect();
        Ok(Effect::answer(Page::cut(roles, self.limit, service.hsm(), &list, |role: &Role| role.name.to_string())?))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { account_id: self.account.map(|id| id.to_string()), limit: Some(self.limit), ..Parameters::default() }
    }
}
