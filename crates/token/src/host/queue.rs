//! Requests on their way to the threads: bounded, so that a slow token slows its server down rather than filling memory.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};

/// Requests that may wait.
const WAITING_MAX: usize = 1024;

pub(super) struct Queue<T> {
    waiting: Mutex<Waiting<T>>,
    came: Condvar,
    left: Condvar,
}

struct Waiting<T> {
    items: VecDeque<T>,
    closed: bool,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self {
            waiting: Mutex::new(Waiting { items: VecDeque::new(), closed: false }),
            came: Condvar::new(),
            left: Condvar::new(),
        }
    }

    /// Waits for room.
    pub(super) fn push(&self, item: T) {
        let mut waiting = self.waiting.lock();
        while waiting.items.len() >= WAITING_MAX {
            self.left.wait(&mut waiting);
        }
        waiting.items.push_back(item);
        drop(waiting);
        self.came.notify_one();
    }

    /// Lets nobody wait any more: what is in the queue is dropped.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        waiting.items.clear();
        drop(waiting);
        self.came.notify_all();
    }

    /// Waits for the next one; none when the queue is closed.
    pub(super) fn pop(&self) -> Option<T> {
        let mut waiting = self.waiting.lock();
        loop {
            if waiting.closed {
                return None;
            }
            if let Some(item) = waiting.items.pop_front() {
                drop(waiting);
                self.left.notify_one();
                return Some(item);
            }
            self.came.wait(&mut waiting);
        }
    }
}
