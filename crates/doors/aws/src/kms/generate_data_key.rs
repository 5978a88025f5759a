//! GenerateDataKey on the wire.

use super::data_key::DataKeyRequest;
use super::recipient::released;
use crate::json::{BlobOut, SecretOut};
use crate::mapping::Mapping;
use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::Serialize;

/// The mapping.
pub(crate) struct GenerateDataKey;

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    ciphertext_blob: BlobOut<Vec<u8>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<SecretOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext_for_recipient: Option<BlobOut<Vec<u8>>>,
    key_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_material_id: Option<String>,
}

impl Mapping for GenerateDataKey {
    type Request = DataKeyRequest;
    type Operation = op::GenerateDataKey;
    type Response = Response;
    const SECRET: bool = true;

    fn grant_tokens(request: &DataKeyRequest) -> Option<&Vec<String>> {
        request.grant_tokens.as_ref()
    }

    fn decode(request: DataKeyRequest) -> Result<op::GenerateDataKey, Refusal> {
        request.decode()
    }

    fn encode(output: <op::GenerateDataKey as Operation>::Output) -> Response {
        let (plaintext, ciphertext_for_recipient) = released(output.plaintext);
        Response {
            ciphertext_blob: BlobOut(output.ciphertext),
            // Omitted in answers to a recipient, as the model says.
            key_material_id: plaintext.is_some().then(|| output.material.to_string()),
            plaintext,
            ciphertext_for_recipient,
            key_id: output.key_arn,
        }
    }
}
