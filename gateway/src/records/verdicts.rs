//! Release verdicts that are kept, so that a pull under the same policy asks nothing again.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::RecordError;

/// A release verdict that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictRow {
    /// Digest of the policy that it was given under.
    pub policy: String,
    /// The advisory snapshot that it was weighed with.
    pub advisories: Option<String>,
    /// JSON; `None`: allowed.
    pub denial: Option<String>,
    /// From this moment on it is asked for again, seconds since 1970-01-01 UTC; `None`: only under another policy.
    pub until: Option<i64>,
}

/// Keeps a verdict; the one before is forgotten.
///
/// # Errors
/// When the database fails.
pub fn put(
    connection: &Connection,
    repository: &str,
    digest: &str,
    verdict: &VerdictRow,
    now: i64,
) -> Result<(), RecordError> {
    let sql = "INSERT INTO verdicts (repository, digest, policy, advisories, denial, until, decided_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
               ON CONFLICT DO UPDATE SET policy = excluded.policy, advisories = excluded.advisories,
                   denial = excluded.denial, until = excluded.until, decided_at = excluded.decided_at";
    let VerdictRow { policy, advisories, denial, until } = verdict;
    connection
        .prepare_cached(sql)?
        .execute(params![repository, digest, policy, advisories, denial, until, now])?;
    Ok(())
}

/// The release verdict that was given under `policy` and still holds at `now`; `None`: ask.
///
/// # Errors
/// When the database fails.
pub fn find(
    connection: &Connection,
    repository: &str,
    digest: &str,
    policy: &str,
    now: i64,
) -> Result<Option<VerdictRow>, RecordError> {
    let sql = "SELECT policy, advisories, denial, until FROM verdicts
               WHERE repository = ?1 AND digest = ?2 AND policy = ?3 AND coalesce(until > ?4, 1)";
    let mut statement = connection.prepare_cached(sql)?;
    let row = |row: &Row<'_>| {
        let (policy, advisories) = (row.get(0)?, row.get(1)?);
        Ok(VerdictRow { policy, advisories, denial: row.get(2)?, until: row.get(3)? })
    };
    Ok(statement.query_row(params![repository, digest, policy, now], row).optional()?)
}

/// Forgets a verdict: something came that may change it.
///
/// # Errors
/// When the database fails.
pub fn forget(connection: &Connection, repository: &str, digest: &str) -> Result<(), RecordError> {
    let sql = "DELETE FROM verdicts WHERE repository = ?1 AND digest = ?2";
    connection.prepare_cached(sql)?.execute([repository, digest])?;
    Ok(())
}

/// Forgets a refusal: something came that may mend it.
///
/// # Errors
/// When the database fails.
pub fn forget_denial(connection: &Connection, repository: &str, digest: &str) -> Result<(), RecordError> {
    let sql = "DELETE FROM verdicts WHERE repository = ?1 AND digest = ?2 AND denial IS NOT NULL";
    connection.prepare_cached(sql)?.execute([repository, digest])?;
    Ok(())
}

/// Forgets every verdict about a repository: something came that each may rest on.
///
/// # Errors
/// When the database fails.
pub fn forget_all(connection: &Connection, repository: &str) -> Result<(), RecordError> {
    connection.prepare_cached("DELETE FROM verdicts WHERE repository = ?1")?.execute([repository])?;
    Ok(())
}
