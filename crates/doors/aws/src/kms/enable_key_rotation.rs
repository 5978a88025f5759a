//! EnableKeyRotation on the wire.

use crate::mapping::Mapping;
use crate::validation::{Validator, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_service::operations::kms as op;
use serde::Deserialize;

/// The mapping.
pub(crate) struct EnableKeyRotation;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
    rotation_period_in_days: Option<i64>,
}

impl Mapping for EnableKeyRotation {
    type Request = Request;
    type Operation = op::EnableKeyRotation;
    type Response = ();

    fn decode(request: Request) -> Result<op::EnableKeyRotation, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check.range("rotationPeriodInDays", request.rotation_period_in_days, 90, 2560);
        check.finish()?;
        let period_days = request.rotation_period_in_days.and_then(|days| u32::try_from(days).ok()).unwrap_or(365);
        Ok(op::EnableKeyRotation { key: KeyReference::parse_without_alias(&present(request.key_id)?)?, period_days })
    }

    fn encode((): ()) {}
}
