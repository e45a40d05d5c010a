//! Which blobs there are, which repositories hold them, and what their walks found.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::RecordError;
use crate::digest::Digest;

/// Size in bytes of a stored blob; `None` when it is not stored.
///
/// # Errors
/// When the database fails.
pub fn size(connection: &Connection, digest: &str) -> Result<Option<u64>, RecordError> {
    let mut statement = connection.prepare_cached("SELECT size FROM blobs WHERE digest = ?1")?;
    Ok(statement.query_row([digest], |row| row.get(0)).optional()?)
}

/// Size in bytes of a blob that `repository` holds; `None` when it holds none of this digest, whoever else does.
///
/// # Errors
/// When the database fails.
pub fn linked_size(
    connection: &Connection,
    repository: &str,
    digest: &str,
) -> Result<Option<u64>, RecordError> {
    let mut statement = connection.prepare_cached(
        "SELECT size FROM blobs JOIN blob_links USING (digest) WHERE repository = ?1 AND digest = ?2",
    )?;
    Ok(statement.query_row([repository, digest], |row| row.get(0)).optional()?)
}

/// Records a blob whose file is in place.
///
/// # Errors
/// When the database fails.
pub fn store(connection: &Connection, digest: &str, size: u64, now: i64) -> Result<(), RecordError> {
    let sql = "INSERT INTO blobs (digest, size, stored_at) VALUES (?1, ?2, ?3)
               ON CONFLICT DO UPDATE SET stored_at = excluded.stored_at";
    connection.prepare_cached(sql)?.execute(params![digest, size, now])?;
    Ok(())
}

/// Lets `repository` hold a stored blob, and marks it as in use now. `false`: there is no such blob (any more).
///
/// # Errors
/// When the database fails.
pub fn link(connection: &Connection, repository: &str, digest: &str, now: i64) -> Result<bool, RecordError> {
    let sql = "INSERT INTO blob_links (repository, digest, linked_at)
               SELECT ?1, digest, ?3 FROM blobs WHERE digest = ?2
               ON CONFLICT DO UPDATE SET linked_at = excluded.linked_at";
    Ok(connection.prepare_cached(sql)?.execute(params![repository, digest, now])? > 0)
}

/// Takes a blob out of a repository. `false`: it was not there.
///
/// # Errors
/// When the database fails.
pub fn unlink(connection: &Connection, repository: &str, digest: &str) -> Result<bool, RecordError> {
    let sql = "DELETE FROM blob_links WHERE repository = ?1 AND digest = ?2";
    Ok(connection.prepare_cached(sql)?.execute([repository, digest])? > 0)
}

/// Whether a manifest of `repository` names this blob.
///
/// # Errors
/// When the database fails.
pub fn is_named(connection: &Connection, repository: &str, digest: &str) -> Result<bool, RecordError> {
    let sql = "SELECT 1 FROM manifest_refs WHERE repository = ?1 AND target = ?2 AND kind = 'blob' LIMIT 1";
    Ok(connection.prepare_cached(sql)?.exists([repository, digest])?)
}

/// The released manifests of `repository` that name this blob; bounded, because one that may be served is enough.
///
/// # Errors
/// When the database fails.
pub fn released_by(
    connection: &Connection,
    repository: &str,
    digest: &str,
) -> Result<Vec<String>, RecordError> {
    let sql = "SELECT r.digest FROM manifest_refs r JOIN manifests m USING (repository, digest)
               WHERE r.repository = ?1 AND r.target = ?2 AND r.kind = 'blob' AND m.state = 'released' LIMIT 32";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([repository, digest], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Keeps what the walk over a stored blob found, in place of what a walk of another version or by other rules did; of a blob
/// that is gone meanwhile nothing is kept.
///
/// # Errors
/// When the database fails.
pub fn put_report(
    connection: &Connection,
    digest: &str,
    analyzer: &str,
    report: &[u8],
) -> Result<(), RecordError> {
    let sql = "DELETE FROM layer_reports WHERE digest = ?1 AND analyzer <> ?2";
    connection.prepare_cached(sql)?.execute([digest, analyzer])?;
    let sql = "INSERT INTO layer_reports (digest, analyzer, report)
               SELECT digest, ?2, ?3 FROM blobs WHERE digest = ?1
               ON CONFLICT DO UPDATE SET report = excluded.report";
    connection.prepare_cached(sql)?.execute(params![digest, analyzer, report])?;
    Ok(())
}

/// What the walk over a blob found, if this version of the walk has seen it.
///
/// # Errors
/// When the database fails.
pub fn report(connection: &Connection, digest: &str, analyzer: &str) -> Result<Option<Vec<u8>>, RecordError> {
    let sql = "SELECT report FROM layer_reports WHERE digest = ?1 AND analyzer = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([digest, analyzer], |row| row.get(0)).optional()?)
}

/// Whether this version of the walk has seen the blob.
///
/// # Errors
/// When the database fails.
pub fn has_report(connection: &Connection, digest: &str, analyzer: &str) -> Result<bool, RecordError> {
    let sql = "SELECT 1 FROM layer_reports WHERE digest = ?1 AND analyzer = ?2";
    Ok(connection.prepare_cached(sql)?.exists([digest, analyzer])?)
}

/// Takes back one link, if, looked at again, no manifest relies on it and no push has touched it since `before`.
///
/// # Errors
/// When the database fails.
pub fn unlink_unused(
    connection: &Connection,
    repository: &str,
    digest: &str,
    before: i64,
) -> Result<bool, RecordError> {
    let sql =
        "DELETE FROM blob_links WHERE repository = ?1 AND digest = ?2 AND linked_at < ?3 AND NOT EXISTS (
                   SELECT 1 FROM manifest_refs r WHERE r.repository = blob_links.repository
                   AND r.target = blob_links.digest AND r.kind = 'blob')";
    Ok(connection.prepare_cached(sql)?.execute(params![repository, digest, before])? > 0)
}

/// Blobs that no repository holds and that were stored before `before`, with their sizes.
///
/// # Errors
/// When the database fails.
pub fn unreferenced(
    connection: &Connection,
    before: i64,
    count_max: u32,
) -> Result<Vec<(Digest, u64)>, RecordError> {
    let sql = "SELECT digest, size FROM blobs WHERE stored_at < ?1
               AND NOT EXISTS (SELECT 1 FROM blob_links l WHERE l.digest = blobs.digest) LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement
        .query_map(params![before, count_max], |row| Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?)))?;
    rows.map(|row| {
        let (digest, size) = row?;
        let digest = Digest::parse(&digest).map_err(|_| RecordError::Malformed { what: "blob digest" })?;
        Ok((digest, size))
    })
    .collect()
}

/// Links that [`unlink_unused`] may take back.
///
/// # Errors
/// When the database fails.
pub fn unused_links(connection: &Connection, before: i64) -> Result<Vec<(String, String)>, RecordError> {
    let sql = "SELECT repository, digest FROM blob_links WHERE linked_at < ?1 AND NOT EXISTS (
                   SELECT 1 FROM manifest_refs r WHERE r.repository = blob_links.repository
                   AND r.target = blob_links.digest AND r.kind = 'blob')";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([before], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Forgets a blob that, looked at again, nobody holds and nobody stored since `before`. `true`: forgotten, with its
/// reports; its file may go.
///
/// # Errors
/// When the database fails.
pub fn forget(connection: &Connection, digest: &str, before: i64) -> Result<bool, RecordError> {
    let sql = "DELETE FROM blobs WHERE digest = ?1 AND stored_at < ?2
               AND NOT EXISTS (SELECT 1 FROM blob_links l WHERE l.digest = blobs.digest)";
    let forgotten = connection.prepare_cached(sql)?.execute(params![digest, before])? > 0;
    if forgotten {
        connection.prepare_cached("DELETE FROM layer_reports WHERE digest = ?1")?.execute([digest])?;
    }
    Ok(forgotten)
}

/// How many blobs there are, and their bytes together.
///
/// # Errors
/// When the database fails.
pub fn totals(connection: &Connection) -> Result<(u64, u64), RecordError> {
    let sql = "SELECT count(*), coalesce(sum(size), 0) FROM blobs";
    Ok(connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
}
