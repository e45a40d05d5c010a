//! Photon's own lists, `cve_data_photon5.0.json`: one row for each problem of each source package.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::feed::{Advisory, Affected, FeedKind, Parsed};
use super::severity::{self, Grade};
use super::{Ecosystem, range};
use crate::finding::Decimal;
use crate::versions::Scheme;

#[derive(Deserialize)]
struct Row {
    cve_id: String,
    pkg: String,
    #[serde(default)]
    cve_score: Option<f64>,
    /// `all versions before 7.61.1-5.ph3 are vulnerable`.
    #[serde(default)]
    aff_ver: Option<String>,
    /// The version with the fix; `NA` as long as there is none.
    #[serde(default)]
    res_ver: Option<String>,
}

pub(super) fn recognises(json: &[u8]) -> bool {
    /// The first row, whatever follows it.
    #[derive(Deserialize)]
    struct First {
        #[serde(rename = "cve_id")]
        _id: String,
        #[serde(rename = "pkg")]
        _package: String,
    }
    let start = json.trim_ascii_start().strip_prefix(b"[").unwrap_or_default();
    let mut rows = serde_json::Deserializer::from_slice(start).into_iter::<First>();
    rows.next().is_some_and(|first| first.is_ok())
}

/// The list does not say which release it is about; the versions in it do (`.ph5`). Rows that name another release than
/// most are left out.
pub(super) fn parse(json: &[u8]) -> Result<Parsed, serde_json::Error> {
    let rows: Vec<Row> = serde_json::from_slice(json)?;
    let mut releases: BTreeMap<&str, usize> = BTreeMap::new();
    for release in rows.iter().filter_map(|row| release(row.res_ver.as_deref()?)) {
        *releases.entry(release).or_default() += 1;
    }
    let Some((own, _)) = releases.iter().max_by_key(|(_, rows)| **rows) else {
        return Err(serde::de::Error::custom("no version names a release of Photon (`.ph5`)"));
    };
    let ecosystem = Ecosystem::photon(own);
    let mut parsed = Parsed::new(FeedKind::PhotonCves);
    for row in &rows {
        let fixed = row.res_ver.as_deref().filter(|version| !version.is_empty() && *version != "NA");
        if fixed.and_then(release).is_some_and(|release| release != *own) {
            parsed.skipped += 1;
            continue;
        }
        let unaffected = row.aff_ver.as_deref().is_some_and(|text| text.contains("not vulnerable"));
        if unaffected && fixed.is_none() {
            continue;
        }
        let span = fixed.map_or_else(range::everything, |fixed| range::before(Scheme::Rpm, fixed));
        let score = row.cve_score.and_then(Decimal::new).filter(|score| score.as_f64() > 0.0);
        parsed.advisories.push(Advisory {
            bulletin: None,
            id: row.cve_id.clone(),
            aliases: Vec::new(),
            grade: Grade::stated(score.map(severity::from_score), None, "photon"),
            summary: None,
            source: "photon".to_owned(),
            modified: None,
            affected: vec![Affected { ranges: vec![span], ..Affected::new(ecosystem.clone(), &row.pkg) }],
        });
    }
    parsed.covers = vec![ecosystem];
    parsed.whole = true;
    Ok(parsed)
}

/// `3` out of `7.61.1-5.ph3`.
fn release(version: &str) -> Option<&str> {
    let (_, release) = version.rsplit_once(".ph")?;
    (!release.is_empty() && release.bytes().all(|byte| byte.is_ascii_digit())).then_some(release)
}
