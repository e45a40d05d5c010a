//! The signatures that the gate made itself, in forms that a release lacked.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::RecordError;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterSignature {
    /// `bundle` or `simple`.
    pub form: String,
    /// Digest of the manifest that holds it.
    pub manifest: String,
    /// Id of the key that it was made with.
    pub key: String,
    /// Digest of what stood under its tag before; its signatures are repeated in [`CounterSignature::manifest`].
    pub previous: Option<String>,
}

/// Keeps one; the one before of the same form is forgotten.
///
/// # Errors
/// When the database fails.
pub(crate) fn put(
    connection: &Connection,
    repository: &str,
    digest: &str,
    made: &CounterSignature,
) -> Result<(), RecordError> {
    let sql = "INSERT INTO counter_signatures (repository, digest, form, manifest, key, previous)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT DO UPDATE SET manifest = excluded.manifest, key = excluded.key,
                   previous = excluded.previous";
    let CounterSignature { form, manifest, key, previous } = made;
    connection.prepare_cached(sql)?.execute(params![repository, digest, form, manifest, key, previous])?;
    Ok(())
}

/// All of an image.
///
/// # Errors
/// When the database fails.
pub fn of_image(
    connection: &Connection,
    repository: &str,
    digest: &str,
) -> Result<Vec<CounterSignature>, RecordError> {
    let sql =
        "SELECT form, manifest, key, previous FROM counter_signatures WHERE repository = ?1 AND digest = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let row = |row: &Row<'_>| {
        Ok(CounterSignature {
            form: row.get(0)?,
            manifest: row.get(1)?,
            key: row.get(2)?,
            previous: row.get(3)?,
        })
    };
    Ok(statement.query_map([repository, digest], row)?.collect::<Result<_, _>>()?)
}

/// The image that `manifest` was made for.
///
/// # Errors
/// When the database fails.
pub fn subject(
    connection: &Connection,
    repository: &str,
    manifest: &str,
) -> Result<Option<String>, RecordError> {
    let sql = "SELECT digest FROM counter_signatures WHERE repository = ?1 AND manifest = ?2";
    Ok(connection.prepare_cached(sql)?.query_row([repository, manifest], |row| row.get(0)).optional()?)
}

/// Forgets one.
///
/// # Errors
/// When the database fails.
pub(crate) fn forget(
    connection: &Connection,
    repository: &str,
    digest: &str,
    form: &str,
) -> Result<(), RecordError> {
    let sql = "DELETE FROM counter_signatures WHERE repository = ?1 AND digest = ?2 AND form = ?3";
    connection.prepare_cached(sql)?.execute([repository, digest, form])?;
    Ok(())
}
