//! ListHyokStores on the wire.

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use super::fields::{account, page};
use super::hyok::StoreResponse;
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct ListHyokStores;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    limit: Option<i64>,
    marker: Option<String>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    stores: Vec<StoreResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

impl Mapping for ListHyokStores {
    type Request = Request;
    type Operation = op::ListHyokStores;
    type Response = Response;

    fn decode(request: Request) -> Result<op::ListHyokStores, Refusal> {
        let (limit, marker) = page(request.limit, request.marker)?;
        Ok(op::ListHyokStores { account: account(request.account_id.as_deref())?, limit, marker })
    }

    fn encode(output: <op::ListHyokStores as Operation>::Output) -> Response {
        let stores = output.items.iter().map(StoreResponse::of).collect();
        Response { stores, truncated: output.next.is_some(), next_marker: output.next }
    }
}
