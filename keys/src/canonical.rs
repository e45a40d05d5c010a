//! Canonical JSON: the bytes that a signature of TUF or Notary v1 covers, made again from the document.

use serde_json::Value;

/// A number that has more than one spelling, so that a signature over it covers nothing certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotInteger(pub(crate) String);

/// Keys sorted bytewise, no white space, integers only, only quote and backslash escaped (OLPC canonical JSON, as
/// the libraries of TUF and notary write it).
///
/// Made from the parsed form and not cut out of the file, so that the fields we act on are the fields that were signed.
pub(crate) fn encode(value: &Value) -> Result<Vec<u8>, NotInteger> {
    let mut out = Vec::new();
    write(value, &mut out)?;
    Ok(out)
}

/// The depth is bounded by the reader of the document ([`crate::limits::JSON_DEPTH_MAX`]).
fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), NotInteger> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            out.extend_from_slice(number.to_string().as_bytes());
        }
        // Two encoders print one fraction in two ways.
        Value::Number(number) => return Err(NotInteger(number.to_string())),
        Value::String(text) => write_text(text, out),
        Value::Array(values) => {
            out.push(b'[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(value, out)?;
            }
            out.push(b']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| key.as_bytes());
            out.push(b'{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_text(key, out);
                out.push(b':');
                write(value, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn check(document: &str, expected: Option<&str>) {
        let seen = encode(&json::parse(document.as_bytes(), 4096).unwrap());
        match expected {
            Some(expected) => assert_eq!(seen.unwrap(), expected.as_bytes(), "{document}"),
            None => assert!(matches!(seen, Err(NotInteger(_))), "{document}"),
        }
    }

    #[test]
    fn one_document_has_one_canonical_form() {
        check(r#"{ "b": 1, "a": [ true, null, -7 ] }"#, Some(r#"{"a":[true,null,-7],"b":1}"#));
        check(r#"{"B":0,"a":0,"é":0,"_":0}"#, Some(r#"{"B":0,"_":0,"a":0,"é":0}"#));
        check(r#"{"a":"q\"b\\s\/\u0041\n<&>"}"#, Some("{\"a\":\"q\\\"b\\\\s/A\n<&>\"}"));
        check("18446744073709551615", Some("18446744073709551615"));
        check("{}", Some("{}"));
    }

    #[test]
    fn what_is_no_integer_has_none() {
        for document in ["1.0", "1e3", "-0", "18446744073709551616", r#"{"a":[0.5]}"#] {
            check(document, None);
        }
    }
}
