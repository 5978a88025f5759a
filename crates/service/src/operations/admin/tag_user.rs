//! TagUser: adds tags to a user, or replaces their values. Conditions see them as `aws:PrincipalTag/KEY`.

use std::collections::BTreeMap;

use claviger_domain::{AccountId, Caller, Refusal, UserName};

use super::about_an_account;
use super::roles::check_principal_tags;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct TagUser {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The user.
    pub user: UserName,
    /// The tags.
    pub tags: BTreeMap<String, String>,
}

impl Operation for TagUser {
    const EVENT: Event = Event::admin("TagUser", false);
    type Output = ();
    about_an_account!("claviger:TagUser", |it| format!("user/{}", it.user));

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        let mut user = service.existing_user(*account, &self.user).await?;
        let tags = &mut user.value.tags;
        tags.retain(|key, _| !self.tags.keys().any(|new| new.eq_ignore_ascii_case(key)));
        tags.extend(self.tags.clone());
        check_principal_tags(tags)?;
        Ok(Effect::change((), vec![service.records.update(&user.value, user.version).await?]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            tags: Some(&self.tags),
            user_name: Some(self.user.as_str().into()),
            ..Parameters::default()
        }
    }
}
