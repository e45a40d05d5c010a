//! What the extractors of languages read and refuse: gems, Composer, .NET, Java archives.

use super::{line, packages};
use crate::extractors::{Extracted, Extractor as _, FileDigest, OwnedFile};

#[test]
fn a_gem_is_told_by_its_specification_and_else_by_its_file() {
    let path = "usr/lib/ruby/gems/3.1.0/specifications/rack-2.2.3.gemspec";
    let written = "# -*- encoding: utf-8 -*-\n# stub: rack 2.2.3 ruby lib\n\nGem::Specification.new do |s|\n  \
        s.name = \"rack\".freeze\n  s.version = \"2.2.3\"\n  s.rubygems_version = \"3.1\".freeze\nend\n";
    assert_eq!(packages(path, written.as_bytes()), Ok(vec!["rack 2.2.3".into()]));
    let by_hand =
        "Gem::Specification.new do |gem|\n  gem.name = 'rack'\n  gem.version = Rack::RELEASE\nend\n";
    assert_eq!(packages(path, by_hand.as_bytes()), Ok(vec!["rack 2.2.3".into()]));
    let platform = "x/specifications/nokogiri-ext-1.13.6-x86_64-linux.gemspec";
    assert_eq!(packages(platform, b""), Ok(vec!["nokogiri-ext 1.13.6".into()]));
    assert!(packages("x/specifications/rack.gemspec", b"").is_err());
}

#[test]
fn composer_and_dotnet_list_what_is_installed() {
    let path = "app/vendor/composer/installed.json";
    let (first, second) = (
        r#"[{"name":"a/b","version":"v1.2","x":{}}]"#,
        r#"{"packages":[{"name":"a/b","version":"v1.2"}],"dev":true}"#,
    );
    for installed in [first, second] {
        assert_eq!(packages(path, installed.as_bytes()), Ok(vec!["a/b v1.2".into()]));
    }
    for broken in ["", "{}", "[{}]", r#"[{"name":"a/b"}]"#] {
        assert!(packages(path, broken.as_bytes()).is_err(), "{broken}");
    }
    let path = "app/a.deps.json";
    let listed = "\u{feff}{\"runtimeTarget\":{},\"libraries\":{\"Newtonsoft.Json/9.0.1\":{\"type\":\"package\"},\
        \"runtimepack.Microsoft.NETCore.App.Runtime.linux-x64/8.0.1\":{}}}";
    let expected = ["Newtonsoft.Json 9.0.1", "Microsoft.NETCore.App.Runtime.linux-x64 8.0.1"];
    assert_eq!(packages(path, listed.as_bytes()), Ok(expected.map(str::to_owned).to_vec()));
    assert_eq!(packages(path, b"{}"), Ok(vec![]));
    for broken in ["", r#"{"libraries":{"a":{}}}"#, r#"{"libraries":{"/1":{}}}"#] {
        assert!(packages(path, broken.as_bytes()).is_err(), "{broken}");
    }
}

/// Members of an archive: name, content, packed or stored.
type Members<'m> = &'m [(&'m str, &'m [u8], bool)];

fn pack(content: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut packer, content).expect("memory");
    packer.finish().expect("memory")
}

fn zip(members: Members<'_>) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    let short = |number: usize| u16::try_from(number).expect("small").to_le_bytes();
    let long = |number: usize| u32::try_from(number).expect("small").to_le_bytes();
    for (name, content, packed) in members {
        let data = if *packed { pack(content) } else { content.to_vec() };
        let sizes = [long(0), long(data.len()), long(content.len())].concat();
        let middle = [
            &short(0)[..],
            &short(if *packed { 8 } else { 0 }),
            &[0; 4],
            &sizes,
            &short(name.len()),
            &short(0),
        ]
        .concat();
        let at = bytes.len();
        bytes.extend([&b"PK\x03\x04\x14\x00"[..], &middle, name.as_bytes(), &data].concat());
        let tail = [&[0; 10][..], &long(at)].concat();
        directory.extend([&b"PK\x01\x02\x14\x00\x14\x00"[..], &middle, &tail, name.as_bytes()].concat());
    }
    let at = bytes.len();
    let end = [
        &short(0)[..],
        &short(0),
        &short(members.len()),
        &short(members.len()),
        &long(directory.len()),
        &long(at),
        &short(0),
    ]
    .concat();
    [bytes, directory, b"PK\x05\x06".to_vec(), end].concat()
}

const MANIFEST: &str = "META-INF/MANIFEST.MF";
const POM: &str = "META-INF/maven/org.a/lib/pom.properties";
const PROPERTIES: &[u8] = b"#Generated\nversion=1.2.3\ngroupId=org.a\nartifactId=lib\n";

fn jar(path: &str, members: Members<'_>) -> Result<Vec<String>, String> {
    packages(path, &zip(members))
}

#[test]
fn an_archive_is_told_by_its_pom_then_its_name_then_its_manifest() {
    let manifest: &[u8] = b"Manifest-Version: 1.0\r\nImplementation-Ver\r\n sion: 7\r\nImplementation-Version: 4.5\r\n -beta\r\n\r\nName: x\r\n";
    let ok = |names: &[&str]| Ok(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    let described = (POM, PROPERTIES, true);
    assert_eq!(jar("a/lib-1.2.3.jar", &[(MANIFEST, manifest, true), described]), ok(&["org.a:lib 1.2.3"]));
    assert_eq!(jar("a/renamed.jar", &[(MANIFEST, manifest, true), described]), ok(&["org.a:lib 1.2.3"]));
    // Another archive that was shaded into it.
    assert_eq!(jar("a/app-9.jar", &[described]), ok(&["app 9", "org.a:lib 1.2.3"]));
    assert_eq!(jar("a/commons-io-2.6.jar", &[(MANIFEST, manifest, false)]), ok(&["commons-io 2.6"]));
    assert_eq!(jar("a/other.jar", &[(MANIFEST, manifest, false)]), ok(&["other 4.5-beta"]));
    assert_eq!(jar("a/other.jar", &[]), ok(&[]));
    let plugin: &[u8] = b"Group-Id: org.jenkins-ci.plugins\nShort-Name: git\nPlugin-Version: 4.0 (private)\n";
    assert_eq!(jar("p/git.hpi", &[(MANIFEST, plugin, true)]), ok(&["org.jenkins-ci.plugins:git 4.0"]));
}

#[test]
fn archives_inside_archives_are_read_to_a_depth() {
    let inner = zip(&[(POM, PROPERTIES, true)]);
    for packed in [false, true] {
        let war = zip(&[("WEB-INF/lib/lib-1.2.3.jar", &inner, packed), ("a.txt", b"x", true)]);
        let script = [b"#!/bin/sh\nexec java -jar $0\n".to_vec(), zip(&[("web.war", &war, packed)])].concat();
        assert_eq!(packages("app.ear", &script), Ok(vec!["org.a:lib 1.2.3".into()]), "packed: {packed}");
    }
    let mut nest = inner;
    for _ in 0..5 {
        nest = zip(&[("n.jar", &nest, false)]);
    }
    assert!(packages("n.jar", &nest).is_err_and(|error| error.contains("nested more than 5 deep")));
}

#[test]
fn an_archive_that_two_readers_would_read_otherwise_is_refused() {
    let good = zip(&[(MANIFEST, b"A: b\n", false), (POM, PROPERTIES, true)]);
    let directory = good.windows(4).position(|bytes| bytes == b"PK\x01\x02").expect("a directory");
    let second = directory + 46 + MANIFEST.len();
    let changed = |at: usize, bytes: &[u8]| {
        let mut archive = good.clone();
        archive[at..at + bytes.len()].copy_from_slice(bytes);
        archive
    };
    let end = good.len() - 22;
    let bomb = zip(&[(MANIFEST, &vec![0; 5 << 20], true)]);
    let many: Vec<_> = (0..3).map(|_| zip(&[("x", &vec![0; 12 << 20], false)])).collect();
    let inner = zip(&[("c.jar", &many[2], true)]);
    let middle = zip(&[("b.jar", &inner, true), ("pad", &vec![0; 25 << 20], false)]);
    let held = zip(&[("a.jar", &middle, true)]);
    let cases = [
        ("no archive", b"text".to_vec(), "no central directory"),
        ("bytes after the end", [good.clone(), b"x".to_vec()].concat(), "bytes after the end"),
        ("a directory that counts more", changed(end + 10, &[3]), "a broken central directory"),
        ("a directory that counts less", changed(end + 10, &[1]), "more than it counts"),
        ("a directory outside", changed(end + 12, &[0xff, 0xff, 0xff]), "the end of the central directory"),
        ("two members at one place", changed(second + 42, &[0; 4]), "disagree"),
        ("another name in the local header", changed(30, b"N"), "disagree"),
        ("another method in the local header", changed(8, &[8]), "disagree"),
        ("a member that reaches into the next", changed(directory + 20, &[40]), "overlap"),
        ("an encrypted member", changed(directory + 8, &[1]), "is encrypted"),
        ("a stored member of another size", changed(directory + 24, &[9]), "disagree"),
        ("a packed member of another size", changed(second + 24, &[9]), "does not unpack to 9 bytes"),
        ("two manifests", zip(&[(MANIFEST, b"", false), (MANIFEST, b"", false)]), "two manifests"),
        ("a manifest of 5 MiB", bomb, "more than 4194304"),
        ("nests that are held at one time", held, "more than"),
    ];
    for (case, archive, expected) in cases {
        let Err(error) = packages("a.jar", &archive) else { panic!("{case}: read") };
        assert!(error.contains(expected), "{case}: {error}");
    }
    assert!(packages("a.jar", &good).is_ok());
}

#[test]
fn conda_r_and_erlang_name_their_packages() {
    type Expected<'e> = Result<&'e [&'e str], &'e str>;
    let cases: [(&str, &str, Expected<'_>); 13] = [
        (
            "o/conda-meta/a-1.json",
            r#"{"name":"zlib","version":"1.2.13","files":["lib/libz.so"]}"#,
            Ok(&["zlib 1.2.13"]),
        ),
        ("o/conda-meta/a-1.json", r#"{"name":"zlib"}"#, Err("missing field `version`")),
        ("o/conda-meta/a-1.json", r#"{"name":"","version":"1"}"#, Err("an empty name")),
        ("o/conda-meta/a-1.json", "{", Err("EOF")),
        ("R/library/a/DESCRIPTION", "Package: jsonlite\nVersion: 1.8.7\nTitle: x\n", Ok(&["jsonlite 1.8.7"])),
        ("R/library/a/DESCRIPTION", "Package: jsonlite\n", Err("no `Version`")),
        ("R/library/a/DESCRIPTION", "", Err("no `Package`")),
        (
            "a/ebin/cowboy.app",
            "{application, 'cowboy', [\n {description, \"x\"},\n {vsn, \"2.9.0\"}]}.",
            Ok(&["cowboy 2.9.0"]),
        ),
        ("a/ebin/jason.app", "{application,jason,[{vsn,\"1.4.1\"},{modules,[]}]}.", Ok(&["jason 1.4.1"])),
        ("a/ebin/x.app", "{application,x,[]}.", Err("no `vsn`")),
        ("a/ebin/x.app", "", Err("no `application`")),
        ("usr/local/go/VERSION", "go1.21.0\ntime 2023-08-04\n", Ok(&["toolchain go1.21.0"])),
        ("usr/local/go/VERSION", "something", Ok(&[])),
    ];
    for (path, content, expected) in cases {
        match (packages(path, content.as_bytes()), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{path}"),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{path}: {found}"),
            (found, expected) => panic!("{path}: {found:?}, expected {expected:?}"),
        }
    }
    let java = "IMPLEMENTOR=\"Eclipse Adoptium\"\nJAVA_VERSION=\"17.0.9\"\n";
    assert_eq!(packages("opt/java/openjdk/release", java.as_bytes()), Ok(vec!["openjdk 17.0.9".into()]));
    assert_eq!(packages("opt/java/openjdk/release", b"x"), Ok(vec![]));
}

#[test]
fn opkg_is_read_as_dpkg_is() {
    let status =
        "Package: busybox\nVersion: 1.36.1-1\nStatus: install user installed\nArchitecture: x86_64\n";
    let found = packages("usr/lib/opkg/status", status.as_bytes());
    assert_eq!(found, Ok(vec!["busybox 1.36.1-1 from busybox 1.36.1-1".into()]));
    assert_eq!(
        packages("usr/lib/opkg/info/busybox.list", b"/bin/busybox\n/etc/x\n"),
        Ok(vec!["bin/busybox".into()])
    );
    assert!(packages("usr/lib/opkg/status", b"garbage").is_err());
}

#[test]
fn chisel_lists_packages_and_whose_files_are() {
    let path = "var/lib/chisel/manifest.wall";
    let wall = |lines: &[&str]| zstd::bulk::compress(lines.join("\n").as_bytes(), 1).expect("memory");
    let lines = [
        r#"{"jsonwall":"1.0","schema":"1.0","count":4}"#,
        r#"{"kind":"package","name":"bash","version":"5.2-1","sha256":"0","arch":"amd64"}"#,
        r#"{"kind":"path","path":"/usr/bin/bash","mode":"0755","slices":["bash_bins"],"sha256":"1111111111111111111111111111111111111111111111111111111111111111"}"#,
        r#"{"kind":"slice","name":"bash_bins"}"#,
    ];
    let chisel = crate::extractors::chisel::Chisel;
    let Ok(Extracted::System { packages: listed, owned }) = chisel.extract(path.as_bytes(), &wall(&lines))
    else {
        panic!("a manifest");
    };
    assert_eq!(listed.iter().map(line).collect::<Vec<_>>(), ["bash 5.2-1 from bash 5.2-1"]);
    let file = OwnedFile { path: "usr/bin/bash".to_owned(), digest: FileDigest::sha256(&"1".repeat(64)) };
    assert_eq!(owned, [(0, file)]);
    let bomb = zstd::bulk::compress(&vec![b' '; 65 << 20], 1).expect("memory");
    for (bytes, problem) in [
        (wall(&lines[..1]), "names no package"),
        (wall(&["{"]), "EOF"),
        (wall(&[r#"{"kind":"package","name":"bash"}"#]), "no `version`"),
        (b"plain".to_vec(), "a manifest of Chisel"),
        (bomb, "unpacks to more than"),
    ] {
        let found = packages(path, &bytes).expect_err(problem);
        assert!(found.contains(problem), "{found}");
    }
}

#[test]
fn inventories_of_vendors_are_read_but_for_packages_of_the_system() {
    let purls = [
        "pkg:bitnami/nginx@1.25.3-0?arch=amd64",
        "pkg:npm/%40babel/core@7.0.0",
        "pkg:maven/org.apache/commons@1.0",
        "pkg:golang/github.com/a/b@v1.0.0#sub",
        "pkg:deb/debian/bash@5.2",
        "pkg:pypi/requests",
        "nonsense",
    ];
    let listed = |purl: &str| serde_json::json!({"name": "x", "externalRefs": [{"referenceType": "purl", "referenceLocator": purl}]});
    let document = serde_json::json!({"spdxVersion": "SPDX-2.3", "packages": purls.map(listed)}).to_string();
    let path = "opt/bitnami/nginx/.spdx-nginx.spdx";
    let expected = ["nginx 1.25.3-0", "github.com/a/b v1.0.0", "org.apache:commons 1.0", "@babel/core 7.0.0"];
    assert_eq!(packages(path, document.as_bytes()), Ok(expected.map(str::to_owned).to_vec()));
    assert!(packages(path, b"SPDXVersion: SPDX-2.3").is_err());
}
