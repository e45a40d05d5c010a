//! The tokens of the Docker token flow: short-lived, signed by us, good for named repositories only.
//!
//! A token is a JSON Web Token (RFC 7519) with one fixed header. The header of a received token is compared as text and
//! never interpreted, so no token can choose its algorithm (`alg: none`, RFC 8725 §2.1).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::grants::Action;

/// Longest token we read, in bytes; ours hold at most [`SCOPES_MAX`] repositories and stay below it.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Repositories one token may name. A push that mounts from several repositories asks for a handful.
pub(super) const SCOPES_MAX: usize = 32;
/// Difference we forgive between the clocks of gateways that share a key, in seconds.
const CLOCK_SKEW_SECONDS: i64 = 5;
const KEY_BYTES: usize = 32;
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// Signs tokens and recognises its own.
#[derive(Clone)]
pub struct TokenKey {
    key: hmac::Key,
    /// [`HEADER`], encoded.
    header: String,
}

/// A token key that cannot be loaded or made.
#[derive(Debug, thiserror::Error)]
pub enum TokenKeyError {
    /// The file cannot be read or written.
    #[error("the token key `{}` cannot be used", path.display())]
    File {
        /// Where it lies.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file has another length than a key.
    #[error("the token key `{}` must have {KEY_BYTES} bytes; delete it to get a new one", path.display())]
    Length {
        /// Where it lies.
        path: PathBuf,
    },
    /// Others on this machine could read it and make tokens for any account.
    #[error("the token key `{}` has mode {mode:o}, others can read it; delete it to get a new one", path.display())]
    Mode {
        /// Where it lies.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The machine has no randomness to give.
    #[error("no randomness for a new token key")]
    Randomness,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Made for another service.
    #[error("the token is for another service")]
    Audience,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Three parts of base64url were expected.
    #[error("the token is damaged")]
    Malformed,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYet,
    /// Not signed by us, or changed since, or under another algorithm.
    #[error("the token was not signed here")]
    Signature,
    /// The account it was given to does not exist any more.
    #[error("the token's account does not exist")]
    UnknownAccount,
}

/// What one token is good for. The account's own grants are asked as well, each time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenScope {
    /// Repositories with the highest right the token gives there.
    pub repositories: Vec<(String, Action)>,
    /// Whether the list of repositories may be read.
    pub catalog: bool,
}

impl TokenScope {
    /// The highest right in `repository`.
    pub fn highest(&self, repository: &str) -> Option<Action> {
        self.repositories.iter().filter(|(name, _)| name == repository).map(|(_, action)| *action).max()
    }
}

/// A token of ours that was checked: signature, service and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claims {
    /// The account's name; empty for anonymous callers.
    pub(super) account: String,
    pub(super) scope: TokenScope,
}

/// The claims as written, in the shape that clients of the Docker token flow know.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireClaims {
    access: Vec<WireAccess>,
    aud: String,
    exp: i64,
    iat: i64,
    iss: String,
    nbf: i64,
    sub: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireAccess {
    actions: Vec<String>,
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

impl TokenKey {
    /// Reads the key, or makes one on the first start (mode 0600, synced before use).
    ///
    /// # Errors
    /// When the file cannot be used, is damaged, or others could read it.
    pub fn load_or_create(path: &Path) -> Result<Self, TokenKeyError> {
        let file_error = |source| TokenKeyError::File { path: path.to_owned(), source };
        match File::open(path) {
            Ok(file) => read_key(file, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut bytes = Zeroizing::new([0u8; KEY_BYTES]);
                rand::fill(bytes.as_mut()).map_err(|_| TokenKeyError::Randomness)?;
                let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
                let file = file.as_mut().map_err(|error| file_error(io::Error::from(error.kind())))?;
                file.write_all(bytes.as_ref()).and_then(|()| file.sync_all()).map_err(file_error)?;
                Ok(Self::from_bytes(&bytes))
            }
            Err(error) => Err(file_error(error)),
        }
    }

    /// A key from its bytes.
    pub fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, bytes), header: URL_SAFE_NO_PAD.encode(HEADER) }
    }

    /// Makes a token for `service`, valid from `now` for `lifetime_seconds`.
    pub(super) fn issue(&self, claims: &Claims, service: &str, now: i64, lifetime_seconds: i64) -> String {
        let repository = |(name, action): &(String, Action)| WireAccess {
            actions: vec![action.name().to_owned()],
            name: name.clone(),
            kind: "repository".to_owned(),
        };
        let mut access: Vec<_> = claims.scope.repositories.iter().map(repository).collect();
        if claims.scope.catalog {
            let actions = vec!["*".to_owned()];
            access.push(WireAccess { actions, name: "catalog".to_owned(), kind: "registry".to_owned() });
        }
        let wire = WireClaims {
            access,
            aud: service.to_owned(),
            exp: now.saturating_add(lifetime_seconds),
            iat: now,
            iss: service.to_owned(),
            nbf: now,
            sub: claims.account.clone(),
        };
        let body = serde_json::to_vec(&wire).expect("strings and numbers always serialise");
        let mut token = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(body));
        let signature = hmac::sign(&self.key, token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        token
    }

    /// Checks a token: length, header, signature, then what it says. Nothing is parsed before the signature holds.
    pub(super) fn verify(&self, token: &str, service: &str, now: i64) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, body) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        if header != self.header {
            return Err(TokenError::Signature);
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Malformed)?;
        hmac::verify(&self.key, signed.as_bytes(), &signature).map_err(|_| TokenError::Signature)?;
        let body = URL_SAFE_NO_PAD.decode(body).map_err(|_| TokenError::Malformed)?;
        let wire: WireClaims = serde_json::from_slice(&body).map_err(|_| TokenError::Malformed)?;
        if wire.aud != service || wire.iss != service {
            return Err(TokenError::Audience);
        }
        if now >= wire.exp {
            return Err(TokenError::Expired);
        }
        if wire.nbf > now.saturating_add(CLOCK_SKEW_SECONDS) {
            return Err(TokenError::NotYet);
        }
        Ok(Claims { account: wire.sub, scope: scope_of(&wire.access) })
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("****")
    }
}

fn scope_of(access: &[WireAccess]) -> TokenScope {
    let mut scope = TokenScope::default();
    for entry in access {
        match entry.kind.as_str() {
            "repository" => {
                let highest = entry.actions.iter().filter_map(|name| Action::from_scope(name)).max();
                scope.repositories.extend(highest.map(|action| (entry.name.clone(), action)));
            }
            "registry" => scope.catalog |= entry.name == "catalog",
            _ => {}
        }
    }
    scope
}

fn read_key(mut file: File, path: &Path) -> Result<TokenKey, TokenKeyError> {
    let file_error = |source| TokenKeyError::File { path: path.to_owned(), source };
    let mode = file.metadata().map_err(file_error)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(TokenKeyError::Mode { path: path.to_owned(), mode });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES + 1));
    Read::by_ref(&mut file).take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(file_error)?;
    let bytes: &[u8; KEY_BYTES] =
        bytes.as_slice().try_into().map_err(|_| TokenKeyError::Length { path: path.to_owned() })?;
    Ok(TokenKey::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = "registry.example";
    const NOW: i64 = 1_000;

    fn key() -> TokenKey {
        TokenKey::from_bytes(&[7; 32])
    }

    fn claims() -> Claims {
        let repositories = vec![("prod/app".to_owned(), Action::Push), ("base/os".to_owned(), Action::Pull)];
        Claims { account: "builder".to_owned(), scope: TokenScope { repositories, catalog: true } }
    }

    fn token() -> String {
        key().issue(&claims(), SERVICE, NOW, 300)
    }

    /// Signs `header` and `body` with the right key, as nobody outside can.
    fn forged(header: &str, body: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(body));
        let signature = hmac::sign(&key().key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    #[test]
    fn what_was_issued_is_read_back() {
        assert_eq!(key().verify(&token(), SERVICE, NOW).unwrap(), claims());
        assert_eq!(key().verify(&token(), SERVICE, NOW + 299).unwrap(), claims());
    }

    #[test]
    fn a_token_is_good_only_within_its_time() {
        assert_eq!(key().verify(&token(), SERVICE, NOW + 300), Err(TokenError::Expired));
        assert_eq!(key().verify(&token(), SERVICE, NOW - CLOCK_SKEW_SECONDS - 1), Err(TokenError::NotYet));
    }

    #[test]
    fn a_token_of_another_service_or_key_is_refused() {
        assert_eq!(key().verify(&token(), "other.example", NOW), Err(TokenError::Audience));
        let stranger = TokenKey::from_bytes(&[8; 32]);
        assert_eq!(stranger.verify(&token(), SERVICE, NOW), Err(TokenError::Signature));
    }

    #[test]
    fn a_token_cannot_choose_its_algorithm() {
        let body = token().split('.').nth(1).unwrap().to_owned();
        for header in [r#"{"alg":"none","typ":"JWT"}"#, r#"{"alg":"None"}"#, r#"{"alg":"RS256","typ":"JWT"}"#]
        {
            let header = URL_SAFE_NO_PAD.encode(header);
            assert_eq!(key().verify(&format!("{header}.{body}."), SERVICE, NOW), Err(TokenError::Signature));
        }
        // Even rightly signed, another header is refused.
        let other = forged(r#"{"typ":"JWT","alg":"HS256"}"#, "{}");
        assert_eq!(key().verify(&other, SERVICE, NOW), Err(TokenError::Signature));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let token = token();
        for position in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(key().verify(&changed, SERVICE, NOW).is_err(), "byte {position}");
        }
        for length in 0..token.len() {
            assert!(key().verify(&token[..length], SERVICE, NOW).is_err(), "cut to {length}");
        }
    }

    #[test]
    fn claims_we_do_not_write_are_not_read() {
        let body = r#"{"access":[],"aud":"registry.example","exp":9999,"iat":0,"iss":"registry.example","nbf":0,"sub":"x","admin":true}"#;
        assert_eq!(key().verify(&forged(HEADER, body), SERVICE, NOW), Err(TokenError::Malformed));
        assert_eq!(key().verify(&"a".repeat(TOKEN_BYTES_MAX + 1), SERVICE, NOW), Err(TokenError::Malformed));
    }

    #[test]
    fn the_key_survives_a_restart_and_is_readable_by_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.key");
        let token = TokenKey::load_or_create(&path).unwrap().issue(&claims(), SERVICE, NOW, 300);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(TokenKey::load_or_create(&path).unwrap().verify(&token, SERVICE, NOW).is_ok());

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(TokenKey::load_or_create(&path), Err(TokenKeyError::Mode { mode: 0o644, .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, b"short").unwrap();
        assert!(matches!(TokenKey::load_or_create(&path), Err(TokenKeyError::Length { .. })));
    }

    #[test]
    fn the_key_is_not_printed() {
        assert_eq!(format!("{:?}", key()), "****");
    }
}
