//! AddSeal on the wire.

use std::sync::Arc;

use claviger_domain::Refusal;
use claviger_service::operations::admin as op;
use claviger_service::seals::{NewSeal, PrintedShares, TokenWrapped};
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
    /// With `TokenSecret`: a seal that a token opens.
    token: Option<Token>,
    token_secret: Option<Blob>,
}

/// What a token has to be asked.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Token {
    name: String,
    key: Blob,
    secret: Blob,
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
        let Request { name, passphrase, key_file, threshold, share_count, token, token_secret } = request;
        if let (Some(token), Some(Blob(secret)), None, None, None) = (&token, &token_secret, &passphrase, &key_file, threshold) {
            let wrapped = TokenWrapped { token: token.name.clone(), key: token.key.0.to_vec(), secret: token.secret.0.to_vec() };
            let new = NewSeal::Token { wrapped, secret: secret.clone() };
            return Ok(op::AddSeal { name: seal_name(name)?, new: Arc::new(new) });
        }
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
