//! GenerateMac on the wire.

use crate::json::{Blob, BlobOut};
use crate::mapping::Mapping;
use crate::validation::{Validator, name, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_domain::key::MacAlgorithm;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Serialize};

/// The mapping.
pub(crate) struct GenerateMac;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    message: Option<Blob>,
    key_id: Option<String>,
    mac_algorithm: Option<String>,
    grant_tokens: Option<Vec<String>>,
    dry_run: Option<bool>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    mac: BlobOut<Vec<u8>>,
    mac_algorithm: &'static str,
    key_id: String,
}

impl Mapping for GenerateMac {
    type Request = Request;
    type Operation = op::GenerateMac;
    type Response = Response;

    fn grant_tokens(request: &Request) -> Option<&Vec<String>> {
        request.grant_tokens.as_ref()
    }

    fn decode(request: Request) -> Result<op::GenerateMac, Refusal> {
        let mut check = Validator::new();
        check.required_blob("message", request.message.as_ref(), 4096);
        check.key_id("keyId", request.key_id.as_ref());
        check.required_name::<MacAlgorithm>("macAlgorithm", request.mac_algorithm.as_ref());
        check.grant_tokens(request.grant_tokens.as_ref());
        check.finish()?;
        Ok(op::GenerateMac {
            key: KeyReference::parse(&present(request.key_id)?)?,
            message: present(request.message)?.0,
            algorithm: name(request.mac_algorithm.as_ref())?,
            dry_run: request.dry_run.unwrap_or(false),
        })
    }

    fn encode(output: <op::GenerateMac as Operation>::Output) -> Response {
        Response { mac: BlobOut(output.mac), mac_algorithm: output.algorithm.as_str(), key_id: output.key_arn }
    }
}
