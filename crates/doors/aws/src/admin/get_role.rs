//! GetRole on the wire.

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use super::fields::{account, role};
use crate::json::Seconds;
use crate::kms::Tag;
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct GetRole;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    role_name: Option<String>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    role_name: String,
    arn: String,
    role_id: String,
    create_date: Seconds,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    max_session_duration: u32,
    assume_role_policy_document: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
}

impl Mapping for GetRole {
    type Request = Request;
    type Operation = op::GetRole;
    type Response = Response;

    fn decode(request: Request) -> Result<op::GetRole, Refusal> {
        Ok(op::GetRole { account: account(request.account_id.as_deref())?, name: role(request.role_name.as_deref())? })
    }

    fn encode(output: <op::GetRole as Operation>::Output) -> Response {
        Response {
            arn: output.arn(),
            role_name: output.name.to_string(),
            role_id: output.unique_id,
            create_date: Seconds(output.created),
            description: output.description,
            max_session_duration: output.max_session_seconds,
            assume_role_policy_document: output.trust_policy,
            tags: output.tags.into_iter().map(|(key, value)| Tag::new(key, value)).collect(),
        }
    }
}
