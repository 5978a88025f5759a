//! AdoptKey on the wire.

use claviger_domain::{AccountId, Refusal};
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use crate::kms::usage_of;
use crate::mapping::Mapping;
use crate::validation::{Validator, present};

/// The mapping.
pub(crate) struct AdoptKey;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    custom_key_store_id: Option<String>,
    token_key: Option<String>,
    key_spec: Option<String>,
    key_usage: Option<String>,
    description: Option<String>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    key_id: String,
    arn: String,
}

impl Mapping for AdoptKey {
    type Request = Request;
    type Operation = op::AdoptKey;
    type Response = Response;

    fn decode(request: Request) -> Result<op::AdoptKey, Refusal> {
        let mut check = Validator::new();
        check.required_length("accountId", request.account_id.as_ref(), 12, 12);
        check.required_length("customKeyStoreId", request.custom_key_store_id.as_ref(), 1, 64);
        check.required_length("tokenKey", request.token_key.as_ref(), 1, 512);
        check.length("description", request.description.as_ref(), 0, 8192);
        check.finish()?;
        let account: AccountId = parse("accountId", &present(request.account_id)?)?;
        let spec = parse("keySpec", request.key_spec.as_deref().unwrap_or("SYMMETRIC_DEFAULT"))?;
        Ok(op::AdoptKey {
            account,
            store: present(request.custom_key_store_id)?,
            token_key: present(request.token_key)?,
            spec,
            usage: usage_of(spec, request.key_usage.as_ref())?,
            description: request.description.unwrap_or_default(),
        })
    }

    fn encode(output: <op::AdoptKey as Operation>::Output) -> Response {
        Response { key_id: output.id.to_string(), arn: output.arn().to_string() }
    }
}

fn parse<T: std::str::FromStr>(field: &str, text: &str) -> Result<T, Refusal> {
    text.parse().map_err(|_| Refusal::invalid(format!("{field} is not one: {text}")))
}
