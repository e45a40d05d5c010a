//! Programs that no package manager installed are known by what they say, and told once.

use scanner::image::{Layer, scan};
use scanner::layer::LayerReport;
use scanner::report::{ScanReport, Unknown};

use crate::archive::Archive;
use crate::build::walk;

fn report(layers: &[&[&str]]) -> ScanReport {
    let reports: Vec<LayerReport> =
        layers.iter().map(|lines| walk(&Archive::default().lines(lines).end())).collect();
    let layers: Vec<_> =
        reports.iter().map(|report| Layer { digest: "", report, instruction: None }).collect();
    scan(&layers, b"{}", None)
}

fn names(report: &ScanReport) -> Vec<String> {
    let line = |found: &scanner::report::ImagePackage| {
        format!("{} {} {}", found.package.kind.purl_type(), found.package.name, found.package.version)
    };
    report.packages.iter().map(line).collect()
}

const NODE: &str = "f usr/local/bin/node=\x7fELF....node.js/v20.9.0\0";
const DEBIAN: &str = "f etc/os-release=ID=debian\nVERSION_ID=12\n";

#[test]
fn a_program_without_a_package_is_listed_and_recognised() {
    let found = report(&[&[NODE]]);
    assert_eq!(names(&found), ["generic node 20.9.0"]);
    assert_eq!(found.unknown, [Unknown::NoAdvisoryData]);
    assert_eq!((found.coverage.recognised.files, found.coverage.unexplained.files), (1, 0));
    // Under a name that tells nothing, it is as unexplained as any other.
    let found = report(&[&[&NODE.replace("bin/node", "bin/x")]]);
    assert_eq!(names(&found), [""; 0]);
    assert_eq!(found.coverage.unexplained.files, 1);
}

#[test]
fn a_program_that_a_package_owns_is_that_package() {
    let status = "f var/lib/dpkg/status=Package: nodejs\nStatus: install ok installed\nVersion: 20.9.0-1\n";
    let list = "f var/lib/dpkg/info/nodejs.list=/usr/local/bin/node\n";
    assert_eq!(names(&report(&[&[DEBIAN, status, list, NODE]])), ["deb nodejs 20.9.0-1"]);
    let newer = NODE.replace("20.9.0", "22.1.0");
    assert_eq!(
        names(&report(&[&[DEBIAN, status, list, NODE], &[&newer]])),
        ["generic node 22.1.0", "deb nodejs 20.9.0-1"]
    );
}

#[test]
fn what_a_vendors_inventory_repeats_is_told_once() {
    let module = "f opt/bitnami/node_modules/x/package.json={\"name\":\"x\",\"version\":\"1.0.0\"}";
    let inventory = "f opt/bitnami/.spdx-a.spdx={\"packages\":[{\"externalRefs\":[{\"referenceType\":\"purl\",\"referenceLocator\":\"pkg:npm/x@1.0.0\"}]},{\"externalRefs\":[{\"referenceType\":\"purl\",\"referenceLocator\":\"pkg:npm/y@2.0.0\"}]}]}";
    assert_eq!(names(&report(&[&[module, inventory]])), ["npm x 1.0.0", "npm y 2.0.0"]);
}
