//! GenerateDataKeyPair on the wire.

use super::data_key_pair::DataKeyPairRequest;
use crate::json::{BlobOut, SecretOut};
use crate::mapping::Mapping;
use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::Serialize;

/// The mapping.
pub(crate) struct GenerateDataKeyPair;

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    private_key_ciphertext_blob: BlobOut<Vec<u8>>,
    private_key_plaintext: SecretOut,
    public_key: BlobOut<Vec<u8>>,
    key_id: String,
    key_pair_spec: &'static str,
    key_material_id: String,
}

impl Mapping for GenerateDataKeyPair {
    type Request = DataKeyPairRequest;
    type Operation = op::GenerateDataKeyPair;
    type Response = Response;
    const SECRET: bool = true;

    fn grant_tokens(request: &DataKeyPairRequest) -> Option<&Vec<String>> {
        request.grant_tokens()
    }

    fn decode(request: DataKeyPairRequest) -> Result<op::GenerateDataKeyPair, Refusal> {
        request.decode()
    }

    fn encode(output: <op::GenerateDataKeyPair as Operation>::Output) -> Response {
        Response {
            private_key_ciphertext_blob: BlobOut(output.sealed_private_key),
            private_key_plaintext: SecretOut(output.private_key),
            public_key: BlobOut(output.public_key),
            key_id: output.key_arn,
            key_pair_spec: output.spec.as_str(),
            key_material_id: output.material.to_string(),
        }
    }
}
