//! EnableKey on the wire.

use crate::mapping::Mapping;
use crate::validation::{Validator, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_service::operations::kms as op;
use serde::Deserialize;

/// The mapping.
pub(crate) struct EnableKey;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
}

impl Mapping for EnableKey {
    type Request = Request;
    type Operation = op::EnableKey;
    type Response = ();

    fn decode(request: Request) -> Result<op::EnableKey, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check.finish()?;
        Ok(op::EnableKey { key: KeyReference::parse_without_alias(&present(request.key_id)?)? })
    }

    fn encode((): ()) {}
}
