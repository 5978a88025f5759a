//! CreateAccount on the wire.

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use super::fields::{SecretText, account};
use crate::mapping::Mapping;
use crate::validation::{Validator, present};

/// The mapping.
pub(crate) struct CreateAccount;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    name: Option<String>,
    account_id: Option<String>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    account_id: String,
    root_access_key_id: String,
    root_secret_access_key: SecretText,
}

impl Mapping for CreateAccount {
    type Request = Request;
    type Operation = op::CreateAccount;
    type Response = Response;
    const SECRET: bool = true;

    fn decode(request: Request) -> Result<op::CreateAccount, Refusal> {
        let mut check = Validator::new();
        check.required_length("name", request.name.as_ref(), 1, 128);
        check.finish()?;
        Ok(op::CreateAccount { name: present(request.name)?, id: account(request.account_id.as_deref())? })
    }

    fn encode(output: <op::CreateAccount as Operation>::Output) -> Response {
        Response {
            account_id: output.account.to_string(),
            root_access_key_id: output.access_key.to_string(),
            root_secret_access_key: SecretText(output.secret),
        }
    }
}
