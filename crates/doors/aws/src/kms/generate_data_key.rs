//! GenerateDataKey on the wire.

use super::data_key::DataKeyRequest;
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
    plaintext: SecretOut,
    key_id: String,
    key_material_id: String,
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
        Response {
            ciphertext_blob: BlobOut(output.ciphertext),
            plaintext: SecretOut(output.plaintext),
            key_id: output.key_arn,
            key_material_id: output.material.to_string(),
        }
    }
}
