//! ListUserPolicies on the wire.

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use super::fields::{account, user};
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct ListUserPolicies;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    user_name: Option<String>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    policy_names: Vec<String>,
}

impl Mapping for ListUserPolicies {
    type Request = Request;
    type Operation = op::ListUserPolicies;
    type Response = Response;

    fn decode(request: Request) -> Result<op::ListUserPolicies, Refusal> {
        Ok(op::ListUserPolicies { account: account(request.account_id.as_deref())?, user: user(request.user_name.as_deref())? })
    }

    fn encode(output: <op::ListUserPolicies as Operation>::Output) -> Response {
        Response { policy_names: output }
    }
}
