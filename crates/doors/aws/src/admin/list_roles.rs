//! ListRoles on the wire.

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use super::fields::{account, page};
use crate::json::Seconds;
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct ListRoles;

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
    roles: Vec<Listed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

/// One role.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listed {
    role_name: String,
    arn: String,
    role_id: String,
    create_date: Seconds,
    max_session_duration: u32,
}

impl Mapping for ListRoles {
    type Request = Request;
    type Operation = op::ListRoles;
    type Response = Response;

    fn decode(request: Request) -> Result<op::ListRoles, Refusal> {
        let (limit, marker) = page(request.limit, request.marker)?;
        Ok(op::ListRoles { account: account(request.account_id.as_deref())?, limit, marker })
    }

    fn encode(output: <op::ListRoles as Operation>::Output) -> Response {
        let listed = output.items.into_iter().map(|role| Listed {
            arn: role.arn(),
            role_name: role.name.to_string(),
            role_id: role.unique_id,
            create_date: Seconds(role.created),
            max_session_duration: role.max_session_seconds,
        });
        Response { roles: listed.collect(), truncated: output.next.is_some(), next_marker: output.next }
    }
}
