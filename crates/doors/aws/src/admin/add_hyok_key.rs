//! AddHyokKey on the wire.

use claviger_domain::{KeyReference, Refusal};
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use super::fields::account;
use super::hyok::{external_key, store, usage, usage_names};
use crate::mapping::Mapping;
use crate::validation::{Validator, present};

/// The mapping.
pub(crate) struct AddHyokKey;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    store_name: Option<String>,
    external_key_id: Option<String>,
    key_id: Option<String>,
    usage: Option<Vec<String>>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    key_id: String,
    region: String,
    usage: Vec<&'static str>,
}

impl Mapping for AddHyokKey {
    type Request = Request;
    type Operation = op::AddHyokKey;
    type Response = Response;

    fn decode(request: Request) -> Result<op::AddHyokKey, Refusal> {
        let mut check = Validator::new();
        check.required("keyId", request.key_id.as_ref());
        check.key_id("keyId", request.key_id.as_ref());
        check.finish()?;
        Ok(op::AddHyokKey {
            account: account(request.account_id.as_deref())?,
            store: store(request.store_name.as_deref())?,
            external: external_key(request.external_key_id.as_deref())?,
            key: KeyReference::parse(&present(request.key_id)?)?,
            usage: usage(request.usage)?,
        })
    }

    fn encode(output: <op::AddHyokKey as Operation>::Output) -> Response {
        Response { key_id: output.key.to_string(), region: output.region.to_string(), usage: usage_names(&output) }
    }
}
