//! The store's file: making it, recognising it, opening connections to it.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::sqlite::{beside, sqlite_error};
use crate::{StoreError, sql};

/// Marks the file as ours in SQLite's header: "CLVG".
const APPLICATION_ID: i32 = 0x434c_5647;

/// Bytes. Bundles of audit entries are tens of kilobytes, records about one: larger pages mean fewer writes for each bundle, smaller
/// ones fewer bytes for each key that is created.
const PAGE_SIZE: i64 = 8192;

/// How long to wait for another program that has the file locked (a backup, a person with a SQL prompt).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The write-ahead log is cut to this after it has grown beyond it. Kept well above what a checkpoint is started at, because
/// writing over old log is cheaper than making the file longer.
const LOG_SIZE_LIMIT: i64 = 64 << 20;

/// Makes a new store. It appears under its name only when it is complete.
pub(super) fn create(path: &Path) -> Result<(), StoreError> {
    // A log that lies about without its store would be taken for the new one's.
    for there in [path.to_path_buf(), beside(path, "-wal"), beside(path, "-journal")] {
        if there.exists() {
            return Err(StoreError::Exists(there));
        }
    }
    let unavailable = |error: std::io::Error| StoreError::Unavailable(format!("making {}: {error}", path.display()));
    let new = beside(path, ".new");
    for leftover in [new.clone(), beside(&new, "-journal")] {
        match std::fs::remove_file(&leftover) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(unavailable(error)),
            _ => {}
        }
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    // SQLite gives the files that it makes beside this one the same permissions.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&new).map_err(unavailable)?;
    fill(&new).map_err(|error| sqlite_error("making a new store", &error))?;
    // Unlike a rename this cannot replace a file that has appeared in the meantime.
    std::fs::hard_link(&new, path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => StoreError::Exists(path.to_path_buf()),
        _ => unavailable(error),
    })?;
    std::fs::remove_file(&new).map_err(unavailable)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(unavailable)
}

/// Opens the store at `path` for writing and brings its schema up to date.
pub(super) fn open_for_writing(path: &Path) -> Result<Connection, StoreError> {
    let doing = "opening the store";
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(|error| sqlite_error(doing, &error))?;
    configure(&connection).map_err(|error| sqlite_error(doing, &error))?;
    let found = schema_version(&connection)?;
    migrate(&mut connection, found).map_err(|error| sqlite_error("bringing the store's tables up to date", &error))?;
    compare_schema(&connection)?;
    write_ahead(&connection).map_err(|error| sqlite_error(doing, &error))?;
    Ok(connection)
}

/// Checks that the file at `path` is a store that this program can read.
pub(super) fn check_readable(path: &Path) -> Result<(), StoreError> {
    recognise(path)?;
    let connection = open_for_reading(path)?;
    let found = schema_version(&connection)?;
    if (found as usize) < sql::MIGRATIONS.len() {
        return Err(StoreError::Unavailable(format!(
            "it has schema version {found}, this program reads version {}: start this program's server on it once, which brings it up to date",
            sql::MIGRATIONS.len()
        )));
    }
    compare_schema(&connection)
}

/// A connection that cannot write.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        configure(&connection)?;
        // Whoever serves the store looks after its log.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.pragma_update(None, "query_only", true)?;
        // Enough for the upper pages of all indexes; the operating system keeps the others.
        connection.pragma_update(None, "cache_size", -2048)?;
        Ok(connection)
    };
    open().map_err(|error| sqlite_error("opening the store for reading", &error))
}

/// Copies all pages that this connection sees into a new file.
pub(super) fn copy_to(from: &Connection, path: &Path) -> Result<(), StoreError> {
    let unavailable = |error: std::io::Error| StoreError::Unavailable(format!("making {}: {error}", path.display()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(unavailable)?;
    let copy = || {
        let mut to = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let backup = Backup::new(from, &mut to)?;
        // All pages in one step: the copy is of one moment.
        let step = backup.step(-1)?;
        drop(backup);
        match step {
            StepResult::Done => to.close().map_err(|(_, error)| error),
            _ => Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None)),
        }
    };
    copy().map_err(|error| sqlite_error("copying the store", &error))?;
    File::open(path).and_then(|file| file.sync_all()).map_err(unavailable)
}

/// A second connection that may write, for checkpoints.
pub(super) fn open_for_checkpoints(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        configure(&connection)?;
        write_ahead(&connection)?;
        Ok(connection)
    };
    open().map_err(|error| sqlite_error("opening the store for checkpoints", &error))
}

/// Looks at the first bytes, without SQLite: SQLite itself would replay the journal of a file that is not ours.
pub(super) fn recognise(path: &Path) -> Result<(), StoreError> {
    let unavailable = |error: std::io::Error| {
        let remedy = match error.kind() {
            ErrorKind::PermissionDenied => ": do this as the server's user",
            _ => "",
        };
        StoreError::Unavailable(format!("reading {}: {error}{remedy}", path.display()))
    };
    let mut file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => StoreError::Missing(path.to_path_buf()),
        _ => unavailable(error),
    })?;
    if !file.metadata().map_err(unavailable)?.is_file() {
        return Err(StoreError::NotAStore(path.to_path_buf()));
    }
    // https://www.sqlite.org/fileformat.html, 1.3: the magic at 0, the application id at 68.
    let mut header = [0; 72];
    let ours = match file.read_exact(&mut header) {
        Ok(()) => header.starts_with(b"SQLite format 3\0") && header.ends_with(&APPLICATION_ID.to_be_bytes()),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => false,
        Err(error) => return Err(unavailable(error)),
    };
    if ours { Ok(()) } else { Err(StoreError::NotAStore(path.to_path_buf())) }
}

/// Writes the tables of a new store, all in one transaction and with a plain journal, so that the header is in the file itself.
fn fill(path: &Path) -> rusqlite::Result<()> {
    let mut connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "page_size", PAGE_SIZE)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    migrate(&mut connection, 0)?;
    connection.close().map_err(|(_, error)| error)
}

/// Settings of every connection.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    // The file is not trusted: nothing in it may be run, and pages are looked at before they are believed.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "foreign_keys", false)?;
    // A mapped file turns an I/O error into a signal that ends the process.
    connection.pragma_update_and_check(None, "mmap_size", 0, |_| Ok(())).or_else(none_is_fine)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

/// Write-ahead log, synced at every commit, checkpointed by ourselves.
fn write_ahead(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_SIZE_LIMIT, |_| Ok(()))?;
    connection.pragma_update(None, "cache_size", -16_384)
}

/// A pragma may answer with no row where a build leaves its feature out.
fn none_is_fine(error: rusqlite::Error) -> rusqlite::Result<()> {
    match error {
        rusqlite::Error::QueryReturnedNoRows => Ok(()),
        other => Err(other),
    }
}

/// The schema version of a store, if it is one that this program knows.
fn schema_version(connection: &Connection) -> Result<u32, StoreError> {
    let found: u32 = connection
        .query_row(sql::SCHEMA_VERSION, [], |row| row.get(0))
        .map_err(|error| sqlite_error("reading the store's schema version", &error))?;
    let known = u32::try_from(sql::MIGRATIONS.len()).unwrap_or(u32::MAX);
    if found > known { Err(StoreError::NewerSchema { found, known }) } else { Ok(found) }
}

/// Runs the migrations behind version `found`, each in its own transaction.
fn migrate(connection: &mut Connection, found: u32) -> rusqlite::Result<()> {
    for (migration, version) in sql::MIGRATIONS.iter().zip(1_u32..).skip(found as usize) {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration)?;
        transaction.execute(sql::SET_SCHEMA_VERSION, [version])?;
        transaction.commit()?;
    }
    Ok(())
}

/// Compares tables and indexes with those that the migrations make: a table with another constraint, or a trigger, would make
/// the statements of this program mean something else.
fn compare_schema(connection: &Connection) -> Result<(), StoreError> {
    let doing = "comparing the store's tables";
    let found = schema_objects(connection).map_err(|error| sqlite_error(doing, &error))?;
    let expected = Connection::open_in_memory()
        .and_then(|mut model| migrate(&mut model, 0).and_then(|()| schema_objects(&model)))
        .map_err(|error| sqlite_error(doing, &error))?;
    let odd =
        found.iter().find(|object| !expected.contains(object)).or_else(|| expected.iter().find(|object| !found.contains(object)));
    match odd {
        None => Ok(()),
        Some((kind, name, _)) => {
            Err(StoreError::Corrupt(format!("its {kind} {name} is not as this program makes it (nothing was changed)")))
        }
    }
}

/// Type, name and SQL text of everything in the schema but the statistics of ANALYZE.
fn schema_objects(connection: &Connection) -> rusqlite::Result<Vec<(String, String, Option<String>)>> {
    connection
        .prepare("SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect()
}
