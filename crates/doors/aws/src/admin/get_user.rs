//! GetUser on the wire.

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use super::fields::{account, user};
use crate::json::Seconds;
use crate::kms::Tag;
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct GetUser;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    user_name: Option<String>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    user_name: String,
    arn: String,
    user_id: String,
    create_date: Seconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
}

impl Mapping for GetUser {
    type Request = Request;
    type Operation = op::GetUser;
    type Response = Response;

    fn decode(request: Request) -> Result<op::GetUser, Refusal> {
        Ok(op::GetUser { account: account(request.account_id.as_deref())?, name: user(request.user_name.as_deref())? })
    }

    fn encode(output: <op::GetUser as Operation>::Output) -> Response {
        Response {
            arn: output.arn(),
            user_name: output.name.to_string(),
            user_id: output.unique_id,
            create_date: Seconds(output.created),
            service: output.service.map(|service| service.to_string()),
            tags: output.tags.into_iter().map(|(key, value)| Tag::new(key, value)).collect(),
        }
    }
}
