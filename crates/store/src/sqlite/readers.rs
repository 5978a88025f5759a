//! Read connections: a few, opened when first needed, used on the runtime's threads for blocking work.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::StoreError;
use crate::sqlite::{file, sqlite_error};

/// The connections that are not in use, and the right to have one.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// As many permits as there may be connections; closed with the store.
    permits: Arc<Semaphore>,
}

/// What a query fails with: SQLite's error, or one of ours about what it found.
pub(super) enum QueryError {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl Readers {
    /// Reads do not wait for each other up to this number.
    const CONNECTIONS: usize = 8;

    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf(), idle: Mutex::new(Vec::new()), permits: Arc::new(Semaphore::new(Self::CONNECTIONS)) }
    }

    /// Runs a query on a connection that nobody else uses.
    pub(super) async fn run<T: Send + 'static>(
        self: Arc<Self>,
        query: impl FnOnce(&Connection) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let closed = |_| StoreError::Unavailable("it has been closed".into());
        // The permit goes with the query: a caller that stops waiting does not stop the query.
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(closed)?;
        let done = tokio::task::spawn_blocking(move || {
            let connection = match self.idle.lock().pop() {
                Some(connection) => connection,
                None => file::open_for_reading(&self.path)?,
            };
            let result = query(&connection);
            if !self.permits.is_closed() {
                self.idle.lock().push(connection);
            }
            drop(permit);
            result.map_err(|error| match error {
                QueryError::Sqlite(error) => sqlite_error("reading from the store", &error),
                QueryError::Store(error) => error,
            })
        });
        done.await.map_err(|error| StoreError::Unavailable(format!("reading from the store: {error}")))?
    }

    /// Closes the idle connections and lets no new query begin.
    pub(super) fn close(&self) {
        self.permits.close();
        self.idle.lock().clear();
    }
}

impl From<rusqlite::Error> for QueryError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for QueryError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
