//! Canaries: one small record in each account that nobody uses. A drill of a restore opens them, which proves that the account's key is there and is
//! the right one, without touching anything of the tenant's.

use claviger_domain::identity::Account;
use claviger_domain::{AccountId, Refusal};
use claviger_hsm::AccountKey;
use claviger_store::{Change, Commit, List, RecordKind, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::audit_trail::{ServiceAct, service_event};
use crate::records::{Records, Stored, store_refusal};
use crate::service::Service;

const PAGE: usize = 500;

#[derive(Serialize, Deserialize)]
struct Canary {
    account: AccountId,
    text: String,
}

impl Canary {
    fn of(account: AccountId) -> Self {
        Self { account, text: format!("the canary of account {account}") }
    }
}

impl Stored for Canary {
    const KIND: RecordKind = RecordKind::Setting;

    fn account(&self) -> AccountId {
        self.account
    }

    fn id(&self) -> String {
        "canary".to_owned()
    }
}

/// The canary of a new account, sealed under its key.
pub(crate) fn create(records: &Records, account: AccountId, key: &AccountKey) -> Result<Change, Refusal> {
    records.create_under(&Canary::of(account), key)
}

impl Service {
    /// Gives a canary to every account that was made before there were any.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn ensure_canaries(&self) -> Result<(), Refusal> {
        for account in self.all_accounts().await? {
            if self.records.get::<Canary>(account, "canary").await?.is_some() {
                continue;
            }
            let changes = vec![self.records.create(&Canary::of(account)).await?];
            let region = "global".parse().map_err(|_| Refusal::internal("The name 'global' is not a Region."))?;
            let act = ServiceAct {
                name: "CreateCanary",
                account,
                region: &region,
                resource: "",
                related: &[],
                at: self.clock.now(),
                details: json!({ "accountId": account.to_string() }),
                changes: &changes,
                request_id: None,
            };
            let entry = service_event(&self.node, &act)?;
            match self.commit(Commit::new(changes, vec![entry])).await {
                // Another node that starts as well was faster.
                Ok(()) | Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(store_refusal(error)),
            }
        }
        Ok(())
    }

    /// Decrypts the canary of every account: for each, why it could not be, if it could not.
    ///
    /// # Errors
    /// When the accounts cannot be listed at all.
    pub async fn try_canaries(&self) -> Result<Vec<(AccountId, Result<(), String>)>, Refusal> {
        let mut tried = Vec::new();
        for account in self.all_accounts().await? {
            let found = match self.records.get::<Canary>(account, "canary").await {
                Ok(Some(canary)) if canary.value.text == Canary::of(account).text => Ok(()),
                Ok(Some(_)) => Err("its canary says something else".to_owned()),
                Ok(None) => Err("it has no canary".to_owned()),
                Err(refusal) => Err(refusal.detail),
            };
            tried.push((account, found));
        }
        Ok(tried)
    }

    /// Every account, the deployment's own included.
    pub(crate) async fn all_accounts(&self) -> Result<Vec<AccountId>, Refusal> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = List {
                account: AccountId::DEPLOYMENT,
                kind: RecordKind::Account,
                scope: None,
                owner: None,
                after: after.as_deref(),
                limit: PAGE,
            };
            let accounts = self.records.list::<Account>(page).await?;
            let Some(last) = accounts.last() else { return Ok(all) };
            after = Some(last.value.id.to_string());
            all.extend(accounts.into_iter().map(|account| account.value.id));
        }
    }
}
