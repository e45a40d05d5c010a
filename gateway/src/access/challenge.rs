//! Token scopes as clients write them, and the `WWW-Authenticate` header that tells where to get a token.

use std::fmt::Write;

use http::{HeaderMap, HeaderValue, header};

use super::grants::Action;
use super::token::{SCOPES_MAX, TokenScope};

/// Longest repository name we put into a token or a challenge, in bytes.
const REPOSITORY_BYTES_MAX: usize = 255;
/// Longest `Host` we repeat in a challenge, in bytes: a DNS name and a port.
const HOST_BYTES_MAX: usize = 261;

/// What a refused caller would need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// Any valid credential (`GET /v2/`).
    Anything,
    /// The list of repositories.
    Catalog,
    /// A right in one repository.
    Repository(&'a str, Action),
}

/// Reads the `scope` parameters of a token request. Each may hold several scopes, split by spaces. Types and actions
/// we don't know give nothing, as the token specification asks.
pub(super) fn parse_scopes<'a>(parameters: impl Iterator<Item = &'a str>) -> TokenScope {
    let mut wanted = TokenScope::default();
    let scopes = parameters.flat_map(|parameter| parameter.split(' ')).filter(|scope| !scope.is_empty());
    for scope in scopes.take(SCOPES_MAX) {
        // A repository name holds no colon, but a port in front of it would: the first and the last colon count.
        let Some((kind, rest)) = scope.split_once(':') else { continue };
        let Some((name, actions)) = rest.rsplit_once(':') else { continue };
        match kind {
            "repository" if plausible_repository(name) => {
                let highest = actions.split(',').filter_map(Action::from_scope).max();
                wanted.repositories.extend(highest.map(|action| (name.to_owned(), action)));
            }
            "registry" if name == "catalog" => wanted.catalog = true,
            _ => {}
        }
    }
    wanted
}

/// The challenge of a 401. `base` is the configured public URL without a slash at its end; without one the URL is
/// made of the request's own `Host`. That header is the client's word, and harmless here: the answer goes to that same
/// client and to nobody else, is never cached, and a client that lies sends only itself elsewhere.
pub(super) fn challenge(
    headers: &HeaderMap,
    base: Option<&str>,
    tls: bool,
    service: &str,
    wanted: Wanted<'_>,
) -> HeaderValue {
    let host =
        headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(|host| plausible_host(host));
    let base = match (base, host) {
        (Some(base), _) => base.to_owned(),
        (None, Some(host)) => format!("{}://{host}", if tls { "https" } else { "http" }),
        // Without a host there is no URL to name; every client can do Basic.
        (None, None) => return HeaderValue::from_static("Basic realm=\"portcullis\""),
    };
    let mut text = format!("Bearer realm=\"{base}/token\",service=\"{service}\"");
    let written = match wanted {
        Wanted::Anything => Ok(()),
        Wanted::Catalog => write!(text, ",scope=\"registry:catalog:*\""),
        Wanted::Repository(name, action) if plausible_repository(name) => {
            write!(text, ",scope=\"repository:{name}:{}\"", actions_up_to(action))
        }
        Wanted::Repository(..) => Ok(()),
    };
    debug_assert!(written.is_ok(), "writing to a string");
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("Basic realm=\"portcullis\""))
}

/// Clients pass this list back to the token endpoint; `pull` is named because they expect it beside `push`.
fn actions_up_to(action: Action) -> &'static str {
    match action {
        Action::Pull => "pull",
        Action::Sign | Action::Push => "pull,push",
        Action::Admin => "pull,push,delete",
    }
}

/// Characters of the distribution spec's repository names; keeps quotes and line ends out of the header.
fn plausible_repository(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    (1..=REPOSITORY_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed)
}

fn plausible_host(host: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".:-[]_".contains(&byte);
    (1..=HOST_BYTES_MAX).contains(&host.len()) && host.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(parameters: &[&str]) -> TokenScope {
        parse_scopes(parameters.iter().copied())
    }

    fn repositories(entries: &[(&str, Action)]) -> TokenScope {
        let repositories = entries.iter().map(|(name, action)| ((*name).to_owned(), *action)).collect();
        TokenScope { repositories, catalog: false }
    }

    #[test]
    fn scopes_are_read_as_clients_write_them() {
        for (parameters, expected) in [
            (&["repository:prod/app:pull,push"][..], repositories(&[("prod/app", Action::Push)])),
            (
                &["repository:a:pull repository:b:push"][..],
                repositories(&[("a", Action::Pull), ("b", Action::Push)]),
            ),
            (
                &["repository:a:pull", "repository:b:delete"][..],
                repositories(&[("a", Action::Pull), ("b", Action::Admin)]),
            ),
            (&["repository:a:*"][..], repositories(&[("a", Action::Admin)])),
            (&["repository:a:fly"][..], repositories(&[])),
            (&["repository:a"][..], repositories(&[])),
            (&["repository::pull"][..], repositories(&[])),
            (&["repository:a\"b:pull"][..], repositories(&[])),
            (&["plugin:a:pull", "", "  "][..], repositories(&[])),
        ] {
            assert_eq!(scopes(parameters), expected, "{parameters:?}");
        }
        assert!(scopes(&["registry:catalog:*"]).catalog);
    }

    #[test]
    fn a_token_request_names_a_bounded_number_of_repositories() {
        let many = "repository:a:pull ".repeat(SCOPES_MAX + 10);
        assert_eq!(scopes(&[&many]).repositories.len(), SCOPES_MAX);
    }

    fn header_for(host: &str, base: Option<&str>, wanted: Wanted<'_>) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        challenge(&headers, base, true, "registry.example", wanted).to_str().unwrap().to_owned()
    }

    #[test]
    fn the_challenge_names_where_to_get_a_token_and_for_what() {
        let push = Wanted::Repository("prod/app", Action::Push);
        assert_eq!(
            header_for("localhost:5000", None, push),
            "Bearer realm=\"https://localhost:5000/token\",service=\"registry.example\",scope=\"repository:prod/app:pull,push\""
        );
        assert_eq!(
            header_for("evil.example", Some("https://registry.example"), Wanted::Anything),
            "Bearer realm=\"https://registry.example/token\",service=\"registry.example\""
        );
    }

    #[test]
    fn a_hostile_host_or_repository_cannot_write_into_the_challenge() {
        assert_eq!(header_for("x\",realm=\"y", None, Wanted::Anything), "Basic realm=\"portcullis\"");
        let hostile = Wanted::Repository("a\",b=\"c", Action::Pull);
        assert!(!header_for("localhost", None, hostile).contains("scope"));
    }
}
