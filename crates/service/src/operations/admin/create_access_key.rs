//! CreateAccessKey: a credential for a user or for an account's root. The secret is shown once and never again.

use claviger_domain::identity::{AccessKey, Account, Owner};
use claviger_domain::{AccountId, Caller, Refusal, Timestamp, UserName};
use claviger_store::{List, RecordKind};

use super::{administered_account, ask_to_administer_one, must_be_a_root, user_or_root};
use crate::deployment::{InitialCredential, create_access_key};
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::quotas::{ACCESS_KEYS_PER_PRINCIPAL, check_room_in_account};
use crate::service::Service;

/// The request.
pub struct CreateAccessKey {
    /// The account; the caller's when absent.
    pub account: Option<AccountId>,
    /// The user; the account's root when absent.
    pub user: Option<UserName>,
}

/// The answer.
pub struct CreatedAccessKey {
    /// The credential with its secret.
    pub credential: InitialCredential,
    /// Whose it is.
    pub user: Option<UserName>,
    /// When it was made.
    pub created: Timestamp,
}

impl Operation for CreateAccessKey {
    const EVENT: Event = Event::admin("CreateAccessKey", false);
    type Output = CreatedAccessKey;
    type Target = AccountId;

    async fn resolve(&self, service: &Service, caller: &Caller) -> Result<AccountId, Refusal> {
        let account = administered_account(service, caller, self.account).await?;
        if self.user.is_none() {
            must_be_a_root(caller, "claviger:CreateAccessKey", account)?;
        }
        Ok(account)
    }

    fn demands<'a>(&'a self, caller: &'a Caller, account: &'a AccountId) -> Vec<Ask<'a>> {
        let resource = user_or_root(self.user.as_ref());
        vec![ask_to_administer_one("claviger:CreateAccessKey", caller, *account, &resource)]
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        account: &AccountId,
        _: Allowed<Self>,
    ) -> Result<Effect<CreatedAccessKey>, Refusal> {
        let (records, now) = (&service.records, caller.request.at);
        let mut changes = Vec::new();
        let owner = match &self.user {
            Some(name) => {
                let user = service.existing_user(*account, name).await?;
                // Writing the owner makes two requests at the same time meet here, so that together they keep to the limit.
                changes.push(records.update(&user.value, user.version).await?);
                Owner::User(name.clone())
            }
            None => {
                let id = account.to_string();
                let found = records.get::<Account>(AccountId::DEPLOYMENT, &id).await?;
                let found = found.ok_or_else(|| Refusal::not_found(format!("Account {id} does not exist.")))?;
                changes.push(records.update(&found.value, found.version).await?);
                Owner::Root
            }
        };
        let of_owner = List {
            account: *account,
            kind: RecordKind::AccessKey,
            scope: None,
            owner: Some(self.user.as_ref().map_or("", UserName::as_str)),
            after: None,
            limit: ACCESS_KEYS_PER_PRINCIPAL,
        };
        let usage = records.list::<AccessKey>(of_owner).await?.len();
        check_room_in_account("AccessKeysPerUser", ACCESS_KEYS_PER_PRINCIPAL as u64, usage as u64)?;
        let versions = records.existing_account(*account).await?;
        let (credential, change) = create_access_key(records, versions.current()?, *account, owner, now)?;
        changes.push(change);
        Ok(Effect::change(CreatedAccessKey { credential, user: self.user.clone(), created: now }, changes))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            account_id: self.account.map(|id| id.to_string()),
            user_name: self.user.as_ref().map(|name| name.as_str().into()),
            ..Parameters::default()
        }
    }

    fn response_elements(created: &CreatedAccessKey) -> Option<serde_json::Value> {
        Some(serde_json::json!({"accessKeyId": created.credential.access_key.as_str()}))
    }
}
