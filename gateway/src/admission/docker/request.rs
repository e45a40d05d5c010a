//! One call of the engine: method, normalised path, query and body.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use crate::manifest::json::{JsonError, fold, parse_object};

/// Why a call is denied unread.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Over the limit.
    #[error("the engine's call of {0} bytes is over the limit of {max}", max = super::CALL_BYTES_MAX)]
    TooLarge(usize),
    /// Not the protocol's JSON.
    #[error("the engine's call is not acceptable JSON")]
    Call(#[source] JsonError),
    /// A field of the protocol.
    #[error("the engine's call has no usable `{0}`")]
    Field(&'static str),
    /// A path that could be read in two ways.
    #[error("the request's address `{0}` is not plain; use the engine's API as documented")]
    Address(String),
    /// The body is not JSON that everybody reads alike.
    #[error("the request's body is not acceptable JSON")]
    Body(#[source] JsonError),
}

/// A request to the engine's API, as the engine reports it.
#[derive(Clone, Debug)]
pub struct AuthorizationRequest {
    pub(super) method: String,
    /// Path segments after the optional version: `["containers", "create"]`.
    pub(super) path: Vec<String>,
    pub(super) query: BTreeMap<String, String>,
    /// Header names in lower case.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Option<Map<String, Value>>,
}

impl AuthorizationRequest {
    /// Reads what the engine posts to `/AuthZPlugin.AuthZReq`.
    pub fn parse(call: &[u8]) -> Result<Self, RequestError> {
        if call.len() > super::CALL_BYTES_MAX {
            return Err(RequestError::TooLarge(call.len()));
        }
        let call = parse_object(call).map_err(RequestError::Call)?;
        let text = |key: &'static str| call.get(key).and_then(Value::as_str).ok_or(RequestError::Field(key));
        let (path, query) = address(text("RequestUri")?)?;
        let headers = match call.get("RequestHeaders") {
            Some(Value::Object(headers)) => headers
                .iter()
                .map(|(name, value)| {
                    (name.to_ascii_lowercase(), value.as_str().unwrap_or_default().to_owned())
                })
                .collect(),
            None | Some(Value::Null) => BTreeMap::new(),
            Some(_) => return Err(RequestError::Field("RequestHeaders")),
        };
        let body = match call.get("RequestBody") {
            None | Some(Value::Null) => None,
            Some(Value::String(encoded)) if encoded.is_empty() => None,
            Some(Value::String(encoded)) => {
                let bytes = BASE64.decode(encoded).map_err(|_| RequestError::Field("RequestBody"))?;
                // `null` is what docker sends where a body is optional.
                if bytes.trim_ascii().is_empty() || bytes.trim_ascii() == b"null" {
                    None
                } else {
                    Some(parse_object(&bytes).map_err(RequestError::Body)?)
                }
            }
            Some(_) => return Err(RequestError::Field("RequestBody")),
        };
        Ok(Self { method: text("RequestMethod")?.to_owned(), path, query, headers, body })
    }
}

/// A field of a JSON object as Go's reader finds it: without regard to letter case. Two spellings of one field are an
/// error, because the last one would win there.
pub(super) fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a Value, String> {
    let wanted = fold(name);
    let mut found = object.iter().filter(|(key, _)| fold(key) == wanted);
    match (found.next(), found.next()) {
        (None, _) => Ok(&Value::Null),
        (Some((_, value)), None) => Ok(value),
        (Some(_), Some(_)) => Err(format!("`{name}` stands twice in the request, spelled differently")),
    }
}

type Address = (Vec<String>, BTreeMap<String, String>);

/// Percent signs are decoded once and a double slash is one; dot segments, a second layer of encoding and control
/// characters have no honest use here and are refused, as are keys that stand twice in the query.
fn address(uri: &str) -> Result<Address, RequestError> {
    let refused = || RequestError::Address(uri.chars().take(200).collect());
    let uri_path = match uri.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            &rest[rest.find('/').ok_or_else(refused)?..]
        }
        _ => uri,
    };
    let (path, query) = uri_path.split_once('?').unwrap_or((uri_path, ""));
    if !path.starts_with('/') || uri.contains('#') || query.contains(';') {
        return Err(refused());
    }
    let mut segments = Vec::new();
    for segment in percent_decoded(path, Plus::Kept).ok_or_else(refused)?.split('/') {
        match segment {
            "" => {}
            "." | ".." => return Err(refused()),
            _ => segments.push(segment.to_owned()),
        }
    }
    if segments.first().is_some_and(|first| is_version(first)) {
        segments.remove(0);
    }
    let mut parameters = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let key = percent_decoded(key, Plus::Space).ok_or_else(refused)?;
        let value = percent_decoded(value, Plus::Space).ok_or_else(refused)?;
        if parameters.insert(key, value).is_some() {
            return Err(refused());
        }
    }
    Ok((segments, parameters))
}

fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').and_then(|rest| rest.split_once('.')).is_some_and(|(major, minor)| {
        [major, minor].iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

/// What `+` means: a space in a query, itself in a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plus {
    Kept,
    Space,
}

fn percent_decoded(text: &str, plus: Plus) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                u8::try_from(digit(bytes.next())? * 16 + digit(bytes.next())?).ok()?
            }
            b'+' if plus == Plus::Space => b' ',
            other => other,
        });
    }
    let decoded = String::from_utf8(decoded).ok()?;
    // A percent sign that is left was encoded twice.
    let is_plain = !decoded.chars().any(char::is_control) && (plus == Plus::Space || !decoded.contains('%'));
    is_plain.then_some(decoded)
}
