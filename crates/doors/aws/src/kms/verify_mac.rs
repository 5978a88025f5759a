//! VerifyMac on the wire.

use crate::json::Blob;
use crate::mapping::Mapping;
use crate::validation::{Validator, bytes, name, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_domain::key::MacAlgorithm;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Serialize};

/// The mapping.
pub(crate) struct VerifyMac;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    message: Option<Blob>,
    key_id: Option<String>,
    mac_algorithm: Option<String>,
    mac: Option<Blob>,
    grant_tokens: Option<Vec<String>>,
    dry_run: Option<bool>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    key_id: String,
    mac_valid: bool,
    mac_algorithm: &'static str,
}

impl Mapping for VerifyMac {
    type Request = Request;
    type Operation = op::VerifyMac;
    type Response = Response;

    fn grant_tokens(request: &Request) -> Option<&Vec<String>> {
        request.grant_tokens.as_ref()
    }

    fn decode(request: Request) -> Result<op::VerifyMac, Refusal> {
        let mut check = Validator::new();
        check.required_blob("message", request.message.as_ref(), 4096);
        check.key_id("keyId", request.key_id.as_ref());
        check.required_name::<MacAlgorithm>("macAlgorithm", request.mac_algorithm.as_ref());
        check.required_blob("mac", request.mac.as_ref(), 6144);
        check.grant_tokens(request.grant_tokens.as_ref());
        check.finish()?;
        Ok(op::VerifyMac {
            key: KeyReference::parse(&present(request.key_id)?)?,
            message: present(request.message)?.0,
            mac: bytes(request.mac)?,
            algorithm: name(request.mac_algorithm.as_ref())?,
            dry_run: request.dry_run.unwrap_or(false),
        })
    }

    fn encode(output: <op::VerifyMac as Operation>::Output) -> Response {
        Response { key_id: output.key_arn, mac_valid: true, mac_algorithm: output.algorithm.as_str() }
    }
}
