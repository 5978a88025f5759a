//! DeleteRole on the wire.

use claviger_domain::Refusal;
use claviger_service::operations::admin as op;
use serde::Deserialize;

use super::fields::{account, role};
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct DeleteRole;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    role_name: Option<String>,
}

impl Mapping for DeleteRole {
    type Request = Request;
    type Operation = op::DeleteRole;
    type Response = ();

    fn decode(request: Request) -> Result<op::DeleteRole, Refusal> {
        Ok(op::DeleteRole { account: account(request.account_id.as_deref())?, name: role(request.role_name.as_deref())? })
    }

    fn encode((): ()) {}
}
