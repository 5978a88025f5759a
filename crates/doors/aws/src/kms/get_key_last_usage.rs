//! GetKeyLastUsage on the wire.

use crate::json::Seconds;
use crate::mapping::Mapping;
use crate::validation::{Validator, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Serialize};

/// The mapping.
pub(crate) struct GetKeyLastUsage;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    key_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_last_usage: Option<LastUsage>,
    tracking_start_date: Seconds,
    key_creation_date: Seconds,
}

/// The last use.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LastUsage {
    operation: String,
    timestamp: Seconds,
    cloud_trail_event_id: String,
    kms_request_id: String,
}

impl Mapping for GetKeyLastUsage {
    type Request = Request;
    type Operation = op::GetKeyLastUsage;
    type Response = Response;

    fn decode(request: Request) -> Result<op::GetKeyLastUsage, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check.finish()?;
        Ok(op::GetKeyLastUsage { key: KeyReference::parse_without_alias(&present(request.key_id)?)? })
    }

    fn encode(output: <op::GetKeyLastUsage as Operation>::Output) -> Response {
        Response {
            key_id: output.key_arn,
            key_last_usage: output.last.map(|last| LastUsage {
                operation: last.operation,
                timestamp: Seconds(last.at),
                cloud_trail_event_id: last.event_id,
                kms_request_id: last.request_id,
            }),
            tracking_start_date: Seconds(output.created),
            key_creation_date: Seconds(output.created),
        }
    }
}
