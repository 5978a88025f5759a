//! What each node says of itself every few seconds, and what this one has heard of the others.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use claviger_domain::{AccountId, Refusal, Timestamp};
use claviger_store::{Commit, List, RecordKind, StoreError};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Moment;
use crate::records::{Stored, Versioned, background_refusal};
use crate::service::Service;

/// How often a node says something.
pub(crate) const BEAT_EVERY: Duration = Duration::from_secs(3);
/// For how long a node has to be silent before that is called so.
const SILENT_AFTER: Duration = Duration::from_secs(15);
/// Nodes that are listed at once.
const NODES_MAX: usize = 1000;

/// What a node says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Heartbeat {
    pub(crate) node: String,
    /// Another one for each start of the process.
    pub(crate) process: Uuid,
    pub(crate) version: String,
    pub(crate) started: Timestamp,
    #[serde(default)]
    pub(crate) addresses: Vec<String>,
    /// Its wall clock.
    pub(crate) at: Timestamp,
    /// By how much that is ahead of the store's clock.
    pub(crate) clock_ahead_ms: i64,
    /// How old what it knows was.
    pub(crate) lease_age_ms: u64,
    /// The newest version of the root key that it knows.
    pub(crate) root_version: u32,
    /// For how long it uses what it knows; zero where a version says it that did not tell.
    #[serde(default)]
    pub(crate) lease_ms: u64,
}

impl Stored for Heartbeat {
    const KIND: RecordKind = RecordKind::Heartbeat;

    fn account(&self) -> AccountId {
        AccountId::DEPLOYMENT
    }

    fn id(&self) -> String {
        self.node.clone()
    }
}

/// What was heard.
pub(crate) struct Heartbeats {
    process: Uuid,
    addresses: Vec<String>,
    heard: Mutex<BTreeMap<String, Heard>>,
    /// Whether this process has said something already.
    begun: AtomicBool,
    /// When it last did.
    said_ms: AtomicU64,
    /// Whether another process says something under this node's name.
    superseded: AtomicBool,
}

/// The last that was heard of a node.
#[derive(Clone)]
pub(crate) struct Heard {
    pub(crate) said: Heartbeat,
    version: u64,
    /// When that was news here.
    since: Moment,
}

impl Heard {
    /// How long ago it said something.
    pub(crate) fn ago(&self) -> Duration {
        self.since.elapsed()
    }

    /// Whether that is too long ago.
    pub(crate) fn is_silent(&self) -> bool {
        self.ago() > SILENT_AFTER
    }
}

impl Heartbeats {
    pub(crate) fn new(addresses: Vec<String>) -> Self {
        let (begun, superseded) = (AtomicBool::new(false), AtomicBool::new(false));
        let (heard, said_ms) = (Mutex::default(), AtomicU64::new(0));
        Self { process: Uuid::new_v4(), addresses, heard, begun, said_ms, superseded }
    }

    /// What was heard of each node.
    pub(crate) fn heard(&self) -> BTreeMap<String, Heard> {
        self.heard.lock().clone()
    }

    /// Whether this node could say nothing for so long that the others take it for silent: the store does not take what it writes.
    pub(crate) fn is_mute(&self) -> bool {
        self.begun.load(Ordering::Acquire) && Moment::from_ms(self.said_ms.load(Ordering::Acquire)).elapsed() > SILENT_AFTER
    }

    /// How many nodes have said something lately, this one included.
    pub(crate) fn count(&self) -> u64 {
        self.heard.lock().values().filter(|heard| !heard.is_silent()).count().max(1) as u64
    }

    fn hear(&self, found: Vec<Versioned<Heartbeat>>) {
        let mut heard = self.heard.lock();
        for Versioned { value, version } in found {
            let news = heard.get(&value.node).is_none_or(|known| known.version != version);
            if news {
                heard.insert(value.node.clone(), Heard { said: value, version, since: Moment::now() });
            }
        }
    }
}

impl Service {
    /// Says what this node has to say, and hears the others. Public so that tests need not wait for the background.
    ///
    /// # Errors
    /// When the store fails, or another process serves under this node's name.
    pub async fn beat(&self) -> Result<(), Refusal> {
        self.must_be_the_only_one()?;
        let said = self.heartbeat().await?;
        let stored = self.records.get::<Heartbeat>(AccountId::DEPLOYMENT, &self.node).await?;
        let foreign = stored.as_ref().is_some_and(|stored| stored.value.process != said.process);
        if foreign && self.heartbeats.begun.load(Ordering::Acquire) {
            self.heartbeats.superseded.store(true, Ordering::Release);
            return self.must_be_the_only_one();
        }
        let change = match &stored {
            Some(stored) => self.records.update(&said, stored.version).await?,
            None => self.records.create(&said).await?,
        };
        match self.commit(Commit::new(vec![change], Vec::new())).await {
            Ok(()) => {
                self.heartbeats.said_ms.store(Moment::now().ms(), Ordering::Release);
                self.heartbeats.begun.store(true, Ordering::Release);
            }
            // Whoever was faster is looked at the next time.
            Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(background_refusal(error)),
        }
        let all = List {
            account: AccountId::DEPLOYMENT,
            kind: RecordKind::Heartbeat,
            scope: None,
            owner: None,
            after: None,
            limit: NODES_MAX,
        };
        self.heartbeats.hear(self.records.list::<Heartbeat>(all).await?);
        self.compare_leases();
        Ok(())
    }

    /// What this node has to say now.
    pub(crate) async fn heartbeat(&self) -> Result<Heartbeat, Refusal> {
        let before = self.clock.now();
        let theirs = self.records.store.time().await.map_err(background_refusal)?;
        let at = self.clock.now();
        Ok(Heartbeat {
            node: self.node.clone(),
            process: self.heartbeats.process,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.started,
            addresses: self.heartbeats.addresses.clone(),
            at,
            // The question took a while: its middle is what comes nearest.
            clock_ahead_ms: before.0 + (at.0 - before.0) / 2 - theirs.0,
            lease_age_ms: u64::try_from(self.freshness.age().as_millis()).unwrap_or(u64::MAX),
            root_version: self.hsm().root_versions().last().copied().unwrap_or(0),
            lease_ms: u64::try_from(self.freshness.lease().as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// For how long any node may use what was changed meanwhile: the configuration of all should say the same, and where it does not the longest counts.
    pub(crate) fn longest_lease(&self) -> Duration {
        let heard = self.heartbeats.heard.lock();
        let of_others = heard.values().filter(|heard| !heard.is_silent()).map(|heard| heard.said.lease_ms).max();
        self.freshness.lease().max(Duration::from_millis(of_others.unwrap_or_default()))
    }

    /// Nodes whose leases differ promise different things.
    fn compare_leases(&self) {
        let own = self.freshness.lease();
        for Heard { said, .. } in self.heartbeats.heard().into_values().filter(|heard| !heard.is_silent()) {
            let theirs = Duration::from_millis(said.lease_ms);
            if said.lease_ms != 0
                && theirs != own
                && self.complaints.is_due(format!("the lease of {}", said.node), self.clock.now())
            {
                tracing::error!(
                    node = said.node,
                    ?theirs,
                    ?own,
                    "a node has another lease than this one: what is revoked is refused everywhere only after the longest; \
                     give all nodes the same `cluster.lease_milliseconds`"
                );
            }
        }
    }

    /// Two processes of one name would fork its log.
    ///
    /// # Errors
    /// When another process has said something under this node's name since this one began to.
    pub(crate) fn must_be_the_only_one(&self) -> Result<(), Refusal> {
        if !self.heartbeats.superseded.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(Refusal::internal(format!(
            "another process serves under the node name {}: this one serves nobody any more; give each node a name of its own, and restart it",
            self.node
        )))
    }
}
