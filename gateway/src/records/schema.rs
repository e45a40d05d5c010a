//! The tables, as numbered migrations that are only ever appended to.

use rusqlite::Connection;

use super::RecordError;

/// Each entry takes the schema one version further; the version is `PRAGMA user_version`.
const MIGRATIONS: &[&str] = &[
    include_str!("schema/0001_first.sql"),
    include_str!("schema/0002_trust.sql"),
    include_str!("schema/0003_receipts.sql"),
    include_str!("schema/0004_notary.sql"),
    include_str!("schema/0005_counter_signatures.sql"),
    include_str!("schema/0006_signed_beside.sql"),
    include_str!("schema/0007_inventories.sql"),
];

/// Brings the database to the newest version, each step in a transaction.
///
/// # Errors
/// When a step fails, or the file is of a newer version of this program.
pub(super) fn migrate(connection: &Connection) -> Result<(), RecordError> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let done = usize::try_from(found).ok().filter(|done| *done <= MIGRATIONS.len());
    let Some(done) = done else { return Err(RecordError::Newer { found, known }) };
    for (index, sql) in MIGRATIONS.iter().enumerate().skip(done) {
        connection.execute_batch(&format!("BEGIN; {sql}; PRAGMA user_version = {}; COMMIT;", index + 1))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrating_twice_changes_nothing_and_a_newer_file_is_refused() {
        let connection = Connection::open_in_memory().unwrap();
        migrate(&connection).unwrap();
        migrate(&connection).unwrap();
        connection.execute_batch("PRAGMA user_version = 999").unwrap();
        assert!(matches!(migrate(&connection), Err(RecordError::Newer { found: 999, .. })));
    }
}
