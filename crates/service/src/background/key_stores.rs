//! Connecting custom key stores: what ConnectCustomKeyStore began is done here, so that it also ends when the server is restarted meanwhile.

use claviger_domain::key_store::{ConnectionState, KeyStores};
use claviger_domain::{Refusal, Timestamp};
use claviger_store::{Commit, RecordKind, StoreError};
use serde_json::json;

use super::DUE_COUNT;
use crate::audit_trail::{ServiceAct, service_event};
use crate::records::{Versioned, background_refusal, describe};
use crate::service::Service;

impl Service {
    /// Tries to connect every store that waits for it, and says how many there were.
    pub(super) async fn connect_due_key_stores(&self, now: Timestamp) -> Result<usize, Refusal> {
        let records = self.records.store.due(RecordKind::CustomKeyStores, now, DUE_COUNT).await.map_err(background_refusal)?;
        let mut handled = 0;
        for record in &records {
            match self.records.open::<KeyStores>(record).await {
                Ok(found) => handled += self.connect_waiting(found, now).await?,
                Err(refusal) if self.complaints.is_due(describe(&record.key), now) => {
                    tracing::error!(record = %describe(&record.key), %refusal, "custom key stores could not be connected; it will be tried again, and said again in an hour");
                }
                Err(_) => {}
            }
        }
        Ok(handled)
    }

    async fn connect_waiting(&self, found: Versioned<KeyStores>, now: Timestamp) -> Result<usize, Refusal> {
        let Versioned { value: mut stores, version } = found;
        let mut outcomes = Vec::new();
        for (id, store) in &mut stores.stores {
            if !matches!(store.state, ConnectionState::Connecting { .. }) {
                continue;
            }
            let opened = self.open_key_store(stores.account, &stores.region, id, store).await?;
            store.state = match self.key_store_backends.of(store).connect(&opened).await {
                Ok(()) => ConnectionState::Connected,
                Err(error) => ConnectionState::Failed { error },
            };
            let outcome = match store.state {
                ConnectionState::Failed { error } => json!({
                    "connectionErrorCode": error.as_str(),
                    "connectionState": store.state.as_str(),
                    "customKeyStoreId": id.as_str(),
                }),
                state => json!({"connectionState": state.as_str(), "customKeyStoreId": id.as_str()}),
            };
            outcomes.push(outcome);
        }
        let changes = vec![self.records.update(&stores, version).await?];
        let act = ServiceAct {
            name: "CustomKeyStoreConnection",
            account: stores.account,
            region: &stores.region,
            resource: "",
            related: &[],
            at: now,
            details: json!({"customKeyStores": outcomes}),
            changes: &changes,
            request_id: None,
        };
        let entry = service_event(&self.node, &act)?;
        match self.commit_background(Commit::new(changes, vec![entry])).await {
            Ok(()) => Ok(outcomes.len()),
            // Somebody changed a store meanwhile, perhaps disconnected it: what they say counts, and what still waits comes up again.
            Err(StoreError::Conflict(_)) => Ok(0),
            Err(error) => Err(background_refusal(error)),
        }
    }
}
