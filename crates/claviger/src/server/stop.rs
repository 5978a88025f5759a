//! The request to stop, and how connections hear of it without looking at a shared lock for each request.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::Waker;

use parking_lot::Mutex;
use tokio::sync::Notify;

const RUNNING: u8 = 0;
const STOPPING: u8 = 1;
const ABANDONED: u8 = 2;

/// Shared by everything that has to end when the server stops. Clones are the same request.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    phase: AtomicU8,
    requested: Notify,
    next: AtomicU64,
    /// The tasks of the open connections. Touched when one opens or ends, and when the server stops: never for a request.
    wakers: Mutex<HashMap<u64, Waker>>,
}

impl Stop {
    /// A stop that nobody has requested yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everything to finish what it is doing and end.
    pub fn request(&self) {
        self.advance_to(STOPPING);
    }

    /// Tells what is still running to end at once.
    pub(super) fn abandon(&self) {
        self.advance_to(ABANDONED);
    }

    /// Whether a stop was requested.
    pub fn is_requested(&self) -> bool {
        self.0.phase.load(Ordering::Acquire) != RUNNING
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.0.phase.load(Ordering::Acquire) == ABANDONED
    }

    /// Waits until a stop is requested.
    pub async fn requested(&self) {
        let notified = self.0.requested.notified();
        if !self.is_requested() {
            notified.await;
        }
    }

    /// Has this task woken when the phase changes, until the registration is dropped.
    pub(super) fn register(&self, waker: &Waker) -> Registration {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.0.wakers.lock().insert(id, waker.clone());
        Registration { stop: self.clone(), id }
    }

    fn advance_to(&self, phase: u8) {
        self.0.phase.fetch_max(phase, Ordering::AcqRel);
        self.0.requested.notify_waiters();
        let wakers: Vec<Waker> = self.0.wakers.lock().values().cloned().collect();
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Keeps a connection's task registered.
pub(super) struct Registration {
    stop: Stop,
    id: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.stop.0.wakers.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_who_waits_hears_of_it_and_latecomers_too() {
        let stop = Stop::new();
        let waiting = tokio::spawn({
            let stop = stop.clone();
            async move { stop.requested().await }
        });
        tokio::task::yield_now().await;
        assert!(!stop.is_requested());
        stop.request();
        assert!(waiting.await.is_ok());
        stop.requested().await;
        assert!(stop.is_requested() && !stop.is_abandoned());
        stop.abandon();
        stop.request();
        assert!(stop.is_abandoned());
    }
}
