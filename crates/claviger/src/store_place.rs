//! Where a deployment's store is, and how it is opened there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger_service::deployment::facts;
use claviger_store::{OpenMode, PostgresOptions, PostgresStore, SqliteStore, Store, StoreError, copy};
use zeroize::Zeroizing;

use crate::client::{client_tls, trusted};
use crate::config::Database;
use crate::deployment::{off_the_runtime, refusal_problem, store_problem};
use crate::problem::Problem;

/// Where a deployment's store is.
#[derive(Clone)]
pub enum StorePlace {
    /// In a file: SQLite, for one node.
    File(PathBuf),
    /// In a database, for several.
    Database(Box<PostgresOptions>),
}

impl StorePlace {
    /// The database that a configuration names.
    ///
    /// # Errors
    /// Its password or its certificate authorities cannot be read.
    pub fn database(database: &Database) -> Result<Self, Problem> {
        let mut options = PostgresOptions::parse(&database.url).map_err(|error| store_problem(&error))?;
        options.connections = usize::from(database.connections);
        options.schema.clone_from(&database.schema);
        if database.ca.is_some() {
            options.demand_tls().map_err(|error| store_problem(&error))?;
        }
        if options.is_encrypted() {
            options.set_tls(Arc::new(client_tls(trusted(database.ca.as_deref())?, None)?));
        }
        if let Some(source) = &database.password {
            let password = source.read_secret("the password of the database's user", "store.password")?;
            options.set_password(&Zeroizing::new(password.as_bytes().to_vec()));
        }
        Ok(Self::Database(Box::new(options)))
    }

    /// The file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Database(_) => None,
        }
    }

    /// Whether there is a deployment.
    ///
    /// # Errors
    /// The database cannot be asked.
    pub async fn is_taken(&self) -> Result<bool, Problem> {
        match self {
            Self::File(path) => Ok(path.exists()),
            Self::Database(options) => PostgresStore::is_there(options).await.map_err(|error| store_problem(&error)),
        }
    }

    /// Opens the store that is there, for reading and writing.
    ///
    /// # Errors
    /// There is none, or it is not one that this program can serve.
    pub async fn open(&self) -> Result<Arc<dyn Store>, Problem> {
        self.open_in(OpenMode::Existing).await
    }

    /// Makes a new store. In a database it has to be [published](Self::publish) when it is whole.
    ///
    /// # Errors
    /// There is one already, or it cannot be made.
    pub async fn create(&self) -> Result<Arc<dyn Store>, Problem> {
        self.open_in(OpenMode::CreateNew).await
    }

    async fn open_in(&self, mode: OpenMode) -> Result<Arc<dyn Store>, Problem> {
        match self {
            Self::File(path) => {
                let path = path.clone();
                let store =
                    off_the_runtime(move || SqliteStore::open(&path, mode).map_err(|error| store_problem(&error))).await?;
                Ok(Arc::new(store))
            }
            Self::Database(options) => {
                let store = PostgresStore::open(options, mode).await.map_err(|error| store_problem(&error))?;
                Ok(Arc::new(store))
            }
        }
    }

    /// Opens the store that is there for reading, beside servers that may be running.
    ///
    /// # Errors
    /// There is none, or it is not one that this program understands.
    pub async fn read(&self) -> Result<Arc<dyn Store>, Problem> {
        match self {
            Self::File(path) => {
                let path = path.clone();
                let store = off_the_runtime(move || SqliteStore::open_read_only(&path).map_err(|error| store_problem(&error)));
                Ok(Arc::new(store.await?))
            }
            Self::Database(options) => {
                let store = PostgresStore::open_read_only(options).await.map_err(|error| store_problem(&error))?;
                Ok(Arc::new(store))
            }
        }
    }

    /// Why no deployment is made where there is something.
    pub async fn occupied(&self) -> Problem {
        match self {
            Self::File(path) => match self.read().await {
                Err(_) if matches!(SqliteStore::open_read_only(path), Err(StoreError::NotAStore(_))) => {
                    Problem::new(format!("{} is there, and is not a Claviger store; nothing was changed", path.display()))
                        .remedy("move it away, or choose another data directory")
                }
                _ => {
                    let directory = path.parent().unwrap_or(path).display().to_string();
                    Problem::new(format!("{directory} holds a deployment already; nothing was changed"))
                        .remedy("serve it, or choose another data directory")
                }
            },
            Self::Database(options) => Problem::new(format!(
                "the database {} holds a deployment already (schema {}); nothing was changed",
                options.place(),
                options.schema
            ))
            .remedy("serve it: another node joins by `claviger serve` alone; or choose another database"),
        }
    }

    /// Copies the store as it is at one moment into a new file.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub async fn copy_to(&self, file: &Path) -> Result<(), Problem> {
        match self {
            Self::File(path) => {
                let path = path.clone();
                let store = off_the_runtime(move || SqliteStore::open_read_only(&path).map_err(|error| store_problem(&error)));
                store.await?.snapshot(file).await.map_err(|error| store_problem(&error))
            }
            Self::Database(options) => {
                let from = PostgresStore::open_snapshot(options).await.map_err(|error| store_problem(&error))?;
                let facts = facts(&from).await.map_err(|refusal| refusal_problem(&refusal))?;
                let to = Self::File(file.to_owned()).create().await?;
                let copied = copy::copy(&from, to.as_ref(), &facts, &mut |_| {}).await;
                to.close().await.map_err(|error| store_problem(&error))?;
                copied.map_err(|error| store_problem(&error))
            }
        }
    }
}
