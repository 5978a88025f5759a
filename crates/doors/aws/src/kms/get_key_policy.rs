//! GetKeyPolicy on the wire.

use super::names::check_policy_name;
use crate::mapping::Mapping;
use crate::validation::{Validator, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Serialize};

/// The mapping.
pub(crate) struct GetKeyPolicy;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
    policy_name: Option<String>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    policy: String,
    policy_name: &'static str,
}

impl Mapping for GetKeyPolicy {
    type Request = Request;
    type Operation = op::GetKeyPolicy;
    type Response = Response;

    fn decode(request: Request) -> Result<op::GetKeyPolicy, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check_policy_name(&mut check, request.policy_name.as_ref());
        check.finish()?;
        Ok(op::GetKeyPolicy { key: KeyReference::parse_without_alias(&present(request.key_id)?)?, name: request.policy_name })
    }

    fn encode(output: <op::GetKeyPolicy as Operation>::Output) -> Response {
        Response { policy: output, policy_name: "default" }
    }
}
