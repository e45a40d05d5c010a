//! The final view is the one that an engine with an overlay shows.

use scanner::image::{Layer, final_tree, scan};
use scanner::layer::{EntryKind, LayerReport};
use scanner::report::Unknown;

use crate::archive::Archive;
use crate::build::walk;

/// Per layer, the lines of its archive.
type Layers<'l> = &'l [&'l [&'l str]];

fn reports(layers: Layers<'_>) -> Vec<LayerReport> {
    layers.iter().map(|lines| walk(&Archive::default().lines(lines).end())).collect()
}

fn stacked(reports: &[LayerReport]) -> Vec<Layer<'_>> {
    reports.iter().map(|report| Layer { digest: "", report, instruction: None }).collect()
}

/// `PATH@LAYER`, links with their target, directories with a slash.
fn tree(layers: Layers<'_>) -> Vec<String> {
    let reports = reports(layers);
    let line = |entry: &scanner::image::TreeEntry| {
        let target = entry.target.as_ref().map(|target| format!("->{target}")).unwrap_or_default();
        let slash = if entry.kind == EntryKind::Directory { "/" } else { "" };
        format!("{}{slash}{target}@{}", entry.path, entry.layer)
    };
    final_tree(&stacked(&reports)).iter().map(line).collect()
}

fn problems(layers: Layers<'_>) -> Vec<String> {
    let reports = reports(layers);
    let unknown = scan(&stacked(&reports), b"{}", None).unknown;
    unknown
        .into_iter()
        .filter_map(|unknown| match unknown {
            Unknown::UnreadableLayer { problem, .. } => Some(problem),
            _ => None,
        })
        .collect()
}

#[test]
fn layers_stack_as_overlays_do() {
    let cases: &[(&str, Layers<'_>, &[&str])] = &[
        ("a later file wins", &[&["f a=1"], &["f a=2"]], &["a@1"]),
        ("the last entry of a layer wins", &[&["f a=1", "l a->b"]], &["a->b@0"]),
        ("a whiteout hides a file", &[&["f a=1", "f b=1"], &["f .wh.a="]], &["b@0"]),
        ("a whiteout hides a tree", &[&["d a", "f a/b/c=1"], &["f .wh.a="]], &[]),
        ("a whiteout hides nothing beside it", &[&["f a=1"], &["f a=2", "f .wh.a="]], &["a@1"]),
        ("nor before it", &[&["f a=1"], &["f .wh.a=", "f a=2"]], &["a@1"]),
        ("a whiteout of nothing", &[&["f a=1"], &["f .wh.x="]], &["a@0"]),
        (
            "whiteout, then the directory anew",
            &[&["d a", "f a/x=1"], &["f .wh.a=", "d a", "f a/y=1"]],
            &["a/@1", "a/y@1"],
        ),
        (
            "opaque hides what is below",
            &[&["d a", "f a/x=1"], &["d a", "f a/.wh..wh..opq=", "f a/y=1"]],
            &["a/@1", "a/y@1"],
        ),
        (
            "opaque after its siblings",
            &[&["d a", "f a/x=1"], &["d a", "f a/y=1", "f a/.wh..wh..opq="]],
            &["a/@1", "a/y@1"],
        ),
        ("an opaque root", &[&["f a=1"], &["f .wh..wh..opq=", "f b=1"]], &["b@1"]),
        ("aufs' own files are skipped", &[&["f .wh..wh.aufs=", "d .wh..wh.plnk", "f a=1"]], &["a@0"]),
        ("a file replaces a directory", &[&["d a", "f a/b=1"], &["f a=2"]], &["a@1"]),
        ("a directory replaces a file", &[&["f a=1"], &["d a", "f a/b=2"]], &["a/@1", "a/b@1"]),
        (
            "a directory joins one below",
            &[&["d a", "f a/b=1"], &["d a", "f a/c=2"]],
            &["a/@1", "a/b@0", "a/c@1"],
        ),
        ("a symbolic link replaces a directory", &[&["d a", "f a/b=1"], &["l a->c"]], &["a->c@1"]),
        (
            "a directory replaces a link",
            &[&["l a->c", "d c", "f c/x=1"], &["d a", "f a/b=1"]],
            &["a/@1", "a/b@1", "c/@0", "c/x@0"],
        ),
        (
            "paths through a link of the layer",
            &[&["l lib->usr/lib", "d usr", "d usr/lib", "f lib/x=1"]],
            &["lib->usr/lib@0", "usr/@0", "usr/lib/@0", "usr/lib/x@0"],
        ),
        ("an absolute link stays inside", &[&["l a->/../../b", "f a/x=1"]], &["a->/../../b@0", "b/x@0"]),
        ("a relative link stays inside", &[&["l a->../../b", "f a/x=1"]], &["a->../../b@0", "b/x@0"]),
        (
            "whiteout through a link of the layer",
            &[&["d b", "f b/x=1"], &["l a->b", "f a/.wh.x="]],
            &["a->b@1", "b/@0"],
        ),
        ("hard links", &[&["f a=1", "h b->a"]], &["a@0", "b->a@0"]),
        ("a hard link outlives its target", &[&["f a=1", "h b->a"], &["f .wh.a="]], &["b->a@0"]),
        ("devices", &[&["c dev/null"]], &["dev/null@0"]),
    ];
    for (what, layers, expected) in cases {
        assert_eq!(tree(layers), *expected, "{what}");
        assert_eq!(problems(layers), Vec::<String>::new(), "{what}");
    }
}

#[test]
fn what_engines_cannot_unpack_alike_is_a_problem() {
    let cases: &[(&str, Layers<'_>, &str)] = &[
        ("a dangling hard link", &[&["h b->a"]], "not there"),
        ("a hard link to a directory", &[&["d a", "h b->a"]], "not there"),
        ("a path through a file", &[&["f a=1", "f a/b=1"]], "no directory"),
        ("a path through a cycle", &[&["l a->b", "l b->a", "f a/x=1"]], "too many links"),
        (
            "a path through a lower link",
            &[&["l lib->usr/lib", "d usr/lib"], &["f lib/x=1"]],
            "engines disagree",
        ),
        ("a whiteout without name", &[&["d a"], &["f a/.wh.="]], "no name"),
        ("a whiteout of the directory", &[&["d a"], &["f a/.wh..="]], "no name"),
        ("a whiteout of the parent", &[&["d a"], &["f a/.wh...="]], "no name"),
    ];
    for (what, layers, expected) in cases {
        let found = problems(layers);
        assert!(found.iter().any(|problem| problem.contains(expected)), "{what}: {found:?}");
    }
}

#[test]
fn links_that_grow_when_followed_end() {
    let deep = format!("l b->a/{}", "d/".repeat(45));
    let mut lines = vec!["l a->x".to_owned(), deep];
    for (link, before) in ('c'..='z').zip('b'..='y') {
        lines.push(format!("l {link}->{before}/{before}/{before}"));
    }
    lines.push("f z/f=1".to_owned());
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert!(!tree(&[&lines]).is_empty());
}

#[test]
fn waste_counts_what_no_container_sees() {
    let layers: &[&[&str]] = &[
        &["s opt/tool=400000", "s opt/lib=300001", "s keep=10"],
        &["s opt/tool=400000"],
        &["s tmp/build=500000", "h tmp/other->tmp/build"],
        &["f tmp/.wh.build=", "f tmp/.wh.other=", "s opt/copy=300001"],
        &["s keep=20", "s opt/tool=410000"],
    ];
    let reports = reports(layers);
    let waste = scan(&stacked(&reports), b"{}", None).waste;
    assert_eq!(waste.hidden_bytes, 400_000 + 400_000 + 500_000 + 10);
    assert_eq!(waste.duplicate_bytes, 300_001);
    assert_eq!(waste.total_bytes, 400_000 * 2 + 300_001 * 2 + 500_000 + 10 + 20 + 410_000);
    let worst = &waste.paths[0];
    assert_eq!(
        (worst.path.as_str(), worst.bytes, worst.layer, worst.hidden_by),
        ("tmp/build", 500_000, 2, 3)
    );
}

#[test]
fn an_image_has_a_limit_of_entries_too() {
    let many =
        (0..20_000).fold(Archive::default(), |archive, number| archive.file(&format!("{number}"), b"")).end();
    let report = walk(&many);
    let layers: Vec<_> = (0..51).map(|_| Layer { digest: "", report: &report, instruction: None }).collect();
    let unknown = scan(&layers, b"{}", None).unknown;
    let of_entries = |unknown: &Unknown| matches!(unknown, Unknown::UnreadableLayer { layer: 50, problem } if problem.contains("1000000"));
    assert!(unknown.iter().any(of_entries), "{unknown:?}");
}
