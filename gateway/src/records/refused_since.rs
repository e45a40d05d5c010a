//! Since when a released image is refused for each finding that its rule gives a grace.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::RecordError;

/// Findings remembered of one image: more than the worst real images have, and a bound on what a policy that denies
/// everything can fill.
const FINDINGS_MAX: u32 = 20_000;

/// All that is remembered of an image.
///
/// # Errors
/// When the database fails.
pub fn of(
    connection: &Connection,
    repository: &str,
    digest: &str,
) -> Result<BTreeMap<String, i64>, RecordError> {
    let sql = "SELECT finding, since FROM refused_since WHERE repository = ?1 AND digest = ?2 LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement
        .query_map(params![repository, digest, FINDINGS_MAX], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Remembers findings; those known already keep their time. An image that is gone meanwhile is left alone.
///
/// # Errors
/// When the database fails.
pub fn remember(
    connection: &Connection,
    repository: &str,
    digest: &str,
    findings: &[String],
    since: i64,
) -> Result<(), RecordError> {
    let sql = "INSERT INTO refused_since (repository, digest, finding, since)
               SELECT ?1, ?2, ?3, ?4 WHERE EXISTS
                   (SELECT 1 FROM manifests WHERE repository = ?1 AND digest = ?2)
               ON CONFLICT DO NOTHING";
    let mut statement = connection.prepare_cached(sql)?;
    for finding in findings {
        statement.execute(params![repository, digest, finding, since])?;
    }
    Ok(())
}
