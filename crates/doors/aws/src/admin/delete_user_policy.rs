//! DeleteUserPolicy on the wire.

use claviger_domain::Refusal;
use claviger_service::operations::admin as op;
use serde::Deserialize;

use super::fields::{account, policy_name, user};
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct DeleteUserPolicy;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    user_name: Option<String>,
    policy_name: Option<String>,
}

impl Mapping for DeleteUserPolicy {
    type Request = Request;
    type Operation = op::DeleteUserPolicy;
    type Response = ();

    fn decode(request: Request) -> Result<op::DeleteUserPolicy, Refusal> {
        Ok(op::DeleteUserPolicy {
            account: account(request.account_id.as_deref())?,
            user: user(request.user_name.as_deref())?,
            policy_name: policy_name(request.policy_name)?,
        })
    }

    fn encode((): ()) {}
}
