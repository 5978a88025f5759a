//! Requests on their way to the threads: bounded, so that a slow token slows its server down rather than filling memory.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};

/// Requests that may wait.
const WAITING_MAX: usize = 1024;

pub(super) struct Queue<T> {
    waiting: Mutex<VecDeque<T>>,
    came: Condvar,
    left: Condvar,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { waiting: Mutex::new(VecDeque::new()), came: Condvar::new(), left: Condvar::new() }
    }

    /// Waits for room.
    pub(super) fn push(&self, item: T) {
        let mut waiting = self.waiting.lock();
        while waiting.len() >= WAITING_MAX {
            self.left.wait(&mut waiting);
        }
        waiting.push_back(item);
        drop(waiting);
        self.came.notify_one();
    }

    /// Waits for the next one.
    pub(super) fn pop(&self) -> T {
        let mut waiting = self.waiting.lock();
        loop {
            if let Some(item) = waiting.pop_front() {
                drop(waiting);
                self.left.notify_one();
                return item;
            }
            self.came.wait(&mut waiting);
        }
    }
}
