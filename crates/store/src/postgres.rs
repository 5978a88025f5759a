//! The engine for several nodes: PostgreSQL, or what speaks its protocol, one writer task in each node, a pool of read connections.
//!
//! [`options`] says where the database is, [`connections`] and [`tls`] reach it, [`era`] tells it from those that were left behind, [`schema`] makes the tables, [`writer`] is group commit, [`plan`] and
//! [`transaction`] are what happens inside one transaction, [`statements`] what it says, [`errors`] what is done about failures, [`rows`]
//! understands what is read, and [`health`] asks the database how it is.
//!
//! Each transaction may be tried again without being done twice: a node's log can be extended only from where it ends, and a record changed only
//! from the version that was looked at. When a connection breaks over a COMMIT, the end of the log tells whether it was done.

mod connections;
mod era;
mod errors;
mod health;
mod options;
mod plan;
mod rows;
mod schema;
mod statements;
mod tls;
mod transaction;
mod writer;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use claviger_domain::{AccountId, Timestamp};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

pub use self::options::PostgresOptions;

use self::connections::{Connection, Readers};
use self::era::Eras;
use self::writer::{Answer, MOST_WAITING, Work, Writer};
use crate::{
    Bundle, Commit, Committed, Epochs, List, LogHead, OpenMode, Record, RecordKey, RecordKind, Sequencer, Shard, Store,
    StoreError, StoreFuture, StoreHealth, sql,
};

/// How long a commit is waited for. It may still be carried out afterwards, if it was begun.
const COMMIT_PATIENCE: Duration = Duration::from_secs(20);

/// A store in a PostgreSQL database, which other nodes may use at the same time.
pub struct PostgresStore {
    readers: Readers,
    /// A connection for epochs alone: whether what is known is fresh must not wait for those who read much.
    pulse: Readers,
    eras: Arc<Eras>,
    /// None in a store that is only read.
    queue: Mutex<Option<mpsc::Sender<Work>>>,
    attached: Arc<Mutex<Option<Box<dyn Sequencer>>>>,
    closed: Arc<AtomicBool>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl PostgresStore {
    /// Opens the store for reading and writing. In the mode [`OpenMode::CreateNew`] its tables are made first, under a name of their own:
    /// [`PostgresStore::publish`] then gives them their place, and until then [`OpenMode::Existing`] does not find them.
    ///
    /// # Errors
    /// [`StoreError::Missing`] or [`StoreError::Exists`], [`StoreError::NewerSchema`], [`StoreError::Corrupt`] when its tables are not ours,
    /// [`StoreError::Unavailable`].
    pub async fn open(options: &PostgresOptions, mode: OpenMode) -> Result<Self, StoreError> {
        let options = match mode {
            OpenMode::CreateNew => make(options, schema::unfinished_alone(&options.schema, options.attempt)).await?,
            OpenMode::Existing => options.clone(),
        };
        recognise(&options).await?;
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        let (attached, closed) = (Arc::new(Mutex::new(None)), Arc::new(AtomicBool::new(false)));
        let (connection, statements, mark) = writer::open(&options).await?;
        let eras = Arc::new(Eras::new(mark));
        let writer = Writer {
            connection: Some((connection, statements)),
            options: options.clone(),
            eras: Arc::clone(&eras),
            doubted: None,
            attached: Arc::clone(&attached),
            sequencer: None,
            closed: Arc::clone(&closed),
            failing: None,
        };
        metrics::describe_histogram!(
            "claviger_store_commit_seconds",
            metrics::Unit::Seconds,
            "Time of one durable group commit."
        );
        metrics::describe_histogram!("claviger_store_group_entries", "Audit entries written by one group commit.");
        let writer = tokio::spawn(writer.run(receiver));
        let readers = Readers::new(&options, options.connections, Arc::clone(&eras))?;
        let pulse = Readers::new(&options, 1, Arc::clone(&eras))?;
        Ok(Self { readers, pulse, eras, queue: Mutex::new(Some(sender)), attached, closed, writer: Mutex::new(Some(writer)) })
    }

    /// Opens a new store that is not published yet, to go on with it; it is made if it is not there, or if it was not begun for this deployment.
    ///
    /// # Errors
    /// As for [`open`](Self::open) in the mode [`OpenMode::CreateNew`].
    pub async fn resume(options: &PostgresOptions, deployment: &str) -> Result<Self, StoreError> {
        let mut unfinished = options.clone();
        unfinished.schema = schema::unfinished(&options.schema);
        if !Self::is_there(options).await? {
            match Self::open(&unfinished, OpenMode::Existing).await {
                Ok(begun) if begun.fact("deployment").await?.is_none_or(|found| found == deployment) => return Ok(begun),
                Ok(_) | Err(StoreError::Missing(_) | StoreError::Corrupt(_)) => {}
                // What cannot be looked at now is not removed.
                Err(error) => return Err(error),
            }
        }
        Self::open(&make(options, unfinished.schema).await?, OpenMode::Existing).await
    }

    /// Opens the store for reading as it is at one moment, whatever is written meanwhile. It fails for good when its connection ends.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub async fn open_snapshot(options: &PostgresOptions) -> Result<Self, StoreError> {
        recognise(options).await?;
        Self::only_read(options, Readers::at_one_moment(options)?)
    }

    /// Opens the store for reading, beside nodes that may be running. Every write is refused.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub async fn open_read_only(options: &PostgresOptions) -> Result<Self, StoreError> {
        recognise(options).await?;
        Self::only_read(options, Readers::new(options, options.connections, Arc::new(Eras::new(0)))?)
    }

    fn only_read(options: &PostgresOptions, readers: Readers) -> Result<Self, StoreError> {
        let eras = Arc::new(Eras::new(0));
        let pulse = Readers::new(options, 1, Arc::clone(&eras))?;
        let closed = Arc::new(AtomicBool::new(false));
        Ok(Self { readers, pulse, eras, queue: Mutex::new(None), attached: Arc::default(), closed, writer: Mutex::new(None) })
    }

    /// Gives the tables of a new store, which was opened with [`OpenMode::CreateNew`], filled and closed, their place.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when another deployment was faster; [`StoreError::Unavailable`].
    pub async fn publish(options: &PostgresOptions) -> Result<(), StoreError> {
        let connection = Connection::open(options).await?;
        if schema::exists(&connection.client, &options.schema).await? {
            return Err(exists(options));
        }
        schema::rename(&connection.client, &unfinished(&connection, options).await?, &options.schema).await
    }

    /// Removes a new store that was not published.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn discard(options: &PostgresOptions) -> Result<(), StoreError> {
        let connection = Connection::open(options).await?;
        schema::remove(&connection.client, &unfinished(&connection, options).await?).await
    }

    /// Whether the database holds a deployment's tables.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn is_there(options: &PostgresOptions) -> Result<bool, StoreError> {
        let connection = Connection::open(options).await?;
        schema::exists(&connection.client, &options.schema).await
    }

    /// Brings the tables up to date: the version before, and the version now. Every node has to run this program, or a later one, before.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub async fn upgrade(options: &PostgresOptions) -> Result<(u32, u32), StoreError> {
        let connection = Connection::open(options).await?;
        if !schema::exists(&connection.client, &options.schema).await? {
            return Err(missing(options));
        }
        let found = schema::check(&connection.client).await?;
        Ok((found, schema::upgrade(&connection.client, found).await?))
    }

    async fn records(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Record>, StoreError> {
        self.readers.query(sql, parameters).await?.iter().map(rows::record).collect()
    }

    async fn number(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<u64, StoreError> {
        match self.readers.query(sql, parameters).await?.first() {
            Some(row) => rows::unsigned(rows::cell(row, 0)?, "a count"),
            None => Ok(0),
        }
    }

    async fn texts(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<String>, StoreError> {
        self.readers.query(sql, parameters).await?.iter().map(|row| rows::cell(row, 0)).collect()
    }

    /// Puts work into the writer's queue and waits for the answer.
    async fn write(&self, work: impl FnOnce(Answer) -> Work) -> Result<Committed, StoreError> {
        let queue = self.queue.lock().clone();
        let Some(queue) = queue else {
            let why = if self.closed.load(Ordering::Acquire) { "it has been closed" } else { "it was opened for reading only" };
            return Err(StoreError::Unavailable(why.into()));
        };
        let (answer, answered) = oneshot::channel();
        match queue.try_send(work(answer)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                return Err(StoreError::Unavailable(format!(
                    "{MOST_WAITING} commits are waiting for the database; try again later"
                )));
            }
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(stopped()),
        }
        // So that the writer may end when the store is closed meanwhile.
        drop(queue);
        match timeout(COMMIT_PATIENCE, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(stopped()),
            Err(_) => Err(StoreError::Unavailable(format!(
                "the database has not answered for {} s; whether this was done is not known",
                COMMIT_PATIENCE.as_secs()
            ))),
        }
    }
}

impl Drop for PostgresStore {
    /// What waits is still written.
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
    }
}

/// Makes the tables of a new store, under this name for now. The options say where they are.
async fn make(options: &PostgresOptions, unfinished: String) -> Result<PostgresOptions, StoreError> {
    let connection = Connection::open(options).await?;
    if schema::exists(&connection.client, &options.schema).await? {
        return Err(exists(options));
    }
    schema::create(&connection.client, &unfinished).await?;
    let mut there = options.clone();
    there.schema = unfinished;
    Ok(there)
}

/// Where the new store is that was made through these options.
async fn unfinished(connection: &Connection, options: &PostgresOptions) -> Result<String, StoreError> {
    let alone = schema::unfinished_alone(&options.schema, options.attempt);
    let is_there = schema::exists(&connection.client, &alone).await?;
    Ok(if is_there { alone } else { schema::unfinished(&options.schema) })
}

/// Checks that there is a store that this program can serve.
async fn recognise(options: &PostgresOptions) -> Result<(), StoreError> {
    let connection = Connection::open(options).await?;
    if !schema::exists(&connection.client, &options.schema).await? {
        return Err(missing(options));
    }
    let found = schema::check(&connection.client).await?;
    if found < schema::known() {
        tracing::warn!(
            found,
            known = schema::known(),
            "the store's tables are of an older version; they serve. Once every node runs this program, `claviger store upgrade` brings them up to date"
        );
    }
    Ok(())
}

fn missing(options: &PostgresOptions) -> StoreError {
    StoreError::Missing(format!("{} (schema {})", options.place(), options.schema).into())
}

fn exists(options: &PostgresOptions) -> StoreError {
    StoreError::Exists(format!("{} (schema {})", options.place(), options.schema).into())
}

fn stopped() -> StoreError {
    StoreError::Unavailable("its writer has stopped; restart the server (what was acknowledged is safe)".into())
}

impl Store for PostgresStore {
    fn get(&self, key: &RecordKey) -> StoreFuture<'_, Option<Record>> {
        let key = key.clone();
        Box::pin(async move {
            // No text of PostgreSQL has a zero byte.
            if key.id.contains('\0') {
                return Ok(None);
            }
            let of: [&(dyn ToSql + Sync); 3] = [&key.kind.as_str(), &key.id, &rows::account_column(key.account)];
            Ok(self.records(sql::GET, &of).await?.pop())
        })
    }

    fn find(&self, kind: RecordKind, id: &str) -> StoreFuture<'_, Option<Record>> {
        let id = id.to_owned();
        Box::pin(async move {
            if id.contains('\0') {
                return Ok(None);
            }
            let mut found = self.records(sql::FIND, &[&kind.as_str(), &id]).await?;
            let record = found.pop();
            match (&record, found.pop()) {
                (Some(one), Some(other)) => Err(StoreError::Corrupt(format!(
                    "there are two records where one may be: {other} and {one}",
                    other = other.key,
                    one = one.key
                ))),
                _ => Ok(record),
            }
        })
    }

    fn list(&self, list: List<'_>) -> StoreFuture<'_, Vec<Record>> {
        let (scope, owner) = (list.scope.map(str::to_owned), list.owner.map(str::to_owned));
        let after = list.after.unwrap_or_default().to_owned();
        let (kind, account, limit) = (list.kind.as_str(), rows::account_column(list.account), rows::limit(list.limit));
        Box::pin(async move {
            match (&owner, &scope) {
                (None, None) => self.records(sql::LIST, &[&kind, &account, &after, &limit]).await,
                (None, Some(scope)) => self.records(sql::LIST_SCOPE, &[&kind, &account, &after, scope, &limit]).await,
                (Some(owner), None) => self.records(sql::LIST_OWNER, &[&kind, &account, &after, owner, &limit]).await,
                (Some(owner), Some(scope)) => {
                    self.records(sql::LIST_OWNER_SCOPE, &[&kind, &account, &after, owner, scope, &limit]).await
                }
            }
        })
    }

    fn scan(&self, after: Option<&RecordKey>, limit: usize) -> StoreFuture<'_, Vec<Record>> {
        let after = after.cloned();
        Box::pin(async move {
            match after {
                None => self.records(sql::SCAN_FIRST, &[&rows::limit(limit)]).await,
                Some(RecordKey { account, kind, id }) => {
                    let of: [&(dyn ToSql + Sync); 4] = [&kind.as_str(), &id, &rows::account_column(account), &rows::limit(limit)];
                    self.records(sql::SCAN, &of).await
                }
            }
        })
    }

    fn due(&self, kind: RecordKind, until: Timestamp, limit: usize) -> StoreFuture<'_, Vec<Record>> {
        Box::pin(async move { self.records(sql::DUE, &[&kind.as_str(), &until.0, &rows::limit(limit)]).await })
    }

    fn count(&self, kind: RecordKind, account: Option<AccountId>) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            match account {
                None => self.number(sql::COUNT, &[&kind.as_str()]).await,
                Some(account) => self.number(sql::COUNT_ACCOUNT, &[&kind.as_str(), &rows::account_column(account)]).await,
            }
        })
    }

    fn count_in_scope(&self, kind: RecordKind, account: AccountId, scope: &str) -> StoreFuture<'_, u64> {
        let scope = scope.to_owned();
        Box::pin(async move { self.number(sql::COUNT_SCOPE, &[&kind.as_str(), &rows::account_column(account), &scope]).await })
    }

    fn count_by_owner(&self, kind: RecordKind) -> StoreFuture<'_, Vec<(String, u64)>> {
        Box::pin(async move {
            let counted = |row: &Row| Ok((rows::cell(row, 0)?, rows::unsigned(rows::cell(row, 1)?, "a count")?));
            self.readers.query(sql::COUNT_BY_OWNER, &[&kind.as_str()]).await?.iter().map(counted).collect()
        })
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        Box::pin(self.write(move |answer| Work::Commit { commit, answer }))
    }

    fn era(&self) -> u64 {
        self.eras.number()
    }

    fn epochs(&self) -> StoreFuture<'_, Epochs> {
        Box::pin(async move {
            let mut counted = [0; Shard::COUNT];
            for row in &self.pulse.query(sql::EPOCHS, &[]).await? {
                if rows::cell::<i64>(row, 0)? == era::ROW {
                    continue;
                }
                let (shard, epoch) = transaction::epoch(row)?;
                if let Some(known) = counted.get_mut(shard) {
                    *known = epoch;
                }
            }
            self.eras.counted(&counted);
            // Of the era in which they were counted or a later one: nothing is told too late.
            let era = self.eras.number();
            let mut epochs = [0; Shard::COUNT];
            for (told, counted) in epochs.iter_mut().zip(counted) {
                *told = era::told(era, counted)?;
            }
            Ok(epochs)
        })
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn time(&self) -> StoreFuture<'_, Timestamp> {
        Box::pin(async {
            let rows = self.readers.query("SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint", &[]).await?;
            let now = rows.first().map(|row| rows::cell(row, 0)).transpose()?;
            now.map(Timestamp).ok_or_else(|| StoreError::Unavailable("the database does not say what time it is".into()))
        })
    }

    fn health(&self) -> StoreFuture<'_, StoreHealth> {
        Box::pin(health::health(&self.readers))
    }

    fn fact(&self, name: &str) -> StoreFuture<'_, Option<String>> {
        let name = name.to_owned();
        Box::pin(async move { Ok(self.texts(sql::FACT, &[&name]).await?.pop()) })
    }

    fn set_fact(&self, name: &str, value: &str) -> StoreFuture<'_, ()> {
        let (name, value) = (name.to_owned(), value.to_owned());
        Box::pin(async move { self.write(move |answer| Work::SetFact { name, value, answer }).await.map(drop) })
    }

    fn log_head(&self, node: &str) -> StoreFuture<'_, Option<LogHead>> {
        let node = node.to_owned();
        Box::pin(async move { self.readers.query(sql::HEAD, &[&node]).await?.first().map(rows::head).transpose() })
    }

    fn log_nodes(&self) -> StoreFuture<'_, Vec<String>> {
        Box::pin(async move {
            let nodes: BTreeSet<String> = self.texts(sql::NODES, &[]).await?.into_iter().collect();
            Ok(nodes.into_iter().collect())
        })
    }

    fn bundles(&self, node: &str, from: u64, limit: usize) -> StoreFuture<'_, Vec<Bundle>> {
        let node = node.to_owned();
        Box::pin(async move {
            // An index that the store could not hold is behind the end of every log.
            let Ok(from) = i64::try_from(from) else { return Ok(Vec::new()) };
            self.readers.query(sql::BUNDLES, &[&node, &from, &rows::limit(limit)]).await?.iter().map(rows::bundle).collect()
        })
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        self.closed.store(true, Ordering::Release);
        drop(self.queue.lock().take());
        let writer = self.writer.lock().take();
        Box::pin(async move {
            if let Some(writer) = writer
                && writer.await.is_err()
            {
                tracing::error!("the store's writer panicked");
            }
            self.readers.close();
            self.pulse.close();
            Ok(())
        })
    }

    fn attach_log(&self, sequencer: Box<dyn Sequencer>) {
        *self.attached.lock() = Some(sequencer);
    }
}
