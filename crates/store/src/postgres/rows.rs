//! Rows of the store's tables as the types of this crate. A row that cannot be what we wrote is an error that names it.

use bytes::Bytes;
use claviger_domain::{AccountId, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use crate::{Bundle, LogHead, Record, RecordKey, RecordKind, StoreError};

/// A row of `sql::select_records!`.
pub(super) fn record(row: &Row) -> Result<Record, StoreError> {
    let (kind, id, account): (&str, String, i64) = (cell(row, 0)?, cell(row, 1)?, cell(row, 2)?);
    let bad = |what: &str| {
        StoreError::Corrupt(format!("the record ({kind}, {id}, {account}) has {what} that this program does not know"))
    };
    let account_id = u64::try_from(account).ok().and_then(AccountId::from_number).ok_or_else(|| bad("an account number"))?;
    let record_kind = RecordKind::parse(kind).ok_or_else(|| bad("a kind"))?;
    let version = u64::try_from(cell::<i64>(row, 3)?).map_err(|_| bad("a version"))?;
    let account_key_version = u32::try_from(cell::<i64>(row, 4)?).map_err(|_| bad("an account key version"))?;
    Ok(Record {
        version,
        account_key_version,
        scope: cell(row, 5)?,
        owner: cell(row, 6)?,
        due: cell::<Option<i64>>(row, 7)?.map(Timestamp),
        sealed: blob(row, 8)?,
        key: RecordKey { account: account_id, kind: record_kind, id },
    })
}

/// A row of `sql::HEAD`.
pub(super) fn head(row: &Row) -> Result<LogHead, StoreError> {
    Ok(LogHead {
        node: cell(row, 0)?,
        size: unsigned(cell(row, 1)?, "the size of a log")?,
        checkpoint: cell(row, 2)?,
        frontier: blob(row, 3)?,
    })
}

/// A row of `sql::BUNDLES`.
pub(super) fn bundle(row: &Row) -> Result<Bundle, StoreError> {
    let count: i64 = cell(row, 2)?;
    Ok(Bundle {
        node: cell(row, 0)?,
        first: unsigned(cell(row, 1)?, "the first index of an audit bundle")?,
        count: u32::try_from(count)
            .map_err(|_| StoreError::Corrupt(format!("an audit bundle claims to have {count} entries")))?,
        checkpoint: cell(row, 3)?,
        data: blob(row, 4)?,
        frontier: Bytes::new(),
    })
}

/// A number that is never negative where we wrote it.
pub(super) fn unsigned(number: i64, what: &str) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Corrupt(format!("{what} is {number}")))
}

/// One column of a row.
pub(super) fn cell<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, StoreError> {
    row.try_get(column).map_err(|error| StoreError::Corrupt(format!("a row is not one that this program writes: {error}")))
}

/// An account as its column holds it. Account ids have 12 digits, which fit.
pub(super) fn account_column(account: AccountId) -> i64 {
    i64::try_from(account.number()).unwrap_or(i64::MAX)
}

/// A page size as LIMIT takes it.
pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A number as its column holds it.
pub(super) fn column(number: u64, what: &str) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Invalid(format!("{what} would be {number}")))
}

fn blob(row: &Row, column: usize) -> Result<Bytes, StoreError> {
    cell::<&[u8]>(row, column).map(Bytes::copy_from_slice)
}
