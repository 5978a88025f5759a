//! ListUserPolicies: the names of a user's identity policies.

use claviger_domain::{AccountId, Caller, Refusal, UserName};

use super::about_an_account;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct ListUserPolicies {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The user.
    pub user: UserName,
}

impl Operation for ListUserPolicies {
    const EVENT: Event = Event::admin("ListUserPolicies", true);
    type Output = Vec<String>;
    about_an_account!("claviger:ListUserPolicies", |it| format!("user/{}", it.user));

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<Vec<String>>, Refusal> {
        let user = service.existing_user(*account, &self.user).await?;
        Ok(Effect::answer(user.value.policies.into_keys().collect()))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            user_name: Some(self.user.as_str().into()),
            ..Parameters::default()
        }
    }
}
