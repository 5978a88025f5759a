//! RotateHyokCredential on the wire.

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::Deserialize;

use super::fields::account;
use super::hyok::{CredentialResponse, store};
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct RotateHyokCredential;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    store_name: Option<String>,
}

impl Mapping for RotateHyokCredential {
    type Request = Request;
    type Operation = op::RotateHyokCredential;
    type Response = CredentialResponse;
    const SECRET: bool = true;

    fn decode(request: Request) -> Result<op::RotateHyokCredential, Refusal> {
        Ok(op::RotateHyokCredential {
            account: account(request.account_id.as_deref())?,
            store: store(request.store_name.as_deref())?,
        })
    }

    fn encode(output: <op::RotateHyokCredential as Operation>::Output) -> CredentialResponse {
        CredentialResponse::of(output)
    }
}
