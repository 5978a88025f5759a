//! The tables in PostgreSQL: how they are made, recognised and brought up to date.
//!
//! They stand in a schema (a namespace) of their own. A new deployment is built up in another one, which takes the name at the end: as a file is
//! written beside its place and renamed, so that half a deployment is never found.

use tokio_postgres::Client;

use crate::postgres::errors::database_error;
use crate::{StoreError, sql};

/// One migration per version, each run in a transaction of its own. Append; never edit.
///
/// Texts are compared by their bytes, whatever the database's own collation is.
const MIGRATIONS: &[&str] = &[r#"
    CREATE TABLE schema (version BIGINT NOT NULL);
    INSERT INTO schema (version) VALUES (0);
    CREATE TABLE records (
        kind TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        account BIGINT NOT NULL,
        version BIGINT NOT NULL,
        account_key_version BIGINT NOT NULL,
        scope TEXT COLLATE "C" NOT NULL,
        owner TEXT COLLATE "C" NOT NULL,
        due BIGINT,
        sealed BYTEA NOT NULL,
        PRIMARY KEY (kind, id, account)
    );
    CREATE INDEX records_by_scope ON records (kind, account, scope, id);
    CREATE INDEX records_by_account ON records (kind, account, id);
    CREATE INDEX records_by_owner ON records (kind, owner, account, id);
    CREATE INDEX records_by_due ON records (kind, due, id, account) WHERE due IS NOT NULL;
    CREATE TABLE shards (
        shard BIGINT NOT NULL PRIMARY KEY,
        epoch BIGINT NOT NULL
    );
    CREATE TABLE facts (
        name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
        value TEXT NOT NULL
    );
    CREATE TABLE audit_heads (
        node TEXT COLLATE "C" NOT NULL PRIMARY KEY,
        size BIGINT NOT NULL,
        checkpoint TEXT NOT NULL,
        frontier BYTEA NOT NULL
    );
    CREATE TABLE audit_bundles (
        node TEXT COLLATE "C" NOT NULL,
        first BIGINT NOT NULL,
        count BIGINT NOT NULL,
        checkpoint TEXT NOT NULL,
        data BYTEA NOT NULL,
        PRIMARY KEY (node, first)
    );
"#];

/// The oldest schema that this program can serve without changing it. A newer program is started on the old schema first, on every node;
/// only then is the schema brought up to date.
const OLDEST_SERVED: u32 = 1;

/// What is done on every connection. Source: PostgreSQL 15 documentation, 20.11 "Client Connection Defaults" and 20.5.2.
///
/// A statement is never cancelled: a cancelled COMMIT that waits for its standby would be reported as done without being safe there. What
/// hangs is left, and looked up on another connection. A transaction whose client is gone, or was stopped in its middle, lets its locks go within a second: other
/// nodes wait for them, and with them all who wait for the same group commit. A commit is not answered before it is
/// durable, also where the database's default is to answer before (`synchronous_commit`), or comes to be that later; a stronger default stays.
pub(super) fn set_up(schema: &str) -> String {
    format!(
        "SET search_path TO {};
         SET statement_timeout TO 0;
         SET lock_timeout TO '5s';
         SET idle_in_transaction_session_timeout TO '1s';
         SET default_transaction_isolation TO 'read committed';
         SET client_min_messages TO 'warning';
         SELECT set_config('synchronous_commit',
             CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN 'on' ELSE current_setting('synchronous_commit') END, false)",
        quoted(schema)
    )
}

/// The schema in which a deployment is built up that shall be called `schema`, and that can be gone on with later.
pub(super) fn unfinished(schema: &str) -> String {
    format!("{schema}_unfinished")
}

/// The same for one that nobody goes on with: each attempt has one of its own, so that two at the same time do not build up one thing.
pub(super) fn unfinished_alone(schema: &str, attempt: u32) -> String {
    format!("{schema}_unfinished_{attempt:08x}")
}

/// A name as SQL takes it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The newest schema version that this program knows.
pub(super) fn known() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// Whether the schema (the namespace) exists.
pub(super) async fn exists(client: &Client, schema: &str) -> Result<bool, StoreError> {
    let found = client.query_opt("SELECT 1 FROM information_schema.schemata WHERE schema_name = $1", &[&schema]).await;
    found.map(|row| row.is_some()).map_err(|error| database_error("looking for the store's tables", &error))
}

/// Makes the tables in a schema of their own, in the place of whatever an earlier attempt has left there.
pub(super) async fn create(client: &Client, schema: &str) -> Result<(), StoreError> {
    let doing = "making the store's tables";
    let name = quoted(schema);
    let make = format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}; {}", set_up(schema));
    client.batch_execute(&make).await.map_err(|error| database_error(doing, &error))?;
    for (migration, version) in MIGRATIONS.iter().zip(1_u32..) {
        migrate_to(client, migration, version).await?;
    }
    Ok(())
}

/// Gives a schema its final name.
pub(super) async fn rename(client: &Client, from: &str, to: &str) -> Result<(), StoreError> {
    let rename = format!("ALTER SCHEMA {} RENAME TO {}", quoted(from), quoted(to));
    client.batch_execute(&rename).await.map_err(|error| database_error("giving the store's tables their place", &error))
}

/// Removes a schema with all that is in it.
pub(super) async fn remove(client: &Client, schema: &str) -> Result<(), StoreError> {
    let remove = format!("DROP SCHEMA IF EXISTS {} CASCADE", quoted(schema));
    client.batch_execute(&remove).await.map_err(|error| database_error("removing the tables of a store", &error))
}

/// Checks that the tables are ones that this program can serve, and says which version they have.
pub(super) async fn check(client: &Client) -> Result<u32, StoreError> {
    let doing = "reading the store's schema version";
    let row = client.query_one(sql::SCHEMA_VERSION, &[]).await.map_err(|error| database_error(doing, &error))?;
    let found: i64 = row.try_get(0).map_err(|error| StoreError::Corrupt(format!("{doing}: {error}")))?;
    let found = u32::try_from(found).map_err(|_| StoreError::Corrupt(format!("its schema version is {found}")))?;
    check_version(found)?;
    compare(client).await?;
    Ok(found)
}

/// Whether tables of this version can be served.
fn check_version(found: u32) -> Result<(), StoreError> {
    if found > known() {
        return Err(StoreError::NewerSchema { found, known: known() });
    }
    if found < OLDEST_SERVED {
        return Err(StoreError::Unavailable(format!(
            "it has schema version {found}, and this program serves versions from {OLDEST_SERVED} on: it was never finished, or is older than \
             what this program can take over; run an older version first"
        )));
    }
    Ok(())
}

/// Compares the columns with those that the migrations make, and looks for triggers, rules and the like: they would make the statements of this program
/// mean something else.
async fn compare(client: &Client) -> Result<(), StoreError> {
    let doing = "comparing the store's tables";
    let columns = "SELECT table_name::text, column_name::text, data_type::text, is_nullable::text FROM information_schema.columns
                   WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position";
    let rows = client.query(columns, &[]).await.map_err(|error| database_error(doing, &error))?;
    let mut found = Vec::new();
    for row in &rows {
        let cell = |at: usize| row.try_get::<_, String>(at).map_err(|error| StoreError::Corrupt(format!("{doing}: {error}")));
        found.push(format!("{}.{} {} {}", cell(0)?, cell(1)?, cell(2)?, cell(3)?));
    }
    let odd = found.iter().find(|column| !COLUMNS.contains(&column.as_str()));
    let missing = COLUMNS.iter().find(|column| !found.iter().any(|found| found == *column));
    if let Some(odd) = odd {
        return Err(StoreError::Corrupt(format!(
            "it has a column `{odd}` that this program does not make (nothing was changed)"
        )));
    }
    if let Some(missing) = missing {
        return Err(StoreError::Corrupt(format!("it lacks the column `{missing}` (nothing was changed)")));
    }
    let triggers =
        "SELECT trigger_name::text FROM information_schema.triggers WHERE event_object_schema = current_schema() LIMIT 1";
    // Rules rewrite statements, policies hide rows, and a view may be anything.
    let others =
        "SELECT tables.relname::text FROM pg_class AS tables JOIN pg_namespace AS spaces ON spaces.oid = tables.relnamespace
                  WHERE spaces.nspname = current_schema()
                    AND (tables.relhasrules OR tables.relrowsecurity OR tables.relkind IN ('v', 'm', 'f')) LIMIT 1";
    for (what, query) in [("triggers", triggers), ("rules, policies or views", others)] {
        if client.query_opt(query, &[]).await.map_err(|error| database_error(doing, &error))?.is_some() {
            let why = format!("its tables have {what}, which this program does not make (nothing was changed)");
            return Err(StoreError::Corrupt(why));
        }
    }
    Ok(())
}

/// Brings the tables up to date, one version after the other.
pub(super) async fn upgrade(client: &Client, found: u32) -> Result<u32, StoreError> {
    for (migration, version) in MIGRATIONS.iter().zip(1_u32..).skip(found as usize) {
        migrate_to(client, migration, version).await?;
    }
    Ok(known())
}

async fn migrate_to(client: &Client, migration: &str, version: u32) -> Result<(), StoreError> {
    let migrate = format!("BEGIN; {migration}; UPDATE schema SET version = {version}; COMMIT");
    client.batch_execute(&migrate).await.map_err(|error| database_error("bringing the store's tables up to date", &error))
}

/// What `information_schema.columns` says of the tables.
const COLUMNS: &[&str] = &[
    "audit_bundles.node text NO",
    "audit_bundles.first bigint NO",
    "audit_bundles.count bigint NO",
    "audit_bundles.checkpoint text NO",
    "audit_bundles.data bytea NO",
    "audit_heads.node text NO",
    "audit_heads.size bigint NO",
    "audit_heads.checkpoint text NO",
    "audit_heads.frontier bytea NO",
    "facts.name text NO",
    "facts.value text NO",
    "records.kind text NO",
    "records.id text NO",
    "records.account bigint NO",
    "records.version bigint NO",
    "records.account_key_version bigint NO",
    "records.scope text NO",
    "records.owner text NO",
    "records.due bigint YES",
    "records.sealed bytea NO",
    "schema.version bigint NO",
    "shards.shard bigint NO",
    "shards.epoch bigint NO",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_tables_are_left_alone() {
        assert_eq!(check_version(known()), Ok(()));
        assert_eq!(check_version(known() + 1), Err(StoreError::NewerSchema { found: known() + 1, known: known() }));
        assert!(matches!(check_version(0), Err(StoreError::Unavailable(_))));
    }

    #[test]
    fn names_cannot_end_their_quotes() {
        assert_eq!(quoted("a\"; DROP TABLE x; --"), "\"a\"\"; DROP TABLE x; --\"");
    }
}
