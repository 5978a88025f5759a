//! GenerateRandom on the wire.

use crate::json::SecretOut;
use crate::mapping::Mapping;
use crate::validation::{Recipient, Validator, refuse_recipient};
use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Serialize};

/// The mapping.
pub(crate) struct GenerateRandom;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    number_of_bytes: Option<i64>,
    custom_key_store_id: Option<String>,
    recipient: Option<Recipient>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    plaintext: SecretOut,
}

impl Mapping for GenerateRandom {
    type Request = Request;
    type Operation = op::GenerateRandom;
    type Response = Response;
    const SECRET: bool = true;

    fn decode(request: Request) -> Result<op::GenerateRandom, Refusal> {
        let mut check = Validator::new();
        check.range("numberOfBytes", request.number_of_bytes, 1, 1024);
        check.length("customKeyStoreId", request.custom_key_store_id.as_ref(), 1, 64);
        check.finish()?;
        refuse_recipient(request.recipient.as_ref())?;
        if request.custom_key_store_id.is_some() {
            return Err(Refusal::unsupported("Custom key stores are not offered by this deployment."));
        }
        let length = request.number_of_bytes.and_then(|number| usize::try_from(number).ok());
        Ok(op::GenerateRandom { length: length.ok_or_else(|| Refusal::invalid("NumberOfBytes is required."))? })
    }

    fn encode(output: <op::GenerateRandom as Operation>::Output) -> Response {
        Response { plaintext: SecretOut(output) }
    }
}
