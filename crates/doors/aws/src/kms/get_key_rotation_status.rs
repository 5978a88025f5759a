//! GetKeyRotationStatus on the wire.

use crate::json::Seconds;
use crate::mapping::Mapping;
use crate::validation::{Validator, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Serialize};

/// The mapping.
pub(crate) struct GetKeyRotationStatus;

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
    key_rotation_enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation_period_in_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_rotation_date: Option<Seconds>,
}

impl Mapping for GetKeyRotationStatus {
    type Request = Request;
    type Operation = op::GetKeyRotationStatus;
    type Response = Response;

    fn decode(request: Request) -> Result<op::GetKeyRotationStatus, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check.finish()?;
        Ok(op::GetKeyRotationStatus { key: KeyReference::parse_without_alias(&present(request.key_id)?)? })
    }

    fn encode(output: <op::GetKeyRotationStatus as Operation>::Output) -> Response {
        Response {
            key_id: output.key.to_string(),
            key_rotation_enabled: output.schedule.is_some(),
            rotation_period_in_days: output.schedule.map(|schedule| schedule.period_days),
            next_rotation_date: output.schedule.map(|schedule| Seconds(schedule.next)),
        }
    }
}
