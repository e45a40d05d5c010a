//! A strict reader of the CBOR that COSE needs: definite lengths, shortest form, no label twice (RFC 8949 § 4.2.1).

use crate::limits;

/// One item. Floating point and simple values beyond true, false and null have no meaning here: [`Item::Other`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    Integer(i128),
    Bytes(Vec<u8>),
    Text(String),
    Array(Vec<Item>),
    /// In the order written; no label twice.
    Map(Vec<(Item, Item)>),
    Tag(u64, Box<Item>),
    Bool(bool),
    Null,
    Other,
}

impl Item {
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// Reads one item and nothing after it.
pub(crate) fn parse(bytes: &[u8]) -> Result<Item, &'static str> {
    let mut reader = Reader { rest: bytes, items_left: limits::CBOR_ITEMS_MAX };
    let item = reader.item(limits::CBOR_DEPTH_MAX)?;
    if reader.rest.is_empty() { Ok(item) } else { Err("bytes follow the item") }
}

struct Reader<'a> {
    rest: &'a [u8],
    items_left: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or("it ends inside an item")?;
        self.rest = rest;
        Ok(taken)
    }

    /// Major type and argument of the next item. `None`: no argument in the shortest form is required of it.
    fn head(&mut self) -> Result<(u8, u8, u64), &'static str> {
        let initial = self.take(1)?[0];
        let (major, information) = (initial >> 5, initial & 0x1f);
        let argument_bytes = match information {
            0..=23 => return Ok((major, information, u64::from(information))),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            31 => return Err("an item of indefinite length"),
            _ => return Err("a reserved item"),
        };
        let argument =
            self.take(argument_bytes)?.iter().fold(0u64, |sum, &byte| (sum << 8) | u64::from(byte));
        // One encoding per value, or two byte strings would say the same. Floating point (major 7) has its own sizes.
        let smallest = [24, 1 << 8, 1 << 16, 1 << 32][usize::from(information) - 24];
        if major != 7 && argument < smallest {
            return Err("a number that is not in its shortest form");
        }
        Ok((major, information, argument))
    }

    fn item(&mut self, depth_left: usize) -> Result<Item, &'static str> {
        self.items_left = self.items_left.checked_sub(1).ok_or("too many items")?;
        let inner = depth_left.checked_sub(1).ok_or("nested too deeply")?;
        let (major, information, argument) = self.head()?;
        let length = || usize::try_from(argument).map_err(|_| "it ends inside an item");
        Ok(match major {
            0 => Item::Integer(i128::from(argument)),
            1 => Item::Integer(-1 - i128::from(argument)),
            2 => Item::Bytes(self.take(length()?)?.to_vec()),
            3 => {
                let text =
                    std::str::from_utf8(self.take(length()?)?).map_err(|_| "text that is not UTF-8")?;
                Item::Text(text.to_owned())
            }
            4 => {
                let mut items = Vec::new();
                for _ in 0..argument {
                    items.push(self.item(inner)?);
                }
                Item::Array(items)
            }
            5 => {
                let mut entries: Vec<(Item, Item)> = Vec::new();
                for _ in 0..argument {
                    let label = self.item(inner)?;
                    if !matches!(label, Item::Integer(_) | Item::Text(_)) {
                        return Err("a label that is neither a number nor text");
                    }
                    // RFC 9052 § 3: a label twice makes the message malformed; readers differ in which one they take.
                    if entries.iter().any(|(other, _)| *other == label) {
                        return Err("a label that stands twice");
                    }
                    entries.push((label, self.item(inner)?));
                }
                Item::Map(entries)
            }
            6 => Item::Tag(argument, Box::new(self.item(inner)?)),
            _ => match information {
                20 => Item::Bool(false),
                21 => Item::Bool(true),
                22 => Item::Null,
                _ => Item::Other,
            },
        })
    }
}

/// The shortest form of an item, for signing and for the bytes that COSE signs.
pub(crate) fn write(item: &Item, out: &mut Vec<u8>) {
    match item {
        Item::Integer(number @ 0..) => head(0, u64::try_from(*number).unwrap_or(u64::MAX), out),
        Item::Integer(number) => head(1, u64::try_from(-1 - *number).unwrap_or(u64::MAX), out),
        Item::Bytes(bytes) => {
            head(2, bytes.len() as u64, out);
            out.extend_from_slice(bytes);
        }
        Item::Text(text) => {
            head(3, text.len() as u64, out);
            out.extend_from_slice(text.as_bytes());
        }
        Item::Array(items) => {
            head(4, items.len() as u64, out);
            items.iter().for_each(|item| write(item, out));
        }
        Item::Map(entries) => {
            head(5, entries.len() as u64, out);
            for (label, value) in entries {
                write(label, out);
                write(value, out);
            }
        }
        Item::Tag(tag, item) => {
            head(6, *tag, out);
            write(item, out);
        }
        Item::Bool(value) => out.push(0xf4 + u8::from(*value)),
        Item::Null | Item::Other => out.push(0xf6),
    }
}

fn head(major: u8, argument: u64, out: &mut Vec<u8>) {
    let major = major << 5;
    let bytes = argument.to_be_bytes();
    match argument {
        0..24 => out.push(major | bytes[7]),
        24..0x100 => out.extend_from_slice(&[major | 24, bytes[7]]),
        0x100..0x1_0000 => out.extend_from_slice(&[major | 25, bytes[6], bytes[7]]),
        0x1_0000..0x1_0000_0000 => {
            out.push(major | 26);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Result<Item, &str>) {
        let seen = parse(bytes);
        match (&seen, &expected) {
            (Err(seen), Err(expected)) if seen.contains(expected) => {}
            _ => assert_eq!(seen.map_err(str::to_owned), expected.map_err(str::to_owned), "{bytes:02x?}"),
        }
    }

    #[test]
    fn one_encoding_per_value() {
        let text = |text: &str| Item::Text(text.to_owned());
        check(&[0x17], Ok(Item::Integer(23)));
        check(&[0x18, 0x18], Ok(Item::Integer(24)));
        check(&[0x38, 0x24], Ok(Item::Integer(-37)));
        check(&[0x3b, 255, 255, 255, 255, 255, 255, 255, 255], Ok(Item::Integer(-1 - i128::from(u64::MAX))));
        check(&[0xa1, 0x01, 0x61, b'x'], Ok(Item::Map(vec![(Item::Integer(1), text("x"))])));
        check(&[0xc1, 0x00], Ok(Item::Tag(1, Box::new(Item::Integer(0)))));
        check(&[0xf9, 0x3c, 0x00], Ok(Item::Other));
        for (bytes, expected) in [
            (&[0x18, 0x17][..], "shortest form"),
            (&[0x19, 0x00, 0xff], "shortest form"),
            (&[0x58, 0x01, 0x00], "shortest form"),
            (&[0xa2, 0x01, 0x00, 0x01, 0x01], "stands twice"),
            (&[0xa2, 0x61, b'x', 0x00, 0x61, b'x', 0x00], "stands twice"),
            (&[0xa1, 0x40, 0x00], "neither a number nor text"),
            (&[0x9f, 0xff], "indefinite length"),
            (&[0x5f, 0xff], "indefinite length"),
            (&[0x1c], "reserved"),
            (&[0x00, 0x00], "bytes follow"),
            (&[0x42, 0x00], "ends inside"),
            (&[0x5b, 255, 255, 255, 255, 255, 255, 255, 255], "ends inside"),
            (&[0x9b, 255, 255, 255, 255, 255, 255, 255, 255], "ends inside"),
            (&[0x61, 0xff], "UTF-8"),
            (&[], "ends inside"),
        ] {
            check(bytes, Err(expected));
        }
        check(&[0x81; 100], Err("nested too deeply"));
        let many = [&[0x99, 0x10, 0x00][..], &[0u8; 4096]].concat();
        check(&many, Err("too many items"));
    }
}
