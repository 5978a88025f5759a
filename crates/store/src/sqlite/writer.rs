//! The one thread that writes: it takes what waits, carries it out in one transaction, and answers everybody.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use rusqlite::Connection;

use crate::sqlite::batch::{self, Done};
use crate::sqlite::checkpoint::Checkpoints;
use crate::sqlite::company::{Ended, Habits};
use crate::sqlite::queue::{Queue, Work};
use crate::{Committed, Sequencer, StoreError};

/// About what a change adds to the write-ahead log beside its content: its part of the pages of the table and of its indexes. New keys that are written
/// together share most of theirs (4 KiB each), a change of something old has about four of its own.
const CHANGE_COST_BYTES: usize = 8 << 10;

/// Starts the thread. It ends when the queue is closed and empty.
pub(super) fn start(connection: Connection, path: &Path, queue: Arc<Queue>) -> Result<JoinHandle<()>, StoreError> {
    metrics::describe_histogram!("claviger_store_commit_seconds", metrics::Unit::Seconds, "Time of one durable group commit.");
    metrics::describe_histogram!("claviger_store_group_entries", "Audit entries written by one group commit.");
    let checkpoints = Checkpoints::start(path)?;
    let writer = Writer { connection, sequencer: None, checkpoints, queue, failing: None };
    std::thread::Builder::new()
        .name("store-writer".into())
        .spawn(move || writer.run())
        .map_err(|error| StoreError::Unavailable(format!("its writer thread cannot be started: {error}")))
}

struct Writer {
    connection: Connection,
    sequencer: Option<Box<dyn Sequencer>>,
    checkpoints: Checkpoints,
    queue: Arc<Queue>,
    /// What the last transaction failed with, so that a full disk is logged once and not for every request.
    failing: Option<StoreError>,
}

impl Writer {
    fn run(mut self) {
        let mut work = Vec::new();
        // Dropped before `work`, so that those whose work was under way hear why, too.
        let _farewell = Farewell(Arc::clone(&self.queue));
        let mut habits = Habits::new();
        let (mut company, mut ended) = (habits.first(), Instant::now());
        while let Some(taken) = self.queue.take(&mut work, &mut self.sequencer, company) {
            let (begun, commits) = (Instant::now(), work.len());
            self.carry_out(&mut work);
            let (took, cycle, waiting) = (begun.elapsed(), ended.elapsed(), self.queue.waiting());
            ended = Instant::now();
            company = habits.learn(&Ended { commits, held: taken.held, took, cycle, waiting });
            self.checkpoints.finish(&self.connection);
        }
        self.checkpoints.stop(self.connection);
    }

    /// Nobody gets an answer before the transaction is durable: even a conflict may be one with a change that is not yet.
    fn carry_out(&mut self, work: &mut Vec<Work>) {
        let begun = Instant::now();
        let written = work.iter().map(|work| work.bytes() + work.changes() * CHANGE_COST_BYTES).sum();
        let outcome = batch::carry_out(&self.connection, &mut self.sequencer, work);
        metrics::histogram!("claviger_store_commit_seconds").record(begun.elapsed());
        match outcome {
            Ok(done) => {
                #[expect(clippy::cast_precision_loss, reason = "a batch has far fewer than 2^52 entries")]
                metrics::histogram!("claviger_store_group_entries").record(done.entries as f64);
                self.checkpoints.count(written);
                if self.failing.take().is_some() {
                    tracing::info!("the store can be written to again");
                }
                answer_all(work, done);
            }
            Err(error) => {
                work.drain(..).for_each(|work| answer(work, Err(error.clone())));
                if self.failing.as_ref() != Some(&error) {
                    tracing::error!(%error, "a transaction of the store failed and was rolled back; its requests were told so");
                }
                self.failing = Some(error);
            }
        }
    }
}

fn answer_all(work: &mut Vec<Work>, done: Done) {
    for (work, result) in work.drain(..).zip(done.into_answers()) {
        answer(work, result);
    }
}

/// A caller that has gone away is nothing to the writer, so that the failure to send is not looked at.
fn answer(work: Work, result: Result<Committed, StoreError>) {
    match work {
        Work::Commit { answer, .. } => drop(answer.send(result)),
        Work::SetFact { answer, .. } => drop(answer.send(result.map(|_| ()))),
        #[cfg(any(test, feature = "contract"))]
        Work::LimitPages { answer, .. } => drop(answer.send(result.map(|_| ()))),
    }
}

/// Makes sure that nobody waits for a writer that is gone, for whatever reason it went.
struct Farewell(Arc<Queue>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.abandon("its writer has stopped after an internal error; restart the server (what was acknowledged is safe)");
    }
}
