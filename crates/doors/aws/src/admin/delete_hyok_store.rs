//! DeleteHyokStore on the wire.

use claviger_domain::Refusal;
use claviger_service::operations::admin as op;
use serde::Deserialize;

use super::fields::account;
use super::hyok::store;
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct DeleteHyokStore;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    store_name: Option<String>,
}

impl Mapping for DeleteHyokStore {
    type Request = Request;
    type Operation = op::DeleteHyokStore;
    type Response = ();

    fn decode(request: Request) -> Result<op::DeleteHyokStore, Refusal> {
        Ok(op::DeleteHyokStore { account: account(request.account_id.as_deref())?, name: store(request.store_name.as_deref())? })
    }

    fn encode((): ()) {}
}
