//! GetRootStatus on the wire.

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct GetRootStatus;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    version: u32,
    old_versions: Vec<u32>,
    account_keys: u64,
    account_keys_left: u64,
}

impl Mapping for GetRootStatus {
    type Request = Request;
    type Operation = op::GetRootStatus;
    type Response = Response;

    fn decode(_request: Request) -> Result<op::GetRootStatus, Refusal> {
        Ok(op::GetRootStatus)
    }

    fn encode(output: <op::GetRootStatus as Operation>::Output) -> Response {
        Response {
            version: output.version,
            old_versions: output.old_versions,
            account_keys: output.account_keys,
            account_keys_left: output.account_keys_left,
        }
    }
}
