//! Encapsulate on the wire.

use crate::json::{BlobOut, SecretOut};
use crate::mapping::Mapping;
use crate::validation::{Validator, name, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_domain::key::EncapsulationAlgorithm;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Serialize};

/// The mapping.
pub(crate) struct Encapsulate;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
    encapsulation_algorithm: Option<String>,
    grant_tokens: Option<Vec<String>>,
    dry_run: Option<bool>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    key_id: String,
    shared_secret: SecretOut,
    shared_secret_ciphertext_blob: BlobOut<Vec<u8>>,
    encapsulation_algorithm: &'static str,
}

impl Mapping for Encapsulate {
    type Request = Request;
    type Operation = op::Encapsulate;
    type Response = Response;
    const SECRET: bool = true;

    fn grant_tokens(request: &Request) -> Option<&Vec<String>> {
        request.grant_tokens.as_ref()
    }

    fn decode(request: Request) -> Result<op::Encapsulate, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check.required_name::<EncapsulationAlgorithm>("encapsulationAlgorithm", request.encapsulation_algorithm.as_ref());
        check.grant_tokens(request.grant_tokens.as_ref());
        check.finish()?;
        Ok(op::Encapsulate {
            key: KeyReference::parse(&present(request.key_id)?)?,
            algorithm: name(request.encapsulation_algorithm.as_ref())?,
            dry_run: request.dry_run.unwrap_or(false),
        })
    }

    fn encode(output: <op::Encapsulate as Operation>::Output) -> Response {
        Response {
            key_id: output.key_arn,
            shared_secret: SecretOut(output.secret),
            shared_secret_ciphertext_blob: BlobOut(output.ciphertext),
            encapsulation_algorithm: output.algorithm.as_str(),
        }
    }
}
