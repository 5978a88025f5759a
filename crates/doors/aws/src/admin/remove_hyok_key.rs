//! RemoveHyokKey on the wire.

use claviger_domain::Refusal;
use claviger_service::operations::admin as op;
use serde::Deserialize;

use super::fields::account;
use super::hyok::{external_key, store};
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct RemoveHyokKey;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    store_name: Option<String>,
    external_key_id: Option<String>,
}

impl Mapping for RemoveHyokKey {
    type Request = Request;
    type Operation = op::RemoveHyokKey;
    type Response = ();

    fn decode(request: Request) -> Result<op::RemoveHyokKey, Refusal> {
        Ok(op::RemoveHyokKey {
            account: account(request.account_id.as_deref())?,
            store: store(request.store_name.as_deref())?,
            external: external_key(request.external_key_id.as_deref())?,
        })
    }

    fn encode((): ()) {}
}
