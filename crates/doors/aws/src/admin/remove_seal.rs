//! RemoveSeal on the wire.

use claviger_domain::Refusal;
use claviger_service::operations::admin as op;
use serde::Deserialize;

use super::fields::seal_name;
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct RemoveSeal;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    name: Option<String>,
}

impl Mapping for RemoveSeal {
    type Request = Request;
    type Operation = op::RemoveSeal;
    type Response = ();

    fn decode(request: Request) -> Result<op::RemoveSeal, Refusal> {
        Ok(op::RemoveSeal { name: seal_name(request.name)? })
    }

    fn encode((): ()) {}
}
