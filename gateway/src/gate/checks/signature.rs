//! Who vouches for it?

use keys::signature::VerifiedSignature;
use keys::threshold;

use super::super::evidence::Standing;
use super::super::policy::Level;
use super::{Objection, Question, printable};

/// Rejected candidates told in a refusal: the first ones explain nearly every case, and an attacker can attach thousands.
const REJECTIONS_TOLD_MAX: usize = 3;

pub(super) fn signatures(question: &Question<'_>, objections: &mut Vec<Objection>) {
    let require = &question.rule.signatures.require;
    if require.is_empty() {
        return;
    }
    let evidence = question.evidence;
    // Verification has compared the digests already; a caller that mixes up two images must not get past here either.
    let about_this = |signature: &&VerifiedSignature| {
        let subject = signature.subject_digest();
        subject == evidence.digest || evidence.parents.iter().any(|parent| parent == subject)
    };
    let verified: Vec<VerifiedSignature> =
        evidence.signatures.verified.iter().filter(about_this).cloned().collect();
    for clause in threshold::satisfied(require, &verified).missing {
        let names: Vec<String> = clause.iter().map(|name| format!("`{name}`")).collect();
        let by = if names.len() == 1 { names.join("") } else { format!("any of {}", names.join(", ")) };
        let message = format!("no valid signature by {by}{}", rejections(question));
        let next_step = format!(
            "sign it: `portcullis sign {}@{} --key …`, or cosign",
            evidence.repository, evidence.digest
        );
        objections.push(question.objection("signature", Level::Deny, message, next_step));
    }
}

/// Consumers are shown no metadata of Notary v1 that we would not believe ourselves.
pub(super) fn collection(question: &Question<'_>, objections: &mut Vec<Objection>) {
    let Some(standing) = &question.evidence.collection else { return };
    let problem = match standing {
        Standing::Verified(until) if question.evidence.as_of < *until => return,
        Standing::Verified(_) => "it has expired".to_owned(),
        Standing::Refused(reasons) if reasons.is_empty() => {
            "no identity of the policy signs by Notary v1 here".to_owned()
        }
        Standing::Refused(reasons) => {
            let told: Vec<String> =
                reasons.iter().take(REJECTIONS_TOLD_MAX).map(|reason| printable(reason, 200)).collect();
            told.join("; ")
        }
    };
    let message = format!("the collection is not to be believed: {problem}");
    let next_step = "import the current metadata: `portcullis notary import`";
    objections.push(question.objection("signature", Level::Deny, message, next_step).unconditional());
}

fn rejections(question: &Question<'_>) -> String {
    let rejected = &question.evidence.signatures.rejected;
    if rejected.is_empty() {
        return String::new();
    }
    let told: Vec<String> = rejected
        .iter()
        .take(REJECTIONS_TOLD_MAX)
        .map(|rejection| printable(&rejection.reason, 200))
        .collect();
    let more = rejected.len() - told.len();
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    format!(" ({} found that do not count: {}{more})", rejected.len(), told.join("; "))
}
