//! Release verdicts that are kept, so that a pull under the same policy asks nothing again.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::RecordError;

/// A release verdict that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictRow {
    /// Epoch of the policy that it was given under ([`crate::gate::policy::Policy::epoch`]).
    pub policy: String,
    /// The advisory snapshot that it was weighed with.
    pub advisories: Option<String>,
    /// What that snapshot said, in short.
    pub said: Option<String>,
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
    let sql = "INSERT INTO verdicts (repository, digest, policy, advisories, said, denial, until, decided_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
               ON CONFLICT DO UPDATE SET policy = excluded.policy, advisories = excluded.advisories,
                   said = excluded.said, denial = excluded.denial, until = excluded.until,
                   decided_at = excluded.decided_at";
    let VerdictRow { policy, advisories, said, denial, until } = verdict;
    connection
        .prepare_cached(sql)?
        .execute(params![repository, digest, policy, advisories, said, denial, until, now])?;
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
    let sql = "SELECT policy, advisories, said, denial, until FROM verdicts
               WHERE repository = ?1 AND digest = ?2 AND policy = ?3 AND coalesce(until > ?4, 1)";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row(params![repository, digest, policy, now], verdict_row).optional()?)
}

fn verdict_row(row: &Row<'_>) -> rusqlite::Result<VerdictRow> {
    let (policy, advisories) = (row.get(0)?, row.get(1)?);
    Ok(VerdictRow { policy, advisories, said: row.get(2)?, denial: row.get(3)?, until: row.get(4)? })
}

/// A release verdict and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptVerdict {
    /// Where.
    pub repository: String,
    /// Which manifest.
    pub digest: String,
    /// The answer.
    pub verdict: VerdictRow,
}

/// Verdicts under `policy` about what is released, in the order of digest and repository, after `last`.
///
/// # Errors
/// When the database fails.
pub fn released(
    connection: &Connection,
    policy: &str,
    last: (&str, &str),
    count_max: u32,
) -> Result<Vec<KeptVerdict>, RecordError> {
    let sql = "SELECT v.policy, v.advisories, v.said, v.denial, v.until, v.repository, v.digest
               FROM manifests m JOIN verdicts v ON v.repository = m.repository AND v.digest = m.digest
               WHERE v.policy = ?1 AND m.state = 'released' AND (m.digest, m.repository) > (?2, ?3)
               ORDER BY m.digest, m.repository LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let kept = |row: &Row<'_>| {
        Ok(KeptVerdict { verdict: verdict_row(row)?, repository: row.get(5)?, digest: row.get(6)? })
    };
    Ok(statement.query_map(params![policy, last.0, last.1, count_max], kept)?.collect::<Result<_, _>>()?)
}

/// Released manifests whose verdicts under `policy` have ended by `now`, the one that ended first leading.
///
/// # Errors
/// When the database fails.
pub fn ended(
    connection: &Connection,
    policy: &str,
    now: i64,
    count_max: u32,
) -> Result<Vec<(String, String)>, RecordError> {
    let sql = "SELECT v.repository, v.digest FROM verdicts v
               JOIN manifests m ON m.repository = v.repository AND m.digest = v.digest
               WHERE v.until <= ?2 AND v.policy = ?1 AND m.state = 'released' ORDER BY v.until LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![policy, now, count_max], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A verdict that other advisories would have given too stands for those from now on.
///
/// # Errors
/// When the database fails.
pub fn restamp(
    connection: &Connection,
    kept: &KeptVerdict,
    advisories: Option<&str>,
) -> Result<(), RecordError> {
    let sql = "UPDATE verdicts SET advisories = ?5
               WHERE repository = ?1 AND digest = ?2 AND policy = ?3 AND advisories IS ?4";
    let before = &kept.verdict;
    connection.prepare_cached(sql)?.execute(params![
        kept.repository,
        kept.digest,
        before.policy,
        before.advisories,
        advisories
    ])?;
    Ok(())
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
