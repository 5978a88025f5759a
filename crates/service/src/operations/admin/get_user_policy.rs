//! GetUserPolicy.

use claviger_domain::{AccountId, Caller, Refusal, UserName};

use super::about_an_account;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct GetUserPolicy {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The user.
    pub user: UserName,
    /// The policy's name.
    pub policy_name: String,
}

impl Operation for GetUserPolicy {
    const EVENT: Event = Event::admin("GetUserPolicy", true);
    type Output = String;
    about_an_account!("claviger:GetUserPolicy", |it| format!("user/{}", it.user));

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<String>, Refusal> {
        let mut user = service.existing_user(*account, &self.user).await?;
        let policy = user.value.policies.remove(&self.policy_name);
        policy.map(Effect::answer).ok_or_else(|| no_such_policy(&self.user, &self.policy_name))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            policy_name: Some(&self.policy_name),
            user_name: Some(self.user.as_str().into()),
            ..Parameters::default()
        }
    }
}

/// The user has no policy of this name.
pub(crate) fn no_such_policy(user: &UserName, policy: &str) -> Refusal {
    Refusal::not_found(format!("User {user} has no policy named {policy}."))
}
