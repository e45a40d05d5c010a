//! Real and made images against what independent tools say about them.

use std::collections::BTreeSet;

use scanner::image::{final_tree, scan};
use scanner::layer::EntryKind;
use scanner::package::PackageKind;
use serde_json::Value;

use crate::build::{Walked, images, test_data};



#[test]
fn explore() {
    let Some(data) = test_data() else { return };
    let mut files: Vec<_> = std::fs::read_dir(data.join("images/files")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for path in files {
        let stem = path.file_name().unwrap().to_string_lossy().replace(".oci.tar", "").replace(".tar.gz", "").replace(".tar", "");
        let expected: Value = serde_json::from_slice(&std::fs::read(data.join(format!("images/expected/{stem}.json"))).unwrap()).unwrap();
        if ["hostile-ambiguous", "hostile-digest", "ggcr-no-m", "ggcr-null", "ggcr-sparse"].iter().any(|p| stem.starts_with(p)) { continue; }
        let start = std::time::Instant::now();
        let imgs = std::panic::catch_unwind(|| images(&path));
        let Ok(imgs) = imgs else { println!("== {stem} UNREADABLE ARCHIVE"); continue };
        for image in imgs {
            let expected = if expected.get(&image.name).is_some() { &expected[&image.name] } else { &expected };
            let walked = Walked::new(&image);
            let report = scan(&walked.layers(), &image.config, None);
            println!("== {stem} {} {:?} pk {} sec {} perm {} waste {}/{}/{}", image.name, start.elapsed(), report.packages.len(), report.secrets.len(), report.permissions.len(), report.waste.hidden_bytes, report.waste.duplicate_bytes, report.waste.total_bytes);
            println!("   distro {:?} unknown {:?}", report.distribution.as_ref().map(|d| (&d.id, &d.version_id)), report.unknown);
            for (d, r) in &walked.0 { if r.outcome != scanner::layer::LayerOutcome::Walked { println!("   {d} {:?}", r.outcome); } }
            if let Some(list) = expected["packages"].as_array() {
                let want: BTreeSet<String> = list.iter().filter(|p| ["apk","deb","npm","python"].contains(&p["type"].as_str().unwrap())).map(|p| format!("{} {} {}", p["type"].as_str().unwrap(), p["name"].as_str().unwrap(), p["version"].as_str().unwrap())).collect();
                let got: BTreeSet<String> = report.packages.iter().map(|p| format!("{} {} {}", match p.package.kind { PackageKind::Python => "python", k => k.purl_type() }, p.package.name, p.package.version)).collect();
                for m in want.difference(&got) { println!("   MISSING {m}"); }
                for m in got.difference(&want) { println!("   EXTRA {m}"); }
                for p in list { if let (Some(s), Some(v)) = (p["source"].as_str(), p["sourceVersion"].as_str()) {
                    let ok = report.packages.iter().any(|q| q.package.name == p["name"].as_str().unwrap() && q.package.source.as_ref().is_some_and(|x| x.name == s && x.version == v));
                    if !ok { println!("   SOURCE {p}"); }
                }}
            }
            if let Some(list) = expected["finalTree"].as_array() {
                let kind = |k| match k { EntryKind::File => "file", EntryKind::Directory => "dir", EntryKind::Symlink => "symlink", EntryKind::HardLink => "hardlink", _ => "dev" };
                let want: BTreeSet<String> = list.iter().map(|e| format!("{} {} {} {}", e["path"].as_str().unwrap(), e["type"].as_str().unwrap(), e["size"], e["target"].as_str().unwrap_or(""))).collect();
                let got: BTreeSet<String> = final_tree(&walked.layers()).iter().map(|e| format!("{} {} {} {}", e.path, kind(e.kind), e.size, e.target.as_deref().unwrap_or(""))).collect();
                for m in want.difference(&got).take(10) { println!("   TREE MISSING {m}"); }
                for m in got.difference(&want).take(10) { println!("   TREE EXTRA {m}"); }
            }
            if let Some(list) = expected["secrets"].as_array() {
                let want: BTreeSet<String> = list.iter().map(|e| format!("{} {} {} {} {}", e["layer"], e["path"].as_str().unwrap(), e["kind"].as_str().unwrap(), e["valueSha256"].as_str().unwrap(), e["deletedInLaterLayer"])).collect();
                let got: BTreeSet<String> = report.secrets.iter().map(|e| format!("{} {} {} {} {}", e.layer.map_or("null".to_owned(), |l| l.to_string()), e.path, e.rule, e.value_sha256, e.deleted_later)).collect();
                for m in want.difference(&got).take(40) { println!("   SECRET MISSING {m}"); }
                for m in got.difference(&want).take(40) { println!("   SECRET EXTRA {m}"); }
            } else { for s in report.secrets.iter().take(5) { println!("   secret {} {} {}", s.rule, s.path, s.preview); } }
            if expected.get("bloat").is_some() { println!("   BLOAT {:?}", report.waste); }
            for (_, r) in &walked.0 { let e = r.encode(); assert_eq!(scanner::layer::LayerReport::decode(&e).as_ref(), Some(r)); }
        }
    }
}
