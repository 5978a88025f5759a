//! CreateAccessKey on the wire.

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use super::fields::{SecretText, account, status_name, user_or_root};
use crate::json::Seconds;
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct CreateAccessKey;

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
    #[serde(skip_serializing_if = "Option::is_none")]
    user_name: Option<String>,
    access_key_id: String,
    secret_access_key: SecretText,
    status: &'static str,
    create_date: Seconds,
}

impl Mapping for CreateAccessKey {
    type Request = Request;
    type Operation = op::CreateAccessKey;
    type Response = Response;
    const SECRET: bool = true;

    fn decode(request: Request) -> Result<op::CreateAccessKey, Refusal> {
        Ok(op::CreateAccessKey {
            account: account(request.account_id.as_deref())?,
            user: user_or_root(request.user_name.as_deref())?,
        })
    }

    fn encode(output: <op::CreateAccessKey as Operation>::Output) -> Response {
        Response {
            user_name: output.user.map(|user| user.to_string()),
            access_key_id: output.credential.access_key.to_string(),
            secret_access_key: SecretText(output.credential.secret),
            status: status_name(true),
            create_date: Seconds(output.created),
        }
    }
}
