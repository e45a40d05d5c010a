//! Names of columns, out of the statement that made a table: records know them by their place alone.

/// Longest statement that is read, in bytes. Real ones have a few hundred.
const STATEMENT_BYTES_MAX: usize = 64 * 1024;
/// Most columns; SQLite's own bound.
const COLUMNS_MAX: usize = 2000;

/// What a part of the statement begins with that is no column.
const CONSTRAINTS: [&str; 5] = ["check", "constraint", "foreign", "primary", "unique"];

/// The columns in their order, and the one that is the number of the row: an `integer` that is the primary key (§2.3). Of what is
/// no such statement: none.
pub(super) fn columns(sql: &str) -> (Vec<String>, Option<usize>) {
    let mut columns = Vec::new();
    let mut integers = Vec::new();
    let mut key: Option<String> = None;
    for part in parts(sql) {
        let (name, rest) = identifier(part);
        let rest = rest.to_ascii_lowercase();
        let quoted = part.trim_start().starts_with(['`', '"', '[']);
        if !quoted && CONSTRAINTS.contains(&name.to_ascii_lowercase().as_str()) {
            key = key.or_else(|| primary_key(part));
            continue;
        }
        if columns.len() >= COLUMNS_MAX {
            break;
        }
        if rest.split_whitespace().next() == Some("integer") {
            integers.push(columns.len());
            if rest.contains("primary key") {
                key = Some(name.clone());
            }
        }
        columns.push(name);
    }
    let place = key.and_then(|key| columns.iter().position(|column| *column == key));
    (columns, place.filter(|place| integers.contains(place)))
}

/// The column of `PRIMARY KEY (column)`, with or without a name before it; `None` for a key of several.
fn primary_key(part: &str) -> Option<String> {
    let at = part.to_ascii_lowercase().find("primary key")?;
    let inner = part.get(at..)?.split_once('(')?.1.split_once(')')?.0;
    (!inner.contains(',')).then(|| identifier(inner).0)
}

/// What stands between the outer parentheses, split at the commas outside of inner ones and of quotes.
fn parts(sql: &str) -> Vec<&str> {
    let Some((_, body)) = sql.get(..sql.len().min(STATEMENT_BYTES_MAX)).and_then(|sql| sql.split_once('('))
    else {
        return Vec::new();
    };
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), 0, 0_usize, None);
    for (at, letter) in body.char_indices() {
        match (quote, letter) {
            (Some(end), letter) if letter == end => quote = None,
            (Some(_), _) => {}
            (None, '`' | '"' | '\'') => quote = Some(letter),
            (None, '[') => quote = Some(']'),
            (None, '(') => depth += 1,
            (None, ')') if depth == 0 => {
                parts.push(&body[start..at]);
                return parts;
            }
            (None, ')') => depth -= 1,
            (None, ',') if depth == 0 => {
                parts.push(&body[start..at]);
                start = at + 1;
            }
            (None, _) => {}
        }
    }
    parts
}

/// The first word, without its quotes, and what follows it.
fn identifier(part: &str) -> (String, &str) {
    let part = part.trim_start();
    let closing = match part.chars().next() {
        Some('`') => '`',
        Some('"') => '"',
        Some('[') => ']',
        _ => {
            let end = part.find(|letter: char| letter.is_whitespace() || letter == '(').unwrap_or(part.len());
            return (part[..end].to_owned(), &part[end..]);
        }
    };
    let inner = &part[1..];
    let end = inner.find(closing).unwrap_or(inner.len());
    (inner[..end].to_owned(), inner.get(end + 1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_in_statements_of_every_writing() {
        let cases: &[(&str, &[&str], Option<usize>)] = &[
            (
                "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT,blob BLOB NOT NULL)",
                &["hnum", "blob"],
                Some(0),
            ),
            ("CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY,blob BLOB)", &["hnum", "blob"], Some(0)),
            (
                "CREATE TABLE `p` (`id` integer,`type` text,`name` text DEFAULT 'a,(b' COLLATE NOCASE,PRIMARY KEY (`id`))",
                &["id", "type", "name"],
                Some(0),
            ),
            (
                "CREATE TABLE \"v\" (\"a\" text, [b c] integer NOT NULL, CONSTRAINT \"x\" PRIMARY KEY (\"a\", [b c]), UNIQUE (\"a\"))",
                &["a", "b c"],
                None,
            ),
            (
                "CREATE TABLE t (a text PRIMARY KEY, b int, c numeric(10,2), `primary` text)",
                &["a", "b", "c", "primary"],
                None,
            ),
            ("CREATE TABLE t (a INT PRIMARY KEY)", &["a"], None),
            ("CREATE TABLE t AS SELECT 1", &[], None),
            ("CREATE TABLE t (a, b", &["a"], None),
            ("", &[], None),
        ];
        for (sql, expected, row_number) in cases {
            let (found, place) = columns(sql);
            assert_eq!(
                (found, place),
                (expected.iter().map(|it| (*it).to_owned()).collect(), *row_number),
                "{sql}"
            );
        }
    }
}
