//! What the metrics tell of the deployment as a whole.

use claviger_domain::Refusal;
use claviger_store::RecordKind;
use metrics::gauge;

use crate::records::background_refusal;
use crate::service::Service;

/// The names of [`claviger_domain::key::KeyState`].
const KEY_STATES: [&str; 7] =
    ["Enabled", "Disabled", "PendingDeletion", "PendingReplicaDeletion", "PendingImport", "Creating", "Updating"];

impl Service {
    /// Counts keys by state, for `/metrics`.
    pub(super) async fn record_gauges(&self) -> Result<(), Refusal> {
        let by_state = self.records.store.count_by_owner(RecordKind::Key).await.map_err(background_refusal)?;
        for state in KEY_STATES {
            let count = by_state.iter().find(|(owner, _)| owner == state).map_or(0, |(_, count)| *count);
            #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 keys")]
            gauge!("claviger_keys", "state" => state).set(count as f64);
        }
        gauge!("claviger_lease_age_seconds").set(self.freshness.age().as_secs_f64());
        Ok(())
    }
}
