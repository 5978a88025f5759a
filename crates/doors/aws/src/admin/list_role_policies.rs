//! ListRolePolicies on the wire.

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use super::fields::{account, role};
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct ListRolePolicies;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    role_name: Option<String>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    policy_names: Vec<String>,
}

impl Mapping for ListRolePolicies {
    type Request = Request;
    type Operation = op::ListRolePolicies;
    type Response = Response;

    fn decode(request: Request) -> Result<op::ListRolePolicies, Refusal> {
        Ok(op::ListRolePolicies { account: account(request.account_id.as_deref())?, role: role(request.role_name.as_deref())? })
    }

    fn encode(output: <op::ListRolePolicies as Operation>::Output) -> Response {
        Response { policy_names: output }
    }
}
