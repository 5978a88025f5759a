//! ListKeys on the wire.

use crate::mapping::Mapping;
use crate::validation::{Validator, page_size};
use claviger_domain::Refusal;
use claviger_service::Operation;
use claviger_service::operations::kms as op;
use serde::{Deserialize, Serialize};

/// The mapping.
pub(crate) struct ListKeys;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    limit: Option<i64>,
    marker: Option<String>,
    resource_owners: Option<Vec<String>>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    keys: Vec<Listed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

/// One key.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listed {
    key_id: String,
    key_arn: String,
}

const SELF: &str = "SELF";
const SHARED: &str = "OTHER_ACCOUNTS_VIA_RAM";

impl Mapping for ListKeys {
    type Request = Request;
    type Operation = op::ListKeys;
    type Response = Response;

    fn decode(request: Request) -> Result<op::ListKeys, Refusal> {
        let mut check = Validator::new();
        check.count("resourceOwners", request.resource_owners.as_ref(), 1, 2);
        check.each_one_of("resourceOwners", request.resource_owners.as_ref(), &[SELF, SHARED]);
        check.limit(request.limit);
        check.marker(request.marker.as_ref());
        check.finish()?;
        if request.resource_owners.is_some_and(|owners| owners.iter().any(|owner| owner == SHARED)) {
            return Err(Refusal::unsupported("Keys shared through AWS RAM are not offered by this deployment."));
        }
        Ok(op::ListKeys { limit: page_size(request.limit, 100, 1000), marker: request.marker })
    }

    fn encode(output: <op::ListKeys as Operation>::Output) -> Response {
        let listed = output.items.iter().map(|arn| Listed { key_id: arn.key.to_string(), key_arn: arn.to_string() });
        Response { keys: listed.collect(), truncated: output.next.is_some(), next_marker: output.next }
    }
}
