//! GetPublicKey on the wire.

use super::algorithms::Algorithms;
use crate::json::BlobOut;
use crate::mapping::Mapping;
use crate::validation::{Validator, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Serialize};

/// The mapping.
pub(crate) struct GetPublicKey;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
    grant_tokens: Option<Vec<String>>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    key_id: String,
    public_key: BlobOut<Vec<u8>>,
    customer_master_key_spec: &'static str,
    key_spec: &'static str,
    key_usage: &'static str,
    #[serde(flatten)]
    algorithms: Algorithms,
}

impl Mapping for GetPublicKey {
    type Request = Request;
    type Operation = op::GetPublicKey;
    type Response = Response;

    fn grant_tokens(request: &Request) -> Option<&Vec<String>> {
        request.grant_tokens.as_ref()
    }

    fn decode(request: Request) -> Result<op::GetPublicKey, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check.grant_tokens(request.grant_tokens.as_ref());
        check.finish()?;
        Ok(op::GetPublicKey { key: KeyReference::parse(&present(request.key_id)?)? })
    }

    fn encode(output: <op::GetPublicKey as Operation>::Output) -> Response {
        Response {
            key_id: output.key_arn,
            public_key: BlobOut(output.public_key),
            customer_master_key_spec: output.spec.as_str(),
            key_spec: output.spec.as_str(),
            key_usage: output.usage.as_str(),
            algorithms: Algorithms::of(output.spec, output.usage),
        }
    }
}
