//! What is known about a vulnerability beyond its severity, as the documents for other tools tell it.

use std::collections::BTreeMap;

use scanner::finding::{Cvss, Finding, Risk, Severity};

use super::CheckReport;

/// The catalogue that says what is used in attacks.
pub(super) const KEV: &str = "https://www.cisa.gov/known-exploited-vulnerabilities-catalog";

/// Who predicts what will be.
pub(super) const EPSS: &str = "https://www.first.org/epss/";

/// Every vulnerability that was found and its risk; of several the one with the highest score.
pub(super) fn risks(report: &CheckReport) -> BTreeMap<&str, &Risk> {
    let mut risks: BTreeMap<&str, &Risk> = BTreeMap::new();
    for Finding { id, risk, .. } in report.scans.iter().flat_map(|scan| &scan.scan.findings) {
        let known = risks.entry(id).or_insert(risk);
        let score = |risk: &Risk| risk.cvss.as_ref().map(|cvss| cvss.score);
        if score(risk) > score(known) {
            *known = risk;
        }
    }
    risks
}

/// The number that pages sort by, as text: the score where the severity is the score's, else the middle of its band. A vendor
/// that rates lower or higher than the score is believed.
pub(super) fn sortable(severity: Severity, cvss: Option<&Cvss>) -> String {
    let (from, to, middle) = match severity {
        Severity::Critical => (9.0, 10.0, "9.5"),
        Severity::High => (7.0, 8.9, "8.0"),
        Severity::Medium => (4.0, 6.9, "5.5"),
        Severity::Low => (0.1, 3.9, "2.0"),
        Severity::Negligible | Severity::Unknown => return "0.0".to_owned(),
    };
    let score = cvss.map(|cvss| cvss.score.as_f64()).filter(|score| (from..=to).contains(score));
    score.map_or_else(|| middle.to_owned(), |score| format!("{score:.1}"))
}

#[cfg(test)]
mod tests {
    use scanner::finding::Decimal;

    use super::*;

    #[test]
    fn a_score_sorts_within_the_band_of_the_severity_and_never_leaves_it() {
        for (severity, score, expected) in [
            (Severity::Critical, Some(9.8), "9.8"),
            (Severity::Critical, None, "9.5"),
            (Severity::Low, Some(9.8), "2.0"),
            (Severity::High, Some(7.0), "7.0"),
            (Severity::Medium, Some(0.0), "5.5"),
            (Severity::Unknown, Some(9.8), "0.0"),
        ] {
            let score = score.map(|score| Decimal::new(score).expect("small"));
            let cvss = score.map(|score| Cvss { score, vector: String::new() });
            assert_eq!(sortable(severity, cvss.as_ref()), expected, "{severity:?}");
        }
    }
}
