//! The engine for one node: SQLite in write-ahead mode, one writer thread, a few read connections.
//!
//! [`file`] makes and opens the file, [`lock`] keeps a second server out, [`queue`], [`company`] and [`writer`] are group commit, [`batch`]
//! is what happens inside one transaction, [`checkpoint`] moves the write-ahead log into the file, [`readers`] answers queries
//! and [`rows`] understands what they return.

mod batch;
mod checkpoint;
mod company;
mod file;
mod lock;
mod queue;
mod readers;
mod rows;
mod writer;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use claviger_domain::{AccountId, Timestamp};
use parking_lot::Mutex;
use rusqlite::params;

use self::lock::Lock;
use self::queue::{Queue, Work};
use self::readers::Readers;
use crate::{
    Bundle, Commit, Committed, Epochs, List, LogHead, Record, RecordKey, RecordKind, Sequencer, Shard, Store, StoreError,
    StoreFuture, StoreHealth, sql,
};

/// Whether a store is to be made or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// Make a new one; an error if there is a file already.
    CreateNew,
    /// Open the one that is there.
    Existing,
}

/// A store in one file.
pub struct SqliteStore {
    readers: Arc<Readers>,
    queue: Arc<Queue>,
    serving: Mutex<Option<Serving>>,
}

/// What a store that can be written to holds until it is closed.
struct Serving {
    writer: JoinHandle<()>,
    lock: Lock,
}

impl SqliteStore {
    /// Opens the store at `path` for reading and writing, brings its schema up to date, and keeps every other process from
    /// writing to it. Blocks for as long as that takes.
    ///
    /// # Errors
    /// [`StoreError::Exists`], [`StoreError::Missing`], [`StoreError::InUse`], [`StoreError::NotAStore`],
    /// [`StoreError::NewerSchema`], [`StoreError::Corrupt`] when its tables are not ours, [`StoreError::Unavailable`].
    pub fn open(path: &Path, mode: OpenMode) -> Result<Self, StoreError> {
        // Before anything is made beside a file that may be somebody else's.
        match mode {
            OpenMode::CreateNew if path.exists() => return Err(StoreError::Exists(path.to_path_buf())),
            OpenMode::CreateNew => {}
            OpenMode::Existing => file::recognise(path)?,
        }
        let lock = Lock::take(path)?;
        if mode == OpenMode::CreateNew {
            file::create(path)?;
        }
        let connection = file::open_for_writing(path)?;
        let queue = Arc::new(Queue::new());
        let writer = writer::start(connection, path, Arc::clone(&queue))?;
        Ok(Self { readers: Arc::new(Readers::new(path)), queue, serving: Mutex::new(Some(Serving { writer, lock })) })
    }

    /// Opens the store at `path` for reading, beside a server that may be running. Every write is refused.
    ///
    /// # Errors
    /// As for [`open`](Self::open), except that it does not matter whether somebody serves the store.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        file::check_readable(path)?;
        let queue = Arc::new(Queue::new());
        queue.close("it was opened for reading only");
        Ok(Self { readers: Arc::new(Readers::new(path)), queue, serving: Mutex::new(None) })
    }

    /// Closes the store as [`Store::close`] does, blocking. Dropping it does the same.
    pub fn close(&self) {
        let_go(&self.queue, &self.readers, self.serving.lock().take());
    }

    /// Copies the store as it is at one moment into a new file, for its owner only. Commits go on meanwhile, and are not part of the copy.
    ///
    /// # Errors
    /// The file exists, or cannot be written.
    pub fn snapshot(&self, to: &Path) -> StoreFuture<'_, ()> {
        let to = to.to_path_buf();
        self.read(move |connection| Ok(file::copy_to(connection, &to)?))
    }

    /// Lets the file grow to at most so many pages, as a full disk would. For tests.
    #[cfg(any(test, feature = "contract"))]
    pub fn limit_pages(&self, pages: u32) -> StoreFuture<'_, ()> {
        self.write(move |answer| Work::LimitPages { pages, answer })
    }

    /// Runs a query on one of the read connections.
    fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&rusqlite::Connection) -> Result<T, readers::QueryError> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        let readers = Arc::clone(&self.readers);
        Box::pin(async move { readers.run(query).await })
    }

    /// Puts work into the writer's queue and waits for the answer.
    fn write<T: Send + 'static>(&self, work: impl FnOnce(queue::Answer<T>) -> Work + Send + 'static) -> StoreFuture<'_, T> {
        let queue = Arc::clone(&self.queue);
        Box::pin(async move {
            let (answer, answered) = tokio::sync::oneshot::channel();
            queue.push(work(answer))?;
            match answered.await {
                Ok(result) => result,
                Err(_) => Err(queue.closed()),
            }
        })
    }
}

/// Writes what is waiting, moves the write-ahead log into the file, and lets go of it. Blocks until that is done.
fn let_go(queue: &Queue, readers: &Readers, serving: Option<Serving>) {
    queue.close("it has been closed");
    readers.close();
    let Some(Serving { writer, lock }) = serving else { return };
    if writer.join().is_err() {
        tracing::error!("the store's writer thread panicked");
    }
    drop(lock);
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.close();
    }
}

impl Store for SqliteStore {
    fn get(&self, key: &RecordKey) -> StoreFuture<'_, Option<Record>> {
        let key = key.clone();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(sql::GET)?;
            let mut rows = statement.query(params![key.kind.as_str(), key.id, rows::account_column(key.account)])?;
            rows.next()?.map(rows::record).transpose()
        })
    }

    fn find(&self, kind: RecordKind, id: &str) -> StoreFuture<'_, Option<Record>> {
        let id = id.to_owned();
        self.read(move |connection| {
            let mut found = rows::records(connection, sql::FIND, params![kind.as_str(), id])?;
            let record = found.pop();
            match (&record, found.pop()) {
                (Some(one), Some(other)) => Err(StoreError::Corrupt(format!(
                    "there are two records where one may be: {other} and {one}",
                    other = other.key,
                    one = one.key
                ))
                .into()),
                _ => Ok(record),
            }
        })
    }

    fn list(&self, list: List<'_>) -> StoreFuture<'_, Vec<Record>> {
        let List { account, kind, limit, .. } = list;
        let (scope, owner) = (list.scope.map(str::to_owned), list.owner.map(str::to_owned));
        let after = list.after.unwrap_or_default().to_owned();
        self.read(move |connection| {
            let (kind, account, limit) = (kind.as_str(), rows::account_column(account), rows::limit(limit));
            match (&owner, &scope) {
                (None, None) => rows::records(connection, sql::LIST, params![kind, account, after, limit]),
                (None, Some(scope)) => rows::records(connection, sql::LIST_SCOPE, params![kind, account, after, scope, limit]),
                (Some(owner), None) => rows::records(connection, sql::LIST_OWNER, params![kind, account, after, owner, limit]),
                (Some(owner), Some(scope)) => {
                    rows::records(connection, sql::LIST_OWNER_SCOPE, params![kind, account, after, owner, scope, limit])
                }
            }
        })
    }

    fn scan(&self, after: Option<&RecordKey>, limit: usize) -> StoreFuture<'_, Vec<Record>> {
        let after = after.cloned();
        self.read(move |connection| match after {
            None => rows::records(connection, sql::SCAN_FIRST, params![rows::limit(limit)]),
            Some(RecordKey { account, kind, id }) => rows::records(
                connection,
                sql::SCAN,
                params![kind.as_str(), id, rows::account_column(account), rows::limit(limit)],
            ),
        })
    }

    fn due(&self, kind: RecordKind, until: Timestamp, limit: usize) -> StoreFuture<'_, Vec<Record>> {
        self.read(move |connection| rows::records(connection, sql::DUE, params![kind.as_str(), until.0, rows::limit(limit)]))
    }

    fn count(&self, kind: RecordKind, account: Option<AccountId>) -> StoreFuture<'_, u64> {
        self.read(move |connection| {
            let count: i64 = match account {
                None => connection.prepare_cached(sql::COUNT)?.query_row([kind.as_str()], |row| row.get(0))?,
                Some(account) => connection
                    .prepare_cached(sql::COUNT_ACCOUNT)?
                    .query_row(params![kind.as_str(), rows::account_column(account)], |row| row.get(0))?,
            };
            rows::unsigned(count, "a count")
        })
    }

    fn count_in_scope(&self, kind: RecordKind, account: AccountId, scope: &str) -> StoreFuture<'_, u64> {
        let scope = scope.to_owned();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(sql::COUNT_SCOPE)?;
            let of = params![kind.as_str(), rows::account_column(account), scope];
            rows::unsigned(statement.query_row(of, |row| row.get(0))?, "a count")
        })
    }

    fn count_by_owner(&self, kind: RecordKind) -> StoreFuture<'_, Vec<(String, u64)>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(sql::COUNT_BY_OWNER)?;
            let mut rows = statement.query([kind.as_str()])?;
            let mut counts = Vec::new();
            while let Some(row) = rows.next()? {
                counts.push((row.get(0)?, rows::unsigned(row.get(1)?, "a count")?));
            }
            Ok(counts)
        })
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        self.write(move |answer| Work::Commit { commit, answer })
    }

    fn epochs(&self) -> StoreFuture<'_, Epochs> {
        self.read(|connection| {
            let mut epochs = [0; Shard::COUNT];
            let mut statement = connection.prepare_cached(sql::EPOCHS)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let shard: i64 = row.get(0)?;
                let epoch = usize::try_from(shard).ok().and_then(|shard| epochs.get_mut(shard));
                *epoch.ok_or_else(|| StoreError::Corrupt(format!("there is an epoch for shard {shard}")))? =
                    rows::unsigned(row.get(1)?, "an epoch")?;
            }
            Ok(epochs)
        })
    }

    /// A second process cannot open the file for writing.
    fn is_shared(&self) -> bool {
        false
    }

    /// The machine's.
    fn time(&self) -> StoreFuture<'_, Timestamp> {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX));
        Box::pin(std::future::ready(Ok(now)))
    }

    fn health(&self) -> StoreFuture<'_, StoreHealth> {
        let engine = format!("SQLite {}", rusqlite::version());
        Box::pin(std::future::ready(Ok(StoreHealth { engine, synchronous: None, replicas: Vec::new() })))
    }

    fn fact(&self, name: &str) -> StoreFuture<'_, Option<String>> {
        let name = name.to_owned();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(sql::FACT)?;
            let mut rows = statement.query([name])?;
            Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
        })
    }

    fn set_fact(&self, name: &str, value: &str) -> StoreFuture<'_, ()> {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.write(move |answer| Work::SetFact { name, value, answer })
    }

    fn log_head(&self, node: &str) -> StoreFuture<'_, Option<LogHead>> {
        let node = node.to_owned();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(sql::HEAD)?;
            let mut rows = statement.query([node])?;
            rows.next()?.map(rows::head).transpose()
        })
    }

    fn log_nodes(&self) -> StoreFuture<'_, Vec<String>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql::NODES)?;
            let nodes = statement.query_map([], |row| row.get(0))?.collect::<Result<BTreeSet<String>, _>>()?;
            Ok(nodes.into_iter().collect())
        })
    }

    fn bundles(&self, node: &str, from: u64, limit: usize) -> StoreFuture<'_, Vec<Bundle>> {
        let node = node.to_owned();
        self.read(move |connection| {
            // An index that the store could not hold is behind the end of every log.
            let Ok(from) = i64::try_from(from) else { return Ok(Vec::new()) };
            let mut statement = connection.prepare_cached(sql::BUNDLES)?;
            let mut rows = statement.query(params![node, from, rows::limit(limit)])?;
            let mut bundles = Vec::new();
            while let Some(row) = rows.next()? {
                bundles.push(rows::bundle(row)?);
            }
            Ok(bundles)
        })
    }

    /// What SQLite's own check of the file finds wrong: pages, indexes that disagree with their tables. Reads the whole file.
    fn check_storage(&self) -> StoreFuture<'_, Vec<String>> {
        self.read(|connection| {
            let mut statement = connection.prepare("PRAGMA integrity_check")?;
            let found = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
            Ok(found.into_iter().filter(|line| line != "ok").collect())
        })
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        let (queue, readers, serving) = (Arc::clone(&self.queue), Arc::clone(&self.readers), self.serving.lock().take());
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || let_go(&queue, &readers, serving)).await;
            done.map_err(|error| StoreError::Unavailable(format!("it could not be closed: {error}")))
        })
    }

    fn attach_log(&self, sequencer: Box<dyn Sequencer>) {
        self.queue.attach(sequencer);
    }
}

/// The path with something put behind its last name: `store.db` and `-wal`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// An error of SQLite, in words.
fn sqlite_error(doing: &str, error: &rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Unavailable(format!(
            "{doing}: there is no space left on the disk; make room and try again (what was acknowledged is safe)"
        )),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt(format!("{doing}: {error}")),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreError::Unavailable(format!("{doing}: another program holds a lock on the file; end it and try again"))
        }
        Some(_) => StoreError::Unavailable(format!("{doing}: {error}")),
        // No code of SQLite: a value that does not have the type that we write.
        None => StoreError::Corrupt(format!("{doing}: {error}")),
    }
}
