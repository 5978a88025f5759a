//! ListUsers on the wire.

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use super::fields::{account, page};
use crate::json::Seconds;
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct ListUsers;

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
    users: Vec<Listed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

/// One user.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listed {
    user_name: String,
    arn: String,
    user_id: String,
    create_date: Seconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
}

impl Mapping for ListUsers {
    type Request = Request;
    type Operation = op::ListUsers;
    type Response = Response;

    fn decode(request: Request) -> Result<op::ListUsers, Refusal> {
        let (limit, marker) = page(request.limit, request.marker)?;
        Ok(op::ListUsers { account: account(request.account_id.as_deref())?, limit, marker })
    }

    fn encode(output: <op::ListUsers as Operation>::Output) -> Response {
        let listed = output.items.into_iter().map(|user| Listed {
            arn: user.arn(),
            user_name: user.name.to_string(),
            user_id: user.unique_id,
            create_date: Seconds(user.created),
            service: user.service.map(|service| service.to_string()),
        });
        Response { users: listed.collect(), truncated: output.next.is_some(), next_marker: output.next }
    }
}
