//! AddSeal on the wire.

use std::sync::Arc;

use claviger_domain::Refusal;
use claviger_service::operations::admin as op;
use serde::Deserialize;

use super::fields::{SecretIn, seal_name, seal_secret};
use crate::json::Blob;
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct AddSeal;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    name: Option<String>,
    passphrase: Option<SecretIn>,
    key_file: Option<Blob>,
}

impl Mapping for AddSeal {
    type Request = Request;
    type Operation = op::AddSeal;
    type Response = ();

    fn decode(request: Request) -> Result<op::AddSeal, Refusal> {
        let secret = seal_secret(request.passphrase, request.key_file)?;
        Ok(op::AddSeal { name: seal_name(request.name)?, secret: Arc::new(secret) })
    }

    fn encode((): ()) {}
}
