//! `[[base]]`: the approved base images, known by what their layers are and not by what somebody writes about them.

use serde::Serialize;

use super::reader::{Mistakes, Section};
use crate::digest::Digest;

/// A base that images may begin with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApprovedBase {
    /// What people call it.
    pub name: String,
    /// Digests of its uncompressed layers, oldest first; at least one.
    pub diff_ids: Vec<String>,
}

/// Layers of one base; engines stop at 127.
const LAYERS_MAX: usize = 128;

impl ApprovedBase {
    /// Whether an image with these layers begins with it. All of its layers must be there, in their order: one layer
    /// alone may stand in many images.
    pub fn begins(&self, diff_ids: &[String]) -> bool {
        diff_ids.starts_with(&self.diff_ids)
    }
}

pub(super) fn parse(mut section: Section<'_>, mistakes: &mut Mistakes<'_>) -> Option<ApprovedBase> {
    let name = section.require("name", "say what it is called: `name = \"debian:12.9\"`", mistakes);
    let name = name.and_then(|entry| entry.line(mistakes));
    let hint = "copy `rootfs.diff_ids` of its configuration: `crane config IMAGE` or `docker image inspect` print them";
    let entry = section.require("diff-ids", hint, mistakes);
    section.finish(mistakes);
    let entry = entry?;
    let entries = entry.list(mistakes)?;
    if entries.is_empty() || entries.len() > LAYERS_MAX {
        let problem = format!("{} layers; 1 to {LAYERS_MAX} are possible", entries.len());
        mistakes.note(&entry.place, problem, hint);
        return None;
    }
    let mut diff_ids = Vec::with_capacity(entries.len());
    for entry in &entries {
        let text = entry.text(mistakes)?;
        match Digest::parse(text) {
            Ok(digest) => diff_ids.push(digest.to_string()),
            Err(error) => {
                mistakes.note(&entry.place, error.to_string(), hint);
                return None;
            }
        }
    }
    Some(ApprovedBase { name: name?, diff_ids })
}
