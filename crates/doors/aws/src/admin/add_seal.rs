//! AddSeal on the wire.

use std::sync::Arc;

use claviger_domain::Refusal;
use claviger_service::operations::admin as op;
use claviger_service::seals::{NewSeal, PrintedShares};
use serde::{Deserialize, Serialize};

use super::fields::{SecretIn, SecretText, seal_name, seal_secret};
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
    /// With `ShareCount`: a seal of new shares.
    threshold: Option<u8>,
    share_count: Option<u8>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shares: Vec<SecretText>,
}

impl Mapping for AddSeal {
    type Request = Request;
    type Operation = op::AddSeal;
    type Response = Response;
    const SECRET: bool = true;

    fn decode(request: Request) -> Result<op::AddSeal, Refusal> {
        let Request { name, passphrase, key_file, threshold, share_count } = request;
        let new = match (threshold, share_count) {
            (Some(threshold), Some(count)) if passphrase.is_none() && key_file.is_none() => NewSeal::Shares { threshold, count },
            (None, None) => NewSeal::Secret(seal_secret(passphrase, key_file, None)?),
            _ => return Err(Refusal::invalid("Threshold and ShareCount go together, and with nothing else.")),
        };
        Ok(op::AddSeal { name: seal_name(name)?, new: Arc::new(new) })
    }

    fn encode(shares: PrintedShares) -> Response {
        Response { shares: shares.into_iter().map(SecretText).collect() }
    }
}
