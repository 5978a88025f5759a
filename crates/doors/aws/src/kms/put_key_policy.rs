//! PutKeyPolicy on the wire.

use super::names::{check_policy, check_policy_name};
use crate::mapping::Mapping;
use crate::validation::{Validator, present};
use claviger_domain::KeyReference;
use claviger_domain::Refusal;
use claviger_service::operations::kms as op;
use serde::Deserialize;

/// The mapping.
pub(crate) struct PutKeyPolicy;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    key_id: Option<String>,
    policy_name: Option<String>,
    policy: Option<String>,
    bypass_policy_lockout_safety_check: Option<bool>,
}

impl Mapping for PutKeyPolicy {
    type Request = Request;
    type Operation = op::PutKeyPolicy;
    type Response = ();

    fn decode(request: Request) -> Result<op::PutKeyPolicy, Refusal> {
        let mut check = Validator::new();
        check.key_id("keyId", request.key_id.as_ref());
        check_policy_name(&mut check, request.policy_name.as_ref());
        check.required("policy", request.policy.as_ref());
        check_policy(&mut check, request.policy.as_ref());
        check.finish()?;
        Ok(op::PutKeyPolicy {
            key: KeyReference::parse_without_alias(&present(request.key_id)?)?,
            name: request.policy_name,
            policy: present(request.policy)?,
            bypass_lockout_check: request.bypass_policy_lockout_safety_check.unwrap_or(false),
        })
    }

    fn encode((): ()) {}
}
