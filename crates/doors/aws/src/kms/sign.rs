//! Sign on the wire.

use crate::json::{Blob, BlobOut};
use crate::mapping::Mapping;
use crate::validation::{Validator, name, name_or, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_domain::key::{MessageType, SigningAlgorithm};
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Serialize};

/// The mapping.
pub(crate) struct Sign;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
    message: Option<Blob>,
    message_type: Option<String>,
    grant_tokens: Option<Vec<String>>,
    signing_algorithm: Option<String>,
    dry_run: Option<bool>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    key_id: String,
    signature: BlobOut<Vec<u8>>,
    signing_algorithm: &'static str,
}

impl Mapping for Sign {
    type Request = Request;
    type Operation = op::Sign;
    type Response = Response;

    fn grant_tokens(request: &Request) -> Option<&Vec<String>> {
        request.grant_tokens.as_ref()
    }

    fn decode(request: Request) -> Result<op::Sign, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check.required_blob("message", request.message.as_ref(), 4096);
        check.name::<MessageType>("messageType", request.message_type.as_ref());
        check.grant_tokens(request.grant_tokens.as_ref());
        check.required_name::<SigningAlgorithm>("signingAlgorithm", request.signing_algorithm.as_ref());
        check.finish()?;
        Ok(op::Sign {
            key: KeyReference::parse(&present(request.key_id)?)?,
            message: present(request.message)?.0,
            message_type: name_or(request.message_type.as_ref(), MessageType::Raw),
            algorithm: name(request.signing_algorithm.as_ref())?,
            dry_run: request.dry_run.unwrap_or(false),
        })
    }

    fn encode(output: <op::Sign as Operation>::Output) -> Response {
        Response { key_id: output.key_arn, signature: BlobOut(output.signature), signing_algorithm: output.algorithm.as_str() }
    }
}
