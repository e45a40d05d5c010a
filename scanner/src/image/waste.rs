//! Bytes that ship and that no container sees.

use std::collections::{HashMap, HashSet};

use crate::image::tree::{EntryId, Shape};
use crate::image::view::View;
use crate::layer::entry::printable;
use crate::report::{Waste, WastedPath};

/// Paths listed; the sum counts all.
const PATHS_MAX: usize = 50;

pub(super) fn waste(view: &View<'_>) -> Waste {
    let mut waste = Waste {
        total_bytes: view.layers.iter().map(|layer| layer.report.file_bytes).fold(0, u64::saturating_add),
        ..Waste::default()
    };
    let mut seen: HashSet<EntryId> = HashSet::new();
    let mut copies: HashMap<(u64, u32), u64> = HashMap::new();
    view.stack.tree.for_each(|_, node| {
        let Shape::File(content) = node.shape else { return };
        // A hard link is another name, not another copy.
        if seen.insert(content)
            && let Some(hash) = node.hash
        {
            *copies.entry((node.size, hash)).or_default() += 1;
        }
    });
    for ((size, _), count) in copies {
        waste.duplicate_bytes = waste.duplicate_bytes.saturating_add(size.saturating_mul(count - 1));
    }
    view.for_each_content(|id, path, size| {
        if size == 0 || seen.contains(&id) {
            return;
        }
        waste.hidden_bytes = waste.hidden_bytes.saturating_add(size);
        let index = |layer: u32| usize::try_from(layer).expect("counted from an index");
        let hidden_by = view.stack.hidden_by.get(&id).copied().unwrap_or(id.layer);
        waste.paths.push(WastedPath {
            path: printable(path),
            bytes: size,
            layer: index(id.layer),
            hidden_by: index(hidden_by),
        });
        // Sorting now and then keeps the list short without losing the worst.
        if waste.paths.len() >= 100 * PATHS_MAX {
            keep_worst(&mut waste.paths);
        }
    });
    keep_worst(&mut waste.paths);
    waste
}

fn keep_worst(paths: &mut Vec<WastedPath>) {
    paths.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.cmp(b)));
    paths.truncate(PATHS_MAX);
}
