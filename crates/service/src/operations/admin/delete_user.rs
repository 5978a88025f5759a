//! DeleteUser: only a user without access keys, so that nobody loses access by a slip.

use claviger_domain::identity::AccessKey;
use claviger_domain::{AccountId, Caller, Refusal, UserName};
use claviger_store::{List, RecordKind};

use super::about_an_account;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct DeleteUser {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The user's name.
    pub name: UserName,
}

impl Operation for DeleteUser {
    const EVENT: Event = Event::admin("DeleteUser", false);
    type Output = ();
    about_an_account!("claviger:DeleteUser", |it| format!("user/{}", it.name));

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<()>, Refusal> {
        let user = service.existing_user(*account, &self.name).await?;
        let keys = List {
            account: *account,
            kind: RecordKind::AccessKey,
            scope: None,
            owner: Some(self.name.as_str()),
            after: None,
            limit: 1,
        };
        if !service.records.list::<AccessKey>(keys).await?.is_empty() {
            return Err(Refusal::conflict(format!("User {} still has access keys. Delete them first.", self.name)));
        }
        Ok(Effect::change((), vec![service.records.delete(&user.value, user.version)]))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            user_name: Some(self.name.as_str().into()),
            ..Parameters::default()
        }
    }
}
