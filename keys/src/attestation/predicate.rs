//! Predicate types: their short names, which of them replace the one before, and when a predicate says it was made.

use serde_json::Value;

use crate::moment::parse_rfc3339;

/// Vulnerability report of a scanner (cosign's "vuln" specification).
pub const VULN: &str = "https://cosign.sigstore.dev/attestation/vuln/v1";
/// OpenVEX; some producers append a version.
pub const OPENVEX: &str = "https://openvex.dev/ns";

/// What cosign calls them, and what stands in the statement.
const ALIASES: [(&str, &str); 11] = [
    ("cyclonedx", "https://cyclonedx.org/bom"),
    ("link", "https://in-toto.io/Link/v1"),
    ("openvex", OPENVEX),
    ("slsaprovenance", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance02", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance1", "https://slsa.dev/provenance/v1"),
    ("spdx", "https://spdx.dev/Document"),
    ("spdxjson", "https://spdx.dev/Document"),
    ("vsa", "https://slsa.dev/verification_summary/v1"),
    ("vuln", VULN),
    ("custom", "https://cosign.sigstore.dev/attestation/v1"),
];

/// Where a predicate says when it was made, by type.
const TIMES: [(&str, &[&str]); 8] = [
    ("https://cosign.sigstore.dev/attestation/vuln/v1", &["/metadata/scanFinishedOn"]),
    ("https://cyclonedx.org/bom", &["/metadata/timestamp"]),
    ("https://openvex.dev/ns", &["/last_updated", "/timestamp"]),
    ("https://slsa.dev/provenance/v0.2", &["/metadata/buildFinishedOn"]),
    ("https://slsa.dev/provenance/v1", &["/runDetails/metadata/finishedOn"]),
    ("https://slsa.dev/verification_summary/v0.2", &["/timeVerified"]),
    ("https://slsa.dev/verification_summary/v1", &["/timeVerified"]),
    ("https://spdx.dev/Document", &["/creationInfo/created"]),
];

/// The type that a short name of cosign's stands for; a URI stands for itself, anything else for nothing.
pub fn resolve(name: &str) -> Option<&str> {
    match ALIASES.iter().find(|(alias, _)| *alias == name) {
        Some((_, uri)) => Some(uri),
        None => name.contains("://").then_some(name),
    }
}

/// The short names, for people.
pub fn aliases() -> impl Iterator<Item = &'static str> {
    ALIASES.iter().map(|(alias, _)| *alias)
}

/// Whether a statement of type `seen` is of the type `asked`.
pub fn is_of_type(seen: &str, asked: &str) -> bool {
    seen == asked || asked == OPENVEX && seen.strip_prefix(OPENVEX).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether a newer statement replaces an older one: of two scans the later one is right.
pub fn newest_wins(predicate_type: &str) -> bool {
    is_of_type(predicate_type, VULN) || is_of_type(predicate_type, OPENVEX)
}

/// When the predicate says it was made, seconds since 1970-01-01 UTC; `None` where it does not say, or not in RFC 3339.
pub fn claimed_time(predicate_type: &str, predicate: &Value) -> Option<i64> {
    let (_, places) = TIMES.iter().find(|(asked, _)| is_of_type(predicate_type, asked))?;
    places.iter().find_map(|place| predicate.pointer(place)?.as_str()).and_then(parse_rfc3339)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn short_names_and_uris_are_types_and_nothing_else_is() {
        for (name, expected) in [
            ("vuln", Some(VULN)),
            ("slsaprovenance1", Some("https://slsa.dev/provenance/v1")),
            ("https://acme.example/review/v1", Some("https://acme.example/review/v1")),
            ("slsa", None),
            ("", None),
        ] {
            assert_eq!(resolve(name), expected);
        }
    }

    #[test]
    fn only_openvex_may_carry_a_version() {
        for (seen, asked, expected) in [
            ("https://openvex.dev/ns", OPENVEX, true),
            ("https://openvex.dev/ns/v0.2.0", OPENVEX, true),
            ("https://openvex.dev/nsx", OPENVEX, false),
            ("https://slsa.dev/provenance/v1.1", "https://slsa.dev/provenance/v1", false),
            ("https://slsa.dev/provenance/v1/x", "https://slsa.dev/provenance/v1", false),
        ] {
            assert_eq!(is_of_type(seen, asked), expected, "{seen}");
        }
        assert!(newest_wins("https://openvex.dev/ns/v0.2.0") && newest_wins(VULN));
        assert!(!newest_wins("https://slsa.dev/provenance/v1"));
    }

    #[test]
    fn a_time_is_read_where_the_type_has_it() {
        let noon = Some(1_782_907_200);
        for (predicate_type, predicate, expected) in [
            (VULN, json!({"metadata": {"scanFinishedOn": "2026-07-01T12:00:00Z"}}), noon),
            (VULN, json!({"metadata": {"scanFinishedOn": "yesterday"}}), None),
            (VULN, json!({"timestamp": "2026-07-01T12:00:00Z"}), None),
            ("https://openvex.dev/ns/v0.2.0", json!({"timestamp": "2026-07-01T12:00:00Z"}), noon),
            (
                OPENVEX,
                json!({"timestamp": "2020-01-01T00:00:00Z", "last_updated": "2026-07-01T12:00:00Z"}),
                noon,
            ),
            ("https://acme.example/review/v1", json!({"timestamp": "2026-07-01T12:00:00Z"}), None),
        ] {
            assert_eq!(claimed_time(predicate_type, &predicate), expected, "{predicate_type} {predicate}");
        }
    }
}
