//! What the service does by itself: confirms its lease, rotates and deletes keys and imported material when their time comes, writes out last
//! uses.

mod deletion;
mod expiry;
mod gauges;
mod key_stores;
mod root;
mod rotation;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use claviger_domain::key::{Key, KeyState};
use claviger_domain::{Refusal, Timestamp};
use claviger_store::{Record, RecordKind};
use tokio::time::{MissedTickBehavior, interval};

use crate::records::{Versioned, background_refusal, describe};
use crate::service::Service;

/// How often the epochs of all shards are read. Source: design, "Lease".
const POLL_EVERY: Duration = Duration::from_millis(200);
/// How often the store is asked for keys whose time has come.
const DUE_EVERY: Duration = Duration::from_secs(1);
/// How often last uses are written out.
const FLUSH_EVERY: Duration = Duration::from_secs(30);
/// How often keys are counted for the metrics.
const COUNT_EVERY: Duration = Duration::from_secs(15);
/// How many keys are handled before the store is asked again.
const DUE_COUNT: usize = 100;

impl Service {
    /// Runs until the task is dropped. Failures are logged and tried again; they never end it.
    pub async fn run_background(self: Arc<Self>) {
        let mut poll = every(POLL_EVERY);
        let mut due = every(DUE_EVERY);
        let mut flush = every(FLUSH_EVERY);
        let mut count = every(COUNT_EVERY);
        let mut root = every(DUE_EVERY);
        loop {
            let (work, done) = tokio::select! {
                _ = poll.tick() => ("confirming the lease", self.poll_epochs().await),
                _ = due.tick() => ("rotating and deleting keys, and connecting key stores", self.run_due_work().await.map(drop)),
                _ = flush.tick() => ("writing out last uses", self.flush_last_uses().await),
                _ = root.tick() => ("rotating the root key", self.finish_root_rotation().await),
                _ = count.tick() => ("counting keys", self.record_gauges().await),
            };
            match done {
                Ok(()) => self.complaints.settle(work),
                Err(refusal) if self.complaints.is_due(work, self.clock.now()) => {
                    tracing::error!(work, %refusal, "background work failed and will be tried again");
                }
                Err(_) => {}
            }
        }
    }

    /// Rotates and deletes the keys whose time has come, connects the key stores that wait for it, and says how many there were. Public so that tests can step through time.
    ///
    /// # Errors
    /// When the store fails. A key that cannot be handled is logged and does not keep others from their turn.
    pub async fn run_due_work(&self) -> Result<usize, Refusal> {
        let now = self.clock.now();
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

    /// Goes on with a rotation of the root key until it is finished. The lease is confirmed in between.
    async fn finish_root_rotation(&self) -> Result<(), Refusal> {
        while self.advance_root_rotation().await? {
            self.poll_epochs().await?;
        }
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
