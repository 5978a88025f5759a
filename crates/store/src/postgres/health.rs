//! What the database tells of itself and of its copies. Source: PostgreSQL 15 documentation, 28.2.4 "pg_stat_replication".

use tokio_postgres::Row;

use crate::postgres::connections::Readers;
use crate::postgres::rows::cell;
use crate::{Replica, StoreError, StoreHealth};

const VERSION: &str = "SELECT version()";
const SETTINGS: &str = "SELECT current_setting('synchronous_commit'), current_setting('synchronous_standby_names')";
/// The columns of a copy are empty for a user who is not a member of `pg_monitor`.
const REPLICAS: &str = "
    SELECT COALESCE(application_name, ''), COALESCE(client_addr::text, ''), COALESCE(state, ''), COALESCE(sync_state, ''),
        pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint, (EXTRACT(EPOCH FROM replay_lag) * 1000)::bigint
    FROM pg_stat_replication ORDER BY 1, 2";

/// Asks the database.
pub(super) async fn health(readers: &Readers) -> Result<StoreHealth, StoreError> {
    let version = readers.query(VERSION, &[]).await?;
    let version: String = version.first().map(|row| cell(row, 0)).transpose()?.unwrap_or_default();
    // "PostgreSQL 15.14 (Debian ...) on x86_64-pc-linux-gnu, ...": what is behind the second word is of no interest here.
    let engine = version.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    if !engine.starts_with("PostgreSQL") {
        // Others that speak its protocol have copies of their own kind, of which it is no use to ask in PostgreSQL's words.
        return Ok(StoreHealth { engine, synchronous: None, replicas: Vec::new() });
    }
    let settings = readers.query(SETTINGS, &[]).await?;
    let synchronous = match settings.first() {
        Some(row) => {
            let (commit, names): (String, String) = (cell(row, 0)?, cell(row, 1)?);
            Some(!matches!(commit.as_str(), "off" | "local") && !names.trim().is_empty())
        }
        None => None,
    };
    let replicas = readers.query(REPLICAS, &[]).await?.iter().map(replica).collect::<Result<_, _>>()?;
    Ok(StoreHealth { engine, synchronous, replicas })
}

fn replica(row: &Row) -> Result<Replica, StoreError> {
    let (name, address, state, sync): (String, String, String, String) =
        (cell(row, 0)?, cell(row, 1)?, cell(row, 2)?, cell(row, 3)?);
    let name = if address.is_empty() { name } else { format!("{name} ({address})") };
    let unsigned = |column| Ok::<_, StoreError>(cell::<Option<i64>>(row, column)?.and_then(|number| u64::try_from(number).ok()));
    Ok(Replica {
        name,
        state,
        synchronous: matches!(sync.as_str(), "sync" | "quorum"),
        lag_bytes: unsigned(4)?,
        lag_ms: unsigned(5)?,
    })
}
