//! The end of imported material that its owner gave an end: it is destroyed, and its key waits for the same material to be imported again. Source:
//! AWS KMS Developer Guide, "Setting an expiration time".

use claviger_domain::key::Key;
use claviger_domain::{Refusal, Timestamp};
use claviger_store::Commit;
use serde_json::json;

use crate::audit_trail::{ServiceAct, service_event};
use crate::records::background_refusal;
use crate::replication::Related;
use crate::service::Service;

impl Service {
    pub(super) async fn expire_due_material(&self, before: Key, version: u64, now: Timestamp) -> Result<(), Refusal> {
        let mut key = before.clone();
        let expired = key.destroy_material(|material| material.expires().is_some_and(|expiry| expiry <= now));
        let ids: Vec<String> = expired.iter().map(ToString::to_string).collect();
        let Related { changes, arns } = self.update_stored_with_relatives(&before, version, &key).await?;
        let arn = key.arn().to_string();
        let act = ServiceAct {
            name: "DeleteExpiredKeyMaterial",
            account: key.account,
            region: &key.region,
            resource: &arn,
            related: &arns,
            at: now,
            details: json!({"keyId": key.id.to_string(), "keyMaterialIds": ids, "keyState": key.state.as_str()}),
            changes: &changes,
            request_id: None,
        };
        let entry = service_event(&self.node, &act)?;
        self.commit_background(Commit::new(changes, vec![entry])).await.map_err(background_refusal)
    }
}
