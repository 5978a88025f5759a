//! DisconnectCustomKeyStore on the wire.

use super::custom_key_store::EmptyObject;
use crate::mapping::Mapping;
use crate::validation::{Validator, present};
use claviger_domain::Refusal;
use claviger_service::operations::kms as op;
use serde::Deserialize;

/// The mapping.
pub(crate) struct DisconnectCustomKeyStore;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    custom_key_store_id: Option<String>,
}

impl Mapping for DisconnectCustomKeyStore {
    type Request = Request;
    type Operation = op::DisconnectCustomKeyStore;
    type Response = EmptyObject;

    fn decode(request: Request) -> Result<op::DisconnectCustomKeyStore, Refusal> {
        let mut check = Validator::new();
        check.required_length("customKeyStoreId", request.custom_key_store_id.as_ref(), 1, 64);
        check.finish()?;
        Ok(op::DisconnectCustomKeyStore { store: present(request.custom_key_store_id)? })
    }

    fn encode((): ()) -> EmptyObject {
        EmptyObject::new()
    }
}
