//! GenerateRandom on the wire.

use super::recipient::{Recipient, released};
use crate::json::{BlobOut, SecretOut};
use crate::mapping::Mapping;
use crate::validation::Validator;
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
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<SecretOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext_for_recipient: Option<BlobOut<Vec<u8>>>,
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
        Recipient::check(request.recipient.as_ref(), &mut check);
        check.finish()?;
        let length = request.number_of_bytes.and_then(|number| usize::try_from(number).ok());
        Ok(op::GenerateRandom {
            length: length.ok_or_else(|| Refusal::invalid("NumberOfBytes is required."))?,
            recipient: Recipient::read(request.recipient)?,
            key_store: request.custom_key_store_id,
        })
    }

    fn encode(output: <op::GenerateRandom as Operation>::Output) -> Response {
        let (plaintext, ciphertext_for_recipient) = released(output);
        Response { plaintext, ciphertext_for_recipient }
    }
}
