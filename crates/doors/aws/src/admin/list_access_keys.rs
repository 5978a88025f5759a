//! ListAccessKeys on the wire.

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use super::fields::{account, status_name, user_or_root};
use crate::json::Seconds;
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct ListAccessKeys;

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
    access_keys: Vec<Listed>,
}

/// One access key.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listed {
    access_key_id: String,
    status: &'static str,
    create_date: Seconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_date: Option<Seconds>,
}

impl Mapping for ListAccessKeys {
    type Request = Request;
    type Operation = op::ListAccessKeys;
    type Response = Response;

    fn decode(request: Request) -> Result<op::ListAccessKeys, Refusal> {
        Ok(op::ListAccessKeys {
            account: account(request.account_id.as_deref())?,
            user: user_or_root(request.user_name.as_deref())?,
        })
    }

    fn encode(output: <op::ListAccessKeys as Operation>::Output) -> Response {
        let listed = output.into_iter().map(|listed| Listed {
            access_key_id: listed.key.id.to_string(),
            status: status_name(listed.key.active),
            create_date: Seconds(listed.key.created),
            last_used_date: listed.last.map(|last| Seconds(last.at)),
        });
        Response { access_keys: listed.collect() }
    }
}
