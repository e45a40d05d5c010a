//! What in an image is aimed at the engine that unpacks or starts it: each kind has been a hole in one.

use std::collections::{BTreeSet, HashMap};

use crate::detectors::Detected;
use crate::image::config::Config;
use crate::image::tree::{Lookup, Shape};
use crate::image::view::View;
use crate::layer::entry::printable;
use crate::layer::{Entry, EntryKind};
use crate::report::{AttackKind, EngineAttack, PermissionKind};

/// Attacks told; one is enough to refuse.
const TOLD_MAX: usize = 100;

/// Bytes of `etc/passwd` and `etc/group`, which engines hold in memory; a directory of 10 000 accounts has 700 KB.
const ACCOUNT_FILE_BYTES_MAX: u64 = 1 << 20;

/// Namespaces of labels in which containerd and what is built on it keep their own orders.
const RESERVED_LABELS: [&str; 3] = ["containerd.io/", "io.containerd.", "io.cri-containerd"];

/// Device nodes that engines put into every container anyway: `null`, `zero`, `full`, `random`, `urandom`, `tty`, `console`
/// and `ptmx` (Linux, `Documentation/admin-guide/devices.txt`).
const HARMLESS_DEVICES: [(u64, u64); 8] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];

pub(super) fn attacks(view: &View<'_>, config: &Config) -> Vec<EngineAttack> {
    let mut found = BTreeSet::new();
    configuration(config, &mut found);
    account_files(view, &mut found);
    links(view, &mut found);
    devices(view, &mut found);
    entries(view, &mut found);
    found.into_iter().take(TOLD_MAX).collect()
}

fn attack(kind: AttackKind, place: &str, layer: Option<usize>, problem: impl Into<String>) -> EngineAttack {
    EngineAttack { kind, place: place.to_owned(), layer, problem: problem.into() }
}

fn configuration(config: &Config, found: &mut BTreeSet<EngineAttack>) {
    for part in config.user().split(':').map(str::trim) {
        let digits = part.trim_start_matches(['+', '-']);
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        // As a number it overflows, as a name it may be anyone's: neither is what it looks like.
        if is_number && !part.parse::<i32>().is_ok_and(|number| number >= 0) {
            let problem = format!("`{}` is no user or group number", printable(part.as_bytes()));
            found.insert(attack(AttackKind::UserOutOfRange, "config.User", None, problem));
        }
    }
    for (name, value) in config.labels() {
        let reserved = RESERVED_LABELS.iter().any(|space| name.to_ascii_lowercase().starts_with(space));
        if reserved || value.trim_start().to_ascii_lowercase().starts_with("binary://") {
            let place = format!("config.Labels[{}]", printable(name.as_bytes()));
            found.insert(attack(
                AttackKind::ReservedLabel,
                &place,
                None,
                "an order to the engine, not a description",
            ));
        }
    }
    for volume in config.volumes() {
        if volume.split('/').any(|part| part == "..") {
            let place = format!("config.Volumes[{}]", printable(volume.as_bytes()));
            found.insert(attack(AttackKind::VolumePath, &place, None, "a volume outside of the image"));
        }
    }
    let directory: Vec<&str> =
        config.working_directory().split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if directory.contains(&"..") || directory.first() == Some(&"proc") {
        let problem = "a working directory outside of the image";
        found.insert(attack(AttackKind::WorkingDirectory, "config.WorkingDir", None, problem));
    }
}

/// Engines read who is who before anything runs.
fn account_files(view: &View<'_>, found: &mut BTreeSet<EngineAttack>) {
    for place in ["etc/group", "etc/passwd"] {
        let tree = &view.stack.tree;
        let problem = match tree.lookup(place.as_bytes()) {
            Lookup::Missing => continue,
            Lookup::Broken => "a link that leaves the image".to_owned(),
            Lookup::Found(node) => match tree.node(node).shape {
                Shape::File(_) if tree.node(node).size <= ACCOUNT_FILE_BYTES_MAX => continue,
                Shape::File(_) => {
                    format!("{} bytes, more than {ACCOUNT_FILE_BYTES_MAX}", tree.node(node).size)
                }
                _ => "not a regular file".to_owned(),
            },
        };
        found.insert(attack(AttackKind::AccountFile, place, None, problem));
    }
}

/// Links out of the image, and into the processes that start it.
fn links(view: &View<'_>, found: &mut BTreeSet<EngineAttack>) {
    view.stack.tree.for_each(|path, node| {
        let Shape::Symlink(target) = &node.shape else { return };
        let layer = node.entry.map(super::tree::EntryId::layer);
        let mut tell = |kind, problem: &str| {
            if found.len() < TOLD_MAX {
                found.insert(attack(
                    kind,
                    &printable(path),
                    layer,
                    format!("{problem} `{}`", printable(target)),
                ));
            }
        };
        if matches!(node.listed, Some((EntryKind::HardLink, _))) {
            tell(AttackKind::LinkToLink, "a hard link to a symbolic one, to");
        }
        if escapes(path, target) {
            tell(AttackKind::EscapingLink, "a link that climbs above the root, to");
        }
        if enters_process(target) {
            tell(AttackKind::ProcessLink, "a link into the process that follows it, to");
        }
    });
}

/// A relative target that climbs above the root, where the kernel stops and an engine may not.
fn escapes(path: &[u8], target: &[u8]) -> bool {
    let mut depth = path.iter().filter(|byte| **byte == b'/').count();
    if target.starts_with(b"/") {
        depth = 0;
    }
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return true,
            },
            _ => depth += 1,
        }
    }
    false
}

/// `/proc/self/exe`, `/proc/1/root`, `/proc/self/fd/7`: but `/proc/self/fd`, its first three and `/proc/mounts` are what
/// every `/dev` has links to.
fn enters_process(target: &[u8]) -> bool {
    let Some(rest) = target.strip_prefix(b"/proc/") else { return false };
    let parts: Vec<&[u8]> = rest.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    let is_process = |part: &[u8]| {
        part == b"self" || part == b"thread-self" || !part.is_empty() && part.iter().all(u8::is_ascii_digit)
    };
    match parts[..] {
        [process, b"fd", number, ..] if is_process(process) => !matches!(number, b"0" | b"1" | b"2"),
        [process, what, ..] if is_process(process) => {
            matches!(what, b"cwd" | b"exe" | b"ns" | b"root" | b"task")
        }
        _ => false,
    }
}

fn devices(view: &View<'_>, found: &mut BTreeSet<EngineAttack>) {
    let detected: HashMap<_, _> = view
        .detections()
        .filter_map(|(id, detection)| match detection.detected {
            Detected::Device { major, minor } => Some((id, (major, minor))),
            _ => None,
        })
        .filter(|(_, device)| !HARMLESS_DEVICES.contains(device))
        .collect();
    for (id, entry) in view.described(|id| detected.contains_key(&id)) {
        let (major, minor) = detected.get(&id).copied().unwrap_or_default();
        let problem = format!("a device node, {major}:{minor}");
        found.insert(attack(AttackKind::DeviceNode, &entry.path, Some(id.layer()), problem));
    }
}

/// What single entries say: the root as something else than a directory, and files that a later layer lets run with their
/// owner's rights.
fn entries(view: &View<'_>, found: &mut BTreeSet<EngineAttack>) {
    let privileged = view.detections().filter_map(|(id, detection)| match detection.detected {
        Detected::Permission(PermissionKind::Setuid | PermissionKind::Setgid) => view.visible.get(&id),
        _ => None,
    });
    let privileged: BTreeSet<&str> = privileged.map(String::as_str).collect();
    let mut before: HashMap<String, u32> = HashMap::new();
    for (layer, walked) in view.layers.iter().enumerate() {
        walked.report.table.for_each(|_, entry: Entry<'_>| {
            if entry.path.is_empty() && entry.kind != EntryKind::Directory {
                let problem = "the root of the image is no directory";
                found.insert(attack(AttackKind::RootLink, "/", Some(layer), problem));
            }
            if entry.kind != EntryKind::File || privileged.is_empty() {
                return;
            }
            let path = printable(entry.path);
            if !privileged.contains(path.as_str()) {
                return;
            }
            let bits = entry.mode & 0o6000;
            if before.get(&path).is_some_and(|known| bits & !known != 0) {
                let problem = format!("mode {:o}, and none of a set-ID in the layers below", entry.mode);
                found.insert(attack(AttackKind::SetuidGrowth, &path, Some(layer), problem));
            }
            before.insert(path, bits);
        });
    }
}
