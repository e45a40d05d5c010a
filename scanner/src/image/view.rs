//! The stacked image with what was found in each entry: the ground on which packages, secrets and waste stand.

use std::collections::HashMap;

use crate::image::Layer;
use crate::image::tree::{EntryId, Lookup, Shape, Stack};
use crate::layer::entry::{EntryKind, printable};
use crate::layer::program::Program;
use crate::layer::{Detection, Extraction, LayerOutcome};
use crate::limits::IMAGE_ENTRIES_MAX;
use crate::report::Unknown;

/// All layers, stacked.
pub(super) struct View<'a> {
    pub(super) layers: &'a [Layer<'a>],
    pub(super) stack: Stack,
    /// First path of each content that a container sees, and of each directory's last entry.
    pub(super) visible: HashMap<EntryId, String>,
    /// Layers that could not be read or stacked.
    pub(super) unknown: Vec<Unknown>,
}

impl<'a> View<'a> {
    pub(super) fn new(layers: &'a [Layer<'a>]) -> Self {
        let mut stack = Stack::new();
        let mut unknown = Vec::new();
        let mut entries = 0_u64;
        for (index, layer) in layers.iter().enumerate() {
            let unreadable = |problem: String| Unknown::UnreadableLayer { layer: index, problem };
            match &layer.report.outcome {
                LayerOutcome::Walked
                    if entries.saturating_add(layer.report.entries()) > IMAGE_ENTRIES_MAX =>
                {
                    unknown
                        .push(unreadable(format!("the layers have more than {IMAGE_ENTRIES_MAX} entries")));
                }
                LayerOutcome::Walked => {
                    entries += layer.report.entries();
                    let mut tree = stack.begin(number(index));
                    layer.report.table.for_each(|entry_number, entry| tree.add(entry_number, &entry));
                    unknown.extend(tree.finish().iter().map(|problem| unreadable(problem.to_string())));
                }
                LayerOutcome::NotAnArchive => unknown.push(unreadable("not a tar archive".to_owned())),
                LayerOutcome::Refused { problem } => unknown.push(unreadable(problem.clone())),
            }
        }
        let mut view = Self { layers, stack, visible: HashMap::new(), unknown };
        view.find_visible();
        view
    }

    /// Only entries with findings need their paths.
    fn find_visible(&mut self) {
        let mut wanted: HashMap<EntryId, Option<String>> = HashMap::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let of_extractions = layer.report.extractions.iter().map(|extraction| extraction.entry);
            let of_detections = layer.report.detections.iter().map(|detection| detection.entry);
            let ids = of_extractions.chain(of_detections);
            wanted.extend(ids.map(|entry| (EntryId { layer: number(index), entry }, None)));
        }
        self.stack.tree.for_each(|path, node| {
            let id = match &node.shape {
                Shape::File(content) => Some(*content),
                _ => node.entry,
            };
            if let Some(slot) = id.and_then(|id| wanted.get_mut(&id)) {
                slot.get_or_insert_with(|| printable(path));
            }
        });
        self.visible = wanted.into_iter().filter_map(|(id, path)| Some((id, path?))).collect();
    }

    /// What extractors found, oldest layer first.
    pub(super) fn extractions(&self) -> impl Iterator<Item = (EntryId, &'a Extraction)> {
        self.layers.iter().enumerate().flat_map(|(index, layer)| {
            let id = move |entry| EntryId { layer: number(index), entry };
            layer.report.extractions.iter().map(move |extraction| (id(extraction.entry), extraction))
        })
    }

    /// The file that a path leads to.
    pub(super) fn content(&self, path: &[u8]) -> Option<EntryId> {
        let Lookup::Found(node) = self.stack.tree.lookup(path) else { return None };
        match self.stack.tree.node(node).shape {
            Shape::File(content) => Some(content),
            _ => None,
        }
    }

    /// What can be run, oldest layer first.
    pub(super) fn programs(&self) -> impl Iterator<Item = (EntryId, &'a Program)> {
        self.layers.iter().enumerate().flat_map(|(index, layer)| {
            let id = move |entry| EntryId { layer: number(index), entry };
            layer.report.programs.iter().map(move |program| (id(program.entry), program))
        })
    }

    /// What detectors found, oldest layer first.
    pub(super) fn detections(&self) -> impl Iterator<Item = (EntryId, &'a Detection)> {
        self.layers.iter().enumerate().flat_map(|(index, layer)| {
            let id = move |entry| EntryId { layer: number(index), entry };
            layer.report.detections.iter().map(move |detection| (id(detection.entry), detection))
        })
    }

    /// Path and mode, as the layer states them, of the entries that `wanted` names.
    pub(super) fn described(&self, wanted: impl Fn(EntryId) -> bool) -> HashMap<EntryId, Described> {
        let mut described = HashMap::new();
        for (index, layer) in self.layers.iter().enumerate() {
            layer.report.table.for_each(|entry_number, entry| {
                let id = EntryId { layer: number(index), entry: entry_number };
                if wanted(id) {
                    described.insert(id, Described { path: printable(entry.path), mode: entry.mode });
                }
            });
        }
        described
    }

    /// All contents of all layers.
    pub(super) fn for_each_content(&self, mut visit: impl FnMut(EntryId, &[u8], u64)) {
        for (index, layer) in self.layers.iter().enumerate() {
            layer.report.table.for_each(|entry_number, entry| {
                if entry.kind == EntryKind::File {
                    visit(EntryId { layer: number(index), entry: entry_number }, entry.path, entry.size);
                }
            });
        }
    }
}

/// See [`View::described`].
pub(super) struct Described {
    pub(super) path: String,
    pub(super) mode: u32,
}

/// Manifests are bounded to a few megabytes, so that their layers are few.
fn number(index: usize) -> u32 {
    u32::try_from(index).expect("no manifest lists so many layers")
}
