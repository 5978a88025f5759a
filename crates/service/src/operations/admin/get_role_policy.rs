//! GetRolePolicy: the document of one of a role's identity policies.

use claviger_domain::{AccountId, Caller, Refusal, RoleName};

use super::about_an_account;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct GetRolePolicy {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The role.
    pub role: RoleName,
    /// The policy's name.
    pub policy_name: String,
}

impl Operation for GetRolePolicy {
    const EVENT: Event = Event::admin("GetRolePolicy", true);
    type Output = String;
    about_an_account!("claviger:GetRolePolicy", |it| format!("role/{}", it.role));

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<String>, Refusal> {
        let mut role = service.existing_role(*account, &self.role).await?;
        let policy = role.value.policies.remove(&self.policy_name);
        policy.map(Effect::answer).ok_or_else(|| no_such_policy(&self.role, &self.policy_name))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            policy_name: Some(&self.policy_name),
            role_name: Some(self.role.as_str().into()),
            ..Parameters::default()
        }
    }
}

/// The role has no policy of this name.
pub(crate) fn no_such_policy(role: &RoleName, policy: &str) -> Refusal {
    Refusal::not_found(format!("Role {role} has no policy named {policy}."))
}
