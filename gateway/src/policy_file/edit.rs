//! Changes a policy's text as a person would: everything else in it, comments included, stays as it is.

use toml_edit::{Array, ArrayOfTables, Datetime, DocumentMut, InlineTable, Item, Table, Value};

/// Why a policy is not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is no TOML.
    #[error("the policy is no TOML: {0}")]
    Syntax(String),
    /// There is nobody of that name.
    #[error("there is no [[identity]] named `{0}`")]
    NoIdentity(String),
    /// It does not vouch by keys.
    #[error("identity `{0}` does not vouch by `cosign` keys")]
    NoKeys(String),
    /// Its keys are written in a way that this program does not change.
    #[error("identity `{0}` writes its keys in a way that must be changed by hand")]
    Shape(String),
    /// Nothing would change.
    #[error("identity `{identity}` names `{path}` already")]
    Present {
        /// Which identity.
        identity: String,
        /// Which key file.
        path: String,
    },
}

/// Adds a key to an identity, and ends those it has at `until` (RFC 3339) where they do not end already.
///
/// # Errors
/// See [`EditError`].
pub fn rotate(text: &str, identity: &str, path: &str, until: &str) -> Result<String, EditError> {
    let until: Datetime = until.parse().map_err(|_| EditError::Syntax(format!("`{until}` is no moment")))?;
    let mut document = parse(text)?;
    let entry = find(&mut document, identity)?;
    let no_keys = || EditError::NoKeys(identity.to_owned());
    let cosign = entry.get_mut("cosign").and_then(Item::as_table_like_mut).ok_or_else(no_keys)?;
    let shape = || EditError::Shape(identity.to_owned());
    let mut keys = Array::new();
    if let Some(one) = cosign.remove("key") {
        keys.push(one.into_value().map_err(|_| shape())?);
    }
    if let Some(many) = cosign.remove("keys") {
        let many = many.into_value().map_err(|_| shape())?;
        many.as_array().ok_or_else(shape)?.iter().cloned().for_each(|key| keys.push(key));
    }
    if keys.is_empty() {
        return Err(no_keys());
    }
    let mut rotated = Array::new();
    for mut key in keys {
        key.decor_mut().clear();
        let table = match key {
            Value::String(file) => {
                let mut table = InlineTable::new();
                table.insert("file", Value::String(file));
                table
            }
            Value::InlineTable(table) => table,
            _ => return Err(shape()),
        };
        if table.get("file").and_then(Value::as_str) == Some(path) {
            return Err(EditError::Present { identity: identity.to_owned(), path: path.to_owned() });
        }
        let mut table = table;
        if !table.contains_key("not-after") {
            table.insert("not-after", Value::from(until));
        }
        rotated.push(table);
    }
    rotated.push(path);
    cosign.insert("keys", Item::Value(Value::Array(rotated)));
    Ok(document.to_string())
}

/// Appends a `[[revocation]]` with these entries, in order. `since` is RFC 3339.
///
/// # Errors
/// See [`EditError`].
pub fn revoke(text: &str, of: (&str, &str), since: Option<&str>, reason: &str) -> Result<String, EditError> {
    let mut document = parse(text)?;
    let mut table = Table::new();
    table.insert(of.0, toml_edit::value(of.1));
    if let Some(since) = since {
        let moment = since.parse::<Datetime>();
        let moment = moment.map_err(|_| EditError::Syntax(format!("`{since}` is no moment")))?;
        table.insert("since", toml_edit::value(moment));
    }
    table.insert("reason", toml_edit::value(reason));
    let all = document.entry("revocation").or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    let all = all.as_array_of_tables_mut();
    all.ok_or_else(|| EditError::Syntax("`revocation` is not written as [[revocation]]".to_owned()))?
        .push(table);
    Ok(document.to_string())
}

fn parse(text: &str) -> Result<DocumentMut, EditError> {
    text.parse().map_err(|error: toml_edit::TomlError| EditError::Syntax(error.message().to_owned()))
}

fn find<'a>(document: &'a mut DocumentMut, identity: &str) -> Result<&'a mut Table, EditError> {
    let entries = document.get_mut("identity").and_then(Item::as_array_of_tables_mut);
    let mut named = entries.into_iter().flat_map(ArrayOfTables::iter_mut);
    let found = named.find(|entry| entry.get("name").and_then(Item::as_str) == Some(identity));
    found.ok_or_else(|| EditError::NoIdentity(identity.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNTIL: &str = "2027-01-31T12:00:00Z";

    fn check(before: &str, expected: &str) {
        let before = format!("# who may vouch\n[[identity]]\nname = \"release\" # us\n{before}\n[[rule]]\n");
        let after = rotate(&before, "release", "next.pub", UNTIL).unwrap();
        let expected =
            format!("# who may vouch\n[[identity]]\nname = \"release\" # us\n{expected}\n[[rule]]\n");
        assert_eq!(after, expected);
    }

    #[test]
    fn the_old_keys_end_and_the_new_one_does_not() {
        let old = "{ file = \"a.pub\", not-after = 2027-01-31T12:00:00Z }";
        check(
            "cosign = { key = \"a.pub\", repository = \"exact\" }",
            &format!("cosign = {{ repository = \"exact\" , keys = [{old}, \"next.pub\"] }}"),
        );
        check(
            "cosign = { keys = [\"a.pub\", { file = \"b.pub\", not-after = 2026-12-01 }] }",
            &format!(
                "cosign = {{ keys = [{old}, {{ file = \"b.pub\", not-after = 2026-12-01 }}, \"next.pub\"] }}"
            ),
        );
        check(
            "[identity.cosign]\nkey = \"a.pub\"",
            &format!("[identity.cosign]\nkeys = [{old}, \"next.pub\"]"),
        );
    }

    #[test]
    fn what_cannot_be_rotated_is_left_alone() {
        for (text, expected) in [
            ("", EditError::NoIdentity("release".into())),
            ("[[identity]]\nname = \"other\"", EditError::NoIdentity("release".into())),
            ("[[identity]]\nname = \"release\"\nkeyless = {}", EditError::NoKeys("release".into())),
            ("[[identity]]\nname = \"release\"\ncosign = {}", EditError::NoKeys("release".into())),
            ("[[identity]]\nname = \"release\"\ncosign = { keys = 7 }", EditError::Shape("release".into())),
            ("[[identity]]\nname = \"release\"\ncosign = { key = 7 }", EditError::Shape("release".into())),
            (
                "[[identity]]\nname = \"release\"\ncosign = { key = \"next.pub\" }",
                EditError::Present { identity: "release".into(), path: "next.pub".into() },
            ),
        ] {
            assert_eq!(rotate(text, "release", "next.pub", UNTIL), Err(expected), "{text}");
        }
        assert!(matches!(rotate("a = ", "release", "next.pub", UNTIL), Err(EditError::Syntax(_))));
    }

    #[test]
    fn a_revocation_is_appended_and_its_text_cannot_break_out() {
        let after = revoke("# p\n[[rule]]\n", ("key", "ab"), Some(UNTIL), "leaked\"\n[[rule]]").unwrap();
        assert!(after.starts_with("# p\n[[rule]]\n"), "{after}");
        let read: toml::Table = after.parse().unwrap();
        assert_eq!(read["revocation"][0]["reason"].as_str(), Some("leaked\"\n[[rule]]"));
        assert_eq!(read["rule"].as_array().map(Vec::len), Some(1));
        let twice = revoke(&after, ("identity", "release"), None, "r").unwrap();
        let read: toml::Table = twice.parse().unwrap();
        assert_eq!(read["revocation"].as_array().map(Vec::len), Some(2));
    }
}
