//! `claviger migrate`: the whole store into another engine.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use claviger_domain::AccountId;
use claviger_service::deployment::{deployment_id, facts};
use claviger_store::copy::{Progress, compare, copy};
use claviger_store::{List, OpenMode, PostgresStore, RecordKind, SqliteStore, Store};

use super::output;
use crate::config::{Database, PassphraseSource};
use crate::deployment::{off_the_runtime, refusal_problem, store_problem};
use crate::problem::Problem;
use crate::store_place::StorePlace;

/// How often it is said how far it is.
const TELL: Duration = Duration::from_secs(2);
/// A node that serves says so at least once in this time.
const HEARD_WITHIN: Duration = Duration::from_secs(5);
/// The nodes that are looked at.
const NODES_MAX: usize = 1000;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The store to be copied: sqlite:PATH, or postgres://USER@HOST/DATABASE
    from: String,
    /// Where to: the same, where nothing is yet
    to: String,
    /// The certificate authorities of the database, PEM [default: those that this machine trusts]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The file with the password of the database's user
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The schema that holds the tables
    #[arg(long, value_name = "NAME", default_value = "claviger")]
    schema: String,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Problem> {
    let (from, to) = (arguments.place(&arguments.from)?, arguments.place(&arguments.to)?);
    if to.is_taken().await? {
        return Err(to.occupied().await);
    }
    // For writing: it takes the lock of a file, so that no server can run on it meanwhile. Nothing is written.
    let source = from.open().await?;
    let deployment = deployment_id(source.as_ref()).await.map_err(|refusal| refusal_problem(&refusal))?.to_string();
    let before = written(source.as_ref()).await?;
    if source.is_shared() {
        // Whoever serves it says so every few seconds, even when nobody asks for anything.
        output::note(format_args!("looking for {} s whether any node serves {}", HEARD_WITHIN.as_secs(), arguments.from));
        tokio::time::sleep(HEARD_WITHIN).await;
        unchanged(source.as_ref(), &before).await?;
    }
    let facts = facts(source.as_ref()).await.map_err(|refusal| refusal_problem(&refusal))?;
    let target = begin(&to, &deployment).await?;
    copy(source.as_ref(), target.as_ref(), &facts, &mut telling("copied")).await.map_err(|error| store_problem(&error))?;
    let compared = compare(source.as_ref(), target.as_ref(), &facts, &mut telling("compared")).await;
    unchanged(source.as_ref(), &before).await?;
    let Progress { records, entries } = compared.map_err(|error| store_problem(&error))?;
    target.close().await.map_err(|error| store_problem(&error))?;
    source.close().await.map_err(|error| store_problem(&error))?;
    publish(&to).await?;
    output::line(format_args!(
        "deployment {deployment} is in {}: {records} records and {entries} audit entries, each compared",
        arguments.to
    ))?;
    output::note("Now name it in the configuration ([store] url, or data), and serve it under the same node name.");
    output::note(
        "The old store is as it was. NEVER SERVE BOTH: there would be two histories with one signature. Keep it, or destroy it.",
    );
    Ok(())
}

impl Arguments {
    fn place(&self, text: &str) -> Result<StorePlace, Problem> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            // `sqlite:///var/lib/x` is the path /var/lib/x.
            let path = path.strip_prefix("//").unwrap_or(path);
            return Ok(StorePlace::File(PathBuf::from(path)));
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(
                Problem::usage(format!("`{text}` is no store")).remedy("give sqlite:PATH or postgres://USER@HOST/DATABASE")
            );
        }
        let database = Database {
            url: text.to_owned(),
            ca: self.ca.clone(),
            password: self.password_file.clone().map(PassphraseSource::File),
            connections: 4,
            schema: self.schema.clone(),
        };
        database.check().map_err(Problem::usage)?;
        StorePlace::database(&database)
    }
}

/// The file in which a copy grows until it is whole.
fn growing(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".migrating");
    PathBuf::from(name)
}

/// Begins a copy, or goes on with one of the same deployment.
async fn begin(to: &StorePlace, deployment: &str) -> Result<Arc<dyn Store>, Problem> {
    match to {
        StorePlace::Database(options) => {
            let store = PostgresStore::resume(options, deployment).await.map_err(|error| store_problem(&error))?;
            Ok(Arc::new(store))
        }
        StorePlace::File(path) => {
            let path = growing(path);
            let mode = if path.exists() { OpenMode::Existing } else { OpenMode::CreateNew };
            let at = path.clone();
            let store = off_the_runtime(move || SqliteStore::open(&at, mode).map_err(|error| store_problem(&error))).await?;
            match store.fact("deployment").await.map_err(|error| store_problem(&error))? {
                Some(found) if found != deployment => {
                    Err(Problem::new(format!("{} is a copy of another deployment", path.display()))
                        .remedy("remove that file, if nobody needs it, and begin again"))
                }
                _ => Ok(Arc::new(store)),
            }
        }
    }
}

async fn publish(to: &StorePlace) -> Result<(), Problem> {
    match to {
        StorePlace::Database(options) => PostgresStore::publish(options).await.map_err(|error| store_problem(&error)),
        StorePlace::File(path) => {
            let failed = |error: std::io::Error| Problem::new(format!("cannot put the copy at {}: {error}", path.display()));
            // Unlike a rename this cannot replace a file that has appeared in the meantime.
            fs::hard_link(growing(path), path).map_err(failed)?;
            fs::remove_file(growing(path)).map_err(failed)?;
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
        }
    }
}

/// Confirms that nobody has written anything since then.
async fn unchanged(store: &dyn Store, before: &[(String, u64)]) -> Result<(), Problem> {
    if written(store).await? == before {
        return Ok(());
    }
    Err(Problem::new("somebody has written to the store meanwhile, or serves it")
        .remedy("stop every node that serves it, then run the same command again: it goes on where it was"))
}

/// Where every log ends, and what every node has said of itself last: whatever is written, but last uses, moves one.
async fn written(store: &dyn Store) -> Result<Vec<(String, u64)>, Problem> {
    let mut written = Vec::new();
    for node in store.log_nodes().await.map_err(|error| store_problem(&error))? {
        let head = store.log_head(&node).await.map_err(|error| store_problem(&error))?;
        written.push((node, head.map_or(0, |head| head.size)));
    }
    let (account, kind) = (AccountId::DEPLOYMENT, RecordKind::Heartbeat);
    let all = List { account, kind, scope: None, owner: None, after: None, limit: NODES_MAX };
    let heartbeats = store.list(all).await.map_err(|error| store_problem(&error))?;
    written.extend(heartbeats.into_iter().map(|record| (record.key.id, record.version)));
    Ok(written)
}

/// Says now and then how far it is.
fn telling(doing: &'static str) -> impl FnMut(Progress) + Send {
    let mut told = Instant::now();
    move |Progress { records, entries }| {
        if told.elapsed() >= TELL {
            told = Instant::now();
            output::note(format_args!("{doing}: {entries} audit entries, {records} records"));
        }
    }
}
