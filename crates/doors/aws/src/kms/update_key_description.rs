//! UpdateKeyDescription on the wire.

use crate::mapping::Mapping;
use crate::validation::{Validator, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_service::operations::kms as op;
use serde::Deserialize;

/// The mapping.
pub(crate) struct UpdateKeyDescription;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
    description: Option<String>,
}

impl Mapping for UpdateKeyDescription {
    type Request = Request;
    type Operation = op::UpdateKeyDescription;
    type Response = ();

    fn decode(request: Request) -> Result<op::UpdateKeyDescription, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check.required_length("description", request.description.as_ref(), 0, 8192);
        check.finish()?;
        Ok(op::UpdateKeyDescription {
            key: KeyReference::parse_without_alias(&present(request.key_id)?)?,
            description: present(request.description)?,
        })
    }

    fn encode((): ()) {}
}
