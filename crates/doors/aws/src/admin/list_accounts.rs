//! ListAccounts on the wire.

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use super::fields::page;
use crate::json::Seconds;
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct ListAccounts;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    limit: Option<i64>,
    marker: Option<String>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    accounts: Vec<Listed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

/// One account.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listed {
    account_id: String,
    name: String,
    creation_date: Seconds,
}

impl Mapping for ListAccounts {
    type Request = Request;
    type Operation = op::ListAccounts;
    type Response = Response;

    fn decode(request: Request) -> Result<op::ListAccounts, Refusal> {
        let (limit, marker) = page(request.limit, request.marker)?;
        Ok(op::ListAccounts { limit, marker })
    }

    fn encode(output: <op::ListAccounts as Operation>::Output) -> Response {
        let listed = output.items.into_iter().map(|account| Listed {
            account_id: account.id.to_string(),
            name: account.name,
            creation_date: Seconds(account.created),
        });
        Response { accounts: listed.collect(), truncated: output.next.is_some(), next_marker: output.next }
    }
}
