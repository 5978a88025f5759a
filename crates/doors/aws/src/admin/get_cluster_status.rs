//! GetClusterStatus on the wire.

use claviger_domain::Refusal;
use claviger_service::operations::admin as op;
use claviger_service::{Effective, Operation};
use serde::{Deserialize, Serialize};

use crate::json::Seconds;
use crate::mapping::Mapping;

/// The mapping.
pub(crate) struct GetClusterStatus;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {}

/// The answer's body.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    answered_by: String,
    lease_milliseconds: u64,
    effective: &'static str,
    store: String,
    shared: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    synchronous: Option<bool>,
    store_time: Seconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    background_work: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    background_work_since: Option<Seconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    background_work_fence: Option<u64>,
    nodes: Vec<Node>,
    replicas: Vec<Replica>,
}

/// A node.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    name: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    heard_milliseconds_ago: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<Seconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    addresses: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock_ahead_milliseconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_age_milliseconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root_version: Option<u32>,
    log_size: u64,
}

/// A copy of the database.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Replica {
    name: String,
    state: String,
    synchronous: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_milliseconds: Option<u64>,
}

impl Mapping for GetClusterStatus {
    type Request = Request;
    type Operation = op::GetClusterStatus;
    type Response = Response;

    fn decode(_request: Request) -> Result<op::GetClusterStatus, Refusal> {
        Ok(op::GetClusterStatus)
    }

    fn encode(output: <op::GetClusterStatus as Operation>::Output) -> Response {
        let leader = output.leader;
        Response {
            answered_by: output.node,
            lease_milliseconds: output.lease_ms,
            effective: match output.effective {
                Effective::Immediately => "immediately",
                Effective::Acknowledged => "acknowledged",
            },
            store: output.store.engine,
            shared: output.shared,
            synchronous: output.store.synchronous,
            store_time: Seconds(output.store_time),
            background_work_since: leader.as_ref().map(|leader| Seconds(leader.since)),
            background_work_fence: leader.as_ref().map(|leader| leader.fence),
            background_work: leader.map(|leader| leader.node),
            nodes: output.nodes.into_iter().map(node).collect(),
            replicas: output
                .store
                .replicas
                .into_iter()
                .map(|replica| Replica {
                    name: replica.name,
                    state: replica.state,
                    synchronous: replica.synchronous,
                    lag_bytes: replica.lag_bytes,
                    lag_milliseconds: replica.lag_ms,
                })
                .collect(),
        }
    }
}

fn node(node: op::NodeStatus) -> Node {
    let last = node.last.as_ref();
    Node {
        state: node.state.as_str(),
        heard_milliseconds_ago: last.map(|last| last.ago_ms),
        version: last.map(|last| last.version.clone()),
        started: last.map(|last| Seconds(last.started)),
        addresses: last.map(|last| last.addresses.join(" ")),
        clock_ahead_milliseconds: last.map(|last| last.clock_ahead_ms),
        lease_age_milliseconds: last.map(|last| last.lease_age_ms),
        root_version: last.map(|last| last.root_version),
        log_size: node.log_size,
        name: node.name,
    }
}
