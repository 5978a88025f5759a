//! Whether the keys behind a hold-your-own-key store could be used now: those that this deployment keeps itself, and those in the tokens of custom key stores.
//! Source: AWS KMS External Keystore Proxy API Specification, "GetHealthStatus": the check is deep, does not touch the keys of anybody, and is not older than
//! a minute.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use claviger_domain::hyok::HyokStore;
use claviger_domain::key_store::{ConnectionState, KeyStoreId};
use claviger_domain::{AccountId, HyokStoreName, Refusal};
use parking_lot::Mutex;

use crate::key_stores::OpenKeyStore;
use crate::service::Service;

/// For how long a result is answered.
const FRESH: Duration = Duration::from_secs(10);

/// Results that are kept. Beyond it all are forgotten.
const KEPT_MAX: usize = 4096;

/// What was found last of each store.
#[derive(Default)]
pub(crate) struct CachedHealth(Mutex<HashMap<(AccountId, HyokStoreName), (Instant, Health)>>);

/// Whether keys behind stores can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// How many nodes serve the deployment, as far as they were heard lately: at least one.
    pub nodes: u64,
    /// What keeps the keys.
    pub managers: Vec<ManagerHealth>,
}

/// The health of one thing that keeps keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagerHealth {
    /// Its name.
    pub id: String,
    /// What it is.
    pub model: String,
    /// How it is.
    pub status: HealthStatus,
}

/// How something that keeps keys is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthStatus {
    /// It can be used.
    Active,
    /// It can be used, and is not as it should be: it is slow to answer.
    Degraded,
    /// It cannot.
    Unavailable,
}

impl Service {
    /// Whether keys behind stores can be used, as it was a few seconds ago at most.
    pub(crate) async fn hyok_health(&self, store: &HyokStore) -> Result<Health, Refusal> {
        let of = (store.account, store.name.clone());
        let known = self.hyok_health.0.lock().get(&of).cloned();
        if let Some((at, health)) = known
            && at.elapsed() < FRESH
        {
            return Ok(health);
        }
        let health = self.check_hyok_health(store).await?;
        let mut kept = self.hyok_health.0.lock();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(of, (Instant::now(), health.clone()));
        Ok(health)
    }

    async fn check_hyok_health(&self, store: &HyokStore) -> Result<Health, Refusal> {
        let nodes = self.heartbeats.count();
        let (here, elsewhere) = self.homes_behind(store).await?;
        let mut managers = Vec::new();
        // A store without keys is as well as this node.
        if here || elsewhere.is_empty() {
            managers.push(self.own_health().await);
        }
        for store in elsewhere.values() {
            managers.extend(self.health_of(store).await);
        }
        Ok(Health { nodes, managers })
    }

    /// Whether any of the keys behind a store are kept here, and the custom key stores that the others are in.
    async fn homes_behind(&self, store: &HyokStore) -> Result<(bool, BTreeMap<KeyStoreId, Arc<OpenKeyStore>>), Refusal> {
        let (mut here, mut elsewhere) = (false, BTreeMap::new());
        for external in store.keys.values() {
            // One that was deleted is nobody's to keep.
            let Some(snapshot) = self.key(store.account, &external.region, external.key).await? else { continue };
            match &snapshot.key.home {
                None => here = true,
                Some(home) if elsewhere.contains_key(&home.store) => {}
                Some(home) => {
                    elsewhere.insert(home.store.clone(), self.key_store_of(&snapshot.key, home).await?);
                }
            }
        }
        Ok((here, elsewhere))
    }

    /// How what stands behind a custom key store is; unavailable as a whole, where nothing can be told of its parts.
    async fn health_of(&self, store: &OpenKeyStore) -> Vec<ManagerHealth> {
        let mut managers = match store.store.state {
            ConnectionState::Connected => self.key_store_backends.of(&store.store).health(store).await,
            _ => Vec::new(),
        };
        if managers.is_empty() {
            let model = "custom key store".to_owned();
            managers.push(ManagerHealth { id: store.id.to_string(), model, status: HealthStatus::Unavailable });
        }
        managers
    }

    async fn own_health(&self) -> ManagerHealth {
        let usable = match self.hsm().xks_probe() {
            Ok(()) => self.readiness().await.is_ready(),
            Err(error) => {
                tracing::error!(%error, "the hsm failed a health check");
                false
            }
        };
        ManagerHealth {
            id: self.node.clone(),
            model: concat!("Claviger hsm ", env!("CARGO_PKG_VERSION"), " (software)").to_owned(),
            status: if usable { HealthStatus::Active } else { HealthStatus::Unavailable },
        }
    }
}
