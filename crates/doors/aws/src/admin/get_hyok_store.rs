//! GetHyokStore on the wire.

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use super::fields::account;
use super::hyok::{StoreResponse, store};
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct GetHyokStore;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    store_name: Option<String>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    #[serde(flatten)]
    store: StoreResponse,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_authorities: Option<String>,
    policy: String,
}

impl Mapping for GetHyokStore {
    type Request = Request;
    type Operation = op::GetHyokStore;
    type Response = Response;

    fn decode(request: Request) -> Result<op::GetHyokStore, Refusal> {
        Ok(op::GetHyokStore { account: account(request.account_id.as_deref())?, name: store(request.store_name.as_deref())? })
    }

    fn encode(output: <op::GetHyokStore as Operation>::Output) -> Response {
        let store = StoreResponse::of(&output);
        Response { store, client_authorities: output.client_authorities, policy: output.policy }
    }
}
