//! What waits for the writer thread.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
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

    /// For how long it may be held back.
    fn leisure(&self) -> Duration {
        match self {
            Self::Commit { commit, .. } => commit.leisure,
            _ => Duration::ZERO,
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
    /// Whether the first of it found nobody else there, and had no time of its own to wait.
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
    /// What those wait for who are held back at this moment.
    held: Option<Held>,
    sequencer: Option<Box<dyn Sequencer>>,
    /// Why no more work is taken.
    closed: Option<&'static str>,
}

/// Commits that are held back, until the most pressing of them is content.
struct Held {
    company: Company,
    wanted: usize,
    until: Instant,
}

impl Held {
    fn new(company: Company, first: &Work) -> Self {
        let (wanted, hold) = company.hold(first.leisure());
        Self { company, wanted, until: Instant::now() + hold }
    }

    /// One more is among them. Tells whether they wait for less than before.
    fn join(&mut self, work: &Work) -> bool {
        let (wanted, hold) = self.company.hold(work.leisure());
        let until = Instant::now() + hold;
        let pressing = wanted < self.wanted || until < self.until;
        (self.wanted, self.until) = (self.wanted.min(wanted), self.until.min(until));
        pressing
    }
}

impl Queue {
    /// More than this many commits waiting means that the disk has stopped, and that waiting longer helps nobody.
    const MOST_WAITING: usize = 65_536;

    pub(super) fn new() -> Self {
        let state = State { waiting: VecDeque::new(), wanted: usize::MAX, held: None, sequencer: None, closed: None };
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
        let pressing = state.held.as_mut().is_some_and(|held| held.join(&work));
        state.waiting.push_back(work);
        let enough = pressing || state.waiting.len() >= state.wanted;
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
    /// When `company` says that others may be about to come, work that is alone waits for them a little, and work that has time waits longer: one
    /// transaction for sixty commits costs hardly more than one for thirty.
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
        let alone = state.waiting.is_empty();
        while state.waiting.is_empty() {
            if state.closed.is_some() {
                return None;
            }
            state.wanted = 1;
            self.changed.wait(&mut state);
        }
        let leisurely = state.waiting.iter().all(|work| company.is_at_leisure(work.leisure()));
        if alone || leisurely {
            self.hold(&mut state, company);
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
        Some(Taken { held: alone && !leisurely })
    }

    /// Waits for more than those who are there, as long as they have time.
    fn hold(&self, state: &mut MutexGuard<'_, State>, company: Company) {
        let Some(first) = state.waiting.front() else { return };
        let mut held = Held::new(company, first);
        for work in state.waiting.iter().skip(1) {
            held.join(work);
        }
        state.held = Some(held);
        while let Some(Held { wanted, until, .. }) = state.held
            && state.waiting.len() < wanted
            && state.closed.is_none()
        {
            state.wanted = wanted;
            if self.changed.wait_until(state, until).timed_out() {
                break;
            }
        }
        state.held = None;
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);
    const COMPANY: Company =
        Company { expected: 1, patience: Duration::ZERO, wanted: 2, hold: Duration::from_millis(1), wanted_at_leisure: 3 };

    fn work(leisure: Duration) -> Work {
        Work::Commit { commit: Commit::new(Vec::new(), Vec::new()).at_leisure(leisure), answer: oneshot::channel().0 }
    }

    /// Pushes each in turn once the writer waits for more than those before, and tells how many it then took together.
    fn taken(company: Company, leisures: &[Duration]) -> (usize, bool) {
        let queue = Arc::new(Queue::new());
        let own = Arc::clone(&queue);
        let writer = std::thread::spawn(move || {
            let mut batch = Vec::new();
            let taken = own.take(&mut batch, &mut None, company).unwrap();
            (batch.len(), taken.held)
        });
        for (before, leisure) in leisures.iter().enumerate() {
            while !writer.is_finished() && queue.state.lock().held.is_none() && before > 0 {
                std::thread::yield_now();
            }
            queue.push(work(*leisure)).unwrap();
        }
        writer.join().unwrap()
    }

    #[test]
    fn who_has_time_waits_for_as_many_as_it_wants() {
        assert_eq!(taken(COMPANY, &[LONG, LONG, LONG]), (3, false));
    }

    #[test]
    fn nobody_waits_for_the_leisure_of_others() {
        // The second one wants two and no more; alone with its own time it would wait for a millisecond.
        assert_eq!(taken(COMPANY, &[LONG, Duration::ZERO]), (2, false));
        let begun = Instant::now();
        let alone = Company { wanted: 3, wanted_at_leisure: 4, ..COMPANY };
        assert_eq!(taken(alone, &[LONG, Duration::ZERO]), (2, false));
        assert!(begun.elapsed() < LONG, "until the second one's time was over");
    }

    #[test]
    fn time_is_no_reason_to_wait_for_a_writer_that_is_idle() {
        let idle = Company { wanted: 1, wanted_at_leisure: 1, ..COMPANY };
        assert_eq!(taken(idle, &[LONG]).0, 1);
    }

    #[test]
    fn those_who_came_meanwhile_wait_where_all_have_time() {
        let queue = Queue::new();
        let mut batch = Vec::new();
        queue.push(work(Duration::from_millis(2))).unwrap();
        let begun = Instant::now();
        assert!(!queue.take(&mut batch, &mut None, COMPANY).unwrap().held);
        assert!(begun.elapsed() >= Duration::from_millis(2));
        queue.push(work(Duration::ZERO)).unwrap();
        queue.push(work(LONG)).unwrap();
        assert!(!queue.take(&mut batch, &mut None, COMPANY).unwrap().held);
        assert_eq!(batch.len(), 3);
    }
}
