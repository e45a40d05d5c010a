//! Verdict receipts: the gate's own statement that it released an image, for those who cannot ask it.
//!
//! A receipt is a SLSA Verification Summary (slsa.dev/spec/v1.1/verification_summary) in a sigstore bundle, signed by
//! the gate's key, attached to the image as a referrer. It ends by itself: whoever holds one cannot hear of a
//! revocation, so `valid-for` bounds how long a withdrawn image may still pass where nobody asks.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::attestation::VerifiedAttestation;
use crate::json;
use crate::moment::{parse_rfc3339, rfc3339};

/// Predicate type of a receipt.
pub const PREDICATE_TYPE: &str = "https://slsa.dev/verification_summary/v1";
/// The one level that a receipt states.
pub const LEVEL: &str = "PORTCULLIS_RELEASED";
/// The specification whose terms it uses.
const SLSA_VERSION: &str = "1.1";
/// Major versions of the specification that we can read.
const SLSA_VERSIONS: [&str; 3] = ["1.0", "1.1", "1.2"];
/// Before a repository in `resourceUri`.
const SCHEME: &str = "oci://";
/// How far a receipt may come from the future: clocks differ.
const CLOCK_SKEW_SECONDS: i64 = 60;

/// What a receipt says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Receipt {
    /// `host/name` of the repository that it was released in.
    pub repository: String,
    /// The gate: bound to its key by whoever trusts the key.
    pub verifier: String,
    /// `sha256:<hex>` of policy file and keys that it was judged by.
    pub policy: String,
    /// `sha256:<hex>` of the advisory snapshot it was weighed with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub advisories: Option<String>,
    /// Digests of what was weighed: layers, children, keys.
    pub evidence: Vec<String>,
    /// When the gate said so, seconds since 1970-01-01 UTC.
    pub time_verified: i64,
    /// The last moment at which it counts, seconds since 1970-01-01 UTC.
    pub expires: i64,
}

/// What a receipt must say to count.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// `host/name`: a receipt for another repository is another's.
    pub repository: &'a str,
    /// Which gate; `None`: whoever holds the key.
    pub verifier: Option<&'a str>,
    /// Digest of the policy it must have been judged by; `None`: any of the gate's.
    pub policy: Option<&'a str>,
}

/// Why a receipt does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// It ended.
    #[error("the receipt ended at {expires}, and it is {now}; fetch a newer one from the gate")]
    Expired {
        /// RFC 3339.
        expires: String,
        /// RFC 3339.
        now: String,
    },
    /// It was made at a time that has not come.
    #[error("the receipt is of {time_verified}, and it is {now}")]
    Future {
        /// RFC 3339.
        time_verified: String,
        /// RFC 3339.
        now: String,
    },
    /// It does not state our level.
    #[error("the receipt does not state the level `{LEVEL}`")]
    Level,
    /// Judged by another policy.
    #[error("the receipt is for policy `{seen}`, asked for was `{expected}`")]
    Policy {
        /// Asked for.
        expected: String,
        /// In the receipt.
        seen: String,
    },
    /// Another kind of statement.
    #[error("the statement is of type `{0}`, no receipt")]
    PredicateType(String),
    /// For another repository.
    #[error("the receipt is for `{seen}`, asked for was `{expected}`")]
    Repository {
        /// Asked for.
        expected: String,
        /// In the receipt.
        seen: String,
    },
    /// Anything but `PASSED`.
    #[error("the receipt's result is `{0}`")]
    Result(String),
    /// A field is missing or of another type.
    #[error("the receipt's `{0}` is missing or malformed")]
    Shape(&'static str),
    /// Of a specification we cannot read.
    #[error("the receipt is of SLSA version `{0}`, which is not known here")]
    SlsaVersion(String),
    /// By another gate.
    #[error("the receipt is by `{seen}`, asked for was `{expected}`")]
    Verifier {
        /// Asked for.
        expected: String,
        /// In the receipt.
        seen: String,
    },
}

impl Receipt {
    /// The predicate, to be signed by [`crate::signer::Signer::attest_bundle`].
    pub fn predicate(&self) -> Value {
        let policy_hex = self.policy.strip_prefix("sha256:").unwrap_or(&self.policy);
        json!({
            "verifier": { "id": self.verifier },
            "timeVerified": rfc3339(self.time_verified),
            "resourceUri": format!("{SCHEME}{}", self.repository),
            "policy": { "uri": format!("{}/policy", self.verifier), "digest": { "sha256": policy_hex } },
            "verificationResult": "PASSED",
            "verifiedLevels": [LEVEL],
            "slsaVersion": SLSA_VERSION,
            "portcullis": {
                "advisories": self.advisories,
                "evidence": self.evidence,
                "expires": rfc3339(self.expires),
            },
        })
    }

    /// Reads a predicate made by [`Receipt::predicate`], and checks nothing but its shape and result.
    ///
    /// # Errors
    /// The first field that is missing, malformed or not what a receipt says.
    pub fn read(predicate: &Value) -> Result<Self, ReceiptError> {
        let text = |path: &'static str| {
            let found = predicate.pointer(path).and_then(Value::as_str);
            found.ok_or(ReceiptError::Shape(path))
        };
        let moment = |path: &'static str| parse_rfc3339(text(path)?).ok_or(ReceiptError::Shape(path));
        let result = text("/verificationResult")?;
        if result != "PASSED" {
            return Err(ReceiptError::Result(json::quote(result)));
        }
        let version = text("/slsaVersion")?;
        if !SLSA_VERSIONS.contains(&version) {
            return Err(ReceiptError::SlsaVersion(json::quote(version)));
        }
        let levels = predicate.get("verifiedLevels").and_then(Value::as_array);
        let levels = levels.ok_or(ReceiptError::Shape("/verifiedLevels"))?;
        if !levels.iter().any(|level| level.as_str() == Some(LEVEL)) {
            return Err(ReceiptError::Level);
        }
        let resource = text("/resourceUri")?;
        let repository = resource.strip_prefix(SCHEME).ok_or(ReceiptError::Shape("/resourceUri"))?;
        let own: &Map<String, Value> = predicate
            .get("portcullis")
            .and_then(Value::as_object)
            .ok_or(ReceiptError::Shape("/portcullis"))?;
        let evidence = own.get("evidence").and_then(Value::as_array);
        let evidence = evidence.ok_or(ReceiptError::Shape("/portcullis/evidence"))?.iter();
        Ok(Self {
            repository: repository.to_owned(),
            verifier: text("/verifier/id")?.to_owned(),
            policy: format!("sha256:{}", text("/policy/digest/sha256")?),
            advisories: own.get("advisories").and_then(Value::as_str).map(str::to_owned),
            evidence: evidence.filter_map(Value::as_str).map(str::to_owned).collect(),
            time_verified: moment("/timeVerified")?,
            expires: moment("/portcullis/expires")?,
        })
    }
}

/// Checks a statement whose signature and subject were verified already. `now` is seconds since 1970-01-01 UTC.
///
/// # Errors
/// The first check that failed.
pub fn verify(
    statement: &VerifiedAttestation,
    expected: Expected<'_>,
    now: i64,
) -> Result<Receipt, ReceiptError> {
    if statement.predicate_type() != PREDICATE_TYPE {
        return Err(ReceiptError::PredicateType(json::quote(statement.predicate_type())));
    }
    check(Receipt::read(statement.predicate())?, expected, now)
}

fn check(receipt: Receipt, expected: Expected<'_>, now: i64) -> Result<Receipt, ReceiptError> {
    let pair = |expected: &str, seen: &str| (expected.to_owned(), json::quote(seen));
    if let Some(verifier) = expected.verifier
        && receipt.verifier != verifier
    {
        let (expected, seen) = pair(verifier, &receipt.verifier);
        return Err(ReceiptError::Verifier { expected, seen });
    }
    if receipt.repository != expected.repository {
        let (expected, seen) = pair(expected.repository, &receipt.repository);
        return Err(ReceiptError::Repository { expected, seen });
    }
    if let Some(policy) = expected.policy
        && receipt.policy != policy
    {
        let (expected, seen) = pair(policy, &receipt.policy);
        return Err(ReceiptError::Policy { expected, seen });
    }
    if receipt.time_verified > now.saturating_add(CLOCK_SKEW_SECONDS) {
        let (time_verified, now) = (rfc3339(receipt.time_verified), rfc3339(now));
        return Err(ReceiptError::Future { time_verified, now });
    }
    if now > receipt.expires {
        return Err(ReceiptError::Expired { expires: rfc3339(receipt.expires), now: rfc3339(now) });
    }
    Ok(receipt)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const EXPECTED: Expected<'_> = Expected {
        repository: "registry.example/app",
        verifier: Some("https://registry.example"),
        policy: Some("sha256:aa"),
    };

    fn receipt() -> Receipt {
        Receipt {
            repository: "registry.example/app".to_owned(),
            verifier: "https://registry.example".to_owned(),
            policy: "sha256:aa".to_owned(),
            advisories: Some("sha256:bb".to_owned()),
            evidence: vec!["sha256:cc".to_owned()],
            time_verified: NOW,
            expires: NOW + 3600,
        }
    }

    #[test]
    fn a_receipt_comes_back_as_it_was_written() {
        assert_eq!(Receipt::read(&receipt().predicate()), Ok(receipt()));
        assert_eq!(check(receipt(), EXPECTED, NOW), Ok(receipt()));
        let lenient = Expected { verifier: None, policy: None, ..EXPECTED };
        assert_eq!(check(receipt(), lenient, NOW + 3600), Ok(receipt()));
    }

    #[test]
    fn each_field_that_says_something_else_refuses() {
        type Tamper = fn(&mut Value);
        let cases: [(Tamper, ReceiptError); 9] = [
            (|v| v["verificationResult"] = json!("FAILED"), ReceiptError::Result("FAILED".to_owned())),
            (|v| v["verificationResult"] = json!("passed"), ReceiptError::Result("passed".to_owned())),
            (|v| v["verificationResult"] = json!(true), ReceiptError::Shape("/verificationResult")),
            (|v| v["slsaVersion"] = json!("9"), ReceiptError::SlsaVersion("9".to_owned())),
            (|v| v["verifiedLevels"] = json!(["SLSA_BUILD_LEVEL_3"]), ReceiptError::Level),
            (|v| v["resourceUri"] = json!("registry.example/app"), ReceiptError::Shape("/resourceUri")),
            (|v| v["policy"] = json!({}), ReceiptError::Shape("/policy/digest/sha256")),
            (|v| v["timeVerified"] = json!("yesterday"), ReceiptError::Shape("/timeVerified")),
            (|v| v["portcullis"]["expires"] = json!(null), ReceiptError::Shape("/portcullis/expires")),
        ];
        for (tamper, expected) in cases {
            let mut predicate = receipt().predicate();
            tamper(&mut predicate);
            assert_eq!(Receipt::read(&predicate), Err(expected));
        }
    }

    #[test]
    fn a_receipt_of_another_place_policy_gate_or_time_does_not_count() {
        let refused = |expected, now| check(receipt(), expected, now).unwrap_err();
        let other = "registry.example/app2";
        assert!(matches!(
            refused(Expected { repository: other, ..EXPECTED }, NOW),
            ReceiptError::Repository { .. }
        ));
        let policy = Some("sha256:ab");
        assert!(matches!(refused(Expected { policy, ..EXPECTED }, NOW), ReceiptError::Policy { .. }));
        let verifier = Some("https://other.example");
        assert!(matches!(refused(Expected { verifier, ..EXPECTED }, NOW), ReceiptError::Verifier { .. }));
        assert!(matches!(refused(EXPECTED, NOW + 3601), ReceiptError::Expired { .. }));
        assert!(matches!(refused(EXPECTED, NOW - 61), ReceiptError::Future { .. }));
        assert!(check(receipt(), EXPECTED, NOW - 60).is_ok());
    }
}
