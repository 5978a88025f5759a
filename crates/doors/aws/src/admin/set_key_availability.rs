//! SetKeyAvailability on the wire.

use claviger_domain::{KeyReference, Refusal};
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use super::fields::required;
use crate::mapping::Mapping;
use crate::validation::{Validator, present};

/// The mapping.
pub(crate) struct SetKeyAvailability;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
    availability: Option<String>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    availability: String,
}

/// What leaves it to the account.
const ACCOUNT: &str = "account";

impl Mapping for SetKeyAvailability {
    type Request = Request;
    type Operation = op::SetKeyAvailability;
    type Response = Response;

    fn decode(request: Request) -> Result<op::SetKeyAvailability, Refusal> {
        let mut check = Validator::new();
        check.required("keyId", request.key_id.as_ref());
        check.key_id("keyId", request.key_id.as_ref());
        check.finish()?;
        let availability = match request.availability.as_deref() {
            Some(ACCOUNT) => None,
            text => Some(required("Availability", text)?),
        };
        Ok(op::SetKeyAvailability { key: KeyReference::parse(&present(request.key_id)?)?, availability })
    }

    fn encode(output: <op::SetKeyAvailability as Operation>::Output) -> Response {
        Response { availability: output.map_or_else(|| ACCOUNT.to_owned(), |availability| availability.to_string()) }
    }
}
