//! Why a manifest is withdrawn, and which one was named when it was.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::RecordError;

/// One withdrawal.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct WithdrawalRow {
    /// The digest that was named: the manifest itself, or the index that lists it.
    pub cause: String,
    /// Why.
    pub reason: String,
    /// The account.
    pub withdrawn_by: String,
    /// Seconds since 1970-01-01 UTC.
    pub withdrawn_at: i64,
}

/// Keeps why a manifest is withdrawn; the first reason stays.
///
/// # Errors
/// When the database fails.
pub(crate) fn put(
    connection: &Connection,
    repository: &str,
    digest: &str,
    row: &WithdrawalRow,
) -> Result<(), RecordError> {
    let sql = "INSERT INTO withdrawals (repository, digest, cause, reason, withdrawn_by, withdrawn_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
    let WithdrawalRow { cause, reason, withdrawn_by, withdrawn_at } = row;
    connection.prepare_cached(sql)?.execute(params![
        repository,
        digest,
        cause,
        reason,
        withdrawn_by,
        withdrawn_at
    ])?;
    Ok(())
}

/// Why a manifest is withdrawn.
///
/// # Errors
/// When the database fails.
pub fn find(
    connection: &Connection,
    repository: &str,
    digest: &str,
) -> Result<Option<WithdrawalRow>, RecordError> {
    let sql = "SELECT cause, reason, withdrawn_by, withdrawn_at FROM withdrawals
               WHERE repository = ?1 AND digest = ?2";
    let row = |row: &Row<'_>| {
        let (cause, reason, withdrawn_by) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(WithdrawalRow { cause, reason, withdrawn_by, withdrawn_at: row.get(3)? })
    };
    Ok(connection.prepare_cached(sql)?.query_row([repository, digest], row).optional()?)
}

/// Forgets what was withdrawn because of `cause`; gives the digests.
///
/// # Errors
/// When the database fails.
pub(crate) fn take(
    connection: &Connection,
    repository: &str,
    cause: &str,
) -> Result<Vec<String>, RecordError> {
    let sql = "DELETE FROM withdrawals WHERE repository = ?1 AND cause = ?2 RETURNING digest";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([repository, cause], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
