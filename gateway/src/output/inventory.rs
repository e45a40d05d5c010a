//! What the documents for other tools share: stable names for components, and moments without a clock.

use std::collections::BTreeMap;

use scanner::report::{ImagePackage, Unknown};

use super::{CheckReport, PlatformScan};
use crate::digest::Digest;

/// One installed package under a name that is unique in its document.
pub(super) struct Component<'a> {
    /// The package URL, with platform, place and a number where it alone would not be unique: other documents refer to it.
    pub(super) reference: String,
    pub(super) purl: String,
    /// Index into [`CheckReport::scans`].
    pub(super) scan: usize,
    pub(super) found: &'a ImagePackage,
}

/// All packages of all platforms, in the order of the report.
pub(super) fn components(report: &CheckReport) -> Vec<Component<'_>> {
    let mut used: BTreeMap<String, usize> = BTreeMap::new();
    let mut components = Vec::new();
    for (scan, platform) in report.scans.iter().enumerate() {
        for found in &platform.scan.packages {
            let purl = scanner::purl::purl(&found.package, platform.scan.distribution.as_ref());
            let number = used.entry(purl.clone()).or_default();
            *number += 1;
            let reference = if *number == 1 { purl.clone() } else { format!("{purl}#{number}") };
            components.push(Component { reference, purl, scan, found });
        }
    }
    components
}

/// Packages may be there that are not in the list.
pub(super) fn hides_packages(unknown: &[Unknown]) -> bool {
    unknown.iter().any(|unknown| {
        matches!(
            unknown,
            Unknown::BrokenDatabase { .. }
                | Unknown::DeletedDatabase { .. }
                | Unknown::HiddenPackages { .. }
                | Unknown::IncompleteDocument { .. }
                | Unknown::LinkedDatabase { .. }
                | Unknown::MisplacedDatabase { .. }
                | Unknown::NothingRecognised
                | Unknown::ShortenedDatabase { .. }
                | Unknown::UnlistedSystem { .. }
                | Unknown::UnreadableExecutable { .. }
                | Unknown::UnreadableLayer { .. }
                | Unknown::UnsupportedDatabase { .. }
        )
    })
}

/// A name for one platform's image.
pub(super) fn image_name(report: &CheckReport, scan: &PlatformScan) -> String {
    let tag = report.tag.as_ref().map_or_else(String::new, |tag| format!(":{tag}"));
    let platform = scan.platform.as_ref().map_or_else(String::new, |platform| format!(" ({platform})"));
    format!("{}{tag}{platform}", report.repository)
}

/// A UUID (RFC 9562 §5.8, version 8) out of what the document is about: the same image, packages and findings give the
/// same document.
pub(super) fn document_uuid(kind: &str, report: &CheckReport) -> Result<String, serde_json::Error> {
    let about = serde_json::to_vec(&(kind, &report.repository, &report.tag, &report.digest, &report.scans))?;
    let digest = Digest::sha256_of(&about);
    let hex = digest.hex();
    Ok(format!("{}-{}-8{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32]))
}

/// `2026-01-31T00:00:00Z`.
pub(super) fn utc(seconds: i64) -> String {
    let moment = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2026-01-31T00:00:00`, without its zone, which is UTC; the epoch when nothing was given.
pub(super) fn moment(report: &CheckReport) -> String {
    let stamp = jiff::Timestamp::from_second(report.stamped_at.unwrap_or(0)).unwrap_or_default();
    stamp.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}
