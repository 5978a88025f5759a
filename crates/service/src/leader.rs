//! Who does the background work where several nodes could: rotation, deletion, expiry, connecting key stores, re-wrapping account keys.
//!
//! One of them does, for as long as it holds a record. The version of that record goes up whenever somebody takes it or its holder renews it, and
//! every commit of background work names the version under which it was begun, which the store compares in the same transaction. So a node that was
//! stopped and goes on when another one has taken over writes nothing any more, whatever it believes.
//!
//! There are no wall clocks in it: a node takes over when it has seen the same version for longer than its holder said, on its own clock. A node whose
//! name is in the record takes it at once: the process before it is gone, or two run under one name, which its log does not survive anyway.

use std::time::Duration;

use claviger_domain::{AccountId, Refusal, Timestamp};
use claviger_store::{Change, Commit, RecordKey, RecordKind, StoreError};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::clock::Moment;
use crate::records::{Stored, Versioned, background_refusal};
use crate::service::Service;

/// The id of the record.
const ID: &str = "background";

/// What this node knows of who leads.
pub(crate) struct Leadership {
    /// For how long nobody else may take what this node has taken.
    duration: Duration,
    /// Held while a commit of background work is under way, so that it is not overtaken by a renewal.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    seen: Option<Seen>,
}

/// The lease is this node's.
struct Held {
    version: u64,
    renewed: Moment,
}

/// The lease is another node's.
struct Seen {
    version: u64,
    since: Moment,
}

/// Who leads.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LeaseRecord {
    /// The node.
    pub(crate) holder: String,
    /// For how long it has to be silent before another one takes over.
    pub(crate) duration_ms: u64,
    /// When it took over, on its clock.
    pub(crate) since: Timestamp,
}

impl Stored for LeaseRecord {
    const KIND: RecordKind = RecordKind::Lease;

    fn account(&self) -> AccountId {
        AccountId::DEPLOYMENT
    }

    fn id(&self) -> String {
        ID.to_owned()
    }
}

impl Leadership {
    pub(crate) fn new(duration: Duration) -> Self {
        Self { duration, state: Mutex::default() }
    }

    /// How often its holder has to think of it.
    pub(crate) fn renewal(&self) -> Duration {
        self.duration / 3
    }
}

impl State {
    /// Whether the other node's lease has been the same for longer than it may be. Notes it when it is seen for the first time.
    fn is_abandoned(&mut self, found: &Versioned<LeaseRecord>) -> bool {
        self.held = None;
        match &self.seen {
            Some(seen) if seen.version == found.version => seen.since.elapsed() > Duration::from_millis(found.value.duration_ms),
            _ => {
                self.seen = Some(Seen { version: found.version, since: Moment::now() });
                false
            }
        }
    }
}

impl Service {
    /// Whether this node does the background work. Takes or renews its lease where that is due. Public so that tests need not wait for the
    /// background.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn leads(&self) -> Result<bool, Refusal> {
        if !self.records.store.is_shared() {
            return Ok(true);
        }
        let mut state = self.leadership.state.lock().await;
        if state.held.as_ref().is_some_and(|held| held.renewed.elapsed() < self.leadership.renewal()) {
            return Ok(true);
        }
        let renewed = Moment::now();
        let duration_ms = u64::try_from(self.leadership.duration.as_millis()).unwrap_or(u64::MAX);
        let mut own = LeaseRecord { holder: self.node.clone(), duration_ms, since: self.clock.now() };
        let (change, version, news) = match self.lease().await? {
            None => (self.records.create(&own).await?, 1, true),
            Some(found) if found.value.holder == self.node => {
                own.since = found.value.since;
                (self.records.update(&own, found.version).await?, found.version + 1, state.held.is_none())
            }
            Some(found) if state.is_abandoned(&found) => {
                (self.records.update(&own, found.version).await?, found.version + 1, true)
            }
            Some(_) => return Ok(false),
        };
        match self.commit(Commit::new(vec![change], Vec::new())).await {
            Ok(()) => {
                if news {
                    tracing::info!(version, "this node does the background work from now on");
                }
                *state = State { held: Some(Held { version, renewed }), seen: None };
                Ok(true)
            }
            Err(StoreError::Conflict(_)) => {
                *state = State::default();
                Ok(false)
            }
            Err(error) => Err(background_refusal(error)),
        }
    }

    /// Whether this node held the lease when it last looked.
    pub(crate) async fn believes_to_lead(&self) -> bool {
        !self.records.store.is_shared() || self.leadership.state.lock().await.held.is_some()
    }

    /// The lease as the store has it.
    pub(crate) async fn lease(&self) -> Result<Option<Versioned<LeaseRecord>>, Refusal> {
        self.records.get::<LeaseRecord>(AccountId::DEPLOYMENT, ID).await
    }

    /// Commits background work, as long as nobody else has taken over.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] with the lease when this node does not lead any more: nothing was written.
    pub(crate) async fn commit_background(&self, mut commit: Commit) -> Result<(), StoreError> {
        if !self.records.store.is_shared() {
            return self.commit(commit).await;
        }
        let mut state = self.leadership.state.lock().await;
        let key = RecordKey { account: AccountId::DEPLOYMENT, kind: RecordKind::Lease, id: ID.to_owned() };
        let Some(version) = state.held.as_ref().map(|held| held.version) else { return Err(StoreError::Conflict(key)) };
        commit.changes.push(Change::Check { key: key.clone(), version });
        let result = self.commit(commit).await;
        if matches!(&result, Err(StoreError::Conflict(record)) if *record == key) {
            tracing::warn!("another node does the background work: what this one had under way was not written");
            *state = State::default();
        }
        result
    }
}
