//! GetUserPolicy on the wire.

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use super::fields::{account, policy_name, user};
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct GetUserPolicy;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    user_name: Option<String>,
    policy_name: Option<String>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    policy_document: String,
}

impl Mapping for GetUserPolicy {
    type Request = Request;
    type Operation = op::GetUserPolicy;
    type Response = Response;

    fn decode(request: Request) -> Result<op::GetUserPolicy, Refusal> {
        Ok(op::GetUserPolicy {
            account: account(request.account_id.as_deref())?,
            user: user(request.user_name.as_deref())?,
            policy_name: policy_name(request.policy_name)?,
        })
    }

    fn encode(output: <op::GetUserPolicy as Operation>::Output) -> Response {
        Response { policy_document: output }
    }
}
