//! Connections: one for the writer, a pool for readers, and how long anybody waits for an answer.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use deadpool_postgres::{Connect, Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::config::Host;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Error, NoTls, Row};

use crate::StoreError;
use crate::postgres::era::{self, Era, Eras};
use crate::postgres::errors::{Remedy, database_error, remedy, said};
use crate::postgres::options::PostgresOptions;
use crate::postgres::rows::{cell, unsigned};
use crate::postgres::schema;
use crate::postgres::statements;
use crate::postgres::tls::Tls;

/// How long the database may take for one answer before the connection is given up.
pub(super) const ANSWER: Duration = Duration::from_secs(5);
/// How long one host may take until it can be asked: one that hangs must not keep anybody from the next.
const CONNECT: Duration = Duration::from_secs(2);
/// For how long a read is tried again, elsewhere.
const READ_PATIENCE: Duration = Duration::from_secs(8);
/// How long to wait before trying again.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// A connection of our own.
pub(super) struct Connection {
    pub(super) client: Client,
    /// The host, by its place in the URL.
    pub(super) place: usize,
    driver: JoinHandle<()>,
}

impl Connection {
    /// Connects to the first host that answers and is what the URL asks for.
    pub(super) async fn open(options: &PostgresOptions) -> Result<Self, StoreError> {
        let failed = |error| database_error(&format!("connecting to {}", options.place()), &error);
        let tls = options.tls()?.map(Tls::new);
        let mut reasons = Vec::new();
        let connected = connect_to_any(options.config(), tls.as_ref(), options.preferred(), &mut reasons).await;
        let (client, driver) = connected.map_err(|error| {
            // Of several hosts the last one that is tried is hardly ever the one that it is about.
            if reasons.len() < 2 {
                failed(error)
            } else {
                StoreError::Unavailable(format!("connecting to the database: {}", reasons.join("; ")))
            }
        })?;
        let connection = Self { client, place: options.preferred().load(Ordering::Relaxed), driver };
        let set_up = schema::set_up(&options.schema);
        match timeout(ANSWER, connection.client.batch_execute(&set_up)).await {
            Ok(done) => done.map(|()| connection).map_err(failed),
            Err(_) => Err(silent(&format!("connecting to {}", options.place()), ANSWER)),
        }
    }
}

/// Tries one host after the other, from the one on that did last. The error is that of the last one that said why; `reasons` get those of all.
async fn connect_to_any(
    config: &Config,
    tls: Option<&Tls>,
    preferred: &AtomicUsize,
    reasons: &mut Vec<String>,
) -> Result<(Client, JoinHandle<()>), Error> {
    let mut reason = None;
    let (hosts, first) = (config.get_hosts().len(), preferred.load(Ordering::Relaxed));
    for place in (0..hosts).map(|turn| (first + turn) % hosts) {
        let config = only_host(config, place);
        let connected = timeout(CONNECT, async {
            match tls {
                Some(tls) => {
                    let (client, connection) = config.connect(tls.clone()).await?;
                    Ok((client, tokio::spawn(async move { tell_end(connection.await) })))
                }
                None => {
                    let (client, connection) = config.connect(NoTls).await?;
                    Ok((client, tokio::spawn(async move { tell_end(connection.await) })))
                }
            }
        });
        match connected.await {
            Ok(Ok(connection)) => {
                preferred.store(place, Ordering::Relaxed);
                return Ok(connection);
            }
            Ok(Err(error)) => {
                reasons.push(format!("{}: {}", host_and_port(&config), said(&error)));
                reason = Some(error);
            }
            Err(_) => {
                reasons.push(format!("{}: no answer within {} s", host_and_port(&config), CONNECT.as_secs()));
                tracing::debug!(place, "a host of the database does not answer");
            }
        }
    }
    match reason {
        Some(error) => Err(error),
        None => nobody(config).await,
    }
}

/// The one host of these settings, for people.
fn host_and_port(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => String::new(),
    };
    format!("{host}:{}", config.get_ports().first().copied().unwrap_or(5432))
}

/// The same settings for one of the hosts alone.
fn only_host(all: &Config, place: usize) -> Config {
    let mut config = Config::new();
    if let Some(host) = all.get_hosts().get(place) {
        match host {
            Host::Tcp(name) => config.host(name),
            Host::Unix(path) => config.host_path(path),
        };
    }
    // One port for all, or one for each.
    let port = all.get_ports().get(place).or_else(|| all.get_ports().first());
    config.port(port.copied().unwrap_or(5432));
    if let Some(user) = all.get_user() {
        config.user(user);
    }
    if let Some(password) = all.get_password() {
        config.password(password);
    }
    if let Some(name) = all.get_dbname() {
        config.dbname(name);
    }
    if let Some(options) = all.get_options() {
        config.options(options);
    }
    if let Some(name) = all.get_application_name() {
        config.application_name(name);
    }
    if let Some(time) = all.get_connect_timeout() {
        config.connect_timeout(*time);
    }
    if let Some(time) = all.get_tcp_user_timeout() {
        config.tcp_user_timeout(*time);
    }
    if let Some(time) = all.get_keepalives_interval() {
        config.keepalives_interval(time);
    }
    if let Some(retries) = all.get_keepalives_retries() {
        config.keepalives_retries(retries);
    }
    config
        .ssl_mode(all.get_ssl_mode())
        .ssl_negotiation(all.get_ssl_negotiation())
        .keepalives(all.get_keepalives())
        .keepalives_idle(all.get_keepalives_idle())
        .target_session_attrs(all.get_target_session_attrs())
        .channel_binding(all.get_channel_binding());
    config
}

/// How the pool connects.
struct ToAny {
    tls: Option<Tls>,
    preferred: Arc<AtomicUsize>,
}

impl Connect for ToAny {
    /// In a task of its own: whoever gives up waiting must not keep the others from learning which host is the one.
    fn connect(&self, config: &Config) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + '_>> {
        let (config, tls, preferred) = (config.clone(), self.tls.clone(), Arc::clone(&self.preferred));
        Box::pin(async move {
            let connecting = tokio::spawn({
                let config = config.clone();
                async move { connect_to_any(&config, tls.as_ref(), &preferred, &mut Vec::new()).await }
            });
            match connecting.await {
                Ok(connected) => connected,
                // The runtime is ending.
                Err(_) => nobody(&config).await,
            }
        })
    }
}

/// What one gets from a connection that ends without a word.
async fn nobody(config: &Config) -> Result<(Client, JoinHandle<()>), Error> {
    let (client, connection) = config.connect_raw(tokio::io::empty(), NoTls).await?;
    Ok((client, tokio::spawn(async move { tell_end(connection.await) })))
}

impl Drop for Connection {
    /// The connection ends at once, whatever it waits for: the server then undoes what was not committed.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn tell_end(ended: Result<(), Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the database ended");
    }
}

/// Why one stops waiting.
pub(super) fn silent(doing: &str, waited: Duration) -> StoreError {
    StoreError::Unavailable(format!("{doing}: the database has not answered for {} s", waited.as_secs()))
}

/// Why one stops waiting for a commit.
pub(super) fn unconfirmed(doing: &str, waited: Duration) -> StoreError {
    StoreError::Unavailable(format!(
        "{doing}: the database has not confirmed a commit for {} s (if it answers otherwise: is a standby away that `synchronous_standby_names` waits for?)",
        waited.as_secs()
    ))
}

/// The connections that read.
pub(super) struct Readers {
    options: PostgresOptions,
    pool: Pool,
    eras: Arc<Eras>,
}

impl Readers {
    /// So many connections, which read what is written.
    pub(super) fn new(options: &PostgresOptions, connections: usize, eras: Arc<Eras>) -> Result<Self, StoreError> {
        let set_up = schema::set_up(&options.schema);
        let hook = Hook::async_fn(move |client, _| {
            let set_up = set_up.clone();
            Box::pin(async move { client.batch_execute(&set_up).await.map_err(HookError::Backend) })
        });
        Self::with(options, connections.max(1), eras, hook)
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
        Self::with(options, 1, Arc::new(Eras::new(0)), hook)
    }

    fn with(options: &PostgresOptions, connections: usize, eras: Arc<Eras>, hook: Hook) -> Result<Self, StoreError> {
        let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let to_any = ToAny { tls: options.tls()?.map(Tls::new), preferred: Arc::clone(options.preferred()) };
        let manager = Manager::from_connect(options.config().clone(), to_any, settings);
        let pool = Pool::builder(manager)
            .max_size(connections)
            .runtime(Runtime::Tokio1)
            .create_timeout(Some(ANSWER * 2))
            .wait_timeout(Some(ANSWER))
            .recycle_timeout(Some(ANSWER))
            .post_create(hook)
            .build();
        pool.map(|pool| Self { options: options.clone(), pool, eras })
            .map_err(|error| StoreError::Unavailable(format!("its connections: {error}")))
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
        let mut lent = self.believed().await?;
        let rows = lent.ask(sql, parameters).await?;
        lent.give_back();
        Ok(rows)
    }

    /// A connection to the database that is written to.
    async fn believed(&self) -> Result<Lent, Failed> {
        loop {
            let mut lent = Lent(Some(self.connection().await?));
            let (era, used) = (self.eras.current(), lent.0.as_ref().map(Object::metrics));
            // What is from before the era is dropped, and another one taken.
            let Some(used) = used.filter(|used| used.created >= era.began || era.mark == 0) else { continue };
            if used.recycle_count > 0 || era.mark == 0 || lent.shows(era).await? {
                return Ok(lent);
            }
            self.options.leave_host(self.options.preferred().load(Ordering::Relaxed));
            let why = "the server that was connected to is not the one that is written to, or lacks what was written";
            return Err(Failed::ForNow(StoreError::Unavailable(why.into())));
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

/// A connection out of the pool. Unless its answer has come, it does not go back there: not either when nobody waits for the answer any more.
struct Lent(Option<Object>);

impl Lent {
    /// The rows that a query finds. Where that fails for good, the connection is as good as before.
    async fn ask(&mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Failed> {
        let doing = "reading the store";
        let Some(client) = &self.0 else { return Err(Failed::ForNow(silent(doing, ANSWER))) };
        let asked = timeout(ANSWER, async {
            let statement = client.prepare_cached(sql).await?;
            client.query(&statement, parameters).await
        });
        match asked.await {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) => {
                let remedy = remedy(&error);
                if remedy != Remedy::Elsewhere {
                    self.give_back();
                }
                let error = database_error(doing, &error);
                Err(if remedy == Remedy::None { Failed::ForGood(error) } else { Failed::ForNow(error) })
            }
            Err(_) => Err(Failed::ForNow(silent(doing, ANSWER))),
        }
    }

    /// Whether the database has what the era began with.
    async fn shows(&mut self, era: Era) -> Result<bool, Failed> {
        let rows = self.ask(statements::EPOCH, &[&era::ROW]).await?;
        let Some(row) = rows.first() else { return Ok(false) };
        let counted = cell(row, 0).and_then(|counted| unsigned(counted, "an epoch")).map_err(Failed::ForGood)?;
        Ok(counted >= era.mark)
    }

    fn give_back(&mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Object::take(client));
        }
    }
}
