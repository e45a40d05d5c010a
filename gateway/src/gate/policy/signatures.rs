//! `signatures = { … }` of a rule: who must have signed, from when on, and in which forms the gate signs again.

use std::collections::BTreeSet;

use serde::Serialize;

use super::reader::{Entry, Mistakes};

/// Who must have signed, and from when on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SignatureRule {
    /// Each inner list is satisfied by any of its identities; all lists must be, by different principals. Empty only
    /// where the file says `nobody-unsafe`.
    pub require: Vec<Vec<String>>,
    /// From which checkpoint on.
    pub when: When,
    /// Forms in which the gate signs again, with its own key, what it releases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub serve_as: Vec<ServedForm>,
}

/// See [`SignatureRule::serve_as`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServedForm {
    /// A sigstore bundle as a referrer, which newer tools look for.
    Bundle,
    /// The `.sig` tag with a simple-signing payload, which podman, CRI-O and skopeo read.
    Simple,
}

impl ServedForm {
    /// The word in the policy.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bundle => "bundle",
            Self::Simple => "simple",
        }
    }
}

/// See [`SignatureRule::when`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// The signature must lie in the registry before the image is pushed.
    BeforePush,
    /// The image may be staged unsigned; consumers do not see it until it is signed.
    BeforeRelease,
}

pub(super) fn parse(
    entry: &Entry<'_>,
    identities: &BTreeSet<String>,
    mistakes: &mut Mistakes<'_>,
) -> Option<SignatureRule> {
    const HINT: &str =
        "write `require = [[\"release\"]]`; all lists must be satisfied, each by any one of its identities";
    let mut section = entry.section(mistakes)?;
    let require = section.require("require", HINT, mistakes);
    let require = require.and_then(|entry| parse_require(&entry, identities, mistakes));
    let words = [("before-push", When::BeforePush), ("before-release", When::BeforeRelease)];
    let when = section.take("when").map_or(Some(When::BeforeRelease), |entry| entry.word(&words, mistakes));
    let serve_as = section.take("serve-as").map(|entry| parse_serve_as(&entry, mistakes));
    section.finish(mistakes);
    Some(SignatureRule {
        require: require?,
        when: when?,
        serve_as: serve_as.unwrap_or_else(|| Some(Vec::new()))?,
    })
}

fn parse_serve_as(entry: &Entry<'_>, mistakes: &mut Mistakes<'_>) -> Option<Vec<ServedForm>> {
    let words = [ServedForm::Bundle, ServedForm::Simple].map(|form| (form.name(), form));
    let forms = entry.list(mistakes)?.into_iter().map(|entry| entry.word(&words, mistakes));
    let mut forms: Vec<ServedForm> = forms.collect::<Vec<_>>().into_iter().collect::<Option<_>>()?;
    forms.sort_unstable();
    forms.dedup();
    Some(forms)
}

fn parse_require(
    entry: &Entry<'_>,
    identities: &BTreeSet<String>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Vec<Vec<String>>> {
    const HINT: &str =
        "write `require = [[\"release\"]]`; to accept unsigned images, `require = \"nobody-unsafe\"`";
    if let Some(word) = entry.value.as_str() {
        if word != "nobody-unsafe" {
            mistakes.note(&entry.place, format!("`{word}` is not a word known here"), HINT);
            return None;
        }
        return Some(Vec::new());
    }
    let clauses = entry.list(mistakes)?;
    if clauses.is_empty() {
        mistakes.note(&entry.place, "an empty list would require nobody", HINT);
        return None;
    }
    let mut require = Vec::with_capacity(clauses.len());
    for clause in &clauses {
        let names = clause.list(mistakes)?;
        if names.is_empty() {
            mistakes.note(&clause.place, "an empty list can never be satisfied", HINT);
        }
        let mut any_of = Vec::with_capacity(names.len());
        for name in &names {
            any_of.extend(identity_name(name, identities, mistakes));
        }
        require.push(any_of);
    }
    Some(require)
}

/// The name of an identity of this policy; an unknown one is noted, and given nevertheless.
pub(super) fn identity_name(
    entry: &Entry<'_>,
    identities: &BTreeSet<String>,
    mistakes: &mut Mistakes<'_>,
) -> Option<String> {
    let text = entry.text(mistakes)?;
    if !identities.contains(text) {
        let known: Vec<String> = identities.iter().map(|name| format!("`{name}`")).collect();
        let hint = match known.as_slice() {
            [] => "add an `[[identity]]` with this name".to_owned(),
            known => format!("known: {}", known.join(", ")),
        };
        mistakes.note(&entry.place, format!("`{text}` is no identity of this policy"), hint);
    }
    Some(text.to_owned())
}
