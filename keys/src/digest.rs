//! Digest strings: strict splitting, and SHA-256 of bytes.

use sha2::{Digest, Sha256};

/// Splits `algorithm:hex`. Upper case, other algorithms and other lengths are no digests (OCI image-spec,
/// descriptor.md § digests).
pub(crate) fn split(digest: &str) -> Option<(&str, &str)> {
    let (algorithm, hex) = digest.split_once(':')?;
    let hex_chars = match algorithm {
        "sha256" => 64,
        "sha512" => 128,
        _ => return None,
    };
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (hex.len() == hex_chars && hex.bytes().all(lower_hex)).then_some((algorithm, hex))
}

/// `sha256:<hex>` of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256_hex(bytes))
}

/// `<hex>` of the SHA-256 of `bytes`.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn only_the_canonical_spelling_is_a_digest() {
        let hex = "ab".repeat(32);
        assert_eq!(split(&format!("sha256:{hex}")), Some(("sha256", hex.as_str())));
        assert!(split(&format!("sha512:{}", hex.repeat(2))).is_some());
        for wrong in [
            String::new(),
            hex.clone(),
            format!("sha256:{}", &hex[1..]),
            format!("sha256:{hex}0"),
            format!("sha256:{}", hex.to_uppercase()),
            format!("SHA256:{hex}"),
            format!("sha256: {}", &hex[1..]),
            format!("sha512:{hex}"),
            format!("md5:{}", &hex[..32]),
        ] {
            assert_eq!(split(&wrong), None, "{wrong}");
        }
    }
}
