//! How this node keeps what it knows fresh: it asks the store for the epochs of all shards, all the time in the background, and for a request where
//! the lease has run out all the same.
//!
//! One question is under way at a time, and everybody who waits takes its answer: a database that comes back is not met by a thousand of them. Each
//! has a deadline, so that a database that hangs is as one that is not there.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use claviger_domain::Refusal;
use claviger_store::Epochs;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::clock::Moment;
use crate::records::background_refusal;
use crate::service::Service;

/// The longest and the shortest that the store is waited for, whatever the lease.
const DEADLINE_MAX: Duration = Duration::from_secs(5);
const DEADLINE_MIN: Duration = Duration::from_millis(250);

/// The questions for epochs.
#[derive(Default)]
pub(crate) struct Polling {
    /// The last one, if it failed. Held while one is under way.
    failed: Mutex<Option<Failed>>,
    /// When one was last given up at its deadline; zero before any was.
    hung_ms: AtomicU64,
    /// Whether the store did not answer the last one. Other reasons why nothing can be confirmed are none to use what cannot be.
    away: AtomicBool,
}

struct Failed {
    began: Moment,
    why: Refusal,
}

impl Service {
    /// Makes sure that what is cached was confirmed within the lease, asks the store when it was not, and says when it was confirmed.
    pub(crate) async fn confirm_freshness(&self) -> Result<Moment, Refusal> {
        if let Some(confirmed) = self.confirmed_of_late() {
            return Ok(confirmed);
        }
        let worth_asking = !self.store_hangs() && !self.graces.is_replaying();
        if worth_asking
            && self.poll_epochs().await.is_ok()
            && let Some(confirmed) = self.confirmed_of_late()
        {
            return Ok(confirmed);
        }
        Err(unconfirmed())
    }

    /// When what is cached was confirmed, if that is within the lease, and by the database that is written to now.
    fn confirmed_of_late(&self) -> Option<Moment> {
        let era = self.freshness.confirmed_in();
        let confirmed = self.freshness.confirmed();
        (era == self.records.store.era() && confirmed.elapsed() < self.freshness.lease()).then_some(confirmed)
    }

    /// Asks the store for all epochs once, and learns what hangs on them. Requests do not look at the reason of a failure; the background work says
    /// it.
    pub(crate) async fn poll_epochs(&self) -> Result<(), Refusal> {
        self.must_be_the_only_one()?;
        let asked = Moment::now();
        let mut failed = self.polling.failed.lock().await;
        if self.freshness.confirmed() > asked && self.freshness.confirmed_in() == self.records.store.era() {
            return Ok(());
        }
        // Somebody asked after us and was faster: nobody knows better now.
        if let Some(last) = failed.as_ref().filter(|last| last.began > asked) {
            return Err(last.why.clone());
        }
        let began = Moment::now();
        match self.ask_and_replay().await {
            Ok((epochs, began, era)) => {
                self.freshness.polled(&epochs, began, era);
                *failed = None;
                Ok(())
            }
            Err(why) => {
                *failed = Some(Failed { began, why: why.clone() });
                Err(why)
            }
        }
    }

    /// What the store answers, and when it was asked, in which era. What was used in grace is put into the log before anybody hears that it is back.
    async fn ask_and_replay(&self) -> Result<(Epochs, Moment, u64), Refusal> {
        let (began, era) = (Moment::now(), self.records.store.era());
        let epochs = self.ask_epochs().await?;
        if !self.graces.is_waiting() {
            return Ok((epochs, began, era));
        }
        self.replay_spool().await?;
        // That may have taken longer than the lease.
        let (began, era) = (Moment::now(), self.records.store.era());
        Ok((self.ask_epochs().await?, began, era))
    }

    async fn ask_epochs(&self) -> Result<Epochs, Refusal> {
        let deadline = self.poll_deadline();
        let answer = timeout(deadline, async {
            let asked = self.records.store.epochs().await;
            self.polling.away.store(asked.is_err(), Ordering::Release);
            let epochs = asked.map_err(background_refusal)?;
            self.follow_root(&epochs).await?;
            Ok(epochs)
        });
        let (hung, answer) = match answer.await {
            Ok(answer) => (0, answer),
            Err(_) => {
                self.polling.away.store(true, Ordering::Release);
                let why = Refusal::internal(format!("the store did not answer within {} ms", deadline.as_millis()));
                (Moment::now().ms(), Err(why))
            }
        };
        self.polling.hung_ms.store(hung, Ordering::Release);
        answer
    }

    /// Whether the store was given up at the deadline a moment ago: requests then need not find out one by one.
    pub(crate) fn store_hangs(&self) -> bool {
        let hung = self.polling.hung_ms.load(Ordering::Acquire);
        hung != 0 && Moment::from_ms(hung).elapsed() < 2 * self.poll_deadline()
    }

    /// Whether the store could not be asked last time.
    pub(crate) fn store_is_away(&self) -> bool {
        self.polling.away.load(Ordering::Acquire)
    }

    /// What comes later than the lease is of no use to it.
    pub(crate) fn poll_deadline(&self) -> Duration {
        self.freshness.lease().clamp(DEADLINE_MIN, DEADLINE_MAX)
    }
}

/// The refusal of a node that does not know what is true.
pub(crate) fn unconfirmed() -> Refusal {
    Refusal::key_unavailable("This node cannot confirm that its knowledge of keys and policies is fresh. Try again shortly.")
}
