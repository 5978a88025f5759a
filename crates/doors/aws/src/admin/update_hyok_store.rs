//! UpdateHyokStore on the wire.

use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::Deserialize;

use super::fields::account;
use super::hyok::{StoreResponse, store};
use crate::mapping::Mapping;
use crate::validation::Validator;

/// The mapping.
pub(crate) struct UpdateHyokStore;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    store_name: Option<String>,
    requests_per_second: Option<i64>,
    client_subjects: Option<Vec<String>>,
    client_authorities: Option<String>,
}

impl Mapping for UpdateHyokStore {
    type Request = Request;
    type Operation = op::UpdateHyokStore;
    type Response = StoreResponse;

    fn decode(request: Request) -> Result<op::UpdateHyokStore, Refusal> {
        let mut check = Validator::new();
        check.range("requestsPerSecond", request.requests_per_second, 0, 1_000_000);
        check.finish()?;
        Ok(op::UpdateHyokStore {
            account: account(request.account_id.as_deref())?,
            name: store(request.store_name.as_deref())?,
            requests_per_second: request.requests_per_second.and_then(|rate| u32::try_from(rate).ok()),
            client_subjects: request.client_subjects,
            client_authorities: request.client_authorities,
        })
    }

    fn encode(output: <op::UpdateHyokStore as Operation>::Output) -> StoreResponse {
        StoreResponse::of(&output)
    }
}
