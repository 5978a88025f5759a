//! DeleteUserPolicy.

use claviger_domain::{AccountId, Caller, Refusal, UserName};

use super::about_an_account;
use super::get_user_policy::no_such_policy;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct DeleteUserPolicy {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The user.
    pub user: UserName,
    /// The policy's name.
    pub policy_name: String,
}

impl Operation for DeleteUserPolicy {
    const EVENT: Event = Event::admin("DeleteUserPolicy", false);
    type Output = ();
    about_an_account!("claviger:DeleteUserPolicy", |it| format!("user/{}", it.user));

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        let mut user = service.existing_user(*account, &self.user).await?;
        if user.value.policies.remove(&self.policy_name).is_none() {
            return Err(no_such_policy(&self.user, &self.policy_name));
        }
        Ok(Effect::change((), vec![service.records.update(&user.value, user.version).await?]))
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
