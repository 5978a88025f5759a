//! ListAccessKeys: those of a user or of an account's root, each with its last use.

use claviger_domain::identity::AccessKey;
use claviger_domain::key::LastUse;
use claviger_domain::{AccountId, Caller, Refusal, UserName};
use claviger_store::{List, RecordKind};

use super::{about_an_account, user_or_root};
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::service::Service;

/// The request.
pub struct ListAccessKeys {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The user; the account's root when absent.
    pub user: Option<UserName>,
}

/// One of them.
pub struct ListedAccessKey {
    /// The access key.
    pub key: AccessKey,
    /// Its last successful request; none when it was never used.
    pub last: Option<LastUse>,
}

/// More than a principal can have.
const COUNT_MAX: usize = 100;

impl Operation for ListAccessKeys {
    const EVENT: Event = Event::admin("ListAccessKeys", true);
    type Output = Vec<ListedAccessKey>;
    about_an_account!("claviger:ListAccessKeys", |it| user_or_root(it.user.as_ref()));

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<Vec<ListedAccessKey>>, Refusal> {
        if let Some(name) = &self.user {
            service.existing_user(*account, name).await?;
        }
        let of_owner = List {
            account: *account,
            kind: RecordKind::AccessKey,
            scope: None,
            owner: Some(self.user.as_ref().map_or("", UserName::as_str)),
            after: None,
            limit: COUNT_MAX,
        };
        let mut listed = Vec::new();
        for key in service.records.list::<AccessKey>(of_owner).await? {
            let last = service.last_use_of_access_key(*account, &key.value.id).await?;
            listed.push(ListedAccessKey { key: key.value, last });
        }
        Ok(Effect::answer(listed))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            user_name: self.user.as_ref().map(|name| name.as_str().into()),
            ..Parameters::default()
        }
    }
}
