//! Severities as the feeds state them: CVSS vectors, scores, words.

use crate::finding::Severity;

/// From a CVSS 2.0, 3.x or 4.0 vector; `None` when it is none.
pub(super) fn from_vector(vector: &str) -> Option<Severity> {
    vector.trim().parse::<cvss::Cvss>().ok().map(|vector| from_score(vector.score()))
}

/// From a CVSS base score (CVSS 3.1 §5, the same bands in 4.0 §6).
pub(super) fn from_score(score: f64) -> Severity {
    match score {
        score if score >= 9.0 => Severity::Critical,
        score if score >= 7.0 => Severity::High,
        score if score >= 4.0 => Severity::Medium,
        score if score > 0.0 => Severity::Low,
        _ => Severity::Negligible,
    }
}

/// From a word: GitHub's (`MODERATE`), Ubuntu's, Debian's urgencies with or without the old `*` marks.
pub(super) fn from_word(word: &str) -> Option<Severity> {
    match word.trim_end_matches('*').trim().to_ascii_lowercase().as_str() {
        "critical" => Some(Severity::Critical),
        "high" | "important" => Some(Severity::High),
        "medium" | "moderate" => Some(Severity::Medium),
        "low" => Some(Severity::Low),
        "negligible" | "unimportant" | "none" => Some(Severity::Negligible),
        _ => None,
    }
}
