//! GetHealthStatus on the wire.

use bytes::Bytes;
use claviger_domain::{ExternalKeyId, Refusal};
use claviger_service::operations::xks as op;
use serde::{Deserialize, Serialize};

use crate::body::write;
use crate::mapping::Mapping;
use crate::request_metadata::{RequestMetadata, Required};

/// The mapping.
pub(crate) struct GetHealthStatus;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    request_metadata: Option<RequestMetadata>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    xks_proxy_fleet_size: u64,
    xks_proxy_vendor: &'static str,
    xks_proxy_model: &'static str,
    ekm_vendor: &'static str,
    ekm_fleet_details: Vec<Manager>,
}

/// One external key manager.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manager {
    id: String,
    model: String,
    health_status: &'static str,
}

/// Entries of `ekmFleetDetails`, at most.
const MANAGERS_MAX: usize = 10;

impl Mapping for GetHealthStatus {
    type Request = Request;
    type Operation = op::GetHealthStatus;

    fn decode(_key: Option<ExternalKeyId>, request: Request) -> Result<op::GetHealthStatus, Refusal> {
        Ok(op::GetHealthStatus { metadata: RequestMetadata::check(request.request_metadata, Required::Health)? })
    }

    fn encode(output: op::Health) -> Result<Bytes, Refusal> {
        let manager = |manager: op::ManagerHealth| Manager {
            id: manager.id,
            model: manager.model,
            health_status: match manager.status {
                op::HealthStatus::Active => "ACTIVE",
                op::HealthStatus::Degraded => "DEGRADED",
                op::HealthStatus::Unavailable => "UNAVAILABLE",
            },
        };
        write(&Response {
            xks_proxy_fleet_size: output.nodes,
            xks_proxy_vendor: "Claviger",
            xks_proxy_model: concat!("Claviger ", env!("CARGO_PKG_VERSION")),
            ekm_vendor: "Claviger",
            ekm_fleet_details: output.managers.into_iter().take(MANAGERS_MAX).map(manager).collect(),
        })
    }
}
