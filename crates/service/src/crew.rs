//! Threads that do long work one after the other, in the order in which it came.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Why work was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undone {
    /// Its turn did not come in time.
    Late,
    /// It was begun, and broke off.
    Broken,
}

/// Some threads and a line in front of them. They end when it is dropped.
pub(crate) struct Crew {
    line: Arc<Line>,
}

type Job = Box<dyn FnOnce() + Send>;

struct Line {
    jobs: Mutex<Jobs>,
    arrived: Condvar,
}

struct Jobs {
    waiting: VecDeque<Job>,
    closed: bool,
}

/// What has become of a job: nothing yet, begun by a thread, or given up by who waited for it.
const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Crew {
    /// So many threads of this name.
    pub(crate) fn new(name: &str, threads: usize) -> Self {
        let jobs = Mutex::new(Jobs { waiting: VecDeque::new(), closed: false });
        let line = Arc::new(Line { jobs, arrived: Condvar::new() });
        for _ in 0..threads {
            let line = Arc::clone(&line);
            // A thread that cannot be started leaves its work to the others; with none at all, everything is late, which is said.
            if let Err(error) = std::thread::Builder::new().name(name.to_owned()).spawn(move || line.work()) {
                tracing::error!(%error, name, "a thread for long work could not be started");
            }
        }
        Self { line }
    }

    /// Does this work on one of the threads. Once begun it is done to its end, also when nobody waits for it any longer: who goes away must not make
    /// room for another.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        wait_max: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Undone> {
        let (done, mut result) = oneshot::channel();
        let fate = Arc::new(AtomicU8::new(WAITING));
        let known = Arc::clone(&fate);
        let take =
            move |fate: &AtomicU8, as_what| fate.compare_exchange(WAITING, as_what, Ordering::AcqRel, Ordering::Acquire).is_ok();
        self.line.push(Box::new(move || {
            if take(&known, BEGUN)
                && let Ok(value) = catch_unwind(AssertUnwindSafe(work))
            {
                // Perhaps nobody waits.
                let _ = done.send(value);
            }
        }));
        match timeout(wait_max, &mut result).await {
            Ok(value) => value.map_err(|_| Undone::Broken),
            Err(_) if take(&fate, GIVEN_UP) => Err(Undone::Late),
            Err(_) => result.await.map_err(|_| Undone::Broken),
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.line.jobs.lock().closed = true;
        self.line.arrived.notify_all();
    }
}

impl Line {
    fn push(&self, job: Job) {
        self.jobs.lock().waiting.push_back(job);
        self.arrived.notify_one();
    }

    fn work(&self) {
        let mut jobs = self.jobs.lock();
        loop {
            if let Some(job) = jobs.waiting.pop_front() {
                drop(jobs);
                job();
                jobs = self.jobs.lock();
            } else if jobs.closed {
                return;
            } else {
                self.arrived.wait(&mut jobs);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(20);

    /// A crew of one, busy until what is answered is dropped.
    async fn busy() -> (Arc<Crew>, mpsc::Sender<()>, tokio::task::JoinHandle<Result<(), Undone>>) {
        let crew = Arc::new(Crew::new("crew", 1));
        let (go_on, stop) = mpsc::channel::<()>();
        let (begun, has_begun) = oneshot::channel();
        let own = Arc::clone(&crew);
        let work = tokio::spawn(async move {
            let work = move || {
                begun.send(()).unwrap();
                let _ = stop.recv();
            };
            own.run(LONG, work).await
        });
        has_begun.await.unwrap();
        (crew, go_on, work)
    }

    #[tokio::test]
    async fn what_does_not_get_its_turn_is_late_and_not_done() {
        let (crew, go_on, work) = busy().await;
        let done = Arc::new(AtomicU8::new(0));
        let counted = Arc::clone(&done);
        let late = crew.run(SHORT, move || counted.fetch_add(1, Ordering::Relaxed)).await;
        assert_eq!(late, Err(Undone::Late));
        drop(go_on);
        assert_eq!(work.await.unwrap(), Ok(()), "what was begun takes as long as it takes");
        assert_eq!(crew.run(LONG, || 1).await, Ok(1));
        assert_eq!(done.load(Ordering::Relaxed), 0, "what was given up is not done");
    }

    #[tokio::test]
    async fn what_panics_breaks_off_and_the_thread_goes_on() {
        let crew = Crew::new("crew", 1);
        let broken = crew.run(LONG, || -> u8 { panic!("this test wants it so") }).await;
        assert_eq!(broken, Err(Undone::Broken));
        assert_eq!(crew.run(LONG, || 1).await, Ok(1));
    }

    #[tokio::test]
    async fn work_is_done_in_the_order_in_which_it_came() {
        let (crew, go_on, work) = busy().await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for number in 0..5 {
            let (own, order) = (Arc::clone(&crew), Arc::clone(&order));
            waiting.push(Box::pin(async move { own.run(LONG, move || order.lock().push(number)).await }));
            // The first poll puts it into the line.
            assert!(timeout(Duration::ZERO, waiting.last_mut().unwrap()).await.is_err());
        }
        drop(go_on);
        work.await.unwrap().unwrap();
        for job in waiting {
            job.await.unwrap();
        }
        assert_eq!(*order.lock(), [0, 1, 2, 3, 4]);
    }
}
