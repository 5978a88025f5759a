//! DeleteAccessKey on the wire.

use claviger_domain::Refusal;
use claviger_service::operations::admin as op;
use serde::Deserialize;

use super::fields::{access_key, account};
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct DeleteAccessKey;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    access_key_id: Option<String>,
}

impl Mapping for DeleteAccessKey {
    type Request = Request;
    type Operation = op::DeleteAccessKey;
    type Response = ();

    fn decode(request: Request) -> Result<op::DeleteAccessKey, Refusal> {
        Ok(op::DeleteAccessKey {
            account: account(request.account_id.as_deref())?,
            id: access_key(request.access_key_id.as_deref())?,
        })
    }

    fn encode((): ()) {}
}
