//! VerifySeals on the wire.

use std::sync::Arc;

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use claviger_service::seals::BroughtSecret;
use serde::{Deserialize, Serialize};

use super::fields::{SecretIn, seal_name, seal_secret};
use crate::json::Blob;
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct VerifySeals;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    names: Option<Vec<String>>,
    secrets: Option<Vec<Brought>>,
}

/// The secret of one seal.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Brought {
    name: Option<String>,
    passphrase: Option<SecretIn>,
    key_file: Option<Blob>,
    shares: Option<Vec<SecretIn>>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    seals: Vec<Verified>,
}

/// What was found about one seal.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Verified {
    name: String,
    kind: &'static str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// More seals than any deployment has.
const SECRETS_MAX: usize = 32;

impl Brought {
    pub(crate) fn decode(self) -> Result<BroughtSecret, Refusal> {
        let secret = seal_secret(self.passphrase, self.key_file, self.shares)?;
        Ok(BroughtSecret { seal: seal_name(self.name)?, secret: Arc::new(secret) })
    }
}

/// The secrets in a request.
pub(crate) fn brought(secrets: Option<Vec<Brought>>) -> Result<Vec<BroughtSecret>, Refusal> {
    let secrets = secrets.unwrap_or_default();
    if secrets.len() > SECRETS_MAX {
        return Err(Refusal::invalid(format!("A request has at most {SECRETS_MAX} secrets.")));
    }
    secrets.into_iter().map(Brought::decode).collect()
}

impl Mapping for VerifySeals {
    type Request = Request;
    type Operation = op::VerifySeals;
    type Response = Response;

    fn decode(request: Request) -> Result<op::VerifySeals, Refusal> {
        let names = request.names.unwrap_or_default();
        let names = names.into_iter().take(SECRETS_MAX).map(|name| seal_name(Some(name))).collect::<Result<_, _>>()?;
        Ok(op::VerifySeals { names, secrets: brought(request.secrets)? })
    }

    fn encode(output: <op::VerifySeals as Operation>::Output) -> Response {
        let seals = output.into_iter().map(|seal| Verified {
            name: seal.name,
            kind: seal.kind,
            outcome: seal.outcome.name(),
            reason: seal.outcome.reason().map(str::to_owned),
        });
        Response { seals: seals.collect() }
    }
}
