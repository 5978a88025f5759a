//! Automatic rotation: new material encrypts from now on, the old versions keep opening what they sealed.

use claviger_domain::key::{Key, MaterialVersion, RotationType};
use claviger_domain::{Refusal, Timestamp};
use claviger_store::Commit;
use serde_json::json;

use crate::audit_trail::{ServiceAct, service_event};
use crate::records::background_refusal;
use crate::replication::Related;
use crate::service::Service;
use crate::work::Effort;

impl Service {
    pub(super) async fn rotate_due_key(&self, before: Key, version: u64, now: Timestamp) -> Result<(), Refusal> {
        let mut key = before.clone();
        let Some(schedule) = &mut key.rotation else { return Ok(()) };
        // Counted from the date that was announced; from now when that has long passed, so that a long stop makes one rotation, not many.
        let following = schedule.next.plus_days(schedule.period_days);
        schedule.next = if following > now { following } else { now.plus_days(schedule.period_days) };
        self.add_material(&mut key, Some(RotationType::Automatic), now).await?;
        let Related { changes, arns } = self.update_stored_with_relatives(&before, version, &key).await?;
        let arn = key.arn().to_string();
        let act = ServiceAct {
            name: "RotateKey",
            account: key.account,
            region: &key.region,
            resource: &arn,
            related: &arns,
            at: now,
            details: json!({"keyId": key.id.to_string(), "rotationType": RotationType::Automatic.as_str()}),
            changes: &changes,
            request_id: None,
        };
        let entry = service_event(&self.node, &act)?;
        self.commit_background(Commit::new(changes, vec![entry])).await.map_err(background_refusal)
    }

    /// Makes new material for a key; it encrypts once the key is stored.
    pub(crate) async fn add_material(
        &self,
        key: &mut Key,
        rotation: Option<RotationType>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let versions = self.records.existing_account(key.account).await?;
        let (id, spec) = (key.id, key.spec);
        let version = self.work(Effort::to_generate(spec), move |hsm| {
            let account_key = versions.current()?;
            let made = hsm.generate_material(account_key, id, spec)?;
            Ok(MaterialVersion {
                id: made.id,
                created: now,
                rotation,
                account_key_version: account_key.version(),
                sealed: made.sealed,
                public_key: made.public_key,
                imported: None,
            })
        });
        key.materials.push(version.await?);
        Ok(())
    }
}
