//! ListSeals on the wire.

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct ListSeals;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    seals: Vec<Listed>,
}

/// One seal.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listed {
    name: String,
    kind: &'static str,
    configured: bool,
    in_use: bool,
}

impl Mapping for ListSeals {
    type Request = Request;
    type Operation = op::ListSeals;
    type Response = Response;

    fn decode(_request: Request) -> Result<op::ListSeals, Refusal> {
        Ok(op::ListSeals)
    }

    fn encode(output: <op::ListSeals as Operation>::Output) -> Response {
        let listed = output.into_iter().map(|seal| Listed {
            name: seal.name,
            kind: seal.kind,
            configured: seal.configured,
            in_use: seal.in_use,
        });
        Response { seals: listed.collect() }
    }
}
