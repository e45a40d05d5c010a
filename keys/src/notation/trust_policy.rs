//! The trust policy document as `notation` reads it, and the trust stores that it names.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::json::{self, JsonError};
use crate::limits;
use crate::x509::{Certificate, DistinguishedName, NameError, OcspResponse, RevocationList};

/// Why text is not a trust policy document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustPolicyError {
    /// Not strict JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Absent, of another type, or not one of the allowed values.
    #[error("`{0}` is absent or not what a trust policy holds there")]
    Member(String),
    /// A field that we would have to ignore (CVE-2025-29778 is what comes of that).
    #[error("unknown field `{0}`")]
    UnknownField(String),
    /// Two statements with one name, or for one repository.
    #[error("`{0}` stands in two statements")]
    Repeated(String),
    /// Integrity, or a skip of anything but revocation.
    #[error("`{check}` must not be overridden with `{action}`")]
    Override {
        /// The check.
        check: String,
        /// The action.
        action: String,
    },
    /// A skipping statement that names stores or identities, or one that skips nothing and names none.
    #[error("statement `{0}`: stores and identities belong to every level but `skip`, and only to those")]
    Trust(String),
    /// A trusted identity that is not `*` or `x509.subject: …` with C, ST and O.
    #[error("trusted identity `{0}` must be `*` alone, or `x509.subject:` with at least C, ST and O")]
    Identity(String),
    /// The name inside an identity.
    #[error("trusted identity: {0}")]
    Name(#[from] NameError),
}

/// One kind of check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Check {
    /// Form, certificates' profile, signature, descriptor.
    Integrity,
    /// Trust store and trusted identity.
    Authenticity,
    /// The certificates were valid when it was signed.
    AuthenticTimestamp,
    /// The signature's own end.
    Expiry,
    /// No certificate was revoked.
    Revocation,
}

/// What follows when a check fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The signature does not count.
    Enforce,
    /// The trace says so.
    Log,
    /// Not run.
    Skip,
}

/// Actions for authenticity, authentic timestamp, expiry and revocation; integrity is always enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level([Action; 4]);

const CHECKS: [(&str, Check); 4] = [
    ("authenticity", Check::Authenticity),
    ("authenticTimestamp", Check::AuthenticTimestamp),
    ("expiry", Check::Expiry),
    ("revocation", Check::Revocation),
];

/// The levels as the specification's table has them; `skip` has no row, because nothing is verified then.
const LEVELS: [(&str, Level); 3] =
    [("strict", Level::STRICT), ("permissive", Level::PERMISSIVE), ("audit", Level([Action::Log; 4]))];

impl Level {
    /// Every check enforced.
    pub const STRICT: Self = Self([Action::Enforce; 4]);

    /// Who signed is enforced; when, until when, and whether it was revoked is told.
    pub const PERMISSIVE: Self = Self([Action::Enforce, Action::Log, Action::Log, Action::Log]);

    /// What follows when `check` fails.
    pub fn action(self, check: Check) -> Action {
        let index = CHECKS.iter().position(|(_, other)| *other == check);
        index.map_or(Action::Enforce, |index| self.0[index])
    }
}

/// One statement of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its name.
    pub name: String,
    scopes: Vec<String>,
    /// `None`: the level `skip`. Nothing is verified, so nothing vouches.
    pub level: Option<Level>,
    /// Whether a timestamp is needed only once a certificate has expired.
    pub timestamp_after_expiry_only: bool,
    /// `type:name`.
    pub(crate) stores: Vec<String>,
    /// Empty: everybody whom the stores' authorities certify.
    pub(crate) identities: Vec<DistinguishedName>,
}

/// A whole document; no two statements are for one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustPolicy {
    statements: Vec<Statement>,
}

impl TrustPolicy {
    /// Reads `trustpolicy.json`, version 1.0. Off-spec: unknown fields are errors, and so are identities of plug-ins.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustPolicyError> {
        let document = json::parse(bytes, limits::TRUST_POLICY_BYTES_MAX)?;
        let document = object(Some(&document), "trust policy", &["version", "trustPolicies"])?;
        if document.get("version").and_then(Value::as_str) != Some("1.0") {
            return Err(member("version"));
        }
        let listed = document.get("trustPolicies").and_then(Value::as_array);
        let listed = listed.filter(|listed| !listed.is_empty()).ok_or_else(|| member("trustPolicies"))?;
        let mut statements: Vec<Statement> = Vec::new();
        for value in listed {
            let statement = statement(value)?;
            for other in &statements {
                if other.name == statement.name {
                    return Err(TrustPolicyError::Repeated(statement.name));
                }
                if let Some(scope) = statement.scopes.iter().find(|scope| other.scopes.contains(scope)) {
                    return Err(TrustPolicyError::Repeated(scope.clone()));
                }
            }
            statements.push(statement);
        }
        Ok(Self { statements })
    }

    /// One statement for every repository: what a policy of ours says without such a document. No `identities`:
    /// everybody whom the stores' authorities certify.
    pub fn for_all_repositories(
        name: &str,
        level: Level,
        stores: &[&str],
        identities: Vec<DistinguishedName>,
        timestamp_after_expiry_only: bool,
    ) -> Self {
        let statement = Statement {
            name: name.to_owned(),
            scopes: vec!["*".to_owned()],
            level: Some(level),
            timestamp_after_expiry_only,
            stores: stores.iter().map(|&store| store.to_owned()).collect(),
            identities,
        };
        Self { statements: vec![statement] }
    }

    /// The stores that the statements name, as `type:name`.
    pub fn stores(&self) -> impl Iterator<Item = &str> {
        self.statements.iter().flat_map(|statement| &statement.stores).map(String::as_str)
    }

    /// The statement for `host/name`: the one that names it, else the one with the wildcard.
    pub fn statement_for(&self, repository: &str) -> Option<&Statement> {
        let with = |scope: &str| {
            self.statements.iter().find(|statement| statement.scopes.iter().any(|s| s == scope))
        };
        with(repository).or_else(|| with("*"))
    }
}

fn statement(value: &Value) -> Result<Statement, TrustPolicyError> {
    let fields = ["name", "registryScopes", "signatureVerification", "trustStores", "trustedIdentities"];
    let fields = object(Some(value), "trustPolicies", &fields)?;
    let name = text(fields, "name")?.to_owned();
    let scopes = texts(fields, "registryScopes")?;
    let is_scope = |scope: &String| match scope.as_str() {
        "*" => scopes.len() == 1,
        scope => scope.split_once('/').is_some_and(|(host, path)| {
            !host.is_empty() && !path.is_empty() && !path.contains([':', '@', '*'])
        }),
    };
    if scopes.is_empty() || !scopes.iter().all(is_scope) {
        return Err(member("registryScopes"));
    }
    let known = ["level", "override", "verifyTimestamp"];
    let verification = object(fields.get("signatureVerification"), "signatureVerification", &known)?;
    let level = level(verification)?;
    let timestamp_after_expiry_only = match verification.get("verifyTimestamp").map(Value::as_str) {
        None | Some(Some("" | "always")) => false,
        Some(Some("afterCertExpiry")) => true,
        Some(_) => return Err(member("verifyTimestamp")),
    };
    let stores = texts(fields, "trustStores")?;
    let trusted = texts(fields, "trustedIdentities")?;
    if (stores.is_empty(), trusted.is_empty()) != (level.is_none(), level.is_none()) {
        return Err(TrustPolicyError::Trust(name));
    }
    let is_name = |character: char| character.is_ascii_alphanumeric() || "_.-".contains(character);
    let is_store = |store: &String| {
        store.split_once(':').is_some_and(|(kind, name)| {
            ["ca", "signingAuthority", "tsa"].contains(&kind) && !name.is_empty() && name.chars().all(is_name)
        })
    };
    if !stores.iter().all(is_store) {
        return Err(member("trustStores"));
    }
    let identities = identities(&trusted)?;
    Ok(Statement { name, scopes, level, timestamp_after_expiry_only, stores, identities })
}

fn level(verification: &Map<String, Value>) -> Result<Option<Level>, TrustPolicyError> {
    let name = text(verification, "level")?;
    let overrides = match verification.get("override") {
        None => None,
        Some(Value::Object(overrides)) => Some(overrides),
        Some(_) => return Err(member("override")),
    };
    if name == "skip" {
        return if overrides.is_some_and(|map| !map.is_empty()) { Err(member("override")) } else { Ok(None) };
    }
    let found = LEVELS.iter().find(|(other, _)| *other == name).map(|(_, level)| *level);
    let mut level = found.ok_or_else(|| member("level"))?;
    for (check, action) in overrides.into_iter().flatten() {
        let spelled = action.as_str().unwrap_or_default();
        let refused =
            || TrustPolicyError::Override { check: json::quote(check), action: json::quote(spelled) };
        let index = CHECKS.iter().position(|(name, _)| name == check).ok_or_else(refused)?;
        level.0[index] = match spelled {
            "enforce" => Action::Enforce,
            "log" => Action::Log,
            "skip" if check == "revocation" => Action::Skip,
            _ => return Err(refused()),
        };
    }
    Ok(Some(level))
}

fn identities(trusted: &[String]) -> Result<Vec<DistinguishedName>, TrustPolicyError> {
    if trusted == ["*"] {
        return Ok(Vec::new());
    }
    let parse = |identity: &String| {
        let refused = || TrustPolicyError::Identity(json::quote(identity));
        let name = identity.strip_prefix("x509.subject:").ok_or_else(refused)?;
        let name = DistinguishedName::parse(name)?;
        // Fewer attributes would match other people's certificates of the same authority.
        if ["C", "ST", "O"].iter().all(|attribute| name.has(attribute)) { Ok(name) } else { Err(refused()) }
    };
    trusted.iter().map(parse).collect()
}

fn object<'a>(
    value: Option<&'a Value>,
    name: &str,
    known: &[&str],
) -> Result<&'a Map<String, Value>, TrustPolicyError> {
    let fields = value.and_then(Value::as_object).ok_or_else(|| member(name))?;
    match fields.keys().find(|field| !known.contains(&field.as_str())) {
        Some(field) => Err(TrustPolicyError::UnknownField(json::quote(field))),
        None => Ok(fields),
    }
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a str, TrustPolicyError> {
    let text = fields.get(name).and_then(Value::as_str);
    text.filter(|text| !text.is_empty()).ok_or_else(|| member(name))
}

fn texts(fields: &Map<String, Value>, name: &str) -> Result<Vec<String>, TrustPolicyError> {
    let Some(listed) = fields.get(name) else { return Ok(Vec::new()) };
    let listed = listed.as_array().ok_or_else(|| member(name))?;
    listed.iter().map(|text| text.as_str().map(str::to_owned).ok_or_else(|| member(name))).collect()
}

fn member(name: &str) -> TrustPolicyError {
    TrustPolicyError::Member(name.to_owned())
}

/// The certificates of each store, by `type:name` as the policy spells it.
#[derive(Clone, Debug, Default)]
pub struct TrustStores {
    stores: BTreeMap<String, Vec<Certificate>>,
    lists: Vec<RevocationList>,
    responses: Vec<OcspResponse>,
}

impl TrustStores {
    /// Adds certificates to a store. Returns those that may not be anchors, being neither an authority nor
    /// self-signed: a leaf in a store would vouch for itself alone, which is never what was meant.
    pub fn add(&mut self, store: &str, certificates: Vec<Certificate>) -> Vec<Certificate> {
        let is_anchor = |certificate: &Certificate| certificate.is_ca() || certificate.is_self_signed();
        let (anchors, refused) = certificates.into_iter().partition(is_anchor);
        self.stores.entry(store.to_owned()).or_default().extend::<Vec<_>>(anchors);
        refused
    }

    /// Adds a certificate revocation list. It is used for the certificates whose issuer signed it.
    pub fn add_list(&mut self, list: RevocationList) {
        self.lists.push(list);
    }

    /// Adds the answer of an OCSP responder. It is used for the certificates that it names, whose issuer signed it or
    /// appointed who did.
    pub fn add_response(&mut self, response: OcspResponse) {
        self.responses.push(response);
    }

    /// All of them.
    pub(crate) fn responses(&self) -> &[OcspResponse] {
        &self.responses
    }

    /// The lists that may be about `certificate`, newest first.
    pub(crate) fn lists_about(&self, certificate: &Certificate) -> Vec<&RevocationList> {
        let mut lists: Vec<_> = self.lists.iter().filter(|list| list.is_about(certificate)).collect();
        lists.sort_by_key(|list| std::cmp::Reverse(list.this_update()));
        lists
    }

    /// Whether `certificate` is an anchor in one of the statement's stores of the kind.
    pub(crate) fn hold(&self, statement: &Statement, kind: &str, certificate: &Certificate) -> bool {
        self.anchors(statement, kind).iter().any(|anchor| anchor.der() == certificate.der())
    }

    /// The anchors in the statement's stores of the kind.
    pub(crate) fn anchors(&self, statement: &Statement, kind: &str) -> Vec<&Certificate> {
        let of_kind = |store: &&String| store.split_once(':').is_some_and(|(other, _)| other == kind);
        let stores = statement.stores.iter().filter(of_kind).filter_map(|store| self.stores.get(store));
        stores.flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(statements: &Value) -> Result<TrustPolicy, TrustPolicyError> {
        TrustPolicy::parse(json!({ "version": "1.0", "trustPolicies": statements }).to_string().as_bytes())
    }

    fn with(field: &str, value: Value) -> Result<TrustPolicy, TrustPolicyError> {
        let mut statement = json!({
            "name": "p",
            "registryScopes": ["registry.example/app"],
            "signatureVerification": { "level": "strict" },
            "trustStores": ["ca:acme"],
            "trustedIdentities": ["*"],
        });
        statement[field] = value;
        document(&json!([statement]))
    }

    #[test]
    fn what_a_policy_does_not_say_clearly_is_refused() {
        use TrustPolicyError::{Identity, Member, Override, Trust, UnknownField};
        let level = |value: Value| with("signatureVerification", value);
        assert!(with("name", json!("q")).is_ok());
        assert!(matches!(with("extra", json!(1)), Err(UnknownField(_))));
        assert!(matches!(with("registryScopes", json!(["*", "a/b"])), Err(Member(_))));
        assert!(matches!(with("registryScopes", json!(["a/*"])), Err(Member(_))));
        assert!(matches!(with("registryScopes", json!([])), Err(Member(_))));
        assert!(matches!(with("trustStores", json!(["pgp:acme"])), Err(Member(_))));
        assert!(matches!(with("trustStores", json!(["ca:../x/y"])), Err(Member(_))));
        assert!(matches!(with("trustStores", json!([])), Err(Trust(_))));
        assert!(matches!(with("trustedIdentities", json!([])), Err(Trust(_))));
        assert!(matches!(with("trustedIdentities", json!(["*", "x509.subject: C=US"])), Err(Identity(_))));
        assert!(matches!(with("trustedIdentities", json!(["x509.subject: C=US, O=Acme"])), Err(Identity(_))));
        assert!(matches!(level(json!({ "level": "lenient" })), Err(Member(_))));
        assert!(matches!(level(json!({ "level": "skip" })), Err(Trust(_))));
        for (check, action) in [("integrity", "log"), ("expiry", "skip"), ("expiry", "ignore")] {
            let refused = level(json!({ "level": "strict", "override": { check: action } }));
            assert!(matches!(refused, Err(Override { .. })), "{check} {action}");
        }
    }

    #[test]
    fn levels_are_the_table_of_the_specification() {
        let level = |verification: Value| {
            let policy = with("signatureVerification", verification).unwrap();
            policy.statement_for("registry.example/app").unwrap().level.unwrap()
        };
        use Action::{Enforce, Log, Skip};
        let checks = [
            Check::Integrity,
            Check::Authenticity,
            Check::AuthenticTimestamp,
            Check::Expiry,
            Check::Revocation,
        ];
        for (verification, expected) in [
            (json!({ "level": "strict" }), [Enforce; 5]),
            (json!({ "level": "permissive" }), [Enforce, Enforce, Log, Log, Log]),
            (json!({ "level": "audit" }), [Enforce, Log, Log, Log, Log]),
            (
                json!({ "level": "permissive", "override": { "revocation": "skip", "expiry": "enforce" } }),
                [Enforce, Enforce, Log, Enforce, Skip],
            ),
        ] {
            let level = level(verification.clone());
            assert_eq!(checks.map(|check| level.action(check)), expected, "{verification}");
        }
    }

    #[test]
    fn a_repository_without_a_statement_is_not_judged_by_anothers() {
        let policy = with("name", json!("p")).unwrap();
        assert!(policy.statement_for("registry.example/app").is_some());
        assert!(policy.statement_for("registry.example/app2").is_none());
    }
}
