//! The one task that writes: it takes what waits, carries it out in one transaction, and answers everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use crate::group::{MOST_BYTES, MOST_PARTS};
use crate::postgres::connections::{Connection, PAUSE};
use crate::postgres::era::Eras;
use crate::postgres::options::PostgresOptions;
use crate::postgres::transaction::{self, Done, Doubt, Failure, Statements, pause};
use crate::{Change, Commit, Committed, Sequencer, StoreError};

/// More than this many commits waiting means that the database has stopped, and that waiting longer helps nobody.
pub(super) const MOST_WAITING: usize = 65_536;
/// For how long a transaction is tried again, from its first attempt on.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many failures of one transaction are not told of.
const QUIET_ATTEMPTS: u32 = 2;

/// Where the answer goes. A receiver that has gone away is not an error.
pub(super) type Answer = oneshot::Sender<Result<Committed, StoreError>>;

/// One thing for the writer to do.
pub(super) enum Work {
    Commit { commit: Commit, answer: Answer },
    SetFact { name: String, value: String, answer: Answer },
}

impl Work {
    pub(super) fn commit(&self) -> Option<&Commit> {
        match self {
            Self::Commit { commit, .. } => Some(commit),
            Self::SetFact { .. } => None,
        }
    }

    pub(super) fn fact(&self) -> Option<(&str, &str)> {
        match self {
            Self::Commit { .. } => None,
            Self::SetFact { name, value, .. } => Some((name, value)),
        }
    }

    fn answer(self, result: Result<Committed, StoreError>) {
        let (Self::Commit { answer, .. } | Self::SetFact { answer, .. }) = self;
        drop(answer.send(result));
    }

    /// Whether nobody waits for it any more: it was not begun, so that it need not be done.
    fn is_abandoned(&self) -> bool {
        let (Self::Commit { answer, .. } | Self::SetFact { answer, .. }) = self;
        answer.is_closed()
    }

    fn size(&self) -> (usize, usize) {
        match self {
            Self::SetFact { value, .. } => (1, value.len()),
            Self::Commit { commit, .. } => {
                let records = commit.changes.iter().map(|change| match change {
                    Change::Put { record, .. } => record.sealed.len(),
                    _ => 0,
                });
                let entries = commit.entries.iter().map(|entry| entry.bytes.len());
                (commit.changes.len() + commit.entries.len(), records.sum::<usize>() + entries.sum::<usize>())
            }
        }
    }
}

/// The task's state.
pub(super) struct Writer {
    pub(super) options: PostgresOptions,
    pub(super) connection: Option<(Connection, Statements)>,
    /// What the next transaction takes up as its log.
    pub(super) attached: Arc<Mutex<Option<Box<dyn Sequencer>>>>,
    pub(super) sequencer: Option<Box<dyn Sequencer>>,
    pub(super) closed: Arc<AtomicBool>,
    pub(super) eras: Arc<Eras>,
    /// The last transaction that was not there when one looked for it, while nothing has been written since.
    pub(super) doubted: Option<Box<Doubt>>,
    /// What the last transaction failed with, so that a database that is away is logged once and not for every request.
    pub(super) failing: Option<StoreError>,
}

impl Writer {
    /// Runs until nobody can send work any more and all that was sent is done.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Work>) {
        let mut work = Vec::new();
        let mut next = None;
        loop {
            let first = match next.take() {
                Some(work) => work,
                None => match queue.recv().await {
                    Some(work) => work,
                    None => return,
                },
            };
            let (mut parts, mut bytes) = first.size();
            work.push(first);
            while let Ok(more) = queue.try_recv() {
                let size = more.size();
                (parts, bytes) = (parts + size.0, bytes + size.1);
                if parts > MOST_PARTS || bytes > MOST_BYTES {
                    next = Some(more);
                    break;
                }
                work.push(more);
            }
            if let Some(attached) = self.attached.lock().take() {
                self.sequencer = Some(attached);
            }
            self.carry_out(std::mem::take(&mut work)).await;
        }
    }

    async fn carry_out(&mut self, mut work: Vec<Work>) {
        let begun = Instant::now();
        let mut attempt = 0;
        loop {
            work.retain(|work| !work.is_abandoned());
            if work.is_empty() {
                return;
            }
            let error = match self.attempt(&work).await {
                Ok(done) => return self.succeed(work, done, begun),
                Err(Failure::ForGood(error)) => return self.fail(work, &error),
                Err(Failure::Split(error)) => {
                    if !self.answer_what_was_done_late(&mut work).await {
                        return self.fail(work, &error);
                    }
                    continue;
                }
                Err(Failure::Again(error)) => error,
                Err(Failure::Elsewhere(error)) => {
                    self.connection = None;
                    error
                }
                Err(Failure::InDoubt(error, doubt)) => {
                    self.connection = None;
                    match self.settle(&mut work, &error, &doubt, begun).await {
                        Ok(true) => return self.succeed(work, doubt.done, begun),
                        Ok(false) => {
                            self.doubted = Some(doubt);
                            error
                        }
                        Err(error) => return self.fail(work, &error),
                    }
                }
            };
            if begun.elapsed() >= PATIENCE || self.closed.load(Ordering::Acquire) {
                return self.fail(work, &error);
            }
            // Meeting another node at a record is no news.
            if attempt >= QUIET_ATTEMPTS {
                self.note(&error);
            }
            sleep(pause(attempt)).await;
            attempt += 1;
        }
    }

    async fn attempt(&mut self, work: &[Work]) -> Result<Done, Failure> {
        self.connect().await.map_err(Failure::Elsewhere)?;
        let Some((connection, statements)) = &self.connection else {
            return Err(Failure::Elsewhere(StoreError::Unavailable("there is no connection to the database".into())));
        };
        transaction::carry_out(&connection.client, statements, &mut self.sequencer, work).await
    }

    async fn connect(&mut self) -> Result<(), StoreError> {
        if self.connection.as_ref().is_some_and(|(connection, _)| !connection.client.is_closed()) {
            return Ok(());
        }
        self.connection = None;
        let (connection, statements, mark) = open(&self.options).await?;
        self.eras.begin(mark);
        self.connection = Some((connection, statements));
        Ok(())
    }

    /// A statement of which nobody knew any more may have come through after all, behind the look at the log and before what was written next. Then
    /// what it wrote is answered for, and the log goes on behind it.
    async fn answer_what_was_done_late(&mut self, work: &mut Vec<Work>) -> bool {
        let Some(doubt) = self.doubted.take() else { return false };
        let (Some((connection, statements)), Some(log)) = (&self.connection, &mut self.sequencer) else { return false };
        let Ok(Some(places)) = doubt.was_done_late(&connection.client, statements, log.as_mut()).await else { return false };
        for one in std::mem::take(work) {
            let first = one.commit().and_then(|commit| commit.entries.first()).and_then(|entry| places.get(&entry.leaf));
            match first {
                Some(first) => one.answer(Ok(Committed { epochs: Vec::new(), first_index: Some(*first) })),
                None => work.push(one),
            }
        }
        true
    }

    /// Finds out whether a transaction was done. Nothing else is written before that is known; those who wait for it do not wait for ever.
    async fn settle(
        &mut self,
        work: &mut Vec<Work>,
        error: &StoreError,
        doubt: &Doubt,
        begun: Instant,
    ) -> Result<bool, StoreError> {
        loop {
            let found = match self.connect().await {
                Err(error) => Err(Failure::Elsewhere(error)),
                Ok(()) => match &self.connection {
                    Some((connection, statements)) => doubt.resolve(&connection.client, statements).await,
                    None => Err(Failure::Elsewhere(error.clone())),
                },
            };
            let error = match found {
                Ok(done) => {
                    if doubt.done.entries > 0 {
                        self.sequencer.iter_mut().for_each(|log| if done { log.accept() } else { log.discard() });
                    }
                    return Ok(done);
                }
                Err(Failure::ForGood(error) | Failure::Split(error)) => {
                    self.sequencer.iter_mut().for_each(|log| log.discard());
                    return Err(error);
                }
                Err(Failure::Again(error) | Failure::Elsewhere(error) | Failure::InDoubt(error, _)) => error,
            };
            self.connection = None;
            if begun.elapsed() >= PATIENCE && !work.is_empty() {
                let said = StoreError::Unavailable(format!("{error}; whether this was done will only be known when it answers"));
                self.note(&said);
                work.drain(..).for_each(|work| work.answer(Err(said.clone())));
            }
            if self.closed.load(Ordering::Acquire) {
                return Err(error);
            }
            sleep(PAUSE).await;
        }
    }

    fn succeed(&mut self, work: Vec<Work>, done: Done, begun: Instant) {
        metrics::histogram!("claviger_store_commit_seconds").record(begun.elapsed());
        #[expect(clippy::cast_precision_loss, reason = "a batch has far fewer than 2^52 entries")]
        metrics::histogram!("claviger_store_group_entries").record(done.entries as f64);
        if self.failing.take().is_some() {
            tracing::info!("the store can be written to again");
        }
        if done.entries > 0 {
            self.doubted = None;
        }
        for (work, result) in work.into_iter().zip(done.into_answers(self.eras.number())) {
            work.answer(result);
        }
    }

    fn fail(&mut self, work: Vec<Work>, error: &StoreError) {
        self.note(error);
        work.into_iter().for_each(|work| work.answer(Err(error.clone())));
    }

    /// Logs a failure, once for those of a kind that follow each other.
    fn note(&mut self, error: &StoreError) {
        if self.failing.as_ref() != Some(error) {
            tracing::error!(%error, "a transaction of the store failed; it is tried again, or its requests are told so");
        }
        self.failing = Some(error.clone());
    }
}

/// A connection with its statements, and the epoch that an era begins with. A host that does not get so far is not asked first again.
pub(super) async fn open(options: &PostgresOptions) -> Result<(Connection, Statements, u64), StoreError> {
    let connection = Connection::open(options).await?;
    let statements = Statements::prepare(&connection.client).await;
    let begun = match statements.map_err(|error| super::errors::database_error("preparing the store's statements", &error)) {
        Ok(statements) => transaction::begin_era(&connection.client, &statements).await.map(|mark| (statements, mark)),
        Err(error) => Err(error),
    };
    match begun {
        Ok((statements, mark)) => Ok((connection, statements, mark)),
        Err(error) => {
            options.leave_host(connection.place);
            Err(error)
        }
    }
}
