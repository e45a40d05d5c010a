//! The receipts that the gate gave: of each released image the last, and the one before.

use keys::receipt::Receipt;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::RecordError;

/// An image's receipts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptRow {
    /// Digest of the last receipt's manifest.
    pub manifest: String,
    /// Digest of the one before.
    pub previous: Option<String>,
    /// What the last one says.
    pub receipt: Receipt,
}

impl ReceiptRow {
    /// Digests of both.
    pub fn manifests(self) -> impl Iterator<Item = String> {
        std::iter::once(self.manifest).chain(self.previous)
    }
}

/// Keeps the receipts of an image.
///
/// # Errors
/// When the database fails.
pub(crate) fn put(
    connection: &Connection,
    repository: &str,
    digest: &str,
    row: &ReceiptRow,
) -> Result<(), RecordError> {
    let ReceiptRow { manifest, previous, receipt } = row;
    let says = serde_json::to_string(receipt).map_err(|_| RecordError::Malformed { what: "receipt" })?;
    let sql = "INSERT INTO receipts (repository, digest, manifest, previous, says, expires)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT DO UPDATE SET manifest = excluded.manifest, previous = excluded.previous,
                   says = excluded.says, expires = excluded.expires";
    let expires = receipt.expires;
    connection
        .prepare_cached(sql)?
        .execute(params![repository, digest, manifest, previous, says, expires])?;
    Ok(())
}

/// An image's receipts.
///
/// # Errors
/// When the database fails, or what it holds is no receipt.
pub fn find(
    connection: &Connection,
    repository: &str,
    digest: &str,
) -> Result<Option<ReceiptRow>, RecordError> {
    let sql = "SELECT manifest, previous, says FROM receipts WHERE repository = ?1 AND digest = ?2";
    let row = connection.prepare_cached(sql)?.query_row([repository, digest], columns).optional()?;
    row.map(read).transpose()
}

type Columns = (String, Option<String>, String);

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok((row.get("manifest")?, row.get("previous")?, row.get("says")?))
}

fn read((manifest, previous, says): Columns) -> Result<ReceiptRow, RecordError> {
    let receipt = serde_json::from_str(&says).map_err(|_| RecordError::Malformed { what: "receipt" })?;
    Ok(ReceiptRow { manifest, previous, receipt })
}

/// The image whose receipt `manifest` is.
///
/// # Errors
/// When the database fails.
pub fn subject(
    connection: &Connection,
    repository: &str,
    manifest: &str,
) -> Result<Option<String>, RecordError> {
    let sql = "SELECT digest FROM receipts WHERE repository = ?1 AND (manifest = ?2 OR previous = ?2)";
    Ok(connection.prepare_cached(sql)?.query_row([repository, manifest], |row| row.get(0)).optional()?)
}

/// Receipts that end before `before`: repository, digest of the image, and what the receipt says.
///
/// # Errors
/// When the database fails, or what it holds is no receipt.
pub fn ending(
    connection: &Connection,
    before: i64,
    count_max: u32,
) -> Result<Vec<(String, String, Receipt)>, RecordError> {
    let sql = "SELECT repository, digest, manifest, previous, says FROM receipts WHERE expires < ?1
               ORDER BY expires LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, columns(row)?));
    let rows = statement.query_map(params![before, count_max], row)?;
    rows.map(|row| {
        let (repository, digest, columns) = row?;
        Ok((repository, digest, read(columns)?.receipt))
    })
    .collect()
}

/// Forgets the receipts of an image; gives them.
///
/// # Errors
/// When the database fails, or what it holds is no receipt.
pub(crate) fn take(
    connection: &Connection,
    repository: &str,
    digest: &str,
) -> Result<Option<ReceiptRow>, RecordError> {
    let sql = "DELETE FROM receipts WHERE repository = ?1 AND digest = ?2 RETURNING manifest, previous, says";
    let row = connection.prepare_cached(sql)?.query_row([repository, digest], columns).optional()?;
    row.map(read).transpose()
}
