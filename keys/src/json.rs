//! The one reader of untrusted JSON: no duplicate keys, no trailing data, no foreign encoding, no deep nesting.
//!
//! Two readers that disagree on a document can be made to see two truths: Go takes the last of two equal keys, others
//! the first. So a document that could be read in two ways is not read at all.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::limits;

/// Why bytes are not a JSON document we read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, or ambiguous.
    #[error("not strict JSON: {0}")]
    Malformed(String),
    /// Larger than this format needs.
    #[error("{seen} bytes of JSON, at most {max} are read")]
    TooLarge {
        /// How many there are.
        seen: usize,
        /// The bound.
        max: usize,
    },
}

/// Reads one document and nothing after it.
pub(crate) fn parse(bytes: &[u8], bytes_max: usize) -> Result<Value, JsonError> {
    if bytes.len() > bytes_max {
        return Err(JsonError::TooLarge { seen: bytes.len(), max: bytes_max });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| JsonError::Malformed(error.to_string()))?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict { depth_left: limits::JSON_DEPTH_MAX }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| JsonError::Malformed(quote(&error.to_string())))?;
    Ok(value)
}

/// Attacker-made text, shortened and with control characters spelled out, for a reason that people read.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted: String =
        text.chars().take(limits::QUOTED_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(limits::QUOTED_CHARS_MAX).is_some() {
        quoted.push('…');
    }
    quoted
}

#[derive(Clone, Copy)]
struct Strict {
    depth_left: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth_left = self.depth_left.checked_sub(1);
        depth_left.map(|depth_left| Self { depth_left }).ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(inner)?;
            // Compared after escapes are resolved: `image` and `\u0069mage` are one key.
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("duplicate key `{}`", quote(&key))));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::limits;

    fn check(text: &[u8], expected: Result<(), &str>) {
        let seen = parse(text, 4096).map(|_| ()).map_err(|error| error.to_string());
        match (seen, expected) {
            (Ok(()), Ok(())) => {}
            (Err(seen), Err(expected)) if seen.contains(expected) => {}
            (seen, expected) => {
                panic!("{:?}: {seen:?}, expected {expected:?}", String::from_utf8_lossy(text))
            }
        }
    }

    #[test]
    fn what_two_readers_could_understand_differently_is_not_read() {
        let cases: &[(&[u8], Result<(), &str>)] = &[
            (br#"{"a":[1,-2,0.5,null,true,"x"],"b":{}}"#, Ok(())),
            (br#" {"a":1} "#, Ok(())),
            (br#"{"a":1,"a":1}"#, Err("duplicate key `a`")),
            (br#"{"a":1,"\u0061":2}"#, Err("duplicate key `a`")),
            (br#"{"x":{"a":1,"b":0,"a":2}}"#, Err("duplicate key `a`")),
            (br#"{"a":1} {"a":2}"#, Err("trailing")),
            (br#"{"a":1}x"#, Err("trailing")),
            (b"{\"a\":\"\xff\"}", Err("utf-8")),
            (b"\xef\xbb\xbf{}", Err("expected value")),
            (br#"{"a":"\ud800"}"#, Err("hex escape")),
            (br#"{"a":NaN}"#, Err("expected")),
            (br#"{"a":1e999}"#, Err("out of range")),
            (br#"{'a':1}"#, Err("key must be a string")),
            (br#"{"a":1,}"#, Err("trailing comma")),
            (b"", Err("EOF")),
        ];
        for (text, expected) in cases {
            check(text, *expected);
        }
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        check(nested(limits::JSON_DEPTH_MAX).as_bytes(), Ok(()));
        check(nested(limits::JSON_DEPTH_MAX + 1).as_bytes(), Err("nested too deeply"));
        check(&vec![b' '; 4097], Err("4097 bytes of JSON, at most 4096"));
    }
}
