//! GenerateDataKeyPairWithoutPlaintext on the wire.

use super::data_key_pair::DataKeyPairRequest;
use crate::json::BlobOut;
use crate::mapping::Mapping;
use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::Serialize;

/// The mapping.
pub(crate) struct GenerateDataKeyPairWithoutPlaintext;

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    private_key_ciphertext_blob: BlobOut<Vec<u8>>,
    public_key: BlobOut<Vec<u8>>,
    key_id: String,
    key_pair_spec: &'static str,
    key_material_id: String,
}

impl Mapping for GenerateDataKeyPairWithoutPlaintext {
    type Request = DataKeyPairRequest;
    type Operation = op::GenerateDataKeyPairWithoutPlaintext;
    type Response = Response;

    fn grant_tokens(request: &DataKeyPairRequest) -> Option<&Vec<String>> {
        request.grant_tokens()
    }

    fn decode(request: DataKeyPairRequest) -> Result<op::GenerateDataKeyPairWithoutPlaintext, Refusal> {
        request.decode().map(op::GenerateDataKeyPairWithoutPlaintext)
    }

    fn encode(output: <op::GenerateDataKeyPairWithoutPlaintext as Operation>::Output) -> Response {
        Response {
            private_key_ciphertext_blob: BlobOut(output.sealed_private_key),
            public_key: BlobOut(output.public_key),
            key_id: output.key_arn,
            key_pair_spec: output.spec.as_str(),
            key_material_id: output.material.to_string(),
        }
    }
}
