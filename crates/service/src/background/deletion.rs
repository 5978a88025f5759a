//! The end of a key: its record, its aliases and its material go in one commit. Nothing brings them back.

use claviger_domain::key::{Alias, Key};
use claviger_domain::{Refusal, Timestamp};
use claviger_store::Commit;
use serde_json::json;

use crate::audit_trail::{ServiceAct, service_event};
use crate::records::{alias_record_id, key_record_id, store_refusal};
use crate::service::Service;

impl Service {
    pub(super) async fn delete_due_key(&self, key: &Key, version: u64, now: Timestamp) -> Result<(), Refusal> {
        let mut changes = vec![self.records.delete(key, version)];
        for alias in &key.aliases {
            if let Some(found) = self.records.get::<Alias>(key.account, &alias_record_id(&key.region, alias)).await? {
                changes.push(self.records.delete(&found.value, found.version));
            }
        }
        changes.extend(self.delete_last_use(key.account, &key_record_id(&key.region, key.id)).await?);
        let arn = key.arn().to_string();
        let act = ServiceAct {
            name: "DeleteKey",
            account: key.account,
            region: &key.region,
            resource: &arn,
            at: now,
            details: json!({"keyId": key.id.to_string()}),
            changes: &changes,
            request_id: None,
        };
        let entry = service_event(&self.node, &act)?;
        self.commit(Commit { changes, entries: vec![entry] }).await.map_err(store_refusal)?;
        self.forget_use_of_key(key.account, &key.region, key.id);
        Ok(())
    }
}
