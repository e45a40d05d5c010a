//! Stacks layers as an engine would, and remembers which layer brought each file.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::advisory::{Advisories, AdvisoryError};
use crate::detectors::Detected;
use crate::explain::{self, Explanation};
use crate::image::config::Config;
use crate::image::packages::Installed;
use crate::image::tree::EntryId;
use crate::image::view::View;
use crate::inventory::Inventory;
use crate::layer::entry::printable;
use crate::layer::program::Program;
use crate::layer::{EntryKind, LayerReport};
use crate::report::{LayerSummary, PermissionFinding, ProgramFile, ScanReport, SecretFinding, Unknown};

mod attacks;
mod config;
mod coverage;
mod effective;
mod efficiency;
mod evasion;
mod identity;
mod languages;
mod leftovers;
mod malware;
mod ownership;
mod packages;
mod tree;
mod view;
mod waste;

pub use effective::{Effectiveness, Hint, What, effectiveness};
pub use efficiency::Efficiency;
pub use leftovers::Leftover;

/// One layer of an image, oldest first.
#[derive(Clone, Debug)]
pub struct Layer<'a> {
    /// Digest of the blob, `sha256:…`.
    pub digest: &'a str,
    /// What the walk found.
    pub report: &'a LayerReport,
    /// `created_by` of the history entry that made it; where it is `None`, the configuration is asked.
    pub instruction: Option<&'a str>,
}

/// One entry of the final view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TreeEntry {
    /// Path relative to the root, `.` for the root itself; bytes that are no text are escaped.
    pub path: String,
    /// What the entry says it is.
    pub kind: EntryKind,
    /// Bytes of a regular file, 0 for all else.
    pub size: u64,
    /// Target of a link.
    pub target: Option<String>,
    /// Index of the layer that wrote it last.
    pub layer: usize,
}

/// Stacks the layers, matches what is installed against the advisories and reports. Pure: same input, same bytes.
/// `config` is the image configuration as served: its environment, labels and history are searched for secrets too.
pub fn scan(layers: &[Layer<'_>], config: &[u8], advisories: Option<&Advisories>) -> ScanReport {
    inventory(layers, config).judge(advisories)
}

/// The same without the advisories, to be judged now and again later.
pub fn inventory(layers: &[Layer<'_>], config: &[u8]) -> Inventory {
    let config = Config::parse(config);
    let view = View::new(layers);
    let installed = Installed::new(&view);
    let mut unknown: Vec<Unknown> = installed.unknown.into_iter().collect();
    unknown.extend(view.unknown.iter().cloned());
    unknown.sort();
    unknown.dedup();
    let (mut secrets, permissions) = findings(&view);
    secrets.extend(config.secrets());
    secrets.sort();
    let coverage = coverage::coverage(&view, &installed.packages);
    Inventory::new(ScanReport {
        attacks: attacks::attacks(&view, &config),
        malware: malware::malware(&view),
        coverage,
        programs: programs(&view),
        support: None,
        distribution: installed.distribution,
        packages: installed.packages,
        findings: Vec::new(),
        unknown,
        secrets,
        permissions,
        waste: waste::waste(&view),
        layers: summaries(layers, &config),
        advisories: None,
    })
}

/// Why `query`, a vulnerability by any of its names or a package, is reported of this image or is not. Asks what
/// [`scan`] asks, and listens.
///
/// # Errors
/// When the advisory file is corrupt.
pub fn explain(
    layers: &[Layer<'_>],
    config: &[u8],
    advisories: Option<&Advisories>,
    query: &str,
) -> Result<Explanation, AdvisoryError> {
    let view = View::new(layers);
    let inventory = Installed::new(&view);
    let asked = explain::Asked {
        query,
        distribution: inventory.distribution.as_ref(),
        packages: &inventory.packages,
        owners: &inventory.owners,
        unknown: inventory.unknown.into_iter().chain(view.unknown.iter().cloned()).collect(),
        layers: summaries(layers, &Config::parse(config)),
    };
    explain::explain(asked, advisories)
}

/// What a container would see, in the order of paths. Directories that only paths imply are not listed.
pub fn final_tree(layers: &[Layer<'_>]) -> Vec<TreeEntry> {
    let mut entries = Vec::new();
    View::new(layers).stack.tree.for_each(|path, node| {
        let (Some(id), Some((kind, target))) = (node.entry, &node.listed) else { return };
        let is_link = matches!(kind, EntryKind::HardLink | EntryKind::Symlink);
        entries.push(TreeEntry {
            path: if path.is_empty() { ".".to_owned() } else { printable(path) },
            kind: *kind,
            size: if *kind == EntryKind::File { node.size } else { 0 },
            target: is_link.then(|| printable(target)),
            layer: usize::try_from(id.layer).expect("counted from an index"),
        });
    });
    entries
}

/// The instruction that made each of `layers` layers, from the history of an image configuration; `None` where the
/// history does not tell or does not fit.
pub fn instructions(config: &[u8], layers: usize) -> Vec<Option<String>> {
    Config::parse(config).instructions(layers)
}

fn findings(view: &View<'_>) -> (Vec<SecretFinding>, Vec<PermissionFinding>) {
    let detected: std::collections::HashSet<_> = view.detections().map(|(id, _)| id).collect();
    let described = view.described(|id| detected.contains(&id));
    let (mut secrets, mut permissions) = (Vec::new(), Vec::new());
    for (id, detection) in view.detections() {
        let Some(entry) = described.get(&id) else { continue };
        let layer = usize::try_from(id.layer).expect("counted from an index");
        let visible = view.visible.get(&id);
        match &detection.detected {
            Detected::Secret { rule, value_sha256, preview, inside } => secrets.push(SecretFinding {
                rule: rule.clone(),
                path: inside.as_ref().map_or(entry.path.clone(), |inside| format!("{}!{inside}", entry.path)),
                layer: Some(layer),
                deleted_later: visible.is_none(),
                value_sha256: value_sha256.clone(),
                preview: preview.clone(),
            }),
            Detected::Device { .. } | Detected::Malware { .. } | Detected::Unsearched(_) => {}
            Detected::Permission(kind) => permissions.extend(visible.map(|path| PermissionFinding {
                kind: *kind,
                path: if path.is_empty() { ".".to_owned() } else { path.clone() },
                mode: entry.mode,
                layer,
            })),
        }
    }
    permissions.sort();
    (secrets, permissions)
}

fn programs(view: &View<'_>) -> Vec<ProgramFile> {
    let ids: std::collections::HashSet<_> = view.programs().map(|(id, _)| id).collect();
    let mut described = view.described(|id| ids.contains(&id));
    let file = |(id, program): (EntryId, &Program)| ProgramFile {
        path: described.remove(&id).map(|entry| entry.path).unwrap_or_default(),
        layer: id.layer(),
        deleted_later: !view.visible.contains_key(&id),
        sha256: program.sha256.clone(),
    };
    view.programs().map(file).collect()
}

fn summaries(layers: &[Layer<'_>], config: &Config) -> Vec<LayerSummary> {
    let told = config.instructions(layers.len());
    let summary = |(layer, told): (&Layer<'_>, Option<String>)| LayerSummary {
        digest: layer.digest.to_owned(),
        diff_id: layer.report.diff_id.clone(),
        instruction: layer.instruction.map(Cow::Borrowed).or(told.map(Cow::Owned)).map(Cow::into_owned),
        compressed_bytes: layer.report.compressed_bytes,
        uncompressed_bytes: layer.report.uncompressed_bytes,
        file_bytes: layer.report.file_bytes,
        entries: layer.report.entries(),
    };
    layers.iter().zip(told).map(summary).collect()
}
