//! What waits for the writer thread.

use std::collections::VecDeque;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::group::{MOST_BYTES, MOST_PARTS};
use crate::sqlite::company::Company;
use crate::{Change, Commit, Committed, Sequencer, StoreError};

/// Where the writer's answer goes. A receiver that has gone away is not an error: the work was done all the same.
pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// One thing for the writer to do.
pub(super) enum Work {
    Commit {
        commit: Commit,
        answer: Answer<Committed>,
    },
    SetFact {
        name: String,
        value: String,
        answer: Answer<()>,
    },
    #[cfg(any(test, feature = "contract"))]
    LimitPages {
        pages: u32,
        answer: Answer<()>,
    },
}

impl Work {
    /// How many changes it makes.
    pub(super) fn changes(&self) -> usize {
        match self {
            Self::Commit { commit, .. } => commit.changes.len(),
            _ => 1,
        }
    }

    fn entries(&self) -> usize {
        match self {
            Self::Commit { commit, .. } => commit.entries.len(),
            _ => 0,
        }
    }

    /// How many bytes of content it writes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Commit { commit, .. } => {
                let entries: usize = commit.entries.iter().map(|entry| entry.bytes.len()).sum();
                let records = commit.changes.iter().map(|change| match change {
                    Change::Put { record, .. } => record.sealed.len(),
                    _ => 0,
                });
                entries + records.sum::<usize>()
            }
            Self::SetFact { value, .. } => value.len(),
            #[cfg(any(test, feature = "contract"))]
            Self::LimitPages { .. } => 0,
        }
    }
}

/// What was taken from the queue.
pub(super) struct Taken {
    /// Whether the first of it found nobody else there.
    pub(super) held: bool,
}

/// The queue between all who commit and the one thread that writes.
pub(super) struct Queue {
    state: Mutex<State>,
    /// Told when work arrives and when the queue is closed.
    changed: Condvar,
}

struct State {
    waiting: VecDeque<Work>,
    /// How many must wait for the writer to be woken. Waking it for each would cost more than the work.
    wanted: usize,
    sequencer: Option<Box<dyn Sequencer>>,
    /// Why no more work is taken.
    closed: Option<&'static str>,
}

impl Queue {
    /// More than this many commits waiting means that the disk has stopped, and that waiting longer helps nobody.
    const MOST_WAITING: usize = 65_536;

    pub(super) fn new() -> Self {
        let state = State { waiting: VecDeque::new(), wanted: usize::MAX, sequencer: None, closed: None };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Adds work at the end.
    pub(super) fn push(&self, work: Work) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if let Some(why) = state.closed {
            return Err(StoreError::Unavailable(why.into()));
        }
        if state.waiting.len() >= Self::MOST_WAITING {
            let waiting = state.waiting.len();
            return Err(StoreError::Unavailable(format!("{waiting} commits are waiting for the disk; try again later")));
        }
        state.waiting.push_back(work);
        let enough = state.waiting.len() >= state.wanted;
        drop(state);
        if enough {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Leaves a sequencer for the writer to pick up.
    pub(super) fn attach(&self, sequencer: Box<dyn Sequencer>) {
        self.state.lock().sequencer = Some(sequencer);
    }

    /// Waits for work and takes what is there into `batch`, up to a bound, in order; a new sequencer goes into `sequencer`.
    /// None when the queue is closed and empty.
    ///
    /// When `company` says that others may be about to come, work that is alone waits for them a little: one transaction for
    /// sixty commits costs hardly more than one for thirty.
    pub(super) fn take(
        &self,
        batch: &mut Vec<Work>,
        sequencer: &mut Option<Box<dyn Sequencer>>,
        company: Company,
    ) -> Option<Taken> {
        let mut state = self.state.lock();
        let deadline = Instant::now() + company.patience;
        while company.expected > 1 && state.waiting.len() < company.expected && state.closed.is_none() {
            state.wanted = company.expected;
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        let held = state.waiting.is_empty();
        while state.waiting.is_empty() {
            if state.closed.is_some() {
                return None;
            }
            state.wanted = 1;
            self.changed.wait(&mut state);
        }
        if held && state.waiting.len() < company.wanted {
            let deadline = Instant::now() + company.hold;
            while state.waiting.len() < company.wanted && state.closed.is_none() {
                state.wanted = company.wanted;
                if self.changed.wait_until(&mut state, deadline).timed_out() {
                    break;
                }
            }
        }
        state.wanted = usize::MAX;
        if let Some(attached) = state.sequencer.take() {
            *sequencer = Some(attached);
        }
        let (mut parts, mut bytes) = (0, 0);
        while parts < MOST_PARTS && bytes < MOST_BYTES {
            let Some(work) = state.waiting.pop_front() else { break };
            parts += work.changes() + work.entries();
            bytes += work.bytes();
            batch.push(work);
        }
        Some(Taken { held })
    }

    /// How many wait at this moment.
    pub(super) fn waiting(&self) -> usize {
        self.state.lock().waiting.len()
    }

    /// Takes no more work. What waits will still be done, if the writer lives.
    pub(super) fn close(&self, why: &'static str) {
        self.state.lock().closed.get_or_insert(why);
        self.changed.notify_all();
    }

    /// Takes no more work, and drops what waits, whose callers then hear why. For a writer that is no more.
    pub(super) fn abandon(&self, why: &'static str) {
        let mut state = self.state.lock();
        state.closed.get_or_insert(why);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
    }

    /// The error for work that the writer did not live to answer.
    pub(super) fn closed(&self) -> StoreError {
        StoreError::Unavailable(self.state.lock().closed.unwrap_or("its writer has stopped").into())
    }
}
