//! Tables of an SQLite database (sqlite.org/fileformat2.html), read without SQLite: hostile bytes meet no C.

mod schema;

use crate::bytes::{Endian, Pages};

pub(crate) const MAGIC: &[u8] = b"SQLite format 3\0";

/// Bytes of the file header, which the first page begins with (§1.3).
const FILE_HEADER_BYTES: usize = 100;
/// Page types (§1.6).
const TABLE_INTERIOR: u8 = 0x05;
const TABLE_LEAF: u8 = 0x0d;
/// Levels of a tree; SQLite itself gives up at 20.
const DEPTH_MAX: usize = 20;

/// What is wrong with a database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SqliteError(String);

fn malformed(problem: impl Into<String>) -> SqliteError {
    SqliteError(problem.into())
}

/// A table as the schema has it.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    /// The first page of its tree.
    root: usize,
    columns: Vec<String>,
    /// The column that is the number of the row (§2.3): records hold nothing in its place.
    row_number: Option<usize>,
}

/// One row of a table.
pub(crate) struct Row<'r> {
    table: &'r Table,
    number: i64,
    record: &'r [u8],
}

impl<'r> Row<'r> {
    /// The value of a column; `None` where the table has no such column, or the record is broken. A record may end before the
    /// last columns, if they were added later (§2.1).
    pub(crate) fn get(&self, name: &str) -> Option<Value<'r>> {
        let index = self.table.columns.iter().position(|column| column == name)?;
        if self.table.row_number == Some(index) {
            return Some(Value::Number(self.number));
        }
        column(self.record, index)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&'r str> {
        self.get(name).and_then(Value::bytes).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Value::Number(number) => Some(number),
            Value::Bytes(_) | Value::Float(_) | Value::Null => None,
        }
    }

    pub(crate) fn float(&self, name: &str) -> Option<f64> {
        match self.get(name)? {
            Value::Float(number) => Some(number),
            // SQLite stores a whole number as one, whatever the column's type is.
            Value::Number(number) => Some(number as f64),
            Value::Bytes(_) | Value::Null => None,
        }
    }
}

/// A database whose pages are each read once, so that none of its trees can lead in circles.
pub(crate) struct Database<'a> {
    pages: Pages<'a>,
    /// Bytes of a page without its reserved end.
    usable: usize,
}

impl<'a> Database<'a> {
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, SqliteError> {
        let short = || malformed("the SQLite header is cut short");
        let page_bytes = match Endian::Big.u16(bytes, 16).ok_or_else(short)? {
            1 => 65_536,
            size => usize::from(size),
        };
        if page_bytes < 512 || !page_bytes.is_power_of_two() {
            return Err(malformed(format!("an SQLite page of {page_bytes} bytes")));
        }
        let reserved = usize::from(*bytes.get(20).ok_or_else(short)?);
        let usable = page_bytes - reserved;
        // The format asks for 480; overflow sizes are computed from it.
        if usable < 480 {
            return Err(malformed(format!("{usable} usable bytes in an SQLite page")));
        }
        // UTF-8 is 1, and 0 in a database without a table.
        if !matches!(Endian::Big.u32(bytes, 56), Some(0 | 1)) {
            return Err(malformed("an SQLite database whose text is not UTF-8"));
        }
        let pages = Pages::new(bytes, page_bytes);
        // 0 was written before SQLite 3.7.
        if Endian::Big.size(bytes, 28).is_none_or(|count| count > pages.len()) {
            return Err(malformed("the SQLite database is cut short"));
        }
        Ok(Self { pages, usable })
    }

    /// The tables, from the schema, whose tree begins on the first page (§2.6). It can be asked for once.
    pub(crate) fn tables(&mut self) -> Result<Vec<Table>, SqliteError> {
        let schema = Table {
            name: "sqlite_schema".to_owned(),
            root: 1,
            columns: ["type", "name", "tbl_name", "rootpage", "sql"].map(str::to_owned).into(),
            row_number: None,
        };
        let mut tables: Vec<Table> = Vec::new();
        self.for_each_row(&schema, &mut |row| -> Result<(), SqliteError> {
            let (Some("table"), Some(name)) = (row.text("type"), row.text("name")) else { return Ok(()) };
            // Virtual tables have no pages of their own.
            let Some(root) = row.number("rootpage").and_then(|page| usize::try_from(page).ok()) else {
                return Err(malformed(format!("the table `{name}` has no first page")));
            };
            // Two tables of one name: SQLite would refuse the schema.
            if tables.iter().any(|table| table.name == name) {
                return Err(malformed(format!("two tables `{name}`")));
            }
            let (columns, row_number) = schema::columns(row.text("sql").unwrap_or_default());
            tables.push(Table { name: name.to_owned(), root, columns, row_number });
            Ok(())
        })?;
        Ok(tables)
    }

    /// Walks the table's tree in the order of its rows (§1.6, §2.3). Page numbers count from 1.
    pub(crate) fn for_each_row<E: From<SqliteError>>(
        &mut self,
        table: &Table,
        visit: &mut dyn FnMut(Row<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut open = vec![(table.root, 0)];
        while let Some((number, depth)) = open.pop() {
            let broken = |problem: &str| malformed(format!("page {number}: {problem}"));
            let page = number.checked_sub(1).and_then(|index| self.pages.take(index));
            let page = page.ok_or_else(|| broken("outside the file, or used twice"))?;
            let start = if number == 1 { FILE_HEADER_BYTES } else { 0 };
            let kind = page.get(start).copied();
            let cells = Endian::Big.u16(page, start + 3).ok_or_else(|| broken("cut short"))?;
            let cell_at = |index: usize, array: usize| {
                Endian::Big.u16(page, start + array + 2 * index).map(usize::from)
            };
            match kind {
                Some(TABLE_LEAF) => {
                    for index in 0..usize::from(cells) {
                        let at = cell_at(index, 8).ok_or_else(|| broken("a cell outside"))?;
                        let (number, record) = self.record(page, at).ok_or_else(|| broken("a broken row"))?;
                        visit(Row { table, number, record: &record })?;
                    }
                }
                Some(TABLE_INTERIOR) if depth < DEPTH_MAX => {
                    let right = Endian::Big.size(page, start + 8).ok_or_else(|| broken("cut short"))?;
                    open.push((right, depth + 1));
                    for index in (0..usize::from(cells)).rev() {
                        let at = cell_at(index, 12).ok_or_else(|| broken("a cell outside"))?;
                        let child = Endian::Big.size(page, at).ok_or_else(|| broken("a cell outside"))?;
                        open.push((child, depth + 1));
                    }
                }
                _ => return Err(broken("not part of a table").into()),
            }
        }
        Ok(())
    }

    /// One row's record, put together from its page and its overflow pages (§1.6).
    fn record(&mut self, page: &[u8], at: usize) -> Option<(i64, Vec<u8>)> {
        let (payload, rest) = varint(page.get(at..self.usable)?)?;
        let (number, rest) = varint(rest)?;
        let number = number.cast_signed();
        let payload = usize::try_from(payload).ok()?;
        // A payload larger than the file cannot be in it, however the pages are linked.
        if payload > self.pages.len().checked_mul(self.usable)? {
            return None;
        }
        let (most, least) = (self.usable - 35, (self.usable - 12) * 32 / 255 - 23);
        if payload <= most {
            return rest.get(..payload).map(|record| (number, record.to_vec()));
        }
        let local = least + (payload - least) % (self.usable - 4);
        let local = if local > most { least } else { local };
        let mut record = Vec::with_capacity(payload);
        record.extend_from_slice(rest.get(..local)?);
        let mut next = Endian::Big.size(rest, local)?;
        while record.len() < payload {
            let page = self.pages.take(next.checked_sub(1)?)?;
            next = Endian::Big.size(page, 0)?;
            let part = page.get(4..self.usable)?;
            record.extend_from_slice(&part[..part.len().min(payload - record.len())]);
        }
        (next == 0).then_some((number, record))
    }
}

/// One column of a record.
pub(crate) enum Value<'r> {
    Bytes(&'r [u8]),
    Float(f64),
    Null,
    Number(i64),
}

impl<'r> Value<'r> {
    /// Text and blobs alike.
    pub(crate) fn bytes(self) -> Option<&'r [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Float(_) | Self::Null | Self::Number(_) => None,
        }
    }
}

/// Column `wanted` of a record (§2.1).
fn column(record: &[u8], wanted: usize) -> Option<Value<'_>> {
    let (header_bytes, types) = varint(record)?;
    let header_bytes = usize::try_from(header_bytes).ok()?;
    let consumed = record.len() - types.len();
    let mut types = types.get(..header_bytes.checked_sub(consumed)?)?;
    let mut body = record.get(header_bytes..)?;
    for index in 0.. {
        let (serial, rest) = varint(types)?;
        types = rest;
        let bytes = match serial {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(serial).ok()?,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            serial => usize::try_from((serial - 12) / 2).ok()?,
        };
        let (value, rest) = body.split_at_checked(bytes)?;
        body = rest;
        if index == wanted {
            return Some(match serial {
                8 => Value::Number(0),
                9 => Value::Number(1),
                1..=6 => Value::Number(signed(value)),
                7 => Value::Float(f64::from_bits(signed(value).cast_unsigned())),
                12.. => Value::Bytes(value),
                _ => Value::Null,
            });
        }
    }
    None
}

/// Two's complement, big end first.
fn signed(bytes: &[u8]) -> i64 {
    let fill = if bytes.first().is_some_and(|first| first & 0x80 != 0) { -1 } else { 0 };
    bytes.iter().fold(fill, |value, byte| (value << 8) | i64::from(*byte))
}

/// SQLite's variable-length number (§1.6): seven bits a byte, the ninth byte whole.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(9) {
        if index == 8 {
            return Some(((value << 8) | u64::from(*byte), &bytes[9..]));
        }
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_length_numbers_are_those_of_sqlite() {
        for (bytes, expected) in [
            (&[0x00][..], Some(0)),
            (&[0x7f], Some(127)),
            (&[0x81, 0x00], Some(128)),
            (&[0xff; 9], Some(u64::MAX)),
            (&[0x81], None),
            (&[], None),
        ] {
            assert_eq!(varint(bytes).map(|(value, _)| value), expected, "{bytes:?}");
        }
    }

    #[test]
    fn numbers_keep_their_sign() {
        assert_eq!([signed(&[0xff]), signed(&[0x7f]), signed(&[0x80, 0]), signed(&[])], [-1, 127, -32768, 0]);
    }
}
