//! PutRolePolicy on the wire.

use claviger_domain::Refusal;
use claviger_service::operations::admin as op;
use serde::Deserialize;

use super::fields::{account, policy_name, role};
use crate::mapping::Mapping;
use crate::validation::{Validator, present};

/// The mapping.
pub(crate) struct PutRolePolicy;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    role_name: Option<String>,
    policy_name: Option<String>,
    policy_document: Option<String>,
}

impl Mapping for PutRolePolicy {
    type Request = Request;
    type Operation = op::PutRolePolicy;
    type Response = ();

    fn decode(request: Request) -> Result<op::PutRolePolicy, Refusal> {
        let mut check = Validator::new();
        check.required_length("policyDocument", request.policy_document.as_ref(), 1, 131_072);
        check.finish()?;
        Ok(op::PutRolePolicy {
            account: account(request.account_id.as_deref())?,
            role: role(request.role_name.as_deref())?,
            policy_name: policy_name(request.policy_name)?,
            policy: present(request.policy_document)?,
        })
    }

    fn encode((): ()) {}
}
