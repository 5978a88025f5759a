//! The end of a key: its record, its aliases, its grants and its material. Nothing brings them back. When it was a replica, its kin hear of
//! it in the same commit.

use claviger_domain::key::{Alias, Key};
use claviger_domain::{Refusal, Timestamp};
use claviger_store::{Change, Commit, RecordKey, RecordKind};
use serde_json::json;

use crate::audit_trail::{ServiceAct, service_event};
use crate::key_stores::KeyStoreKey;
use crate::records::{Stored as _, alias_record_id, background_refusal, key_record_id};
use crate::service::Service;

impl Service {
    pub(super) async fn delete_due_key(&self, key: &Key, version: u64, now: Timestamp) -> Result<(), Refusal> {
        let grants = self.delete_grants_of(key, version, now).await?;
        let mut changes = vec![self.records.delete(key, version)];
        changes.extend(grants);
        for alias in &key.aliases {
            if let Some(found) = self.records.get::<Alias>(key.account, &alias_record_id(&key.region, alias)).await? {
                changes.push(self.records.delete(&found.value, found.version));
            }
        }
        changes.extend(self.delete_last_use(key.account, &key_record_id(&key.region, key.id)).await?);
        if let Some(home) = &key.home {
            let id = KeyStoreKey::of(key, home).id();
            if let Some(found) = self.records.get::<KeyStoreKey>(key.account, &id).await? {
                changes.push(self.records.delete(&found.value, found.version));
            }
        }
        let kin = self.part_from_relatives(key, version, now).await?;
        changes.extend(kin.changes);
        let arn = key.arn().to_string();
        let act = ServiceAct {
            name: "DeleteKey",
            account: key.account,
            region: &key.region,
            resource: &arn,
            related: &kin.arns,
            at: now,
            details: json!({"keyId": key.id.to_string()}),
            changes: &changes,
            request_id: None,
        };
        let entry = service_event(&self.node, &act)?;
        self.commit_background(Commit::new(changes, vec![entry])).await.map_err(background_refusal)?;
        self.forget_use_of_key(key.account, &key.region, key.id);
        self.destroy_elsewhere(key).await;
        Ok(())
    }

    /// Destroys what the key has in its custom key store, as far as that can be reached; what cannot is the operator's to remove, as in AWS (AWS KMS
    /// Developer Guide, "Delete KMS keys from a CloudHSM key store", orphaned key material).
    async fn destroy_elsewhere(&self, key: &Key) {
        let Some(home) = &key.home else { return };
        let destroyed = match self.key_store_of(key, home).await {
            Ok(store) => self.key_store_backends.of(&store.store).destroy(&store, &home.reference).await,
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = destroyed {
            let store = home.store.as_str();
            tracing::warn!(key = %key.arn(), store, %refusal, "a deleted key's material in a custom key store was not destroyed; remove it there");
        }
    }

    /// Deletes so many of a key's grants that the rest fits into the commit that deletes the key: the changes for those. An audit entry
    /// has no room for thousands of them.
    async fn delete_grants_of(&self, key: &Key, version: u64, now: Timestamp) -> Result<Vec<Change>, Refusal> {
        loop {
            let (mut changes, more) = self.delete_some_grants(key).await?;
            if !more {
                return Ok(changes);
            }
            let id = key_record_id(&key.region, key.id);
            changes.push(Change::Check { key: RecordKey { account: key.account, kind: RecordKind::Key, id }, version });
            let arn = key.arn().to_string();
            let act = ServiceAct {
                name: "DeleteGrants",
                account: key.account,
                region: &key.region,
                resource: &arn,
                related: &[],
                at: now,
                details: json!({"keyId": key.id.to_string()}),
                changes: &changes,
                request_id: None,
            };
            let entry = service_event(&self.node, &act)?;
            self.commit_background(Commit::new(changes, vec![entry])).await.map_err(background_refusal)?;
        }
    }
}
