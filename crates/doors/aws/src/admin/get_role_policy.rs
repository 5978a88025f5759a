//! GetRolePolicy on the wire.

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use super::fields::{account, policy_name, role};
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct GetRolePolicy;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    role_name: Option<String>,
    policy_name: Option<String>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    policy_document: String,
}

impl Mapping for GetRolePolicy {
    type Request = Request;
    type Operation = op::GetRolePolicy;
    type Response = Response;

    fn decode(request: Request) -> Result<op::GetRolePolicy, Refusal> {
        Ok(op::GetRolePolicy {
            account: account(request.account_id.as_deref())?,
            role: role(request.role_name.as_deref())?,
            policy_name: policy_name(request.policy_name)?,
        })
    }

    fn encode(output: <op::GetRolePolicy as Operation>::Output) -> Response {
        Response { policy_document: output }
    }
}
