//! What an image could do without, which instruction brought it, and what to write instead.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::image::Layer;
use crate::image::config::Config;
use crate::image::efficiency::{Efficiency, efficiency};
use crate::image::leftovers::{Leftover, leftover};
use crate::image::tree::{EntryId, Shape};
use crate::image::view::View;
use crate::layer::EntryKind;
use crate::layer::entry::printable;

/// Hints told; the sums of the report count all.
const HINTS_MAX: usize = 100;
/// Paths named in one hint.
const PATHS_MAX: usize = 5;
/// Smaller files are not worth a hint of their own as copies.
const DUPLICATE_BYTES_MIN: u64 = 64 << 10;

/// How well an image uses its bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Effectiveness {
    /// The measure that others print, for comparison.
    pub efficiency: Efficiency,
    /// Bytes that squashing all layers would save: what no container sees.
    pub hidden_bytes: u64,
    /// The same, by the layer that ships them.
    pub hidden_bytes_by_layer: Vec<u64>,
    /// What to change, most bytes first.
    pub hints: Vec<Hint>,
}

/// One thing to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hint {
    /// What it is about.
    pub what: What,
    /// Bytes that would go.
    pub bytes: u64,
    /// How many files.
    pub files: u64,
    /// The layer to blame.
    pub layer: Option<usize>,
    /// The layer that overwrote or deleted them, where that is the point.
    pub hidden_by: Option<usize>,
    /// The largest, at most five.
    pub paths: Vec<String>,
    /// What to write instead.
    pub advice: String,
}

/// See [`Hint::what`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "kind", content = "of", rename_all = "kebab-case")]
pub enum What {
    /// Two RUN instructions or more, one after the other.
    ConsecutiveRuns,
    /// A later layer deletes them.
    Deleted,
    /// Equal files.
    Duplicate,
    /// A cache, or residue of the build.
    Leftover(Leftover),
    /// A later layer writes something else in their place.
    Overwritten,
    /// A later layer writes the same bytes again, for the sake of owner or mode.
    Rewritten,
    /// Written where a volume is declared.
    Volume,
}

/// Files of one kind and layer.
#[derive(Default)]
struct Group {
    bytes: u64,
    files: u64,
    worst: Vec<(u64, String)>,
}

impl Group {
    fn add(&mut self, path: &str, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.files += 1;
        if self.worst.len() < PATHS_MAX || self.worst.last().is_some_and(|(least, _)| *least < bytes) {
            self.worst.push((bytes, path.to_owned()));
            self.worst.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
            self.worst.truncate(PATHS_MAX);
        }
    }

    fn hint(self, what: What, layer: Option<usize>, hidden_by: Option<usize>, advice: String) -> Hint {
        let paths = self.worst.into_iter().map(|(_, path)| path).collect();
        Hint { what, bytes: self.bytes, files: self.files, layer, hidden_by, paths, advice }
    }
}

/// Looks at everything but packages and secrets. Reads the layers' tables anew: for questions that people ask.
pub fn effectiveness(layers: &[Layer<'_>], config: &[u8]) -> Effectiveness {
    let config = Config::parse(config);
    let view = View::new(layers);
    // The root itself would be all.
    let folders = config.volumes().map(|path| format!("{}/", path.trim_matches('/')));
    let volumes: Vec<String> = folders.filter(|folder| folder != "/").collect();
    let mut seen: HashMap<EntryId, ()> = HashMap::new();
    let mut copies: HashMap<(u64, u32), Vec<(usize, String)>> = HashMap::new();
    let mut groups: BTreeMap<(What, usize), Group> = BTreeMap::new();
    view.stack.tree.for_each(|path, node| {
        let Shape::File(content) = node.shape else { return };
        // A hard link is another name, not another copy.
        if seen.insert(content, ()).is_some() || node.size == 0 {
            return;
        }
        let (path, layer) = (printable(path), index(content.layer));
        if let Some(leftover) = leftover(&path) {
            groups.entry((What::Leftover(leftover), layer)).or_default().add(&path, node.size);
        } else if volumes.iter().any(|volume| path.starts_with(volume.as_str())) {
            groups.entry((What::Volume, layer)).or_default().add(&path, node.size);
        }
        if let Some(hash) = node.hash.filter(|_| node.size >= DUPLICATE_BYTES_MIN) {
            copies.entry((node.size, hash)).or_default().push((layer, path));
        }
    });
    let (hidden, hidden_bytes_by_layer) = hidden(&view, &seen);
    let mut hints: Vec<Hint> = groups
        .into_iter()
        .map(|((what, layer), group)| group.hint(what, Some(layer), None, advice(what)))
        .collect();
    hints.extend(hidden);
    hints.extend(duplicates(copies));
    hints.extend(consecutive_runs(layers, &config, &hints));
    hints.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| (a.what, a.layer).cmp(&(b.what, b.layer))));
    hints.truncate(HINTS_MAX);
    Effectiveness {
        efficiency: efficiency(layers),
        hidden_bytes: hidden_bytes_by_layer.iter().copied().fold(0, u64::saturating_add),
        hidden_bytes_by_layer,
        hints,
    }
}

/// A path in one layer.
type At = (u32, Vec<u8>);

/// What later layers hide: by the layer that ships it, the one that hides it, and how.
fn hidden(view: &View<'_>, seen: &HashMap<EntryId, ()>) -> (Vec<Hint>, Vec<u64>) {
    let mut by_layer = vec![0_u64; view.layers.len()];
    let mut contents: HashMap<At, Vec<(EntryId, u64)>> = HashMap::new();
    view.for_each_content(|id, path, size| {
        if size > 0 && !seen.contains_key(&id) {
            let by = view.stack.hidden_by.get(&id).copied().unwrap_or(id.layer);
            contents.entry((by, path.to_vec())).or_default().push((id, size));
        }
    });
    // What the hiding layer itself has at that path, and what the hidden file held.
    let mut written: HashMap<At, (u64, Option<u32>)> = HashMap::new();
    let mut hashes: HashMap<EntryId, Option<u32>> = HashMap::new();
    for (number, layer) in view.layers.iter().enumerate() {
        let number = u32::try_from(number).expect("no manifest lists so many layers");
        layer.report.table.for_each(|entry_number, entry| {
            if entry.kind == EntryKind::File {
                let key = (number, entry.path.to_vec());
                if contents.contains_key(&key) {
                    written.insert(key, (entry.size, entry.hash));
                }
                let id = EntryId { layer: number, entry: entry_number };
                if entry.size > 0 && !seen.contains_key(&id) {
                    hashes.insert(id, entry.hash);
                }
            }
        });
    }
    let mut groups: BTreeMap<(What, usize, usize), Group> = BTreeMap::new();
    for ((by, path), hidden) in contents {
        for (id, size) in hidden {
            let what = match written.get(&(by, path.clone())) {
                None => What::Deleted,
                Some((same, hash)) if *same == size && hash.is_some() && hashes.get(&id) == Some(hash) => {
                    What::Rewritten
                }
                Some(_) => What::Overwritten,
            };
            let layer = index(id.layer);
            if let Some(bytes) = by_layer.get_mut(layer) {
                *bytes = bytes.saturating_add(size);
            }
            groups.entry((what, layer, index(by))).or_default().add(&printable(&path), size);
        }
    }
    let hints = groups.into_iter().map(|((what, layer, by), group)| {
        let advice = match what {
            What::Deleted => format!("delete them in the instruction that makes them (layer {layer}), not in layer {by}"),
            What::Rewritten => format!(
                "layer {by} stores the same bytes again: use `COPY --chown`/`--chmod`, or set owner and mode in layer {layer}"
            ),
            _ => format!("write them once: join layer {layer} with layer {by}, or use a stage of its own"),
        };
        group.hint(what, Some(layer), Some(by), advice)
    });
    (hints.collect(), by_layer)
}

fn duplicates(copies: HashMap<(u64, u32), Vec<(usize, String)>>) -> Vec<Hint> {
    let hint = |((size, _), mut copies): ((u64, u32), Vec<(usize, String)>)| {
        copies.sort();
        let more = u64::try_from(copies.len()).unwrap_or(u64::MAX) - 1;
        (more > 0).then(|| Hint {
            what: What::Duplicate,
            bytes: size.saturating_mul(more),
            files: more,
            // The first copy is needed; the next is to blame.
            layer: copies.get(1).map(|(layer, _)| *layer),
            hidden_by: None,
            paths: copies.into_iter().map(|(_, path)| path).take(PATHS_MAX).collect(),
            advice: "keep one copy and link to it".to_owned(),
        })
    };
    copies.into_iter().filter_map(hint).collect()
}

/// RUN after RUN, with what the later ones hide of the earlier.
fn consecutive_runs(layers: &[Layer<'_>], config: &Config, hidden: &[Hint]) -> Vec<Hint> {
    let told = config.instructions(layers.len());
    let instruction = |at: usize| layers[at].instruction.or(told[at].as_deref()).unwrap_or_default();
    let mut hints = Vec::new();
    let mut at = 0;
    while at < layers.len() {
        let length = (at..layers.len()).take_while(|at| is_run(instruction(*at))).count();
        if length >= 2 {
            let inside = at..at + length;
            let saved = |hint: &&Hint| {
                hint.hidden_by.is_some_and(|by| inside.contains(&by))
                    && hint.layer.is_some_and(|layer| inside.contains(&layer))
            };
            hints.push(Hint {
                what: What::ConsecutiveRuns,
                bytes: hidden.iter().filter(saved).map(|hint| hint.bytes).fold(0, u64::saturating_add),
                files: 0,
                layer: Some(at),
                hidden_by: None,
                paths: Vec::new(),
                advice: format!(
                    "write layers {at} to {} as one RUN, with `&&` or a heredoc",
                    at + length - 1
                ),
            });
        }
        at += length.max(1);
    }
    hints
}

/// `RUN …`, as BuildKit and kaniko write it, or the shell form that the classic builder writes without a word before it.
fn is_run(instruction: &str) -> bool {
    let text = instruction.trim_start();
    text.starts_with("RUN ") || (text.starts_with("/bin/sh -c ") && !text.contains("#(nop)"))
}

fn advice(what: What) -> String {
    match what {
        What::Leftover(leftover) => leftover.advice().to_owned(),
        _ => "data below a declared VOLUME is copied into every new volume, and later layers may lose it: write it \
              elsewhere, or declare the volume when the container is run"
            .to_owned(),
    }
}

fn index(layer: u32) -> usize {
    usize::try_from(layer).expect("counted from an index")
}
