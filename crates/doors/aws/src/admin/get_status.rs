//! GetStatus on the wire.

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use crate::json::Seconds;
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct GetStatus;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    deployment_id: String,
    node: String,
    version: &'static str,
    started: Seconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    regions: Option<Vec<String>>,
    accounts: u64,
    users: u64,
    keys: u64,
    log_size: u64,
    verifier_key: String,
}

impl Mapping for GetStatus {
    type Request = Request;
    type Operation = op::GetStatus;
    type Response = Response;

    fn decode(_request: Request) -> Result<op::GetStatus, Refusal> {
        Ok(op::GetStatus)
    }

    fn encode(output: <op::GetStatus as Operation>::Output) -> Response {
        Response {
            deployment_id: output.deployment.to_string(),
            node: output.node,
            version: env!("CARGO_PKG_VERSION"),
            started: Seconds(output.started),
            regions: output.regions,
            accounts: output.accounts,
            users: output.users,
            keys: output.keys,
            log_size: output.log_size,
            verifier_key: output.verifier_key,
        }
    }
}
