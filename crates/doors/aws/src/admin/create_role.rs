//! CreateRole on the wire.

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use super::fields::{account, role};
use crate::json::Seconds;
use crate::kms::{Tag, read_tags};
use crate::mapping::Mapping;
use crate::validation::{Validator, present};

/// The mapping.
pub(crate) struct CreateRole;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    role_name: Option<String>,
    assume_role_policy_document: Option<String>,
    description: Option<String>,
    max_session_duration: Option<i64>,
    tags: Option<Vec<Tag>>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    role_name: String,
    arn: String,
    role_id: String,
    create_date: Seconds,
}

impl Mapping for CreateRole {
    type Request = Request;
    type Operation = op::CreateRole;
    type Response = Response;

    fn decode(request: Request) -> Result<op::CreateRole, Refusal> {
        let mut check = Validator::new();
        check.required_length("assumeRolePolicyDocument", request.assume_role_policy_document.as_ref(), 1, 131_072);
        check.length("description", request.description.as_ref(), 0, 1000);
        check.range("maxSessionDuration", request.max_session_duration, 3600, 43_200);
        let tags = read_tags(&mut check, request.tags.as_ref());
        check.finish()?;
        let max_session_seconds = request.max_session_duration.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(3600);
        Ok(op::CreateRole {
            account: account(request.account_id.as_deref())?,
            name: role(request.role_name.as_deref())?,
            trust_policy: present(request.assume_role_policy_document)?,
            description: request.description.unwrap_or_default(),
            max_session_seconds,
            tags: tags?,
        })
    }

    fn encode(output: <op::CreateRole as Operation>::Output) -> Response {
        Response {
            arn: output.arn(),
            role_name: output.name.to_string(),
            role_id: output.unique_id,
            create_date: Seconds(output.created),
        }
    }
}
