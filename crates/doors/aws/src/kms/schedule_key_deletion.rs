//! ScheduleKeyDeletion on the wire.

use crate::json::Seconds;
use crate::mapping::Mapping;
use crate::validation::{Validator, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Serialize};

/// The mapping.
pub(crate) struct ScheduleKeyDeletion;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
    pending_window_in_days: Option<i64>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    key_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_date: Option<Seconds>,
    key_state: &'static str,
    pending_window_in_days: u32,
}

impl Mapping for ScheduleKeyDeletion {
    type Request = Request;
    type Operation = op::ScheduleKeyDeletion;
    type Response = Response;

    fn decode(request: Request) -> Result<op::ScheduleKeyDeletion, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check.range("pendingWindowInDays", request.pending_window_in_days, 7, 30);
        check.finish()?;
        let window_days = request.pending_window_in_days.and_then(|days| u32::try_from(days).ok()).unwrap_or(30);
        Ok(op::ScheduleKeyDeletion { key: KeyReference::parse_without_alias(&present(request.key_id)?)?, window_days })
    }

    fn encode(output: <op::ScheduleKeyDeletion as Operation>::Output) -> Response {
        Response {
            key_id: output.key_arn,
            deletion_date: output.state.deletion_date().map(Seconds),
            key_state: output.state.as_str(),
            pending_window_in_days: output.window_days,
        }
    }
}
