//! DeleteRole: with its policies. Its sessions end with it.

use claviger_domain::{AccountId, Caller, Refusal, RoleName};

use super::about_an_account;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct DeleteRole {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The role's name.
    pub name: RoleName,
}

impl Operation for DeleteRole {
    const EVENT: Event = Event::admin("DeleteRole", false);
    type Output = ();
    about_an_account!("claviger:DeleteRole", |it| format!("role/{}", it.name));

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        let role = service.existing_role(*account, &self.name).await?;
        Ok(Effect::change((), vec![service.records.delete(&role.value, role.version)]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            role_name: Some(self.name.as_str().into()),
            ..Parameters::default()
        }
    }
}
