//! Rows of the store's tables as the types of this crate. A row that cannot be what we wrote is an error that names it.

use bytes::Bytes;
use claviger_domain::{AccountId, Timestamp};
use rusqlite::{Connection, Params, Row};

use crate::sqlite::readers::QueryError;
use crate::{Bundle, LogHead, Record, RecordKey, RecordKind, StoreError};

/// Every record that a query of `sql::select_records!` returns.
pub(super) fn records(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<Record>, QueryError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(record(row)?);
    }
    Ok(records)
}

/// A row of `sql::select_records!`.
pub(super) fn record(row: &Row<'_>) -> Result<Record, QueryError> {
    let (kind, id, account): (_, String, i64) =
        (row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?, row.get(1)?, row.get(2)?);
    let bad = |what: &str| {
        StoreError::Corrupt(format!("the record ({kind}, {id}, {account}) has {what} that this program does not know"))
    };
    let account_id = u64::try_from(account).ok().and_then(AccountId::from_number).ok_or_else(|| bad("an account number"))?;
    let record_kind = RecordKind::parse(kind).ok_or_else(|| bad("a kind"))?;
    let version = u64::try_from(row.get::<_, i64>(3)?).map_err(|_| bad("a version"))?;
    let account_key_version = u32::try_from(row.get::<_, i64>(4)?).map_err(|_| bad("an account key version"))?;
    Ok(Record {
        key: RecordKey { account: account_id, kind: record_kind, id },
        version,
        account_key_version,
        scope: row.get(5)?,
        owner: row.get(6)?,
        due: row.get::<_, Option<i64>>(7)?.map(Timestamp),
        sealed: blob(row, 8)?,
    })
}

/// A row of `sql::HEAD`.
pub(super) fn head(row: &Row<'_>) -> Result<LogHead, QueryError> {
    Ok(LogHead {
        node: row.get(0)?,
        size: unsigned(row.get(1)?, "the size of a log")?,
        checkpoint: row.get(2)?,
        frontier: blob(row, 3)?,
    })
}

/// A row of `sql::BUNDLES`.
pub(super) fn bundle(row: &Row<'_>) -> Result<Bundle, QueryError> {
    let count: i64 = row.get(2)?;
    Ok(Bundle {
        node: row.get(0)?,
        first: unsigned(row.get(1)?, "the first index of an audit bundle")?,
        count: u32::try_from(count)
            .map_err(|_| StoreError::Corrupt(format!("an audit bundle claims to have {count} entries")))?,
        checkpoint: row.get(3)?,
        data: blob(row, 4)?,
        frontier: Bytes::new(),
    })
}

/// A number that is never negative where we wrote it.
pub(super) fn unsigned(number: i64, what: &str) -> Result<u64, QueryError> {
    u64::try_from(number).map_err(|_| StoreError::Corrupt(format!("{what} is {number}")).into())
}

/// An account as its column holds it. Account ids have 12 digits, which fit.
pub(super) fn account_column(account: AccountId) -> i64 {
    i64::try_from(account.number()).unwrap_or(i64::MAX)
}

/// A page size as LIMIT takes it.
pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn blob(row: &Row<'_>, column: usize) -> Result<Bytes, QueryError> {
    let value = row.get_ref(column)?;
    let bytes =
        value.as_blob().map_err(|_| StoreError::Corrupt(format!("a row has {} where bytes belong", value.data_type())))?;
    Ok(Bytes::copy_from_slice(bytes))
}
