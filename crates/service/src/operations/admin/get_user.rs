//! GetUser: a user with its tags, and the service that it is.

use claviger_domain::identity::User;
use claviger_domain::{AccountId, Caller, Refusal, UserName};

use super::about_an_account;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct GetUser {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The user's name.
    pub name: UserName,
}

impl Operation for GetUser {
    const EVENT: Event = Event::admin("GetUser", true);
    type Output = User;
    about_an_account!("claviger:GetUser", |it| format!("user/{}", it.name));

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<User>, Refusal> {
        Ok(Effect::answer(service.existing_user(*account, &self.name).await?.value))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            user_name: Some(self.name.as_str().into()),
            ..Parameters::default()
        }
    }
}
