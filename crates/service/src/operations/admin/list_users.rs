//! ListUsers.

use claviger_domain::identity::User;
use claviger_domain::{AccountId, Caller, Refusal};
use claviger_store::{List, RecordKind};

use super::about_an_account;
use crate::event_parameters::Parameters;
use crate::marker::{self, Page};
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct ListUsers {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// How many users at most.
    pub limit: usize,
    /// Where to go on.
    pub marker: Option<String>,
}

impl Operation for ListUsers {
    const EVENT: Event = Event::admin("ListUsers", true);
    type Output = Page<User>;
    about_an_account!("claviger:ListUsers");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<Page<User>>, Refusal> {
        let list = format!("users/{account}");
        let after = self.marker.as_deref().map(|marker| marker::open(service.hsm(), &list, marker)).transpose()?;
        let page = List {
            account: *account,
            kind: RecordKind::User,
            scope: None,
            owner: None,
            after: after.as_deref(),
            limit: self.limit + 1,
        };
        let users = service.records.list::<User>(page).await?.into_iter().map(|user| user.value).collect();
        Ok(Effect::answer(Page::cut(users, self.limit, service.hsm(), &list, |user: &User| user.name.to_string())?))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { account_id: self.account.map(|id| id.to_string()), limit: Some(self.limit), ..Parameters::default() }
    }
}
