//! CreateHyokStore on the wire.

use claviger_domain::Refusal;
use claviger_domain::hyok::Cloud;
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use super::fields::account;
use super::hyok::{CredentialResponse, StoreResponse, cloud, path, store};
use crate::mapping::Mapping;
use crate::validation::Validator;

/// The mapping.
pub(crate) struct CreateHyokStore;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    store_name: Option<String>,
    cloud: Option<String>,
    path_prefix: Option<String>,
    requests_per_second: Option<i64>,
    client_subjects: Option<Vec<String>>,
    client_authorities: Option<String>,
    policy: Option<String>,
}

/// The answer's body.
#[derive(Serialize)]
pub(crate) struct Response {
    #[serde(flatten)]
    store: StoreResponse,
    #[serde(flatten)]
    credential: CredentialResponse,
}

impl Mapping for CreateHyokStore {
    type Request = Request;
    type Operation = op::CreateHyokStore;
    type Response = Response;
    const SECRET: bool = true;

    fn decode(request: Request) -> Result<op::CreateHyokStore, Refusal> {
        let mut check = Validator::new();
        check.length("policy", request.policy.as_ref(), 1, 32_768);
        check.range("requestsPerSecond", request.requests_per_second, 1, 1_000_000);
        check.finish()?;
        Ok(op::CreateHyokStore {
            account: account(request.account_id.as_deref())?,
            name: store(request.store_name.as_deref())?,
            cloud: cloud(request.cloud.as_deref())?.unwrap_or(Cloud::Aws),
            path: path(request.path_prefix.as_deref())?,
            requests_per_second: request.requests_per_second.and_then(|rate| u32::try_from(rate).ok()),
            client_subjects: request.client_subjects,
            client_authorities: request.client_authorities,
            policy: request.policy,
        })
    }

    fn encode(output: <op::CreateHyokStore as Operation>::Output) -> Response {
        Response { store: StoreResponse::of(&output.store), credential: CredentialResponse::of(output.credential) }
    }
}
