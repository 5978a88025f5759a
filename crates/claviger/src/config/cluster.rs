//! `[cluster]`: how nodes that share a store keep in step. The same on every node: docs/cluster.md.

use std::time::Duration;

use claviger_service::Effective;
use serde::{Deserialize, Deserializer, de};

/// How nodes keep in step.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// For how long a node may use what it knows without having asked whether it is still true; whole milliseconds in the file.
    #[serde(rename = "lease_milliseconds", deserialize_with = "milliseconds")]
    pub lease: Duration,
    /// When a change is told to whoever asked for it.
    pub effective: Effective,
}

impl Default for Cluster {
    fn default() -> Self {
        Self { lease: Duration::from_secs(1), effective: Effective::Immediately }
    }
}

/// A shorter lease runs out whenever the database takes a moment; with a longer one a revocation waits for nothing.
fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let milliseconds = u32::deserialize(deserializer)?;
    if (200..=10_000).contains(&milliseconds) {
        Ok(Duration::from_millis(milliseconds.into()))
    } else {
        Err(de::Error::custom(format!("{milliseconds} milliseconds: a lease has 200 to 10000")))
    }
}
