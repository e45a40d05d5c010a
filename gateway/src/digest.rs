//! A content digest, parsed once: algorithm and lower-case hex of the exact length, so that it is safe as a path.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest as hash;

/// Which hash function. OCI image-spec "Digests": both are registered, SHA-256 must be supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// FIPS 180-4 SHA-256.
    Sha256,
    /// FIPS 180-4 SHA-512.
    Sha512,
}

impl Algorithm {
    /// As written before the colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }

    fn function(self) -> &'static hash::Algorithm {
        match self {
            Self::Sha256 => &hash::SHA256,
            Self::Sha512 => &hash::SHA512,
        }
    }
}

/// A well-formed digest, `sha256:<64 hex>` or `sha512:<128 hex>`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Arc<str>);

/// Why a string is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// No colon, or an algorithm other than the two.
    #[error("unsupported digest `{0}`: expected `sha256:` or `sha512:` and lower-case hex")]
    Algorithm(String),
    /// The hex part is not of the algorithm's exact length, or not lower-case hex. A truncated digest would name many
    /// contents, an upper-case one would be a second name for the same content.
    #[error("malformed digest `{0}`: expected {1} lower-case hex digits after the colon")]
    Hex(String, usize),
}

/// Longest piece of a refused value that a message repeats.
const SHOWN_MAX: usize = 150;

impl Digest {
    /// Parses a digest as the OCI grammar writes it, accepting only what we can compute.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let shown = || text.chars().take(SHOWN_MAX).collect::<String>();
        let (algorithm, hex) = match text.split_once(':') {
            Some(("sha256", hex)) => (Algorithm::Sha256, hex),
            Some(("sha512", hex)) => (Algorithm::Sha512, hex),
            _ => return Err(DigestError::Algorithm(shown())),
        };
        let well_formed = hex.len() == algorithm.hex_len()
            && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if !well_formed {
            return Err(DigestError::Hex(shown(), algorithm.hex_len()));
        }
        Ok(Self(Arc::from(text)))
    }

    /// The SHA-256 digest of bytes at hand.
    pub fn sha256_of(bytes: &[u8]) -> Self {
        Self::of(Algorithm::Sha256, bytes)
    }

    /// The digest of bytes at hand.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        Self::from_hash(algorithm, hash::digest(algorithm.function(), bytes).as_ref())
    }

    /// Whether `bytes` hash to this digest.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        Self::of(self.algorithm(), bytes) == *self
    }

    fn from_hash(algorithm: Algorithm, bytes: &[u8]) -> Self {
        Self(Arc::from(format!("{}:{}", algorithm.name(), hex::encode(bytes))))
    }

    /// Which hash function made it.
    pub fn algorithm(&self) -> Algorithm {
        if self.0.starts_with("sha256:") { Algorithm::Sha256 } else { Algorithm::Sha512 }
    }

    /// The part after the colon.
    pub fn hex(&self) -> &str {
        &self.0[Algorithm::Sha256.name().len() + 1..]
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::str::FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        Self::parse(text)
    }
}

/// A digest in the making, fed piece by piece.
#[derive(Clone)]
pub struct Hasher {
    algorithm: Algorithm,
    context: hash::Context,
}

impl Hasher {
    /// Nothing hashed yet.
    pub fn new(algorithm: Algorithm) -> Self {
        Self { algorithm, context: hash::Context::new(algorithm.function()) }
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    /// The digest of everything fed.
    pub fn finish(self) -> Digest {
        Digest::from_hash(self.algorithm, self.context.finish().as_ref())
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Hasher").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_lower_case_hex_of_a_known_algorithm_is_a_digest() {
        let sha256 = "a".repeat(64);
        let sha512 = "0".repeat(128);
        for good in [format!("sha256:{sha256}"), format!("sha512:{sha512}")] {
            assert_eq!(Digest::parse(&good).unwrap().as_str(), good);
        }
        for bad in [
            String::new(),
            "sha256".into(),
            "sha256:".into(),
            format!("sha256:{}", &sha256[1..]),
            format!("sha256:{sha256}a"),
            format!("sha256:{}", sha256.to_uppercase()),
            format!("SHA256:{sha256}"),
            format!("sha512:{sha256}"),
            format!("sha384:{}", "a".repeat(96)),
            format!("sha256:{}", "../".repeat(22)),
            format!("sha256:{}é", &sha256[2..]),
        ] {
            assert!(Digest::parse(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pieces_hash_like_the_whole() {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(b"he");
        hasher.update(b"llo");
        let digest = hasher.finish();
        assert_eq!(digest.hex(), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
        assert!(digest.matches(b"hello"));
        assert!(!digest.matches(b"hello "));
        assert!(Digest::of(Algorithm::Sha512, b"hello").matches(b"hello"));
    }
}
