//! DeleteRolePolicy: takes an identity policy away from a role.

use claviger_domain::{AccountId, Caller, Refusal, RoleName};

use super::about_an_account;
use super::get_role_policy::no_such_policy;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct DeleteRolePolicy {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The role.
    pub role: RoleName,
    /// The policy's name.
    pub policy_name: String,
}

impl Operation for DeleteRolePolicy {
    const EVENT: Event = Event::admin("DeleteRolePolicy", false);
    type Output = ();
    about_an_account!("claviger:DeleteRolePolicy", |it| format!("role/{}", it.role));

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        let mut role = service.existing_role(*account, &self.role).await?;
        if role.value.policies.remove(&self.policy_name).is_none() {
            return Err(no_such_policy(&self.role, &self.policy_name));
        }
        Ok(Effect::change((), vec![service.records.update(&role.value, role.version).await?]))
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
