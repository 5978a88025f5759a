//! GetClusterStatus: the nodes of the deployment as this one has heard of them, who does the background work, and how the database is.

use std::collections::{BTreeMap, BTreeSet};

use claviger_domain::{AccountId, Caller, Refusal, Timestamp};
use claviger_store::{List, RecordKind, StoreHealth};

use super::about_the_deployment;
use crate::effective::Effective;
use crate::event_parameters::Parameters;
use crate::heartbeat::{Heard, Heartbeat};
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::records::{Node, store_refusal};
use crate::service::Service;

/// The request.
pub struct GetClusterStatus;

/// The answer.
pub struct ClusterStatus {
    /// The node that answers.
    pub node: String,
    /// For how long it uses what it knows, in milliseconds.
    pub lease_ms: u64,
    /// When it tells of changes.
    pub effective: Effective,
    /// Whether other nodes may write to the store.
    pub shared: bool,
    /// What the store tells of itself.
    pub store: StoreHealth,
    /// What time it is there.
    pub store_time: Timestamp,
    /// Who does the background work, if anybody does.
    pub leader: Option<Leader>,
    /// Every node that ever had a log, in the order of their names.
    pub nodes: Vec<NodeStatus>,
}

/// Who does the background work.
pub struct Leader {
    /// Its node.
    pub node: String,
    /// Since when, on its own clock.
    pub since: Timestamp,
    /// How often its lease was taken or renewed: what fences off others.
    pub fence: u64,
}

/// A node.
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: NodeState,
    /// How many entries its audit log has.
    pub log_size: u64,
    /// What it last said; none when it never said anything that was heard.
    pub last: Option<LastHeard>,
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// It has said something lately.
    Serving,
    /// It has not, since this node listens.
    Silent,
}

impl NodeState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Silent => "silent",
        }
    }
}

/// What a node last said of itself.
pub struct LastHeard {
    /// How long ago this node heard it, in milliseconds.
    pub ago_ms: u64,
    /// The version of its program.
    pub version: String,
    /// When it was started.
    pub started: Timestamp,
    /// Where it listens.
    pub addresses: Vec<String>,
    /// By how much its clock was ahead of the store's, in milliseconds.
    pub clock_ahead_ms: i64,
    /// How old what it knew was, in milliseconds.
    pub lease_age_ms: u64,
    /// The newest version of the root key that it knew.
    pub root_version: u32,
}

impl LastHeard {
    fn of(said: Heartbeat, ago_ms: u64) -> Self {
        let Heartbeat { version, started, addresses, clock_ahead_ms, lease_age_ms, root_version, .. } = said;
        Self { ago_ms, version, started, addresses, clock_ahead_ms, lease_age_ms, root_version }
    }
}

const NODES_MAX: usize = 1000;

impl Operation for GetClusterStatus {
    const EVENT: Event = Event::admin("GetClusterStatus", true);
    type Output = ClusterStatus;
    about_the_deployment!("claviger:GetClusterStatus");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        (): &(),
        _: Allowed<Self>,
    ) -> Result<Effect<ClusterStatus>, Refusal> {
        let store = &service.records.store;
        let lease = service.lease().await?;
        let leader = lease.map(|lease| Leader { node: lease.value.holder, since: lease.value.since, fence: lease.version });
        Ok(Effect::answer(ClusterStatus {
            node: service.node.clone(),
            lease_ms: in_ms(service.freshness.lease()),
            effective: service.effective,
            shared: store.is_shared(),
            store: store.health().await.map_err(store_refusal)?,
            store_time: store.time().await.map_err(store_refusal)?,
            leader: if store.is_shared() { leader } else { None },
            nodes: nodes(service).await?,
        }))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters::default()
    }
}

async fn nodes(service: &Service) -> Result<Vec<NodeStatus>, Refusal> {
    let all =
        List { account: AccountId::DEPLOYMENT, kind: RecordKind::Node, scope: None, owner: None, after: None, limit: NODES_MAX };
    let mut heard: BTreeMap<String, Heard> = service.heartbeats.heard();
    let mut names: BTreeSet<String> = service.records.list::<Node>(all).await?.into_iter().map(|node| node.value.name).collect();
    names.extend(heard.keys().cloned());
    let mut nodes = Vec::with_capacity(names.len());
    for name in names {
        let head = service.records.store.log_head(&name).await.map_err(store_refusal)?;
        // Of itself a node knows without having said it.
        let (state, last) = if name == service.node {
            (NodeState::Serving, Some(LastHeard::of(service.heartbeat().await?, 0)))
        } else {
            match heard.remove(&name) {
                Some(heard) if heard.is_silent() => (NodeState::Silent, Some(last(heard))),
                Some(heard) => (NodeState::Serving, Some(last(heard))),
                None => (NodeState::Silent, None),
            }
        };
        nodes.push(NodeStatus { name, state, log_size: head.map_or(0, |head| head.size), last });
    }
    Ok(nodes)
}

fn last(heard: Heard) -> LastHeard {
    let ago = in_ms(heard.ago());
    LastHeard::of(heard.said, ago)
}

fn in_ms(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
