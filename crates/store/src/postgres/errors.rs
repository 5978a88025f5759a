//! What PostgreSQL's errors mean for us. Source: PostgreSQL 15 documentation, appendix A "PostgreSQL Error Codes".

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::StoreError;

/// What to do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Nothing was done, and the same thing may go well at once, on the same connection.
    Again,
    /// The connection, or the server behind it, is of no more use; nothing is known of what was under way.
    Elsewhere,
    /// It would fail again.
    None,
}

/// What an error asks for.
pub(super) fn remedy(error: &Error) -> Remedy {
    let Some(state) = error.code() else {
        // No answer of the server: the connection failed, unless it is about a value of ours.
        return if error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>()) {
            Remedy::Elsewhere
        } else {
            Remedy::None
        };
    };
    remedy_of(state)
}

fn remedy_of(state: &SqlState) -> Remedy {
    let again = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        // Somebody else was faster to insert: now it can be seen.
        SqlState::UNIQUE_VIOLATION,
        SqlState::LOCK_NOT_AVAILABLE,
    ];
    if again.contains(state) {
        return Remedy::Again;
    }
    let elsewhere = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        SqlState::TOO_MANY_CONNECTIONS,
        SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN,
        // What we are connected to has become a standby.
        SqlState::READ_ONLY_SQL_TRANSACTION,
    ];
    if elsewhere.contains(state) || state.code().starts_with("08") { Remedy::Elsewhere } else { Remedy::None }
}

/// What an error says, with its cause.
pub(super) fn said(error: &Error) -> String {
    match error.as_db_error() {
        Some(answer) => format!("{} (SQLSTATE {})", answer.message(), answer.code().code()),
        None => format!("{error}{}", error.source().map(|source| format!(" ({source})")).unwrap_or_default()),
    }
}

/// An error of the database, in words.
pub(super) fn database_error(doing: &str, error: &Error) -> StoreError {
    let said = format!("{doing}: {}", said(error));
    let Some(answer) = error.as_db_error() else { return StoreError::Unavailable(said) };
    let state = answer.code();
    let states = [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN, SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED];
    if states.contains(state) {
        return StoreError::Corrupt(said);
    }
    if *state == SqlState::DISK_FULL {
        return StoreError::Unavailable(format!(
            "{said}: the database's disk is full; make room and try again (what was acknowledged is safe)"
        ));
    }
    if *state == SqlState::INSUFFICIENT_PRIVILEGE {
        return StoreError::Unavailable(format!(
            "{said}: the database's user needs the right to read and write the store's schema"
        ));
    }
    StoreError::Unavailable(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_tried_again_and_what_stays_is_not() {
        for code in ["40001", "40P01", "23505", "55P03"] {
            assert_eq!(remedy_of(&SqlState::from_code(code)), Remedy::Again, "{code}");
        }
        for code in ["08000", "08003", "08006", "57P01", "57P02", "57P03", "25P03", "53300", "40003", "25006"] {
            assert_eq!(remedy_of(&SqlState::from_code(code)), Remedy::Elsewhere, "{code}");
        }
        for code in ["42P01", "42501", "53100", "22021", "XX001", "28P01"] {
            assert_eq!(remedy_of(&SqlState::from_code(code)), Remedy::None, "{code}");
        }
    }
}
