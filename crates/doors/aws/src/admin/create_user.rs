//! CreateUser on the wire.

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use super::fields::{account, service, user};
use crate::json::Seconds;
use crate::kms::{Tag, read_tags};
use crate::mapping::Mapping;
use crate::validation::Validator;

/// The mapping.
pub(crate) struct CreateUser;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    user_name: Option<String>,
    service: Option<String>,
    tags: Option<Vec<Tag>>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    user_name: String,
    arn: String,
    user_id: String,
    create_date: Seconds,
}

impl Mapping for CreateUser {
    type Request = Request;
    type Operation = op::CreateUser;
    type Response = Response;

    fn decode(request: Request) -> Result<op::CreateUser, Refusal> {
        let mut check = Validator::new();
        let tags = read_tags(&mut check, request.tags.as_ref());
        check.finish()?;
        Ok(op::CreateUser {
            account: account(request.account_id.as_deref())?,
            name: user(request.user_name.as_deref())?,
            service: service(request.service.as_deref())?,
            tags: tags?,
        })
    }

    fn encode(output: <op::CreateUser as Operation>::Output) -> Response {
        Response {
            arn: output.arn(),
            user_name: output.name.to_string(),
            user_id: output.unique_id,
            create_date: Seconds(output.created),
        }
    }
}
