//! The few fields of an image configuration that are evidence (image-spec "config").

use serde_json::{Map, Value};

use super::super::words::printable;
use crate::manifest::json;

/// What was read; a field that could not be read is empty and has left a problem.
#[derive(Debug, Default)]
pub(super) struct Configuration {
    pub(super) user: String,
    pub(super) diff_ids: Vec<String>,
    history: Vec<HistoryEntry>,
}

#[derive(Debug)]
struct HistoryEntry {
    created_by: Option<String>,
    empty_layer: bool,
}

/// Engines stop at a few hundred; more entries are only there to be walked.
const HISTORY_MAX: usize = 10_000;

impl Configuration {
    pub(super) fn parse(bytes: &[u8], problems: &mut Vec<String>) -> Self {
        let object = match json::parse_object(bytes) {
            Ok(object) => object,
            Err(error) => {
                problems.push(format!("the configuration is {}", printable(&error.to_string(), 200)));
                return Self::default();
            }
        };
        exact_keys(&object, &["config", "history", "rootfs", "os", "architecture"], problems);
        Self {
            user: user(&object, problems),
            diff_ids: diff_ids(&object, problems),
            history: history(&object, problems),
        }
    }

    /// The instruction of each layer, oldest first. A history that does not fit the layers tells nothing: a wrong
    /// attribution is worse than none.
    pub(super) fn instructions(&self, layers: usize) -> Vec<Option<String>> {
        let with_layer: Vec<&HistoryEntry> = self.history.iter().filter(|entry| !entry.empty_layer).collect();
        if with_layer.len() != layers {
            return vec![None; layers];
        }
        with_layer.into_iter().map(|entry| entry.created_by.clone()).collect()
    }
}

/// Engines written in Go match keys regardless of case, and take the last: `"user": "0"` after `"User": "1000"` would be
/// one thing to us and another to them.
fn exact_keys(object: &Map<String, Value>, known: &[&str], problems: &mut Vec<String>) {
    for key in object.keys() {
        let folded = json::fold(key);
        if let Some(known) = known.iter().find(|known| json::fold(known) == folded && **known != key) {
            let found = printable(key, 60);
            problems
                .push(format!("the configuration has a key `{found}`, which some engines read as `{known}`"));
        }
    }
}

fn user(object: &Map<String, Value>, problems: &mut Vec<String>) -> String {
    let config = match object.get("config") {
        None | Some(Value::Null) => return String::new(),
        Some(Value::Object(config)) => config,
        Some(_) => {
            problems.push("the configuration's `config` is no object".to_owned());
            return String::new();
        }
    };
    exact_keys(config, &["Cmd", "Entrypoint", "Env", "Labels", "User", "Volumes", "WorkingDir"], problems);
    match config.get("User") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(user)) => user.clone(),
        Some(_) => {
            problems.push("the configuration's `config.User` is no text".to_owned());
            String::new()
        }
    }
}

fn diff_ids(object: &Map<String, Value>, problems: &mut Vec<String>) -> Vec<String> {
    let Some(Value::Object(rootfs)) = object.get("rootfs") else {
        problems.push("the configuration has no `rootfs`".to_owned());
        return Vec::new();
    };
    exact_keys(rootfs, &["diff_ids", "type"], problems);
    let list = match rootfs.get("diff_ids") {
        None | Some(Value::Null) => &Vec::new(),
        Some(Value::Array(list)) => list,
        Some(_) => {
            problems.push("the configuration's `rootfs.diff_ids` is no list".to_owned());
            return Vec::new();
        }
    };
    let diff_ids: Vec<String> = list.iter().filter_map(|id| id.as_str().map(ToOwned::to_owned)).collect();
    if diff_ids.len() != list.len() {
        problems.push("the configuration's `rootfs.diff_ids` holds something else than texts".to_owned());
    }
    diff_ids
}

fn history(object: &Map<String, Value>, problems: &mut Vec<String>) -> Vec<HistoryEntry> {
    let list = match object.get("history") {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(list)) => list,
        Some(_) => {
            problems.push("the configuration's `history` is no list".to_owned());
            return Vec::new();
        }
    };
    let entry = |value: &Value| HistoryEntry {
        created_by: value.get("created_by").and_then(Value::as_str).map(|text| printable(text.trim(), 500)),
        empty_layer: value.get("empty_layer").and_then(Value::as_bool).unwrap_or(false),
    };
    list.iter().take(HISTORY_MAX).map(entry).collect()
}
