//! UpdateAccessKey on the wire.

use claviger_domain::Refusal;
use claviger_service::operations::admin as op;
use serde::Deserialize;

use super::fields::{access_key, account, status_name};
use crate::mapping::Mapping;
use crate::validation::Validator;

/// The mapping.
pub(crate) struct UpdateAccessKey;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    access_key_id: Option<String>,
    status: Option<String>,
}

impl Mapping for UpdateAccessKey {
    type Request = Request;
    type Operation = op::UpdateAccessKey;
    type Response = ();

    fn decode(request: Request) -> Result<op::UpdateAccessKey, Refusal> {
        let mut check = Validator::new();
        check.required("status", request.status.as_ref());
        check.one_of("status", request.status.as_ref(), &[status_name(true), status_name(false)]);
        check.finish()?;
        Ok(op::UpdateAccessKey {
            account: account(request.account_id.as_deref())?,
            id: access_key(request.access_key_id.as_deref())?,
            active: request.status.as_deref() == Some(status_name(true)),
        })
    }

    fn encode((): ()) {}
}
