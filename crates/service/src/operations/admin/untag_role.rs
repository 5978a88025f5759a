//! UntagRole: takes tags away from a role. A tag that is not there is fine.

use claviger_domain::{AccountId, Caller, Refusal, RoleName};

use super::about_an_account;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct UntagRole {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The role.
    pub role: RoleName,
    /// The keys of the tags.
    pub tag_keys: Vec<String>,
}

impl Operation for UntagRole {
    const EVENT: Event = Event::admin("UntagRole", false);
    type Output = ();
    about_an_account!("claviger:UntagRole", |it| format!("role/{}", it.role));

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        let mut role = service.existing_role(*account, &self.role).await?;
        role.value.tags.retain(|key, _| !self.tag_keys.iter().any(|gone| gone.eq_ignore_ascii_case(key)));
        Ok(Effect::change((), vec![service.records.update(&role.value, role.version).await?]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            role_name: Some(self.role.as_str().into()),
            tag_keys: Some(&self.tag_keys),
            ..Parameters::default()
        }
    }
}
