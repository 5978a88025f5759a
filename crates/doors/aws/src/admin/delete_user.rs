//! DeleteUser on the wire.

use claviger_domain::Refusal;
use claviger_service::operations::admin as op;
use serde::Deserialize;

use super::fields::{account, user};
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct DeleteUser;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    user_name: Option<String>,
}

impl Mapping for DeleteUser {
    type Request = Request;
    type Operation = op::DeleteUser;
    type Response = ();

    fn decode(request: Request) -> Result<op::DeleteUser, Refusal> {
        Ok(op::DeleteUser { account: account(request.account_id.as_deref())?, name: user(request.user_name.as_deref())? })
    }

    fn encode((): ()) {}
}
