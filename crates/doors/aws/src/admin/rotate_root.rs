//! RotateRoot on the wire.

use claviger_domain::Refusal;
use claviger_service::operations::admin as op;
use serde::Deserialize;

use super::verify_seals::{Brought, brought};
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct RotateRoot;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    secrets: Option<Vec<Brought>>,
}

impl Mapping for RotateRoot {
    type Request = Request;
    type Operation = op::RotateRoot;
    type Response = ();

    fn decode(request: Request) -> Result<op::RotateRoot, Refusal> {
        Ok(op::RotateRoot { secrets: brought(request.secrets)? })
    }

    fn encode((): ()) {}
}
