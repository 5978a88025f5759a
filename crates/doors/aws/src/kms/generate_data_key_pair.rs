//! GenerateDataKeyPair on the wire.

use super::data_key_pair::DataKeyPairRequest;
use super::recipient::released;
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
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key_plaintext: Option<SecretOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext_for_recipient: Option<BlobOut<Vec<u8>>>,
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
        let (private_key_plaintext, ciphertext_for_recipient) = released(output.private_key);
        Response {
            private_key_ciphertext_blob: BlobOut(output.sealed_private_key),
            private_key_plaintext,
            ciphertext_for_recipient,
            public_key: BlobOut(output.public_key),
            key_id: output.key_arn,
            key_pair_spec: output.spec.as_str(),
            // Not omitted in answers to a recipient: the model says so of GenerateDataKey and Decrypt only.
            key_material_id: output.material.to_string(),
        }
    }
}
