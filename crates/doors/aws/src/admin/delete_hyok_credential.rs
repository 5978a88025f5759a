//! DeleteHyokCredential on the wire.

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use super::fields::{access_key, account};
use super::hyok::store;
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct DeleteHyokCredential;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    store_name: Option<String>,
    access_key_id: Option<String>,
}

/// The answer's body: what was deleted.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    access_key_id: String,
}

impl Mapping for DeleteHyokCredential {
    type Request = Request;
    type Operation = op::DeleteHyokCredential;
    type Response = Response;

    fn decode(request: Request) -> Result<op::DeleteHyokCredential, Refusal> {
        let id = request.access_key_id.as_deref();
        Ok(op::DeleteHyokCredential {
            account: account(request.account_id.as_deref())?,
            store: store(request.store_name.as_deref())?,
            access_key: id.map(|id| access_key(Some(id))).transpose()?,
        })
    }

    fn encode(output: <op::DeleteHyokCredential as Operation>::Output) -> Response {
        Response { access_key_id: output.to_string() }
    }
}
