//! ListRolePolicies: the names of a role's identity policies.

use claviger_domain::{AccountId, Caller, Refusal, RoleName};

use super::about_an_account;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct ListRolePolicies {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The role.
    pub role: RoleName,
}

impl Operation for ListRolePolicies {
    const EVENT: Event = Event::admin("ListRolePolicies", true);
    type Output = Vec<String>;
    about_an_account!("claviger:ListRolePolicies", |it| format!("role/{}", it.role));

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<Vec<String>>, Refusal> {
        let role = service.existing_role(*account, &self.role).await?;
        Ok(Effect::answer(role.value.policies.into_keys().collect()))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            role_name: Some(self.role.as_str().into()),
            ..Parameters::default()
        }
    }
}
