//! What the image configuration tells: the instruction that made each layer, and credentials in plain sight.

use serde::Deserialize;
use serde_json::Value;

use crate::detectors::{Detected, secrets};
use crate::limits::CONFIG_BYTES_MAX;
use crate::report::SecretFinding;

/// The parts of an image configuration (image-spec config.md) that are read here. Everything is optional: another
/// part of the system decides whether a configuration is valid.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Config {
    config: Option<Execution>,
    history: Option<Vec<History>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Execution {
    #[serde(rename = "Env")]
    env: Option<Vec<String>>,
    #[serde(rename = "Labels")]
    labels: Option<std::collections::BTreeMap<String, Value>>,
    #[serde(rename = "Cmd")]
    cmd: Option<Vec<String>>,
    #[serde(rename = "Entrypoint")]
    entrypoint: Option<Vec<String>>,
    #[serde(rename = "User")]
    user: Option<Value>,
    #[serde(rename = "Volumes")]
    volumes: Option<Value>,
    #[serde(rename = "WorkingDir")]
    working_dir: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct History {
    created_by: Option<String>,
    comment: Option<String>,
    empty_layer: Option<bool>,
}

impl Config {
    /// A configuration that is no JSON object of the right shape tells nothing.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        if bytes.len() > CONFIG_BYTES_MAX {
            return Self::default();
        }
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    /// Whom containers run as; empty where nothing is said.
    pub(super) fn user(&self) -> &str {
        text(self.config.as_ref().and_then(|config| config.user.as_ref()))
    }

    /// Where they start; empty where nothing is said.
    pub(super) fn working_directory(&self) -> &str {
        text(self.config.as_ref().and_then(|config| config.working_dir.as_ref()))
    }

    pub(super) fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let labels = self.config.iter().filter_map(|config| config.labels.as_ref()).flatten();
        labels.map(|(name, value)| (name.as_str(), text(Some(value))))
    }

    /// Paths that containers get volumes at.
    pub(super) fn volumes(&self) -> impl Iterator<Item = &str> {
        let volumes = self.config.iter().filter_map(|config| config.volumes.as_ref()?.as_object());
        volumes.flat_map(serde_json::Map::keys).map(String::as_str)
    }

    /// One instruction a layer: history entries that made no layer are passed over. When the numbers do not agree
    /// nothing is claimed.
    pub(super) fn instructions(&self, layers: usize) -> Vec<Option<String>> {
        let history = self.history.as_deref().unwrap_or_default();
        let made_layers = history.iter().filter(|entry| entry.empty_layer != Some(true));
        let instructions: Vec<_> = made_layers.map(|entry| entry.created_by.clone()).collect();
        if instructions.len() == layers { instructions } else { vec![None; layers] }
    }

    /// Credentials in environment, labels, command and history.
    pub(super) fn secrets(&self) -> Vec<SecretFinding> {
        let mut found = Vec::new();
        if let Some(execution) = &self.config {
            for variable in execution.env.iter().flatten() {
                let name = variable.split_once('=').map_or("", |(name, _)| name);
                search(&format!("config.Env[{name}]"), variable, &mut found);
                named_secret("environment-variable", &format!("config.Env[{name}]"), variable, &mut found);
            }
            for (name, label) in execution.labels.iter().flatten() {
                search(&format!("config.Labels[{name}]"), label.as_str().unwrap_or_default(), &mut found);
            }
            for (place, words) in
                [("config.Cmd", &execution.cmd), ("config.Entrypoint", &execution.entrypoint)]
            {
                search(place, &words.as_deref().unwrap_or_default().join(" "), &mut found);
            }
        }
        for (number, entry) in self.history.iter().flatten().enumerate() {
            let created_by = entry.created_by.as_deref().unwrap_or_default();
            let place = format!("history[{number}].created_by");
            search(&place, created_by, &mut found);
            for argument in build_arguments(created_by) {
                named_secret("build-argument", &place, argument, &mut found);
            }
            search(
                &format!("history[{number}].comment"),
                entry.comment.as_deref().unwrap_or_default(),
                &mut found,
            );
        }
        found.sort();
        found.dedup();
        found
    }
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

fn search(place: &str, text: &str, found: &mut Vec<SecretFinding>) {
    found
        .extend(secrets::search(text.as_bytes()).into_iter().filter_map(|detected| finding(place, detected)));
}

fn finding(place: &str, detected: Detected) -> Option<SecretFinding> {
    let Detected::Secret { rule, value_sha256, preview, .. } = detected else { return None };
    let path = place.to_owned();
    Some(SecretFinding { rule, path, layer: None, deleted_later: false, value_sha256, preview })
}

/// `RUN |2 NAME=VALUE NAME=VALUE /bin/sh -c …`: Docker writes the build arguments that an instruction saw before it.
fn build_arguments(created_by: &str) -> impl Iterator<Item = &str> {
    let after_bar = created_by.split_once('|').map_or("", |(_, rest)| rest);
    let mut words = after_bar.split(' ');
    let count = words.next().and_then(|count| count.parse().ok()).unwrap_or(0_usize);
    words.take(count)
}

/// A `NAME=VALUE` whose name says credential and whose value looks like chance. Names alone would be guesses, and so
/// would values alone.
fn named_secret(rule: &str, place: &str, assignment: &str, found: &mut Vec<SecretFinding>) {
    const NAMES: [&str; 8] =
        ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "API_KEY", "APIKEY", "ACCESS_KEY", "PRIVATE_KEY"];
    let Some((name, value)) = assignment.split_once('=') else { return };
    let name = name.to_ascii_uppercase();
    // `…_FILE` and `…_PATH` say where a secret will be, not what it is.
    let points_elsewhere = ["_FILE", "_PATH", "_URL", "_DIR"].iter().any(|suffix| name.ends_with(suffix));
    let value = value.trim_matches(['"', '\'']);
    let already = found.iter().any(|known| known.path == place);
    if already || points_elsewhere || !NAMES.iter().any(|word| name.contains(word)) {
        return;
    }
    if value.len() >= 12 && !value.contains(['/', ' ']) && secrets::looks_random(value.as_bytes()) {
        found.extend(finding(place, secrets::finding(rule, value.as_bytes())));
    }
}
