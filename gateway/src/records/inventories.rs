//! What images hold, and which images hold a package: the inverted index that finds the few that new advisories concern.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::RecordError;

/// A stored inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InventoryRow {
    /// What manifest and configuration say, JSON.
    pub traits: String,
    /// What the layers hold, packed.
    pub contents: Vec<u8>,
}

/// Under what a package stands in the index: an ecosystem that advisories speak about, or `pkg:` and the package's kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackageKey {
    /// Number in the index.
    pub id: i64,
    /// `debian:12`, `pkg:deb`.
    pub ecosystem: String,
    /// Name of the package there.
    pub name: String,
}

/// The inventory of an image.
///
/// # Errors
/// When the database fails.
pub fn find(connection: &Connection, digest: &str) -> Result<Option<InventoryRow>, RecordError> {
    let sql = "SELECT traits, contents FROM inventories WHERE digest = ?1 AND contents IS NOT NULL";
    let mut statement = connection.prepare_cached(sql)?;
    let row = |row: &rusqlite::Row<'_>| Ok(InventoryRow { traits: row.get(0)?, contents: row.get(1)? });
    Ok(statement.query_row([digest], row).optional()?)
}

/// Released manifests after `last` that this version of the scanner has not looked at, with their repositories; in the order
/// of digest and repository.
///
/// # Errors
/// When the database fails.
pub fn missing(
    connection: &Connection,
    scanner: &str,
    last: (&str, &str),
    count_max: u32,
) -> Result<Vec<(String, String)>, RecordError> {
    let sql = "SELECT m.repository, m.digest FROM manifests m
               LEFT JOIN inventories i ON i.digest = m.digest AND i.scanner = ?1
               WHERE m.state = 'released' AND i.id IS NULL AND (m.digest, m.repository) > (?2, ?3)
               ORDER BY m.digest, m.repository LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    Ok(statement.query_map(params![scanner, last.0, last.1, count_max], row)?.collect::<Result<_, _>>()?)
}

/// Keeps the inventory of an image that this version of the scanner made, in place of the one before, with the keys of its
/// packages; `None`: the manifest cannot run. Nothing is kept of a manifest that is not stored: it was deleted meanwhile.
///
/// # Errors
/// When the database fails.
pub fn put<'k>(
    connection: &Connection,
    (digest, scanner): (&str, &str),
    inventory: Option<&InventoryRow>,
    keys: impl Iterator<Item = (&'k str, &'k str)>,
) -> Result<(), RecordError> {
    if !connection.prepare_cached("SELECT 1 FROM manifest_bytes WHERE digest = ?1")?.exists([digest])? {
        return Ok(());
    }
    connection.prepare_cached("DELETE FROM inventories WHERE digest = ?1")?.execute([digest])?;
    let (traits, contents) = inventory.map(|row| (&row.traits, &row.contents)).unzip();
    let sql = "INSERT INTO inventories (digest, scanner, traits, contents) VALUES (?1, ?2, ?3, ?4)";
    connection.prepare_cached(sql)?.execute(params![digest, scanner, traits, contents])?;
    let id = connection.last_insert_rowid();
    let mut known =
        connection.prepare_cached("SELECT id FROM package_keys WHERE ecosystem = ?1 AND name = ?2")?;
    let mut add = connection.prepare_cached("INSERT INTO package_keys (ecosystem, name) VALUES (?1, ?2)")?;
    let mut link = connection.prepare_cached(
        "INSERT INTO inventory_packages (package, inventory) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    )?;
    for (ecosystem, name) in keys {
        let package = match known.query_row([ecosystem, name], |row| row.get(0)).optional()? {
            Some(package) => package,
            None => {
                add.execute([ecosystem, name])?;
                connection.last_insert_rowid()
            }
        };
        link.execute(params![package, id])?;
    }
    Ok(())
}

/// Forgets the inventory of a manifest that no repository holds any more.
///
/// # Errors
/// When the database fails.
pub(super) fn forget_unheld(connection: &Connection, digest: &str) -> Result<(), RecordError> {
    let sql = "DELETE FROM inventories WHERE digest = ?1
               AND NOT EXISTS (SELECT 1 FROM manifests m WHERE m.digest = ?1)";
    connection.prepare_cached(sql)?.execute([digest])?;
    Ok(())
}

/// Keys after number `last`, in the order of their numbers, that some image has.
///
/// # Errors
/// When the database fails.
pub fn keys(connection: &Connection, last: i64, count_max: u32) -> Result<Vec<PackageKey>, RecordError> {
    let sql = "SELECT id, ecosystem, name FROM package_keys WHERE id > ?1
               AND EXISTS (SELECT 1 FROM inventory_packages p WHERE p.package = package_keys.id)
               ORDER BY id LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let row = |row: &rusqlite::Row<'_>| {
        Ok(PackageKey { id: row.get(0)?, ecosystem: row.get(1)?, name: row.get(2)? })
    };
    Ok(statement.query_map(params![last, count_max], row)?.collect::<Result<_, _>>()?)
}

/// The number of a key.
///
/// # Errors
/// When the database fails.
pub fn key(connection: &Connection, ecosystem: &str, name: &str) -> Result<Option<i64>, RecordError> {
    let sql = "SELECT id FROM package_keys WHERE ecosystem = ?1 AND name = ?2";
    Ok(connection.prepare_cached(sql)?.query_row([ecosystem, name], |row| row.get(0)).optional()?)
}

/// Manifests of images that hold the package of this key.
///
/// # Errors
/// When the database fails.
pub fn holders(connection: &Connection, key: i64) -> Result<Vec<String>, RecordError> {
    let sql = "SELECT i.digest FROM inventory_packages p JOIN inventories i ON i.id = p.inventory
               WHERE p.package = ?1 ORDER BY i.digest";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_map([key], |row| row.get(0))?.collect::<Result<_, _>>()?)
}
