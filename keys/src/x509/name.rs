//! Distinguished names: those of certificates, and those of a trust policy in the text form of RFC 4514.

use std::fmt;

use crate::der::{self, Reader};
use crate::{json, limits};

/// Attributes of a name in the order of the certificate, each with its short type (`CN`) or its dotted OID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistinguishedName {
    attributes: Vec<(String, String)>,
}

/// Why text is not a distinguished name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not `TYPE=value, TYPE=value`.
    #[error("`{0}` is not `TYPE=value` (RFC 4514)")]
    Malformed(String),
    /// A type stands twice, so the value to compare is not known.
    #[error("attribute `{0}` stands twice")]
    Repeated(String),
}

impl DistinguishedName {
    /// Of a Name in DER; `None` for what is none.
    pub(crate) fn from_der(bytes: &[u8]) -> Option<Self> {
        let mut outer = Reader::new(bytes);
        let mut sequence = outer.nested(der::SEQUENCE)?;
        outer.end()?;
        let mut attributes = Vec::new();
        while !sequence.is_empty() {
            let mut set = sequence.nested(der::SET)?;
            while !set.is_empty() {
                let mut attribute = set.nested(der::SEQUENCE)?;
                let id = attribute.element(der::OBJECT_IDENTIFIER)?;
                let (tag, value) = attribute.any()?;
                attribute.end()?;
                if attributes.len() == limits::EXTENSIONS_MAX {
                    return None;
                }
                attributes.push((short(id), text(tag, value)));
            }
        }
        Some(Self { attributes })
    }

    /// Of text such as `C=US, ST=WA, O=Acme\, Inc`. `S` is read as `ST`, as notation does.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let mut attributes: Vec<(String, String)> = Vec::new();
        for part in split(text)? {
            let malformed = || NameError::Malformed(json::quote(&part));
            let (name, value) = part.split_once('=').ok_or_else(malformed)?;
            let name = name.trim().to_ascii_uppercase();
            let name = if name == "S" { "ST".to_owned() } else { name };
            let value = unescape(trim(value)).ok_or_else(malformed)?;
            if name.is_empty() || value.is_empty() || attributes.len() == limits::EXTENSIONS_MAX {
                return Err(malformed());
            }
            if attributes.iter().any(|(other, _)| *other == name) {
                return Err(NameError::Repeated(name));
            }
            attributes.push((name, value));
        }
        Ok(Self { attributes })
    }

    /// Whether a type is there.
    pub fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|(name, _)| name == attribute)
    }

    /// Whether every attribute of `self` stands in `name` exactly once with the same value. A name with two `O` does
    /// not match on `O`: which of them the CA vouched for is not known.
    pub fn is_subset_of(&self, name: &Self) -> bool {
        self.attributes.iter().all(|(attribute, expected)| {
            let mut values =
                name.attributes.iter().filter(|(other, _)| other.eq_ignore_ascii_case(attribute));
            values.next().is_some_and(|(_, value)| value == expected) && values.next().is_none()
        })
    }
}

impl fmt::Display for DistinguishedName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.attributes.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            let value = json::quote(value).replace(',', "\\,");
            write!(formatter, "{separator}{name}={value}")?;
        }
        Ok(())
    }
}

/// At commas, semicolons and plus signs that no backslash protects.
fn split(text: &str) -> Result<Vec<String>, NameError> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for character in text.chars() {
        if !escaped && matches!(character, ',' | ';' | '+') {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(character);
        }
        escaped = character == '\\' && !escaped;
    }
    if escaped { Err(NameError::Malformed(json::quote(text))) } else { Ok(parts) }
}

/// Without the spaces around it that are not escaped.
fn trim(value: &str) -> &str {
    let trimmed = value.trim_matches(' ');
    let backslashes = trimmed.chars().rev().take_while(|&character| character == '\\').count();
    if backslashes % 2 == 1 {
        value.trim_start_matches(' ').get(..trimmed.len() + 1).unwrap_or(trimmed)
    } else {
        trimmed
    }
}

/// RFC 4514 § 2.4: `\,` stands for the character, `\2c` for a byte.
fn unescape(value: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        (rest, _) = match (first, tail) {
            (b'\\', [high, low, tail @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.extend(hex::decode([*high, *low]).ok()?);
                (tail, ())
            }
            (b'\\', [protected, tail @ ..]) => {
                bytes.push(*protected);
                (tail, ())
            }
            (b'\\', []) => return None,
            _ => {
                bytes.push(first);
                (tail, ())
            }
        };
    }
    String::from_utf8(bytes).ok()
}

/// The types that RFC 4514 § 3 and notation name; others by OID.
fn short(id: &[u8]) -> String {
    let short = match id {
        [0x55, 0x04, 0x03] => "CN",
        [0x55, 0x04, 0x05] => "SERIALNUMBER",
        [0x55, 0x04, 0x06] => "C",
        [0x55, 0x04, 0x07] => "L",
        [0x55, 0x04, 0x08] => "ST",
        [0x55, 0x04, 0x09] => "STREET",
        [0x55, 0x04, 0x0a] => "O",
        [0x55, 0x04, 0x0b] => "OU",
        [0x55, 0x04, 0x11] => "POSTALCODE",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01] => "UID",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19] => "DC",
        _ => return super::oid::dotted(id),
    };
    short.to_owned()
}

/// A DirectoryString; one in an encoding we do not read becomes `#hex`, which no policy writes.
fn text(tag: u8, value: &[u8]) -> String {
    const UTF8: u8 = 0x0c;
    const PRINTABLE: u8 = 0x13;
    const IA5: u8 = 0x16;
    match (tag, std::str::from_utf8(value)) {
        (UTF8, Ok(text)) => text.to_owned(),
        (PRINTABLE | IA5, Ok(text)) if text.is_ascii() => text.to_owned(),
        _ => format!("#{}", hex::encode(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_rfc_4514_writes_them() {
        let parsed = |text: &str| DistinguishedName::parse(text).map(|name| name.attributes);
        let expected = |attributes: &[(&str, &str)]| {
            Ok(attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        assert_eq!(parsed("C=US, ST=WA,O=Acme"), expected(&[("C", "US"), ("ST", "WA"), ("O", "Acme")]));
        assert_eq!(parsed(r"O=Acme\, Inc\2e, s=WA"), expected(&[("O", "Acme, Inc."), ("ST", "WA")]));
        assert_eq!(parsed(r"O=two  words\ , c=US"), expected(&[("O", "two  words "), ("C", "US")]));
        for wrong in ["", "C", "C=", "=US", "C=US,", r"C=US\", "C=US,,O=x", r"O=\ff"] {
            assert!(matches!(parsed(wrong), Err(NameError::Malformed(_))), "{wrong}");
        }
        assert_eq!(parsed("C=US, c=DE"), Err(NameError::Repeated("C".to_owned())));
        assert_eq!(parsed("S=WA, ST=WA"), Err(NameError::Repeated("ST".to_owned())));
    }

    #[test]
    fn a_name_matches_when_it_holds_every_attribute_once() {
        let name = |attributes: &[(&str, &str)]| DistinguishedName {
            attributes: attributes
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        let policy = DistinguishedName::parse("C=US, O=Acme").unwrap();
        let cases: &[(&[(&str, &str)], bool)] = &[
            (&[("C", "US"), ("ST", "WA"), ("O", "Acme"), ("CN", "x")], true),
            (&[("C", "US"), ("O", "Acme Inc")], false),
            (&[("C", "US"), ("O", "acme")], false),
            (&[("C", "US")], false),
            (&[("C", "US"), ("O", "Acme"), ("O", "Other")], false),
            (&[("C", "US"), ("CN", "O=Acme")], false),
        ];
        for (attributes, expected) in cases {
            assert_eq!(policy.is_subset_of(&name(attributes)), *expected, "{attributes:?}");
        }
    }
}
