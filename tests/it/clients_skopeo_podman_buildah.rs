//! skopeo, podman and buildah push and pull; each shows the person at the terminal why an image is refused, and lets the
//! fix pass under the same tag.

use std::path::{Path, PathBuf};

use tests::clients::{self, Outcome, find_or_skip};
use tests::image_builder::{Image, alpine_image};
use tests::test_gateway::{FIXED, PASSWORD, POLICY_OPEN, TestGateway, VULNERABLE};

/// What a refusal must show: the package, its version, the fix, the advisory, and where to ask.
const REASONS: [&str; 4] = ["badlib", "1.2.3-r0", "1.2.4-r0", "PORTCULLIS-TEST-0001"];

/// One client with storage of its own.
struct ContainersTool<'a> {
    name: &'a str,
    program: PathBuf,
    folder: &'a Path,
}

impl<'a> ContainersTool<'a> {
    fn find(test: &str, name: &'a str, folder: &'a Path) -> Option<Self> {
        find_or_skip(test, name).map(|program| Self { name, program, folder })
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let storage = |name: &str| self.folder.join(format!("{}-{name}", self.name)).display().to_string();
        let (root, runroot) = (storage("root"), storage("runroot"));
        let own_storage = ["--root", &root, "--runroot", &runroot, "--storage-driver", "vfs"];
        let before: &[&str] = if self.name == "skopeo" { &["--insecure-policy"] } else { &own_storage };
        let all: Vec<&str> = before.iter().chain(arguments).copied().collect();
        clients::run(&self.program, &all, |command| {
            command.env("HOME", self.folder).env("XDG_RUNTIME_DIR", self.folder).env("TMPDIR", self.folder);
        })
    }

    /// Pushes an OCI layout; podman and buildah read it into their storage first.
    fn push(&self, layout: &str, destination: &str) -> Outcome {
        let credentials = format!("builder:{PASSWORD}");
        let destination = format!("docker://{destination}");
        match self.name {
            "skopeo" => self.run(&[
                "copy",
                "--dest-tls-verify=false",
                "--dest-creds",
                &credentials,
                &format!("oci:{layout}:app"),
                &destination,
            ]),
            _ => {
                let pulled = self.run(&["pull", "--quiet", &format!("oci:{layout}:app")]);
                let id =
                    pulled.succeeded(&format!("{} pull of a layout", self.name)).stdout.trim().to_owned();
                self.run(&["push", "--tls-verify=false", "--creds", &credentials, &id, &destination])
            }
        }
    }

    fn pull(&self, source: &str) -> Outcome {
        let source = format!("docker://{source}");
        match self.name {
            "skopeo" => {
                let copy = self.folder.join("copy").display().to_string();
                self.run(&["copy", "--src-tls-verify=false", &source, &format!("dir:{copy}")])
            }
            _ => self.run(&["pull", "--tls-verify=false", &source]),
        }
    }
}

fn layout(folder: &Path, name: &str, image: &Image) -> String {
    let path = folder.join(name);
    image.write_oci_layout(&path, "app").expect("the layout is written");
    path.display().to_string()
}

fn check(name: &str) {
    let test = format!("{name}_shows_why_a_push_is_refused_and_the_fix_passes");
    // buildah and podman make a name of the layout's path, and names have no capitals.
    let prefix = format!("portcullis-{name}-{}", std::process::id());
    let folder =
        tempfile::Builder::new().prefix(&prefix).rand_bytes(0).tempdir().expect("a temporary folder");
    let Some(tool) = ContainersTool::find(&test, name, folder.path()) else { return };
    let bad = layout(folder.path(), "bad", &alpine_image("bad", VULNERABLE).build());
    let good = layout(folder.path(), "good", &alpine_image("good", FIXED).build());

    let strict = TestGateway::strict();
    let reference = strict.reference("team-a/app:1.0");
    let refused = tool.push(&bad, &reference);
    refused.failed_showing(&format!("{name} push of a vulnerable image"), &REASONS);
    assert_ne!(tool.pull(&reference).code, 0, "{name} pulled a refused image");
    tool.push(&good, &reference).succeeded(&format!("{name} push of the fix over the same tag"));
    tool.pull(&reference).failed_showing(&format!("{name} pull of a staged image"), &["denied"]);

    let open = TestGateway::start(POLICY_OPEN, "");
    let reference = open.reference("team-a/app:1.0");
    tool.push(&good, &reference).succeeded(&format!("{name} push to an open gateway"));
    tool.pull(&reference).succeeded(&format!("{name} pull of a released image"));
}

#[test]
fn skopeo_shows_why_a_push_is_refused_and_the_fix_passes() {
    check("skopeo");
}

#[test]
fn podman_shows_why_a_push_is_refused_and_the_fix_passes() {
    check("podman");
}

#[test]
fn buildah_shows_why_a_push_is_refused_and_the_fix_passes() {
    check("buildah");
}
