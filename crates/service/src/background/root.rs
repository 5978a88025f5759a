//! The second half of a rotation of the root key: account keys are re-wrapped, some at a time, and then the old version is retired. What is left
//! to do is told by the store itself, so that it goes on where it was after whatever interrupted it. In between it waits for the other nodes to learn
//! of the new version (`root_watch.rs`).

use claviger_domain::{AccountId, Refusal};
use claviger_hsm::account_key_version as sealing_version;
use claviger_store::{Change, Commit, Expect, List, Record, RecordKind};
use serde_json::json;

use crate::audit_trail::{ServiceAct, service_event};
use crate::operations::admin::RootStatus;
use crate::records::store_refusal;
use crate::seals::write_root;
use crate::service::Service;

/// How many account keys are re-wrapped in one commit.
const BATCH: usize = 50;

impl Service {
    /// Goes one step on with a rotation of the root key, and says whether there may be another; none where another node does the background work.
    /// Public so that tests can step through it.
    ///
    /// # Errors
    /// When the store fails, or an account key does not open. It is tried again.
    pub async fn advance_root_rotation(&self) -> Result<bool, Refusal> {
        if (self.hsm().root_versions().len() < 2 && !self.hsm().awaits_new_root()) || !self.leads().await? {
            return Ok(false);
        }
        let stored = self.stored_root().await?;
        let newest = match self.hsm().root_versions().as_slice() {
            [.., newest] if self.hsm().root_versions().len() > 1 => *newest,
            // What was made was not stored.
            _ => return Ok(false),
        };
        self.until_root_is_known_everywhere().await;
        let left: Vec<Record> = self.account_keys_under_others(newest).await?;
        if !left.is_empty() {
            self.rewrap(&left, newest).await?;
            return Ok(true);
        }
        self.until_old_roots_are_unused().await;
        let retired = self.hsm().retire_roots(&stored.root)?;
        let change = write_root(&retired, stored.version)?;
        self.commit_act("RetireRoot", json!({ "rootVersion": newest }), vec![change]).await?;
        self.forget_old_roots();
        tracing::info!(version = newest, "the rotation of the root key is finished: the old version is gone");
        Ok(false)
    }

    async fn rewrap(&self, left: &[Record], newest: u32) -> Result<(), Refusal> {
        let mut changes = Vec::new();
        for record in left.iter().take(BATCH) {
            let version = record.key.id.parse().map_err(|_| Refusal::internal("An account key's version is not a number."))?;
            if let Some(sealed) = self.hsm().rewrap_account_key(record.key.account, version, &record.sealed)? {
                let rewrapped = Record { version: record.version + 1, sealed: sealed.into(), ..record.clone() };
                changes.push(Change::Put { record: rewrapped, expect: Expect::Version(record.version) });
            }
        }
        let details = json!({ "rootVersion": newest, "accountKeys": changes.len(), "left": left.len() - changes.len() });
        self.commit_act("RewrapAccountKeys", details, changes).await
    }

    async fn commit_act(&self, name: &'static str, details: serde_json::Value, changes: Vec<Change>) -> Result<(), Refusal> {
        let region = "global".parse().map_err(|_| Refusal::internal("The name 'global' is not a Region."))?;
        let act = ServiceAct {
            name,
            account: AccountId::DEPLOYMENT,
            region: &region,
            resource: "",
            related: &[],
            at: self.clock.now(),
            details,
            changes: &changes,
            request_id: None,
        };
        let entry = service_event(&self.node, &act)?;
        self.commit_background(Commit::new(changes, vec![entry])).await.map_err(store_refusal)
    }

    /// The account keys that are not under this version of the root key.
    pub(crate) async fn account_keys_under_others(&self, newest: u32) -> Result<Vec<Record>, Refusal> {
        let keys = self.account_keys().await?;
        Ok(keys.into_iter().filter(|record| sealing_version(&record.sealed) != Some(newest)).collect())
    }

    /// The keys of all accounts.
    async fn account_keys(&self) -> Result<Vec<Record>, Refusal> {
        let mut keys = Vec::new();
        for account in self.all_accounts().await? {
            let of = List { account, kind: RecordKind::AccountKey, scope: None, owner: None, after: None, limit: 10_000 };
            keys.extend(self.records.store.list(of).await.map_err(store_refusal)?);
        }
        Ok(keys)
    }

    /// How far a rotation of the root key is.
    pub(crate) async fn root_status(&self) -> Result<RootStatus, Refusal> {
        self.stored_root().await?;
        let mut old_versions = self.hsm().root_versions();
        let version = old_versions.pop().ok_or_else(|| Refusal::internal("There is no root key."))?;
        let keys = self.account_keys().await?;
        let left = keys.iter().filter(|record| sealing_version(&record.sealed) != Some(version)).count();
        Ok(RootStatus { version, old_versions, account_keys: keys.len() as u64, account_keys_left: left as u64 })
    }
}
