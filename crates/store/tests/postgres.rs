//! The contract suite, passed by PostgreSQL, and what only a database on a network can do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing, reason = "tests may panic")]

#[path = "postgres/cases.rs"]
mod cases;
#[path = "postgres/proxy.rs"]
mod proxy;
#[path = "postgres/server.rs"]
mod server;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use claviger_store::contract::Fixture;
use claviger_store::{OpenMode, PostgresOptions, PostgresStore, Store};

/// A schema of its own for each test, in the one server of this process.
pub(crate) struct InSchema(pub(crate) PostgresOptions);

impl Fixture for InSchema {
    fn open(&self) -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + Send + '_>> {
        Box::pin(async { Arc::new(self.open_store().await) as Arc<dyn Store> })
    }
}

impl InSchema {
    pub(crate) async fn open_store(&self) -> PostgresStore {
        if !PostgresStore::is_there(&self.0).await.unwrap() {
            PostgresStore::open(&self.0, OpenMode::CreateNew).await.unwrap().close().await.unwrap();
            PostgresStore::publish(&self.0).await.unwrap();
        }
        PostgresStore::open(&self.0, OpenMode::Existing).await.unwrap()
    }
}

pub(crate) fn in_schema() -> InSchema {
    in_schema_through(server::port())
}

/// The same, through a proxy that listens at this port.
pub(crate) fn in_schema_through(port: u16) -> InSchema {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut options = PostgresOptions::parse(&format!("postgres://claviger@127.0.0.1:{port}/postgres")).unwrap();
    options.schema = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    options.connections = 4;
    InSchema(options)
}

claviger_store::contract_suite!(in_schema);
