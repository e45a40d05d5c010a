//! How well an image uses its bytes, by the measure that `dive` made known: each path's smallest size against the sum of
//! its sizes over all layers. It counts the surviving copy as wasted too; [`crate::report::Waste`] is the honest number.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use crate::image::Layer;
use crate::layer::{EntryKind, LayerOutcome};

const WHITEOUT: &[u8] = b".wh.";

/// The measure, with its parts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Efficiency {
    /// Sum of each path's smallest size, divided by the sum of all its sizes; 1 when there is nothing.
    pub score: f64,
    /// All sizes of every path that stands in two layers or more, the surviving copy included.
    pub wasted_bytes: u64,
    /// Bytes of all layers but the first.
    pub user_bytes: u64,
    /// Bytes of all layers.
    pub total_bytes: u64,
    /// `wasted_bytes` as a share of `user_bytes`; 0 when there is one layer.
    pub wasted_share: f64,
}

/// One path of one layer.
#[derive(Clone, Copy)]
struct Seen {
    size: u64,
    directory: bool,
    whiteout: bool,
}

/// What is known of one path over all layers.
struct Path {
    sum: u64,
    smallest: u64,
    layers: u32,
}

pub(super) fn efficiency(layers: &[Layer<'_>]) -> Efficiency {
    let mut below: BTreeMap<Vec<u8>, Seen> = BTreeMap::new();
    let mut paths: HashMap<Vec<u8>, Path> = HashMap::new();
    let mut sizes = Vec::with_capacity(layers.len());
    for layer in layers.iter().filter(|layer| layer.report.outcome == LayerOutcome::Walked) {
        let tree = tree(layer);
        sizes.push(tree.values().fold(0_u64, |sum, seen| sum.saturating_add(seen.size)));
        let parents: HashSet<&[u8]> = tree.keys().flat_map(|path| ancestors(path)).collect();
        for (path, seen) in tree.iter().filter(|(path, _)| !parents.contains(path.as_slice())) {
            // A whiteout of a directory costs what it hides; one of a file nothing.
            let hides = seen.whiteout && below.get(path).is_some_and(|hidden| hidden.directory);
            let size = if hides { subtree(&below, path) } else { seen.size };
            let known = paths.entry(path.clone()).or_insert(Path { sum: 0, smallest: u64::MAX, layers: 0 });
            known.sum = known.sum.saturating_add(size);
            known.smallest = known.smallest.min(size);
            known.layers += 1;
        }
        for (path, seen) in tree {
            if seen.whiteout {
                remove(&mut below, &path);
            } else {
                below.insert(path, seen);
            }
        }
    }
    let sum = |of: fn(&Path) -> u64| paths.values().map(of).fold(0, u64::saturating_add);
    let (smallest, all) = (sum(|path| path.smallest), sum(|path| path.sum));
    let wasted_bytes = sum(|path| if path.layers >= 2 { path.sum } else { 0 });
    let total_bytes = sizes.iter().copied().fold(0, u64::saturating_add);
    let user_bytes = total_bytes - sizes.first().copied().unwrap_or_default();
    let share =
        |part: u64, whole: u64, of_nothing| if whole == 0 { of_nothing } else { part as f64 / whole as f64 };
    Efficiency {
        score: share(smallest, all, 1.0),
        wasted_bytes,
        user_bytes,
        total_bytes,
        wasted_share: share(wasted_bytes, user_bytes, 0.0),
    }
}

/// The paths of a layer as its last entries leave them, whiteouts under the name that they hide, and the directories that
/// paths imply.
fn tree(layer: &Layer<'_>) -> BTreeMap<Vec<u8>, Seen> {
    let mut tree = BTreeMap::new();
    layer.report.table.for_each(|_, entry| {
        if entry.path.is_empty() {
            return;
        }
        let name_at = entry.path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
        let (folder, name) = entry.path.split_at(name_at);
        let hidden = name.strip_prefix(WHITEOUT);
        let path = [folder, hidden.unwrap_or(name)].concat();
        for parent in ancestors(&path) {
            let implied = Seen { size: 0, directory: true, whiteout: false };
            tree.entry(parent.to_vec()).or_insert(implied);
        }
        let size = if entry.kind == EntryKind::File { entry.size } else { 0 };
        let directory = entry.kind == EntryKind::Directory;
        tree.insert(path, Seen { size, directory, whiteout: hidden.is_some() });
    });
    tree
}

/// `a/b/c` → `a`, `a/b`.
fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at])
}

fn below_folder<'t>(
    tree: &'t BTreeMap<Vec<u8>, Seen>,
    folder: &[u8],
) -> impl Iterator<Item = (&'t Vec<u8>, &'t Seen)> {
    let prefix = [folder, b"/"].concat();
    tree.range(prefix.clone()..).take_while(move |(path, _)| path.starts_with(&prefix))
}

fn subtree(tree: &BTreeMap<Vec<u8>, Seen>, folder: &[u8]) -> u64 {
    below_folder(tree, folder).fold(0, |sum, (_, seen)| sum.saturating_add(seen.size))
}

fn remove(tree: &mut BTreeMap<Vec<u8>, Seen>, path: &[u8]) {
    let gone: Vec<Vec<u8>> = below_folder(tree, path).map(|(path, _)| path.clone()).collect();
    tree.remove(path);
    for path in gone {
        tree.remove(&path);
    }
}
