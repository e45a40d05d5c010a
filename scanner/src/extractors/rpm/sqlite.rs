//! The table `Packages` of rpm's SQLite database.

use super::{Visit, malformed};
use crate::extractors::ExtractError;
use crate::sqlite::{Database, SqliteError, Value};

pub(super) use crate::sqlite::MAGIC;

impl From<SqliteError> for ExtractError {
    fn from(error: SqliteError) -> Self {
        malformed(error.to_string())
    }
}

/// Visits the `blob` column of each row of `Packages`.
pub(super) fn for_each_header(bytes: &[u8], visit: Visit<'_>) -> Result<(), ExtractError> {
    let mut database = Database::open(bytes)?;
    let tables = database.tables()?;
    let Some(packages) = tables.iter().find(|table| table.name == "Packages") else {
        return Err(malformed("no table `Packages`"));
    };
    database.for_each_row(packages, &mut |row| {
        let blob = row.get("blob").and_then(Value::bytes);
        visit(blob.ok_or_else(|| malformed("a row of `Packages` without a header"))?)
    })
}
