//! Verify on the wire.

use crate::json::Blob;
use crate::mapping::Mapping;
use crate::validation::{Validator, bytes, name, name_or, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_domain::key::{MessageType, SigningAlgorithm};
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Serialize};

/// The mapping.
pub(crate) struct Verify;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
    message: Option<Blob>,
    message_type: Option<String>,
    signature: Option<Blob>,
    signing_algorithm: Option<String>,
    grant_tokens: Option<Vec<String>>,
    dry_run: Option<bool>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    key_id: String,
    signature_valid: bool,
    signing_algorithm: &'static str,
}

impl Mapping for Verify {
    type Request = Request;
    type Operation = op::Verify;
    type Response = Response;

    fn grant_tokens(request: &Request) -> Option<&Vec<String>> {
        request.grant_tokens.as_ref()
    }

    fn decode(request: Request) -> Result<op::Verify, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check.required_blob("message", request.message.as_ref(), 4096);
        check.name::<MessageType>("messageType", request.message_type.as_ref());
        check.required_blob("signature", request.signature.as_ref(), 6144);
        check.required_name::<SigningAlgorithm>("signingAlgorithm", request.signing_algorithm.as_ref());
        check.grant_tokens(request.grant_tokens.as_ref());
        check.finish()?;
        Ok(op::Verify {
            key: KeyReference::parse(&present(request.key_id)?)?,
            message: present(request.message)?.0,
            message_type: name_or(request.message_type.as_ref(), MessageType::Raw),
            signature: bytes(request.signature)?,
            algorithm: name(request.signing_algorithm.as_ref())?,
            dry_run: request.dry_run.unwrap_or(false),
        })
    }

    fn encode(output: <op::Verify as Operation>::Output) -> Response {
        Response { key_id: output.key_arn, signature_valid: true, signing_algorithm: output.algorithm.as_str() }
    }
}
