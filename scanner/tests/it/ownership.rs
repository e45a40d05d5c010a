//! A language's package that the distribution installed is judged by the distribution, and only while it is that file.

use scanner::advisory::{Advisories, Builder};
use scanner::image::{Layer, scan};
use scanner::layer::LayerReport;
use scanner::report::{ScanReport, Unknown};

use crate::archive::Archive;
use crate::build::walk;

type Layers<'l> = &'l [&'l [&'l str]];

/// One advisory about `requests` of the Python index, among enough others to be a feed.
fn advisories() -> Advisories {
    let mut builder = Builder::new();
    for number in 0..60 {
        let name = if number == 0 { "requests".to_owned() } else { format!("fill-{number}") };
        for ecosystem in ["PyPI", "Debian:12", "Alpine:v3.20"] {
            let name = if ecosystem == "PyPI" { name.clone() } else { format!("fill-{number}") };
            let document = serde_json::json!({
                "id": format!("TEST-{ecosystem}-{number}"), "modified": "2026-01-01T00:00:00Z",
                "affected": [{ "package": { "ecosystem": ecosystem, "name": name },
                    "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "0" }, { "fixed": "9" }] }] }],
            });
            builder.add("test", None, document.to_string().as_bytes()).expect("OSV");
        }
    }
    Advisories::open(std::sync::Arc::new(builder.finish(1_800_000_000).expect("a file")))
        .expect("a good file")
}

fn report(layers: Layers<'_>) -> ScanReport {
    let reports: Vec<LayerReport> =
        layers.iter().map(|lines| walk(&Archive::default().lines(lines).end())).collect();
    let layers: Vec<_> =
        reports.iter().map(|report| Layer { digest: "", report, instruction: None }).collect();
    scan(&layers, b"{}", Some(&advisories()))
}

const DEBIAN: &str = "f etc/os-release=ID=debian\nVERSION_ID=12\n";
const ALPINE: &str = "f etc/os-release=ID=alpine\nVERSION_ID=3.20.1\n";
/// The package's name is not the module's, so that only its files tell.
const STATUS: &str = "f var/lib/dpkg/status=Package: http-client\nStatus: install ok installed\nVersion: 1\n";
const LIST: &str = "f var/lib/dpkg/info/http-client.list=/.\n/usr\n/opt/x/requests-2.0.dist-info/METADATA\n";
const MODULE: &str = "f opt/x/requests-2.0.dist-info/METADATA=Name: requests\nVersion: 2.0\n";
const INSTALLED: &str =
    "f lib/apk/db/installed=P:http-client\nV:1-r0\nF:opt/x/requests-2.0.dist-info\nR:METADATA\nR:RECORD\n\n";
const INSTALLED_TWO: &str = "f lib/apk/db/installed=P:http-client\nV:1-r0\nF:opt/x/requests-2.0.dist-info\nR:METADATA\n\nP:b\nV:1-r0\n\n";
const REPLACED: &str =
    "f opt/x/requests-2.0.dist-info/METADATA=Name: requests\nVersion: 2.0\nSummary: mine\n";

#[test]
fn only_what_the_distribution_installed_and_nobody_replaced_is_left_to_it() {
    let cases: &[(&str, Layers<'_>, bool)] = &[
        ("no list", &[&[DEBIAN, STATUS, MODULE]], false),
        ("listed by dpkg", &[&[DEBIAN, STATUS, LIST, MODULE]], true),
        ("listed, in an earlier layer", &[&[DEBIAN, STATUS, LIST, MODULE], &["f a=b"]], true),
        ("replaced later", &[&[DEBIAN, STATUS, LIST, MODULE], &[REPLACED]], false),
        (
            "the list is deleted later",
            &[&[DEBIAN, STATUS, LIST, MODULE], &["f var/lib/dpkg/info/.wh.http-client.list="]],
            false,
        ),
        (
            "a list of no installed package",
            &[&[
                DEBIAN,
                STATUS,
                MODULE,
                "f var/lib/dpkg/info/evil.list=/opt/x/requests-2.0.dist-info/METADATA\n",
            ]],
            false,
        ),
        (
            "checksums of distroless images",
            &[&[
                DEBIAN,
                "f var/lib/dpkg/status.d/http-client=Package: http-client\nVersion: 1\n",
                "f var/lib/dpkg/status.d/http-client.md5sums=0123456789abcdef  opt/x/requests-2.0.dist-info/METADATA\n",
                MODULE,
            ]],
            true,
        ),
        ("listed by apk", &[&[ALPINE, INSTALLED, MODULE]], true),
        (
            "listed by apk, with another package later",
            &[&[ALPINE, INSTALLED, MODULE], &[INSTALLED_TWO]],
            true,
        ),
        (
            "replaced, with another package later",
            &[&[ALPINE, INSTALLED, MODULE], &[INSTALLED_TWO, REPLACED]],
            false,
        ),
        (
            "through the link of a merged /usr",
            &[&[
                DEBIAN,
                STATUS,
                LIST,
                "l opt->y",
                "d y",
                "f y/x/requests-2.0.dist-info/METADATA=Name: requests\nVersion: 2.0\n",
            ]],
            true,
        ),
    ];
    for (case, layers, owned) in cases {
        let report = report(layers);
        let module = report.packages.iter().find(|found| found.package.name == "requests").expect(case);
        assert_eq!(module.owned, *owned, "{case}");
        assert_eq!(report.findings.len(), usize::from(!owned), "{case}: {:?}", report.findings);
        // A list of files without its package tells that the package was taken out of the database.
        let shortened = report.unknown.iter().all(|it| matches!(it, Unknown::ShortenedDatabase { .. }));
        assert!(
            shortened && report.unknown.len() == usize::from(*case == "a list of no installed package"),
            "{case}"
        );
    }
}
