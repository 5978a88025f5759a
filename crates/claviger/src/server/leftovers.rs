//! Requests whose clients have gone away: what was begun is brought to its end, so that it is in the audit log.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::Stop;

/// The requests that nobody waits for any more. They are bounded like connections, which they come from.
pub(super) struct Leftovers {
    room: Arc<Semaphore>,
    count_max: u32,
    /// How long each may still take.
    patience: Duration,
}

impl Leftovers {
    pub(super) fn new(count_max: u32, patience: Duration) -> Self {
        Self { room: Arc::new(Semaphore::new(count_max as usize)), count_max, patience }
    }

    /// Makes `work` go on in a task of its own when the returned future is dropped before it is done, unless the server has given up.
    pub(super) fn to_its_end<F>(&self, work: F, stop: &Stop) -> ToItsEnd<F>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let (room, patience) = (Arc::clone(&self.room), self.patience);
        ToItsEnd { work: Some(Box::pin(work)), begun: false, room, patience, stop: stop.clone() }
    }

    /// Waits until there are none.
    pub(super) async fn ended(&self) -> bool {
        self.room.acquire_many(self.count_max).await.is_ok()
    }
}

/// Work that does not end with whoever waits for it.
pub(super) struct ToItsEnd<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    /// None when it is done.
    work: Option<Pin<Box<F>>>,
    begun: bool,
    room: Arc<Semaphore>,
    patience: Duration,
    stop: Stop,
}

impl<F> Future for ToItsEnd<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.begun = true;
        let Some(work) = &mut self.work else { return Poll::Pending };
        let polled = work.as_mut().poll(context);
        if polled.is_ready() {
            self.work = None;
        }
        polled
    }
}

impl<F> Drop for ToItsEnd<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    fn drop(&mut self) {
        let Some(work) = self.work.take().filter(|_| self.begun && !self.stop.is_abandoned()) else { return };
        let (Ok(permit), Ok(runtime)) = (Arc::clone(&self.room).try_acquire_owned(), Handle::try_current()) else {
            metrics::counter!("claviger_requests_dropped_total").increment(1);
            return;
        };
        let patience = self.patience;
        runtime.spawn(async move {
            if tokio::time::timeout(patience, work).await.is_err() {
                metrics::counter!("claviger_requests_dropped_total").increment(1);
            }
            drop(permit);
        });
    }
}
