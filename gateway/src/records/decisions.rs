//! Rows of the decision log, written in the same transaction as the change that they tell of.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use super::RecordError;

/// The newest sequence number and hash; `None` in an empty log.
///
/// # Errors
/// When the database fails.
pub fn head(connection: &Connection) -> Result<Option<(u64, String)>, RecordError> {
    let mut statement =
        connection.prepare_cached("SELECT seq, hash FROM decisions ORDER BY seq DESC LIMIT 1")?;
    Ok(statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

/// Appends one row; the sequence number must be new.
///
/// # Errors
/// When the database fails, or the number is taken.
pub fn append(connection: &Connection, seq: u64, entry: &[u8], hash: &str) -> Result<(), RecordError> {
    let sql = "INSERT INTO decisions (seq, entry, hash) VALUES (?1, ?2, ?3)";
    connection.prepare_cached(sql)?.execute(params![seq, entry, hash])?;
    Ok(())
}

/// Rows from `first` on, oldest first, at most `count_max`: sequence number, entry, hash.
///
/// # Errors
/// When the database fails.
pub fn rows(
    connection: &Connection,
    first: u64,
    count_max: u32,
) -> Result<Vec<(u64, Vec<u8>, String)>, RecordError> {
    let sql = "SELECT seq, entry, hash FROM decisions WHERE seq >= ?1 ORDER BY seq LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let rows =
        statement.query_map(params![first, count_max], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A connection that can only read, for looking at the log beside a running gateway.
///
/// # Errors
/// When there is no database, or it cannot be opened.
pub fn open_read_only(data_dir: &Path) -> Result<Connection, RecordError> {
    let path = data_dir.join("records.sqlite");
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(connection)
}
