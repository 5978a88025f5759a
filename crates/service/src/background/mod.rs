//! What the service does by itself: confirms its lease, rotates and deletes keys and imported material when their time comes, writes out last
//! uses.

mod deletion;
mod expiry;
mod gauges;
mod key_stores;
mod root;
mod rotation;

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use claviger_domain::key::{Key, KeyState};
use claviger_domain::{Refusal, Timestamp};
use claviger_store::{Record, RecordKind};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::heartbeat::BEAT_EVERY;
use crate::records::{Versioned, background_refusal, describe};
use crate::service::Service;

/// How often the epochs of all shards are read. Source: design, "Lease".
const POLL_EVERY: Duration = Duration::from_millis(200);
/// With the shortest of leases.
const POLL_EVERY_MIN: Duration = Duration::from_millis(5);
/// How often the store is asked for keys whose time has come.
const DUE_EVERY: Duration = Duration::from_secs(1);
/// How often last uses are written out.
const FLUSH_EVERY: Duration = Duration::from_secs(30);
/// How often keys are counted for the metrics.
const COUNT_EVERY: Duration = Duration::from_secs(15);
/// How many keys are handled before the store is asked again.
const DUE_COUNT: usize = 100;

/// One turn of a kind of work.
type Acting<'a> = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>>;

impl Service {
    /// Runs until its future is dropped. Failures are logged and tried again; they never end it. Each kind of work has a task of its own: the
    /// lease does not wait for a rotation.
    pub async fn run_background(self: Arc<Self>) {
        let mut tasks = JoinSet::new();
        let poll_every = POLL_EVERY.min(self.freshness.lease() / 5).max(POLL_EVERY_MIN);
        tasks.spawn(Arc::clone(&self).repeat(poll_every, "confirming the lease", |it| Box::pin(it.poll_epochs())));
        let due = "rotating and deleting keys, and connecting key stores";
        tasks.spawn(Arc::clone(&self).repeat(DUE_EVERY, due, |it| Box::pin(async { it.run_due_work().await.map(drop) })));
        tasks.spawn(Arc::clone(&self).repeat(FLUSH_EVERY, "writing out last uses", |it| Box::pin(it.flush_last_uses())));
        tasks.spawn(Arc::clone(&self).repeat(DUE_EVERY, "rotating the root key", |it| Box::pin(it.finish_root_rotation())));
        tasks.spawn(Arc::clone(&self).repeat(DUE_EVERY, "keeping warm what has a grace", |it| Box::pin(it.keep_warm())));
        if self.records.store.is_shared() {
            let renewal = self.leadership.renewal();
            let lead = "taking turns at background work";
            tasks.spawn(Arc::clone(&self).repeat(renewal, lead, |it| Box::pin(async { it.leads().await.map(drop) })));
            let log = "taking up the audit log again";
            tasks.spawn(Arc::clone(&self).repeat(DUE_EVERY, log, |it| Box::pin(it.take_up_log_again())));
            tasks.spawn(Arc::clone(&self).repeat(BEAT_EVERY, "telling the other nodes of this one", |it| Box::pin(it.beat())));
        }
        tasks.spawn(Arc::clone(&self).repeat(COUNT_EVERY, "counting keys", |it| Box::pin(it.record_gauges())));
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a part of the background work ended by itself: restart this node");
            }
        }
    }

    async fn repeat(self: Arc<Self>, period: Duration, work: &'static str, act: for<'a> fn(&'a Self) -> Acting<'a>) {
        let mut ticks = every(period);
        loop {
            ticks.tick().await;
            match act(&self).await {
                Ok(()) => self.complaints.settle(work),
                Err(refusal) if self.complaints.is_due(work, self.clock.now()) => {
                    tracing::error!(work, %refusal, "background work failed and will be tried again");
                }
                Err(_) => {}
            }
        }
    }

    /// Rotates and deletes the keys whose time has come, connects the key stores that wait for it, and says how many there were; none where another
    /// node does that. Public so that tests can step through time.
    ///
    /// # Errors
    /// When the store fails. A key that cannot be handled is logged and does not keep others from their turn.
    pub async fn run_due_work(&self) -> Result<usize, Refusal> {
        if !self.leads().await? {
            return Ok(0);
        }
        let now = self.agreed_now().await?;
        let mut handled = self.connect_due_key_stores(now).await?;
        let mut failed = HashSet::new();
        loop {
            // Those that failed are still the longest due: look past them.
            let records =
                self.records.store.due(RecordKind::Key, now, DUE_COUNT + failed.len()).await.map_err(background_refusal)?;
            let mut found_new = false;
            for record in records.iter().filter(|record| !failed.contains(&record.key)).cloned().collect::<Vec<_>>() {
                found_new = true;
                let name = describe(&record.key);
                match self.handle_due_key(&record, now).await {
                    Ok(()) => {
                        self.complaints.settle(&name);
                        handled += 1;
                    }
                    // Another node has taken over, and goes on with it.
                    Err(_) if !self.believes_to_lead().await => return Ok(handled),
                    Err(refusal) => {
                        if self.complaints.is_due(name.clone(), now) {
                            tracing::error!(key = %name, %refusal, "a key whose time had come could not be handled; it will be tried again, and said again in an hour");
                        }
                        failed.insert(record.key);
                    }
                }
            }
            if !found_new {
                return Ok(handled);
            }
        }
    }

    /// The time that what is done once and for all goes by: no later than the store's own where nodes share it, so that a node whose clock is
    /// ahead deletes nothing too early.
    async fn agreed_now(&self) -> Result<Timestamp, Refusal> {
        let own = self.clock.now();
        if !self.records.store.is_shared() {
            return Ok(own);
        }
        Ok(own.min(self.records.store.time().await.map_err(background_refusal)?))
    }

    /// Goes on with a rotation of the root key until it is finished.
    async fn finish_root_rotation(&self) -> Result<(), Refusal> {
        self.find_lost_root().await?;
        self.wipe_retired_roots().await?;
        while self.advance_root_rotation().await? {}
        Ok(())
    }

    async fn handle_due_key(&self, record: &Record, now: Timestamp) -> Result<(), Refusal> {
        let Versioned { value, version } = self.records.open::<Key>(record).await?;
        // What expires, expires in every state.
        if value.next_expiry().is_some_and(|expiry| expiry <= now) {
            return self.expire_due_material(value, version, now).await;
        }
        match value.state {
            KeyState::PendingDeletion { .. } => self.delete_due_key(&value, version, now).await,
            _ => self.rotate_due_key(value, version, now).await,
        }
    }

    /// Writes out what is only in memory. Call it before the process ends.
    ///
    /// # Errors
    /// When the store fails; the next start then reads the missing part from the audit log.
    pub async fn shut_down(&self) -> Result<(), Refusal> {
        self.flush_last_uses().await?;
        // A flush vouches only for the log as it was at the flush before it: this one vouches for everything, as nobody asks any more.
        self.flush_last_uses().await
    }
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
