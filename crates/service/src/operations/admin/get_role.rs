//! GetRole: a role with its trust policy and its tags.

use claviger_domain::identity::Role;
use claviger_domain::{AccountId, Caller, Refusal, RoleName};

use super::about_an_account;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct GetRole {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The role's name.
    pub name: RoleName,
}

impl Operation for GetRole {
    const EVENT: Event = Event::admin("GetRole", true);
    type Output = Role;
    about_an_account!("claviger:GetRole", |it| format!("role/{}", it.name));

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<Role>, Refusal> {
        Ok(Effect::answer(service.existing_role(*account, &self.name).await?.value))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            role_name: Some(self.name.as_str().into()),
            ..Parameters::default()
        }
    }
}
