//! TagRole: adds tags to a role, or replaces their values. Conditions see them as `aws:PrincipalTag/KEY`.

use std::collections::BTreeMap;

use claviger_domain::{AccountId, Caller, Refusal, RoleName};

use super::about_an_account;
use super::roles::check_principal_tags;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct TagRole {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The role.
    pub role: RoleName,
    /// The tags.
    pub tags: BTreeMap<String, String>,
}

impl Operation for TagRole {
    const EVENT: Event = Event::admin("TagRole", false);
    type Output = ();
    about_an_account!("claviger:TagRole", |it| format!("role/{}", it.role));

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        let mut role = service.existing_role(*account, &self.role).await?;
        let tags = &mut role.value.tags;
        tags.retain(|key, _| !self.tags.keys().any(|new| new.eq_ignore_ascii_case(key)));
        tags.extend(self.tags.clone());
        check_principal_tags(tags)?;
        Ok(Effect::change((), vec![service.records.update(&role.value, role.version).await?]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            tags: Some(&self.tags),
            role_name: Some(self.role.as_str().into()),
            ..Parameters::default()
        }
    }
}
