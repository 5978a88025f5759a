//! SimulatePolicy on the wire.

use std::collections::BTreeMap;

use claviger_domain::{KeyReference, Refusal};
use claviger_service::Operation;
use claviger_service::operations::admin as op;
use serde::{Deserialize, Serialize};

use super::fields::{account, role, session, user_or_root};
use crate::json::Pairs;
use crate::mapping::Mapping;
use crate::validation::encryption_context;

/// The mapping.
pub(crate) struct SimulatePolicy;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    account_id: Option<String>,
    user_name: Option<String>,
    role_name: Option<String>,
    role_session_name: Option<String>,
    action: Option<String>,
    key_id: Option<String>,
    encryption_context: Option<Pairs>,
    conditions: Option<BTreeMap<String, Vec<String>>>,
}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    principal: String,
    resource: String,
    decision: &'static str,
    reason: String,
}

/// What a session is called that has no name.
const SESSION: &str = "simulated";

impl Mapping for SimulatePolicy {
    type Request = Request;
    type Operation = op::SimulatePolicy;
    type Response = Response;

    fn decode(request: Request) -> Result<op::SimulatePolicy, Refusal> {
        let principal = match (request.user_name.as_deref(), request.role_name.as_deref()) {
            (Some(_), Some(_)) => return Err(Refusal::invalid("UserName and RoleName exclude each other.")),
            (None, Some(name)) => {
                let session = session(request.role_session_name.as_deref().unwrap_or(SESSION))?;
                op::SimulatedPrincipal::Session(role(Some(name))?, session)
            }
            (name, None) => user_or_root(name)?.map_or(op::SimulatedPrincipal::Root, op::SimulatedPrincipal::User),
        };
        Ok(op::SimulatePolicy {
            account: account(request.account_id.as_deref())?,
            principal,
            action: request.action.ok_or_else(|| Refusal::invalid("Action is required."))?,
            key: request.key_id.as_deref().map(KeyReference::parse).transpose()?,
            context: encryption_context(request.encryption_context)?,
            conditions: request.conditions.unwrap_or_default(),
        })
    }

    fn encode(output: <op::SimulatePolicy as Operation>::Output) -> Response {
        Response {
            principal: output.principal_arn,
            resource: output.resource,
            decision: output.verdict.as_str(),
            reason: output.reason,
        }
    }
}
