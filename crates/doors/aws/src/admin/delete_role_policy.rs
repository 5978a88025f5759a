//! DeleteRolePolicy on the wire.

use claviger_domain::Refusal;
use claviger_service::operations::admin as op;
use serde::Deserialize;

use super::fields::{account, policy_name, role};
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct DeleteRolePolicy;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    role_name: Option<String>,
    policy_name: Option<String>,
}

impl Mapping for DeleteRolePolicy {
    type Request = Request;
    type Operation = op::DeleteRolePolicy;
    type Response = ();

    fn decode(request: Request) -> Result<op::DeleteRolePolicy, Refusal> {
        Ok(op::DeleteRolePolicy {
            account: account(request.account_id.as_deref())?,
            role: role(request.role_name.as_deref())?,
            policy_name: policy_name(request.policy_name)?,
        })
    }

    fn encode((): ()) {}
}
