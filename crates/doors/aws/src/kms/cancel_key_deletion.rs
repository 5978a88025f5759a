//! CancelKeyDeletion on the wire.

use crate::mapping::Mapping;
use crate::validation::{Validator, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::Deserialize;

/// The mapping.
pub(crate) struct CancelKeyDeletion;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
}

impl Mapping for CancelKeyDeletion {
    type Request = Request;
    type Operation = op::CancelKeyDeletion;
    type Response = super::key_metadata::OnlyKeyId;

    fn decode(request: Request) -> Result<op::CancelKeyDeletion, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check.finish()?;
        Ok(op::CancelKeyDeletion { key: KeyReference::parse_without_alias(&present(request.key_id)?)? })
    }

    fn encode(output: <op::CancelKeyDeletion as Operation>::Output) -> super::key_metadata::OnlyKeyId {
        super::key_metadata::OnlyKeyId { key_id: output }
    }
}
