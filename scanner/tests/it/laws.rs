//! Laws: how an archive is cut, packed or spread over layers does not change what is found in it.

use proptest::prelude::*;
use scanner::image::{Layer, final_tree, scan};
use scanner::layer::{LayerReport, LayerWalk};
use scanner::limits::Limits;
use scanner::report::ScanReport;

use crate::archive::{Archive, gzip, zstd};
use crate::build::{walk, walk_in_pieces};

fn report(layers: &[Vec<u8>]) -> ScanReport {
    let reports: Vec<LayerReport> = layers.iter().map(|layer| walk(layer)).collect();
    let layers: Vec<_> =
        reports.iter().map(|report| Layer { digest: "", report, instruction: None }).collect();
    scan(&layers, b"{}", None)
}

/// What an image is, without how it was packed: no layer numbers, no sizes.
fn answer(report: &ScanReport) -> String {
    let packages: Vec<_> = report.packages.iter().map(|found| (&found.package, &found.path)).collect();
    let secrets: Vec<_> =
        report.secrets.iter().map(|found| (&found.rule, &found.path, &found.value_sha256)).collect();
    let permissions: Vec<_> =
        report.permissions.iter().map(|found| (found.kind, &found.path, found.mode)).collect();
    format!("{:?}\n{packages:?}\n{secrets:?}\n{permissions:?}\n{:?}", report.distribution, report.unknown)
}

fn lines() -> Vec<String> {
    let token = ["glpat", "-qnFCraP_c0YsHh47lft6"].concat();
    let mut lines: Vec<String> = [
        "d etc",
        "f etc/os-release=ID=debian\nVERSION_ID=12\n",
        "f var/lib/dpkg/status=Package: a\nStatus: install ok installed\nVersion: 1\n",
        "f app/node_modules/x/package.json={\"name\":\"x\",\"version\":\"1.0.0\"}",
        "f lib/python3/site-packages/Y_z-1.dist-info/METADATA=Name: Y_z\nVersion: 1\n",
        "s big=200000",
        "l link->big",
        "h hard->big",
    ]
    .map(str::to_owned)
    .into();
    lines.push(format!("f app/settings={}TOKEN={token}\n", "x ".repeat(70_000)));
    lines
}

fn archive(lines: &[String]) -> Vec<u8> {
    Archive::default().lines(&lines.iter().map(String::as_str).collect::<Vec<_>>()).end()
}

#[test]
fn packing_does_not_change_the_answer() {
    let plain = archive(&lines());
    let expected = answer(&report(std::slice::from_ref(&plain)));
    assert!(expected.contains("gitlab-pat") && expected.contains("\"y-z\""), "{expected}");
    assert_eq!(answer(&report(&[gzip(&plain)])), expected);
    assert_eq!(answer(&report(&[zstd(&plain)])), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// The pieces in which a client sends a layer are the client's choice.
    #[test]
    fn pieces_do_not_change_the_report(cuts in prop::collection::vec(1_usize..100_000, 1..20), packing in 0..3) {
        let plain = archive(&lines());
        let packed = match packing { 0 => plain, 1 => gzip(&plain), _ => zstd(&plain) };
        let mut pieces = LayerWalk::new(Limits::default());
        let (mut rest, mut cuts) = (&packed[..], cuts.into_iter().cycle());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
            pieces.feed(piece);
            rest = after;
        }
        prop_assert_eq!(pieces.finish(), walk(&packed));
    }

    /// A secret is found wherever it lies, windows included, and is told once.
    #[test]
    fn a_secret_is_found_at_any_offset(offset in 0_usize..420_000) {
        let token = ["glpat", "-qnFCraP_c0YsHh47lft6"].concat();
        let mut content = vec![b' '; offset];
        content.extend(token.as_bytes());
        content.resize(offset + 20_000, b' ');
        let found = report(&[Archive::default().file("f", &content).end()]).secrets;
        prop_assert_eq!(found.len(), 1);
    }

    /// Entries in one layer or in several, in the same order, make the same image.
    #[test]
    fn layer_borders_do_not_change_the_answer(border in 1_usize..8) {
        let lines = lines();
        // A hard link needs its target in its own layer; that is the one thing a border may not part.
        let border = if border > 5 { 5 } else { border };
        let (lower, upper) = lines.split_at(border);
        let one = report(&[archive(&lines)]);
        let two = report(&[archive(lower), archive(upper)]);
        prop_assert_eq!(answer(&one), answer(&two));
    }

    /// Any bytes at all: no panic, and an answer that survives storage.
    #[test]
    fn any_bytes_end_in_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..3000), magic in 0..4, piece in 1_usize..3000) {
        let start: &[u8] = match magic { 0 => &[], 1 => &[0x1f, 0x8b, 8, 0], 2 => &[0x28, 0xb5, 0x2f, 0xfd], _ => b"x" };
        let report = walk_in_pieces(&[start, &bytes].concat(), piece);
        prop_assert_eq!(LayerReport::decode(&report.encode()), Some(report));
    }

    /// A damaged archive never turns into a shorter clean one that looks whole.
    #[test]
    fn damaged_archives_do_not_panic(at in 0_usize..6000, byte in any::<u8>()) {
        let mut bytes = archive(&lines()[..5]);
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = report(&[bytes]);
    }

    /// A stored report that was damaged is walked again, not believed and not fatal.
    #[test]
    fn damaged_reports_do_not_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut stored = walk(&archive(&lines())).encode();
        let at = at.index(stored.len());
        stored[at] = byte;
        let _ = LayerReport::decode(&stored);
    }
}

#[test]
fn squashing_does_not_change_the_answer() {
    let lines = lines();
    let extra: Vec<String> =
        ["f app/node_modules/.wh.x=", "f etc/os-release=ID=debian\nVERSION_ID=13\n", "f big=small"]
            .map(str::to_owned)
            .into();
    let layered = report(&[archive(&lines), archive(&extra)]);
    let reports = [walk(&archive(&lines)), walk(&archive(&extra))];
    let layers: Vec<_> =
        reports.iter().map(|report| Layer { digest: "", report, instruction: None }).collect();
    assert!(final_tree(&layers).iter().all(|entry| entry.path != "app/node_modules/x/package.json"));
    let mut squashed: Vec<String> = lines
        .iter()
        .filter(|line| {
            !line.contains("node_modules") && !line.contains("os-release") && !line.contains(" big=")
        })
        .filter(|line| !line.starts_with("h hard"))
        .cloned()
        .collect();
    squashed.push(extra[1].clone());
    squashed.push(extra[2].clone());
    squashed.push("s hard=200000".to_owned());
    assert_eq!(answer(&layered), answer(&report(&[archive(&squashed)])));
}
