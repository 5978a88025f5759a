//! PutHyokStorePolicy on the wire.

use claviger_domain::Refusal;
use claviger_service::operations::admin as op;
use serde::Deserialize;

use super::fields::account;
use super::hyok::store;
use crate::mapping::Mapping;
use crate::validation::{Validator, present};

/// The mapping.
pub(crate) struct PutHyokStorePolicy;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    store_name: Option<String>,
    policy: Option<String>,
}

impl Mapping for PutHyokStorePolicy {
    type Request = Request;
    type Operation = op::PutHyokStorePolicy;
    type Response = ();

    fn decode(request: Request) -> Result<op::PutHyokStorePolicy, Refusal> {
        let mut check = Validator::new();
        check.required_length("policy", request.policy.as_ref(), 1, 32_768);
        check.finish()?;
        Ok(op::PutHyokStorePolicy {
            account: account(request.account_id.as_deref())?,
            name: store(request.store_name.as_deref())?,
            policy: present(request.policy)?,
        })
    }

    fn encode((): ()) {}
}
