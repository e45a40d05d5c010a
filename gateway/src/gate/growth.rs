//! How an image differs in bytes and packages from the release whose place it takes, and which instruction made it grow.

use std::collections::HashMap;

use scanner::report::LayerSummary;
use serde::Serialize;

use super::checks::images;
use super::evidence::{ImageFacts, Previous};

/// Layers told, of those that grew.
const LAYERS_TOLD_MAX: usize = 10;

/// What changed from one release to the next. Bytes of files are compared, not bytes to transfer: those change with the
/// compression, and a folder has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Growth {
    /// The image it was compared with.
    pub previous: String,
    /// Files of all layers, in bytes.
    pub file_bytes: Change,
    /// Layers as stored, in bytes.
    pub transfer_bytes: Change,
    /// Number of packages.
    pub packages: Change,
    /// Bytes of files in the layers that both have.
    pub shared_bytes: u64,
    /// The layers that brought more, most first.
    pub layers: Vec<GrownLayer>,
}

/// Before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Of the previous release.
    pub from: u64,
    /// Of the image.
    pub to: u64,
}

/// A layer that the previous release has not, and that is larger than the one its instruction made there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrownLayer {
    /// Counted from 0, oldest first.
    pub index: usize,
    /// The instruction that made it.
    pub instruction: Option<String>,
    /// By how many bytes of files it is larger; all its bytes where no layer there was made by the same instruction.
    pub grown_bytes: u64,
    /// Whether a layer there was made by the same instruction.
    pub is_new: bool,
}

impl Change {
    /// By how much it is more; nothing where it is less.
    pub fn grown(self) -> u64 {
        self.to.saturating_sub(self.from)
    }
}

impl Growth {
    /// `None`: the previous release has nothing that can run.
    pub fn new(previous: &Previous, platform: Option<&str>, facts: &ImageFacts) -> Option<Self> {
        let before = counterpart(previous, platform)?;
        let (shared_bytes, layers) = layers(&before.scan.layers, &facts.scan.layers);
        let change = |of: fn(&ImageFacts) -> u64| Change { from: of(before), to: of(facts) };
        Some(Self {
            previous: previous.name.clone(),
            file_bytes: change(file_bytes),
            transfer_bytes: change(|facts| facts.size),
            packages: change(|facts| u64::try_from(facts.scan.packages.len()).unwrap_or(u64::MAX)),
            shared_bytes,
            layers,
        })
    }
}

/// The image of the same platform. Where there is none, the largest one: a budget is not renewed by calling an image
/// differently or by making an index of it.
fn counterpart<'a>(previous: &'a Previous, platform: Option<&str>) -> Option<&'a ImageFacts> {
    let all = images(&previous.content);
    let same = all.iter().find(|(name, _)| name.is_some() && *name == platform);
    let largest = || all.iter().max_by_key(|(_, facts)| file_bytes(facts));
    same.or_else(largest).map(|(_, facts)| *facts)
}

fn file_bytes(facts: &ImageFacts) -> u64 {
    facts.scan.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.file_bytes))
}

/// By its content, however it is compressed.
fn name(layer: &LayerSummary) -> &str {
    layer.diff_id.as_deref().unwrap_or(&layer.digest)
}

/// The bytes of files in layers that both have, and the layers that grew.
fn layers(before: &[LayerSummary], after: &[LayerSummary]) -> (u64, Vec<GrownLayer>) {
    let mut left: HashMap<&str, usize> = HashMap::new();
    for layer in before {
        *left.entry(name(layer)).or_default() += 1;
    }
    let mut shared_bytes = 0_u64;
    let mut added: Vec<(usize, &LayerSummary)> = Vec::new();
    for (index, layer) in after.iter().enumerate() {
        match left.get_mut(name(layer)).filter(|count| **count > 0) {
            Some(count) => {
                *count -= 1;
                shared_bytes = shared_bytes.saturating_add(layer.file_bytes);
            }
            None => added.push((index, layer)),
        }
    }
    // The newest layers of a kind stay: which of several equal ones is gone makes no difference.
    let mut replaced: HashMap<&str, Vec<u64>> = HashMap::new();
    for layer in before.iter().rev() {
        let Some(count) = left.get_mut(name(layer)).filter(|count| **count > 0) else { continue };
        *count -= 1;
        if let Some(instruction) = &layer.instruction {
            replaced.entry(instruction).or_default().push(layer.file_bytes);
        }
    }
    let mut grown: Vec<GrownLayer> = added
        .into_iter()
        .filter_map(|(index, layer)| {
            let made_before = layer.instruction.as_deref().and_then(|it| replaced.get_mut(it)?.pop());
            let grown_bytes = layer.file_bytes.saturating_sub(made_before.unwrap_or(0));
            (grown_bytes > 0).then(|| GrownLayer {
                index,
                instruction: layer.instruction.clone(),
                grown_bytes,
                is_new: made_before.is_none(),
            })
        })
        .collect();
    grown.sort_by_key(|layer| (std::cmp::Reverse(layer.grown_bytes), layer.index));
    grown.truncate(LAYERS_TOLD_MAX);
    (shared_bytes, grown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(content: &str, instruction: &str, file_bytes: u64) -> LayerSummary {
        LayerSummary {
            digest: format!("stored {content}"),
            diff_id: Some(content.to_owned()),
            instruction: Some(instruction.to_owned()),
            compressed_bytes: file_bytes / 2,
            uncompressed_bytes: file_bytes,
            file_bytes,
            entries: 1,
        }
    }

    #[test]
    fn what_grew_is_blamed_on_the_instruction_that_made_it() {
        let before = [layer("base", "ADD", 100), layer("old", "RUN apt", 50), layer("app", "COPY", 10)];
        type Grown<'a> = &'a [(usize, u64, bool)];
        let cases: &[(&[LayerSummary], u64, Grown<'_>)] = &[
            (&before, 160, &[]),
            // The same instruction made more; the application shrank.
            (
                &[layer("base", "ADD", 100), layer("new", "RUN apt", 80), layer("app2", "COPY", 5)],
                100,
                &[(1, 30, false)],
            ),
            // Another instruction counts whole; most bytes first.
            (
                &[layer("base", "ADD", 100), layer("new", "RUN apt", 51), layer("data", "COPY data", 40)],
                100,
                &[(2, 40, true), (1, 1, false)],
            ),
            // A layer that is there twice is shared once.
            (&[layer("base", "ADD", 100), layer("base", "ADD", 100)], 100, &[(1, 100, true)]),
        ];
        for (after, shared, expected) in cases {
            let (shared_bytes, grown) = layers(&before, after);
            let grown: Vec<_> = grown.iter().map(|it| (it.index, it.grown_bytes, it.is_new)).collect();
            assert_eq!((shared_bytes, &grown[..]), (*shared, *expected));
        }
    }

    #[test]
    fn thousands_of_layers_are_told_by_the_worst_ten() {
        let after: Vec<_> = (0..5000).map(|n| layer(&n.to_string(), "RUN", n)).collect();
        let (_, grown) = layers(&[], &after);
        assert_eq!((grown.len(), grown[0].grown_bytes), (10, 4999));
    }
}
