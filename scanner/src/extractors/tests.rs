//! What each extractor wants, reads and refuses.

use super::*;

mod languages;

fn packages(path: &str, bytes: &[u8]) -> Result<Vec<String>, String> {
    let wanted: Vec<_> =
        all().iter().filter(|extractor| extractor.wants(path.as_bytes()) != Want::No).collect();
    let [extractor] = wanted[..] else { panic!("{} extractors want `{path}`", wanted.len()) };
    match extractor.extract(path.as_bytes(), bytes) {
        Ok(Extracted::Owned(files)) => Ok(files.into_iter().map(|file| file.path).collect()),
        Ok(found) => match found.packages() {
            Some(packages) => Ok(packages.iter().map(line).collect()),
            None => Ok(vec![format!("{found:?}")]),
        },
        Err(error) => Err(error.to_string()),
    }
}

fn line(package: &Package) -> String {
    let source = package.source.as_ref().map(|source| format!(" from {} {}", source.name, source.version));
    format!("{} {}{}", package.name, package.version, source.unwrap_or_default())
}

/// The files of a seam, without its tests.
fn files(folder: &str) -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
    let files = std::fs::read_dir(folder).expect("the sources").map(|file| file.expect("a file").file_name());
    let names = files.filter_map(|name| Some(name.to_str()?.strip_suffix(".rs")?.replace('_', "-")));
    let mut names: Vec<String> = names.filter(|name| name != "tests").collect();
    names.sort();
    names
}

#[test]
fn every_file_is_listed() {
    let names: Vec<_> = all().iter().map(|extractor| extractor.name()).collect();
    assert_eq!(files("extractors"), names);
    let names: Vec<_> = crate::detectors::all().iter().map(|detector| detector.name()).collect();
    assert_eq!(files("detectors"), names);
}

#[test]
fn a_new_version_of_any_part_is_a_new_analyzer() {
    let extractors = all().iter().map(|extractor| format!("{}/{}", extractor.name(), extractor.version()));
    let detectors = crate::detectors::all().iter();
    let detectors = detectors.map(|detector| format!("{}/{}", detector.name(), detector.version()));
    let executables = format!("{}/{}", crate::executables::NAME, crate::executables::VERSION);
    let parts: Vec<_> = extractors.chain(detectors).chain([executables]).collect();
    let expected = "apk/3 chisel/1 composer/1 conda/1 content-manifest/1 cran/1 dotnet/1 dpkg/3 erlang/1 java/2 node/3 opkg/1 os-release/1 pacman/1 python/2 rpm/4 ruby/1 runtimes/1 spdx/1 unsupported/4 \
        permissions/1 secrets/3 executable/7";
    assert_eq!(parts.join(" "), expected, "raise `ANALYZER` together with this list");
    assert_eq!(crate::layer::ANALYZER, "portcullis-layer/12");
}

#[test]
fn no_extractor_falls_over() {
    let inputs: [&[u8]; 6] = [b"", b"\0", b"\xff\xfe\n\n\n", b":\n:\n", b"[[[[{", b"ID=\"\\"];
    for extractor in all() {
        for input in inputs {
            let _ = extractor.extract(b"x/y", input);
        }
    }
}

#[test]
fn a_content_manifest_lists_repositories_and_a_broken_one_is_refused() {
    let extract = |text: &str| content_manifest::ContentManifest.extract(b"x.json", text.as_bytes());
    let names = vec!["rhel-9-for-x86_64-baseos-rpms".to_owned(), "b".to_owned()];
    let text = r#"{"metadata":{"icm_version":1},"content_sets":["rhel-9-for-x86_64-baseos-rpms","b"],"image_contents":[]}"#;
    assert_eq!(extract(text), Ok(Extracted::Repositories(names)));
    assert_eq!(extract(r#"{"content_sets":null}"#), Ok(Extracted::Repositories(Vec::new())));
    let many = format!("{{\"content_sets\":[{}\"a\"]}}", "\"a\",".repeat(10_000));
    let long = format!("{{\"content_sets\":[\"{}\"]}}", "a".repeat(2_000));
    for text in ["", "[]", "{", r#"{"content_sets":{}}"#, &many, &long] {
        assert!(extract(text).is_err(), "{}", &text[..text.len().min(40)]);
    }
}

#[test]
fn every_extractor_has_a_name_of_its_own() {
    let mut names: Vec<_> = all().iter().map(|extractor| extractor.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all().len());
}

#[test]
fn databases_are_wanted_and_look_alikes_are_not() {
    let cases = [
        ("var/lib/dpkg/status", true),
        ("usr/lib/sysimage/dpkg/status", true),
        ("var/lib/dpkg/status-old", false),
        ("var/lib/dpkg/status.d/libc6", true),
        ("var/lib/dpkg/status.d/libc6.md5sums", true),
        ("var/lib/dpkg/info/libc6.list", true),
        ("var/lib/dpkg/info/libc6.postinst", false),
        ("xdpkg/status", false),
        ("lib/apk/db/installed", true),
        ("usr/lib/apk/db/installed", true),
        ("etc/os-release", true),
        ("usr/lib/os.release.d/os-release-container", true),
        ("app/node_modules/x/package.json", true),
        ("node_modules/x/package.json", true),
        ("app/node_modules/@s/x/package.json", true),
        ("app/node_modules/@s/package.json", false),
        ("app/node_modules/x/dist/@s/y/package.json", true),
        ("app/node_modules/x/fixtures/y/package.json", false),
        ("app/node_modules/x/test/package.json", false),
        ("app/package.json", true),
        ("usr/share/nodejs/x/package.json", true),
        ("opt/venv/lib/python3.11/site-packages/x-1.dist-info/METADATA", true),
        ("opt/venv/lib/python3.11/site-packages/x-1.dist-info/RECORD", true),
        ("opt/x/METADATA", false),
        ("site-packages/x.egg-info/PKG-INFO", true),
        ("site-packages/x-1-py3.egg-info", true),
        ("site-packages/x.egg/EGG-INFO/PKG-INFO", true),
        ("site-packages/x/PKG-INFO", false),
        ("var/lib/rpm/rpmdb.sqlite", true),
        ("home/rpmdb.sqlite", false),
        ("root/buildinfo/content_manifests/ubi9-container-9.4-1.json", true),
        ("root/buildinfo/content_manifests/README", false),
        ("usr/share/buildinfo/content-sets.json", true),
        ("usr/share/buildinfo/labels.json", false),
        ("root/buildinfo/Dockerfile-ubi9", false),
        ("lib/python3/site-packages/x-1-py3.egg", true),
        ("home/breakfast.egg", false),
        ("opt/conda/conda-meta/history", false),
        ("opt/conda/conda-meta/zlib-1.2.13-h5eee18b_0.json", true),
        ("usr/lib/opkg/status", true),
        ("usr/lib/opkg/info/busybox.list", true),
        ("var/lib/chisel/manifest.wall", true),
        ("usr/local/lib/R/site-library/jsonlite/DESCRIPTION", true),
        ("usr/lib/R/library/base/DESCRIPTION", true),
        ("app/DESCRIPTION", false),
        ("app/lib/cowboy-2.9.0/ebin/cowboy.app", true),
        ("app/cowboy.app", false),
        ("usr/local/go/VERSION", true),
        ("app/VERSION", false),
        ("opt/java/openjdk/release", true),
        ("opt/app/release", false),
        ("opt/bitnami/nginx/.spdx-nginx.spdx", true),
        ("var/lib/db/sbom/go-1.21.spdx.json", true),
        ("app/sbom.spdx.json", false),
        ("var/lib/pacman/local/bash-5.2-1/desc", true),
        ("var/lib/pacman/local/bash-5.2-1/files", false),
        ("app/vendor/composer/installed.json", true),
        ("app/installed.json", false),
        ("app/app.deps.json", true),
        ("app/deps.json", false),
        ("app/lib/a.jar", true),
        ("app/lib/A.JAR", true),
        ("app/.jar", false),
        ("usr/share/jenkins/jenkins.war", true),
        ("usr/lib/ruby/gems/3.1.0/specifications/rack-2.2.3.gemspec", true),
        ("usr/lib/ruby/gems/3.1.0/specifications/default/json-2.6.1.gemspec", true),
        ("usr/lib/ruby/gems/3.1.0/gems/rack-2.2.3/rack.gemspec", false),
    ];
    for (path, wanted) in cases {
        let by = all().iter().filter(|extractor| extractor.wants(path.as_bytes()) != Want::No).count();
        assert_eq!(by, usize::from(wanted), "{path}");
    }
}

#[test]
fn dpkg_lists_what_is_installed_with_its_source() {
    let status = "Package: a\nStatus: install ok installed\nVersion: 1\nDescription: x\n more: y\n\n\
        Package: b\nStatus: deinstall ok config-files\nVersion: 2\n\n\n\
        Package: c\nStatus: install ok half-configured\nVersion: 1:3-1+b1\nSource: csrc (1:3-1)\nArchitecture: amd64\n\n\
        Package: d\nStatus: hold ok installed\nVersion: 4\nSource: dsrc\n";
    assert_eq!(
        packages("var/lib/dpkg/status", status.as_bytes()),
        Ok(vec!["a 1 from a 1".into(), "c 1:3-1+b1 from csrc 1:3-1".into(), "d 4 from dsrc 4".into()])
    );
    assert_eq!(packages("var/lib/dpkg/status", b""), Ok(vec![]));
    assert_eq!(
        packages("var/lib/dpkg/status.d/a", b"Package: a\nVersion: 1\n"),
        Ok(vec!["a 1 from a 1".into()])
    );
    let refused =
        ["garbage", "Package: a\nStatus: install ok installed\n", "Version: 1\n", "Package: a\nVersion: 1\n"];
    for status in
        refused.into_iter().chain(["Package: a\nPackage: b\nStatus: install ok installed\nVersion: 1\n"])
    {
        assert!(packages("var/lib/dpkg/status", status.as_bytes()).is_err(), "{status:?}");
    }
}

#[test]
fn pacman_lists_packages_with_their_base() {
    let path = "var/lib/pacman/local/gcc-libs-13.2.1-3/desc";
    let desc =
        "%NAME%\ngcc-libs\n\n%VERSION%\n13.2.1-3\n\n%BASE%\ngcc\n\n%ARCH%\nx86_64\n\n%DEPENDS%\nglibc\n\n";
    assert_eq!(packages(path, desc.as_bytes()), Ok(vec!["gcc-libs 13.2.1-3 from gcc 13.2.1-3".into()]));
    for desc in ["", "%NAME%\na\n", "%NAME%\n\n%VERSION%\n1\n", "%NAME%\na\n%NAME%\nb\n%VERSION%\n1\n"] {
        assert!(packages(path, desc.as_bytes()).is_err(), "{desc:?}");
    }
}

#[test]
fn apk_lists_packages_with_their_origin() {
    let installed = "C:Q1x=\nP:a\nV:1-r0\nA:x86_64\no:asrc\nF:bin\nR:sh\n\nP:b\nV:2-r1\n";
    assert_eq!(
        packages("lib/apk/db/installed", installed.as_bytes()),
        Ok(vec!["a 1-r0 from asrc 1-r0".into(), "b 2-r1 from b 2-r1".into()])
    );
    for installed in ["P:a\n\n", "V:1\n\n", "P:a\nP:b\nV:1\n", "\u{0}\u{1}binary"] {
        assert!(packages("lib/apk/db/installed", installed.as_bytes()).is_err(), "{installed:?}");
    }
}

#[test]
fn only_files_that_may_hold_packages_are_kept_as_owned() {
    let list = "/.\n/usr\n/usr/bin\n/usr/bin/docker\n/usr/share/doc/x/copyright\n/usr/share/java/a.jar\n\
        /usr/lib/python3/dist-packages/a-1.dist-info/METADATA\n/usr/lib/x/liba.so.1\n/etc/init.d/a\n";
    let expected = [
        "usr/bin",
        "usr/bin/docker",
        "usr/share/java/a.jar",
        "usr/lib/python3/dist-packages/a-1.dist-info/METADATA",
        "usr/lib/x/liba.so.1",
    ];
    let found = packages("var/lib/dpkg/info/a:amd64.list", list.as_bytes());
    assert_eq!(
        found.map(|found| found[found.len() - 4..].to_vec()),
        Ok(expected[1..].iter().map(|path| (*path).to_owned()).collect())
    );
}

#[test]
fn node_reads_name_and_version_at_any_depth_of_nonsense() {
    let path = "app/node_modules/x/package.json";
    assert_eq!(
        packages(path, br#"{"name":"@s/x","version":"v1.2.3","deps":{}}"#),
        Ok(vec!["@s/x 1.2.3".into()])
    );
    assert_eq!(packages(path, br#"{"version":"1"}"#), Ok(vec!["x 1".into()]));
    assert_eq!(packages(path, br#"{"type":"module"}"#), Ok(vec![]));
    assert!(packages(path, b"{").is_err());
    let deep = format!(r#"{{"name":"x","version":"1","a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(packages(path, deep.as_bytes()), Ok(_) | Err(_)), "and no stack overflow");
}

#[test]
fn copies_that_a_node_package_brings_are_packages_when_they_bear_their_folders_name() {
    let named = |name: &str, more: &str| format!(r#"{{"name":"{name}","version":"1.2.3"{more}}}"#);
    for (folder, text, expected) in [
        ("x/dist/compiled/react-is", named("react-is", ""), &["react-is 1.2.3"][..]),
        ("@a/x/dist/@babel/runtime", named("@babel/runtime", ""), &["@babel/runtime 1.2.3"]),
        ("x/vendor/y", named("y", r#","private":false"#), &["y 1.2.3"]),
        // Markers, parts and what is not JSON at all.
        ("x/bin", named("bin", r#","private":true"#), &[]),
        ("x/dist/esm", named("x", ""), &[]),
        ("x/dist/@babel/runtime", named("runtime", ""), &[]),
        ("x/dist/y", r#"{"name":"y"}"#.to_owned(), &[]),
        ("x/dist/y", "{{name}}".to_owned(), &[]),
    ] {
        let path = format!("app/node_modules/{folder}/package.json");
        let expected: Vec<String> = expected.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(packages(&path, text.as_bytes()), Ok(expected), "{folder}");
    }
}

#[test]
fn python_names_are_normalised_and_descriptions_are_not_headers() {
    let path = "x/Foo_Bar.baz-1.dist-info/METADATA";
    let metadata = b"Metadata-Version: 2.1\nName: Foo__Bar.baz\nVersion: 1.0\n\nVersion: 9\n";
    assert_eq!(packages(path, metadata), Ok(vec!["foo-bar-baz 1.0".into()]));
    assert!(packages(path, b"Name: x\n\nVersion: 1\n").is_err());
}

#[test]
fn of_a_record_the_files_are_kept_that_tell_whether_the_code_is_there() {
    let path = "x/site-packages/a-1.dist-info/RECORD";
    let record = b"a/__init__.py,sha256=x,1\na/b/__init__.py,,\na/c.so,,\nd.py,,\n../../../bin/a,,\n\"e.py\",,\n../f.py,,\n";
    let expected = ["a/__init__.py", "a/c.so", "d.py", "e.py"];
    assert_eq!(packages(path, record), Ok(expected.map(|file| format!("x/site-packages/{file}")).to_vec()));
    assert_eq!(packages(path, b""), Ok(vec![]));
}

#[test]
fn os_release_is_unquoted_and_needs_an_id() {
    let read = |text: &str| packages("etc/os-release", text.as_bytes());
    let expected = Extracted::Distribution(Distribution {
        id: "debian".to_owned(),
        version_id: Some("12".to_owned()),
        codename: None,
        pretty_name: Some("De\"b'ian".to_owned()),
        repositories: Vec::new(),
    });
    let text = "ID=x\nPRETTY_NAME=\"De\\\"b'ian\"\nVERSION_ID='12'\nID=Debian\n";
    assert_eq!(read(text), Ok(vec![format!("{expected:?}")]));
    assert!(read("NAME=x\n").is_err());
    assert!(read("").is_err());
}
