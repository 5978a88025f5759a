//! UntagUser: takes tags away from a user. A tag that is not there is fine.

use claviger_domain::{AccountId, Caller, Refusal, UserName};

use super::about_an_account;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct UntagUser {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The user.
    pub user: UserName,
    /// The keys of the tags.
    pub tag_keys: Vec<String>,
}

impl Operation for UntagUser {
    const EVENT: Event = Event::admin("UntagUser", false);
    type Output = ();
    about_an_account!("claviger:UntagUser", |it| format!("user/{}", it.user));

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        let mut user = service.existing_user(*account, &self.user).await?;
        user.value.tags.retain(|key, _| !self.tag_keys.iter().any(|gone| gone.eq_ignore_ascii_case(key)));
        Ok(Effect::change((), vec![service.records.update(&user.value, user.version).await?]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            tag_keys: Some(&self.tag_keys),
            user_name: Some(self.user.as_str().into()),
            ..Parameters::default()
        }
    }
}
