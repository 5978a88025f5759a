//! ListHyokKeys on the wire.

use claviger_domain::Refusal;
use claviger_domain::key::KeyState;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use super::fields::{account, page};
use super::hyok::{CutOffResponse, store, usage_names};
use crate::json::Seconds;
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct ListHyokKeys;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    store_name: Option<String>,
    limit: Option<i64>,
    marker: Option<String>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    keys: Vec<Listed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

/// One key.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listed {
    external_key_id: String,
    key_arn: String,
    key_state: &'static str,
    usage: Vec<&'static str>,
    added_date: Seconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut_off: Option<CutOffResponse>,
}

impl Mapping for ListHyokKeys {
    type Request = Request;
    type Operation = op::ListHyokKeys;
    type Response = Response;

    fn decode(request: Request) -> Result<op::ListHyokKeys, Refusal> {
        let (limit, marker) = page(request.limit, request.marker)?;
        let (account, store) = (account(request.account_id.as_deref())?, store(request.store_name.as_deref())?);
        Ok(op::ListHyokKeys { account, store, limit, marker })
    }

    fn encode(output: <op::ListHyokKeys as Operation>::Output) -> Response {
        let listed = output.items.into_iter().map(|key| Listed {
            external_key_id: key.id.to_string(),
            key_arn: key.arn.to_string(),
            key_state: key.state.map_or("Deleted", KeyState::as_str),
            usage: usage_names(&key.external),
            added_date: Seconds(key.external.added),
            cut_off: key.external.cut_off.as_ref().map(CutOffResponse::of),
        });
        Response { keys: listed.collect(), truncated: output.next.is_some(), next_marker: output.next }
    }
}
