//! Connections: one for the writer, a pool for readers, and how long anybody waits for an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row};

use crate::StoreError;
use crate::postgres::errors::{Remedy, database_error, remedy};
use crate::postgres::options::PostgresOptions;
use crate::postgres::schema;
use crate::postgres::tls::Tls;

/// How long the database may take for one answer before the connection is given up.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// How long connecting may take, over all hosts.
const CONNECT: Duration = Duration::from_secs(10);
/// For how long a read is tried again, elsewhere.
const READ_PATIENCE: Duration = Duration::from_secs(8);
/// How long to wait before trying again.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// A connection of our own.
pub(super) struct Connection {
    pub(super) client: Client,
    driver: JoinHandle<()>,
}

impl Connection {
    /// Connects to the first host that answers and is what the URL asks for.
    pub(super) async fn open(options: &PostgresOptions) -> Result<Self, StoreError> {
        let connected = timeout(CONNECT, Self::connect(options)).await;
        connected.unwrap_or_else(|_| Err(silent(&format!("connecting to {}", options.place()), CONNECT)))
    }

    async fn connect(options: &PostgresOptions) -> Result<Self, StoreError> {
        let failed = |error| database_error(&format!("connecting to {}", options.place()), &error);
        let connection = match options.tls()? {
            Some(tls) => {
                let (client, connection) = options.config().connect(Tls::new(tls)).await.map_err(failed)?;
                Self { client, driver: tokio::spawn(async move { tell_end(connection.await) }) }
            }
            None => {
                let (client, connection) = options.config().connect(NoTls).await.map_err(failed)?;
                Self { client, driver: tokio::spawn(async move { tell_end(connection.await) }) }
            }
        };
        connection.client.batch_execute(&schema::set_up(&options.schema)).await.map_err(failed)?;
        Ok(connection)
    }
}

impl Drop for Connection {
    /// The connection ends at once, whatever it waits for: the server then undoes what was not committed.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn tell_end(ended: Result<(), tokio_postgres::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the database ended");
    }
}

/// Why one stops waiting.
pub(super) fn silent(doing: &str, waited: Duration) -> StoreError {
    StoreError::Unavailable(format!("{doing}: the database has not answered for {} s", waited.as_secs()))
}

/// The connections that read.
pub(super) struct Readers {
    pool: Pool,
}

impl Readers {
    pub(super) fn new(options: &PostgresOptions) -> Result<Self, StoreError> {
        let set_up = schema::set_up(&options.schema);
        let hook = Hook::async_fn(move |client, _| {
            let set_up = set_up.clone();
            Box::pin(async move { client.batch_execute(&set_up).await.map_err(HookError::Backend) })
        });
        Self::with(options, options.connections.max(1), hook)
    }

    /// One connection, in one transaction that sees the database as it was at its beginning.
    pub(super) fn at_one_moment(options: &PostgresOptions) -> Result<Self, StoreError> {
        let set_up = schema::set_up(&options.schema);
        let begun = Arc::new(AtomicBool::new(false));
        let hook = Hook::async_fn(move |client, _| {
            let (set_up, begun) = (set_up.clone(), Arc::clone(&begun));
            Box::pin(async move {
                // Another connection would see another moment.
                if begun.swap(true, Ordering::SeqCst) {
                    return Err(HookError::message(
                        "the connection ended on which the store was read as of one moment; begin again",
                    ));
                }
                client.batch_execute(&set_up).await.map_err(HookError::Backend)?;
                let begin = "SET idle_in_transaction_session_timeout TO 0; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                client.batch_execute(begin).await.map_err(HookError::Backend)
            })
        });
        Self::with(options, 1, hook)
    }

    fn with(options: &PostgresOptions, connections: usize, hook: Hook) -> Result<Self, StoreError> {
        let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match options.tls()? {
            Some(tls) => Manager::from_config(options.config().clone(), Tls::new(tls), settings),
            None => Manager::from_config(options.config().clone(), NoTls, settings),
        };
        let pool = Pool::builder(manager)
            .max_size(connections)
            .runtime(Runtime::Tokio1)
            .create_timeout(Some(CONNECT))
            .wait_timeout(Some(ANSWER))
            .recycle_timeout(Some(ANSWER))
            .post_create(hook)
            .build();
        pool.map(|pool| Self { pool }).map_err(|error| StoreError::Unavailable(format!("its connections: {error}")))
    }

    /// The rows that a query finds. It is asked again, on another connection, when one fails.
    pub(super) async fn query(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        let until = Instant::now() + READ_PATIENCE;
        loop {
            let error = match self.ask(sql, parameters).await {
                Ok(rows) => return Ok(rows),
                Err(Failed::ForGood(error)) => return Err(error),
                Err(Failed::ForNow(error)) => error,
            };
            if self.pool.is_closed() || Instant::now() + PAUSE >= until {
                return Err(error);
            }
            sleep(PAUSE).await;
        }
    }

    async fn ask(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Failed> {
        let client = self.connection().await?;
        let doing = "reading the store";
        let asked = timeout(ANSWER, async {
            let statement = client.prepare_cached(sql).await?;
            client.query(&statement, parameters).await
        });
        match asked.await {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) => {
                let remedy = remedy(&error);
                if remedy == Remedy::Elsewhere {
                    // Never to be used again.
                    drop(Object::take(client));
                }
                let error = database_error(doing, &error);
                Err(if remedy == Remedy::None { Failed::ForGood(error) } else { Failed::ForNow(error) })
            }
            Err(_) => {
                drop(Object::take(client));
                Err(Failed::ForNow(silent(doing, ANSWER)))
            }
        }
    }

    async fn connection(&self) -> Result<Object, Failed> {
        use deadpool_postgres::PoolError;
        let doing = "connecting to the database";
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                Failed::ForNow(database_error(doing, &error))
            }
            PoolError::PostCreateHook(HookError::Message(why)) => Failed::ForGood(StoreError::Unavailable(why.into_owned())),
            PoolError::Timeout(_) => Failed::ForNow(silent(doing, ANSWER)),
            PoolError::Closed => Failed::ForGood(StoreError::Unavailable("it has been closed".into())),
            other => Failed::ForGood(StoreError::Unavailable(format!("{doing}: {other}"))),
        })
    }

    pub(super) fn close(&self) {
        self.pool.close();
    }
}

/// How a read failed.
enum Failed {
    /// It may go better soon.
    ForNow(StoreError),
    /// It would fail again.
    ForGood(StoreError),
}
