//! Private keys in PEM (RFC 7468, RFC 1421 and OpenSSH's own), whole and not protected by a passphrase.

use crate::detectors::secrets::finding;
use crate::detectors::{CONTEXT_AFTER_BYTES, CONTEXT_BEFORE_BYTES, Detected};

/// Bytes looked at after the first line.
pub(super) const AFTER_BYTES: usize = CONTEXT_AFTER_BYTES - 64;

/// Bytes looked at before: a Google service account is told by the JSON around its key.
pub(super) const BEFORE_BYTES: usize = CONTEXT_BEFORE_BYTES;

const BEGIN: &[u8] = b"-----BEGIN ";
const DASHES: &[u8] = b"-----";

/// Shortest body of a real key: Ed25519 in PKCS#8 has 64 characters.
const BODY_BYTES_MIN: usize = 64;

/// The base64 of `openssh-key-v1`, a zero byte, and the cipher name `none`.
const OPENSSH_UNPROTECTED: &[u8] = b"b3BlbnNzaC1rZXktdjEAAAAABG5vbmU";

/// The key whose first line holds `PRIVATE KEY-----` at `hit`.
pub(super) fn private_key(bytes: &[u8], hit: usize) -> Option<Detected> {
    let line = &bytes[hit.saturating_sub(40)..hit];
    let begin = hit - line.len() + memchr::memmem::rfind(line, BEGIN)?;
    let algorithm = std::str::from_utf8(&bytes[begin + BEGIN.len()..hit]).ok()?.trim_end();
    let rule = match algorithm {
        "" => "private-key",
        "DSA" => "dsa-private-key",
        "EC" => "ec-private-key",
        "OPENSSH" => "openssh-private-key",
        "RSA" => "rsa-private-key",
        // `ENCRYPTED` is protected by a passphrase; anything else is no format that exists.
        _ => return None,
    };
    let body_start = hit + b"PRIVATE KEY-----".len();
    let body_bytes = memchr::memmem::find(bytes.get(body_start..)?, b"-----END ")?;
    let body = &bytes[body_start..body_start + body_bytes];
    if body.len() < BODY_BYTES_MIN || !body.iter().all(is_body) || is_protected(algorithm, body) {
        return None;
    }
    let label_start = body_start + body_bytes + b"-----END ".len();
    let label_bytes = memchr::memmem::find(bytes.get(label_start..)?, DASHES).filter(|bytes| *bytes < 40)?;
    let end = label_start + label_bytes + DASHES.len();
    let after = &bytes[end..];
    if body.starts_with(b"\\n") {
        let escaped = if after.starts_with(b"\\n") { end + 2 } else { end };
        let value = unescape(&bytes[begin..escaped]);
        let account = memchr::memmem::find(&bytes[..begin], b"service_account").is_some();
        return Some(finding(if account { "gcp-service-account-key" } else { rule }, &value));
    }
    let newline = if after.starts_with(b"\r\n") { 2 } else { usize::from(after.starts_with(b"\n")) };
    Some(finding(rule, &bytes[begin..end + newline]))
}

/// Base64, white space, JSON's escaped line ends, and the header lines of RFC 1421.
fn is_body(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=\\ \t\r\n:,-".contains(byte)
}

fn is_protected(algorithm: &str, body: &[u8]) -> bool {
    if algorithm == "OPENSSH" {
        let start: Vec<u8> =
            body.iter().filter(|byte| byte.is_ascii_alphanumeric()).take(40).copied().collect();
        let start = start.strip_prefix(b"n").filter(|_| body.starts_with(b"\\n")).unwrap_or(&start);
        return !start.starts_with(OPENSSH_UNPROTECTED);
    }
    memchr::memmem::find(body, b"ENCRYPTED").is_some()
}

/// A JSON string's `\n` as the line ends they stand for, so that the value is the key itself.
fn unescape(escaped: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after.first()) {
            (b'\\', Some(b'n')) => {
                plain.push(b'\n');
                rest = &after[1..];
            }
            (b'\\', Some(b'r')) => {
                plain.push(b'\r');
                rest = &after[1..];
            }
            _ => plain.push(byte),
        }
    }
    plain
}
