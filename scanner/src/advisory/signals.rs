//! What is known about problems beyond packages: that they are used in attacks (KEV), and how likely that is (EPSS).

use serde::Deserialize;

use super::feed::{FeedKind, Parsed, is_cve, parse_date};
use crate::finding::{Decimal, Epss, Exploited};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Catalogue {
    #[serde(default)]
    date_released: Option<String>,
    /// Present in the whole catalogue.
    #[serde(default)]
    vulnerabilities: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(rename = "cveID")]
    cve: String,
    date_added: String,
    /// `Known` or `Unknown`.
    #[serde(default)]
    known_ransomware_campaign_use: Option<String>,
}

/// cisa.gov/known-exploited-vulnerabilities-catalog, whole or one entry by itself. An entry without a day is refused: since
/// when a problem is used is what the catalogue says.
pub(super) fn parse_kev(json: &[u8]) -> Result<Parsed, serde_json::Error> {
    let catalogue: Catalogue = serde_json::from_slice(json)?;
    let entries = match catalogue.vulnerabilities {
        Some(entries) => entries,
        None => vec![serde_json::from_slice(json)?],
    };
    let mut parsed = Parsed::new(FeedKind::Kev);
    for entry in entries {
        let Some(since) = parse_date(&entry.date_added) else {
            let problem = format!("`dateAdded` of {} is no day: `{}`", entry.cve, entry.date_added);
            return Err(serde::de::Error::custom(problem));
        };
        let ransomware = entry.known_ransomware_campaign_use.as_deref() == Some("Known");
        parsed.dated = parsed.dated.max(Some(since));
        parsed.exploited.push((entry.cve, Exploited { since, ransomware }));
    }
    let released = catalogue.date_released.as_deref().and_then(parse_date);
    parsed.dated = parsed.dated.max(released);
    Ok(parsed)
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Score>,
}

#[derive(Deserialize)]
struct Score {
    cve: String,
    epss: String,
    percentile: String,
    #[serde(default)]
    date: Option<String>,
}

/// What api.first.org/data/v1/epss answers.
pub(super) fn parse_epss_answer(json: &[u8]) -> Result<Parsed, serde_json::Error> {
    let answer: Answer = serde_json::from_slice(json)?;
    let mut parsed = Parsed::new(FeedKind::Epss);
    for score in answer.data {
        let Some(read) = read_score(&score.epss, &score.percentile) else {
            return Err(serde::de::Error::custom(format!("the score of {} is no share of 1", score.cve)));
        };
        parsed.dated = parsed.dated.max(score.date.as_deref().and_then(parse_date));
        parsed.scores.push((score.cve, read));
    }
    Ok(parsed)
}

/// `epss_scores-current.csv`: a comment with model and day, the names of the columns, a line for each CVE.
pub(super) fn parse_epss_csv(bytes: &[u8]) -> Result<Parsed, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
    let mut parsed = Parsed::new(FeedKind::Epss);
    for (number, line) in text.lines().enumerate() {
        if let Some(comment) = line.strip_prefix('#') {
            let day = comment.split(',').find_map(|part| part.trim().strip_prefix("score_date:"));
            parsed.dated = day.and_then(parse_date);
            continue;
        }
        if line.is_empty() || line.starts_with("cve,") {
            continue;
        }
        let mut columns = line.split(',');
        let (cve, probability, percentile) = (columns.next(), columns.next(), columns.next());
        let score = probability.zip(percentile).and_then(|(score, percentile)| read_score(score, percentile));
        match (cve.filter(|cve| is_cve(cve)), score) {
            (Some(cve), Some(score)) => parsed.scores.push((cve.to_owned(), score)),
            _ => return Err(format!("line {} has no CVE, score and percentile", number + 1)),
        }
    }
    Ok(parsed)
}

fn read_score(probability: &str, percentile: &str) -> Option<Epss> {
    let share = |text: &str| Decimal::parse(text).filter(|share| share.as_f64() <= 1.0);
    Some(Epss { probability: share(probability)?, percentile: share(percentile)? })
}
