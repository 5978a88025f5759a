//! SetAccountAvailability on the wire.

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use super::fields::{account, required};
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct SetAccountAvailability;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    availability: Option<String>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    availability: String,
}

impl Mapping for SetAccountAvailability {
    type Request = Request;
    type Operation = op::SetAccountAvailability;
    type Response = Response;

    fn decode(request: Request) -> Result<op::SetAccountAvailability, Refusal> {
        Ok(op::SetAccountAvailability {
            account: account(request.account_id.as_deref())?,
            availability: required("Availability", request.availability.as_deref())?,
        })
    }

    fn encode(output: <op::SetAccountAvailability as Operation>::Output) -> Response {
        Response { availability: output.to_string() }
    }
}
