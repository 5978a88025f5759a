//! GenerateDataKeyWithoutPlaintext on the wire.

use super::data_key::DataKeyRequest;
use crate::json::BlobOut;
use crate::mapping::Mapping;
use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::Serialize;

/// The mapping.
pub(crate) struct GenerateDataKeyWithoutPlaintext;

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    ciphertext_blob: BlobOut<Vec<u8>>,
    key_id: String,
    key_material_id: String,
}

impl Mapping for GenerateDataKeyWithoutPlaintext {
    type Request = DataKeyRequest;
    type Operation = op::GenerateDataKeyWithoutPlaintext;
    type Response = Response;

    fn grant_tokens(request: &DataKeyRequest) -> Option<&Vec<String>> {
        request.grant_tokens.as_ref()
    }

    fn decode(request: DataKeyRequest) -> Result<op::GenerateDataKeyWithoutPlaintext, Refusal> {
        request.decode().map(op::GenerateDataKeyWithoutPlaintext)
    }

    fn encode(output: <op::GenerateDataKeyWithoutPlaintext as Operation>::Output) -> Response {
        Response {
            ciphertext_blob: BlobOut(output.ciphertext),
            key_id: output.key_arn,
            key_material_id: output.material.to_string(),
        }
    }
}
