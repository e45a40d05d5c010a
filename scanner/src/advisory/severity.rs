//! Severities as the feeds state them: CVSS vectors, scores, words. Who states one is kept with it.

use crate::finding::{Cvss, Decimal, Severity};

/// How bad somebody says a problem is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Grade {
    pub(super) severity: Severity,
    pub(super) cvss: Option<Cvss>,
    /// An advisory's id, or a feed's name; `None` as long as nobody states anything.
    pub(super) source: Option<String>,
}

impl Grade {
    /// Nobody says anything.
    pub(super) fn none() -> Self {
        Self::default()
    }

    /// A severity and what it rests on, where `source` states one.
    pub(super) fn stated(severity: Option<Severity>, cvss: Option<Cvss>, source: &str) -> Self {
        let severity = severity.or_else(|| cvss.as_ref().map(|cvss| from_score(cvss.score)));
        match severity {
            Some(Severity::Unknown) | None => Self::none(),
            Some(severity) => Self { severity, cvss, source: Some(source.to_owned()) },
        }
    }

    pub(super) fn is_none(&self) -> bool {
        self.severity == Severity::Unknown
    }
}

/// Of a CVSS 2.0, 3.x or 4.0 vector; `None` when it is none.
pub(super) fn read_vector(vector: &str) -> Option<Cvss> {
    let vector = vector.trim();
    // Real ones have at most 200 bytes; all of a longer one would be kept with each advisory.
    if vector.len() > 400 || !is_complete(vector) {
        return None;
    }
    let score = vector.parse::<cvss::Cvss>().ok()?.score();
    Some(Cvss { score: Decimal::new(score)?, vector: vector.to_owned() })
}

/// Does it state every base metric? One that leaves some out would come to a low score, and hide the problem.
fn is_complete(vector: &str) -> bool {
    let base: &[&str] = if vector.starts_with("CVSS:4") {
        &["AV", "AC", "AT", "PR", "UI", "VC", "VI", "VA", "SC", "SI", "SA"]
    } else if vector.starts_with("CVSS:3") {
        &["AV", "AC", "PR", "UI", "S", "C", "I", "A"]
    } else {
        &["AV", "AC", "Au", "C", "I", "A"]
    };
    let states = |metric: &&str| vector.split('/').any(|part| part.split(':').next() == Some(metric));
    base.iter().all(states)
}

/// From a CVSS base score (CVSS 3.1 §5, the same bands in 4.0 §6).
pub(super) fn from_score(score: Decimal) -> Severity {
    match score.as_f64() {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the specifications, and the corners of the scale.
    #[test]
    fn scores_are_computed_from_vectors_of_all_versions() {
        for (vector, expected) in [
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),
            ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", 6.4),
            ("CVSS:3.0/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
            ("CVSS:3.0/AV:L/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
            ("AV:N/AC:L/Au:N/C:P/I:P/A:P", 7.5),
            ("AV:N/AC:L/Au:N/C:N/I:N/A:C", 7.8),
            ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", 9.3),
            ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H", 10.0),
            ("CVSS:4.0/AV:L/AC:L/AT:N/PR:L/UI:N/VC:N/VI:N/VA:N/SC:N/SI:N/SA:N", 0.0),
        ] {
            let read = read_vector(vector).map(|cvss| cvss.score);
            assert_eq!(read, Decimal::new(expected), "{vector}");
        }
        for vector in ["", "CVSS:9.9/AV:N", "CVSS:3.1/AV:N", "CVSS:3.1/AV:Q/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"] {
            assert_eq!(read_vector(vector), None, "{vector}");
        }
        assert_eq!(read_vector(&format!("CVSS:3.1/{}", "AV:N/".repeat(100))), None);
    }

    #[test]
    fn a_word_goes_before_a_score_and_nothing_is_nobodys() {
        let cvss = read_vector("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H");
        let grade = Grade::stated(Some(Severity::Medium), cvss.clone(), "redhat");
        assert_eq!((grade.severity, grade.source.as_deref()), (Severity::Medium, Some("redhat")));
        assert_eq!(Grade::stated(None, cvss, "GHSA-1").severity, Severity::Critical);
        assert_eq!(Grade::stated(None, None, "GHSA-1"), Grade::none());
    }
}
