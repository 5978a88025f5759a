//! Moving the write-ahead log into the file, without holding up the writer for long.
//!
//! A thread of its own copies the bulk beside the running writer, and syncs it. But a log that is written to all the time is never
//! copied to its very end, and only then does SQLite begin it anew, so that it would grow without end: therefore the writer, between
//! two transactions, copies the little that has been added since.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::StoreError;
use crate::sqlite::file;

/// Bytes written to the log, about, after which it is copied. More saves writing pages that change often; less makes opening the
/// store after a crash quicker (this much takes some tens of milliseconds).
const COPY_AFTER: usize = 16 << 20;

/// The checkpoints of one writer.
pub(super) struct Checkpoints {
    /// Bytes written since the last one was asked for.
    written: usize,
    ask: SyncSender<()>,
    /// Set when the bulk has been copied.
    copied: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Checkpoints {
    /// Starts the thread that copies.
    pub(super) fn start(path: &Path) -> Result<Self, StoreError> {
        let connection = file::open_for_checkpoints(path)?;
        let (ask, asked) = mpsc::sync_channel(1);
        let copied = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name("store-checkpoint".into()).spawn({
            let copied = Arc::clone(&copied);
            move || copy_when_asked(&connection, &asked, &copied)
        });
        let thread =
            thread.map_err(|error| StoreError::Unavailable(format!("its checkpoint thread cannot be started: {error}")))?;
        Ok(Self { written: 0, ask, copied, thread })
    }

    /// Counts what a transaction wrote, and asks for a copy when that is enough.
    pub(super) fn count(&mut self, bytes: usize) {
        self.written = self.written.saturating_add(bytes);
        // When the thread is still busy with the one before, this is asked again with the next transaction.
        if self.written >= COPY_AFTER && self.ask.try_send(()).is_ok() {
            self.written = 0;
        }
    }

    /// Copies what has been added since the bulk was copied, if it just was. For the writer, between two transactions.
    pub(super) fn finish(&self, connection: &Connection) {
        if self.copied.swap(false, Ordering::Acquire) {
            checkpoint(connection, "PASSIVE");
        }
    }

    /// Ends the thread, copies everything and closes the writer's connection.
    pub(super) fn stop(self, connection: Connection) {
        drop(self.ask);
        if self.thread.join().is_err() {
            tracing::error!("the store's checkpoint thread panicked");
        }
        checkpoint(&connection, "TRUNCATE");
        if let Err((_, error)) = connection.close() {
            tracing::warn!(%error, "the store's file could not be closed in order");
        }
    }
}

fn copy_when_asked(connection: &Connection, asked: &Receiver<()>, copied: &AtomicBool) {
    while asked.recv().is_ok() {
        checkpoint(connection, "PASSIVE");
        copied.store(true, Ordering::Release);
    }
}

/// Failing to copy loses nothing: the log stays, and grows until a later copy succeeds.
fn checkpoint(connection: &Connection, mode: &str) {
    if let Err(error) = connection.pragma_update_and_check(None, "wal_checkpoint", mode, |_| Ok(())) {
        tracing::warn!(%error, "the store's write-ahead log could not be copied into its file; it is tried again");
    }
}
