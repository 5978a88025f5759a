//! The contract suite, passed by SQLite.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::pin::Pin;
use std::sync::Arc;

use claviger_store::contract::Fixture;
use claviger_store::{OpenMode, SqliteStore, Store};

struct InDirectory(tempfile::TempDir);

impl Fixture for InDirectory {
    fn open(&self) -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + Send + '_>> {
        Box::pin(async {
            let path = self.0.path().join("store.db");
            let mode = if path.exists() { OpenMode::Existing } else { OpenMode::CreateNew };
            Arc::new(SqliteStore::open(&path, mode).unwrap()) as Arc<dyn Store>
        })
    }
}

fn in_directory() -> InDirectory {
    InDirectory(tempfile::tempdir().unwrap())
}

claviger_store::contract_suite!(in_directory);
