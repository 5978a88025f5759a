//! Whether a hold-your-own-key store could be used now. Source: AWS KMS External Keystore Proxy API Specification, "GetHealthStatus": the check
//! is deep, does not touch the keys of anybody, and is not older than a minute.

use std::time::{Duration, Instant};

use claviger_domain::Refusal;
use parking_lot::Mutex;

use crate::service::Service;

/// For how long a result is answered.
const FRESH: Duration = Duration::from_secs(10);

/// What was found last.
#[derive(Default)]
pub(crate) struct CachedHealth(Mutex<Option<(Instant, Health)>>);

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
    /// It cannot.
    Unavailable,
}

impl Service {
    /// Whether keys behind stores can be used, as it was a few seconds ago at most.
    pub(crate) async fn hyok_health(&self) -> Result<Health, Refusal> {
        let known = self.hyok_health.0.lock().clone();
        if let Some((at, health)) = known
            && at.elapsed() < FRESH
        {
            return Ok(health);
        }
        let health = self.check_hyok_health().await?;
        *self.hyok_health.0.lock() = Some((Instant::now(), health.clone()));
        Ok(health)
    }

    async fn check_hyok_health(&self) -> Result<Health, Refusal> {
        let usable = match self.hsm().xks_probe() {
            Ok(()) => self.readiness().await.is_ready(),
            Err(error) => {
                tracing::error!(%error, "the hsm failed a health check");
                false
            }
        };
        let nodes = self.heartbeats.count();
        let manager = ManagerHealth {
            id: self.node.clone(),
            model: concat!("Claviger hsm ", env!("CARGO_PKG_VERSION"), " (software)").to_owned(),
            status: if usable { HealthStatus::Active } else { HealthStatus::Unavailable },
        };
        Ok(Health { nodes, managers: vec![manager] })
    }
}
