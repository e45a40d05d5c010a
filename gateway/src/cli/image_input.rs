//! What the subcommands that read an image share: opening it, reading it with a progress bar, its facts, advisories.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use oci_distribution::RegistryOperation;
use scanner::advisory::Advisories;
use scanner::yara::RuleSet;

use super::UsageError;
use super::registry_access::RegistryAccess;
use crate::advisories;
use crate::gate::assemble::{document_facts, image_facts};
use crate::gate::evidence::{Content, ImageFacts, IndexChild};
use crate::malware;
use crate::manifest::Kind;
use crate::source::engine::containerd::Containerd;
use crate::source::engine::docker;
use crate::source::engine::podman::Podman;
use crate::source::{Image, Loaded, Location, Parts, Progress, Source};

/// Width of tables that go to no terminal.
const WIDTH: u16 = 140;
/// Narrowest and widest table on a terminal.
const WIDTHS: (u16, u16) = (80, 200);

/// How to reach the engines of this machine.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Engines")]
pub(super) struct EngineAccess {
    /// Docker's socket, for `docker:IMAGE` [default: unix:///var/run/docker.sock].
    #[arg(long, env = "DOCKER_HOST", value_name = "unix://PATH")]
    docker_host: Option<String>,
    /// The socket of podman's service, for `podman:IMAGE` [default: the caller's or root's if one listens, else `podman save`].
    #[arg(long, env = "CONTAINER_HOST", value_name = "unix://PATH")]
    podman_host: Option<String>,
    #[arg(long, env = "XDG_RUNTIME_DIR", hide = true)]
    runtime_dir: Option<PathBuf>,
    /// containerd's socket, for `containerd:IMAGE`, which is asked by `ctr`.
    #[arg(
        long,
        env = "CONTAINERD_ADDRESS",
        value_name = "PATH",
        default_value = "/run/containerd/containerd.sock"
    )]
    containerd_address: String,
    /// containerd's namespace: Kubernetes has `k8s.io`, Docker `moby`.
    #[arg(long, env = "CONTAINERD_NAMESPACE", value_name = "NAME", default_value = "default")]
    containerd_namespace: String,
    /// One platform of the image in containerd, where it does not hold all of them: `linux/amd64` [default: all].
    #[arg(long, value_name = "PLATFORM")]
    containerd_platform: Option<String>,
}

impl EngineAccess {
    fn podman(&self) -> anyhow::Result<Podman> {
        let found = Podman::find(self.podman_host.as_deref(), self.runtime_dir.as_deref());
        Ok(found.map_err(|error| UsageError(error.to_string()))?)
    }

    fn containerd(&self) -> anyhow::Result<Containerd> {
        let containerd = Containerd {
            address: self.containerd_address.clone(),
            namespace: self.containerd_namespace.clone(),
            platform: self.containerd_platform.clone(),
        };
        if !containerd.is_legal() {
            let message =
                "containerd's address is an absolute path, its namespace and platform are plain names";
            return Err(UsageError(message.to_owned()).into());
        }
        Ok(containerd)
    }
}

/// Opens an image where it lies; a registry is logged in to.
pub(super) fn open(
    location: &Location,
    registry: &RegistryAccess,
    engine: &EngineAccess,
) -> anyhow::Result<Source> {
    let source = match location {
        Location::Containerd(name) => {
            let containerd = engine.containerd()?;
            Source::in_containerd(name, &containerd).with_context(|| match containerd.platform {
                Some(_) => "containerd does not give the image in that platform",
                None => "containerd does not give the image in all its platforms; one is asked for with `--containerd-platform`",
            })?
        }
        Location::Docker(name) => {
            let socket = docker::socket(engine.docker_host.as_deref());
            let socket = socket.map_err(|error| UsageError(error.to_string()))?;
            Source::in_docker(name, &socket)?
        }
        Location::Podman(name) => Source::in_podman(name, &engine.podman()?)?,
        Location::Registry(reference) => Source::in_registry(registry.remote(reference)?),
        local => Source::open(local)?,
    };
    if let Some(remote) = source.remote() {
        remote.log_in(RegistryOperation::Pull)?;
    }
    Ok(source)
}

/// Reads it to its last byte.
pub(super) fn load(source: &Source) -> anyhow::Result<Image> {
    let bar = ProgressBar::no_length();
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    let style =
        ProgressStyle::with_template("scanning {bytes}/{total_bytes} {wide_bar} {bytes_per_sec} {eta}")?;
    bar.set_style(style);
    let loaded =
        source.load(Progress { expect: &|bytes| bar.inc_length(bytes), advance: &|bytes| bar.inc(bytes) });
    bar.finish_and_clear();
    Ok(loaded?)
}

/// The facts of an image, or of each image of an index.
pub(super) fn content(loaded: &Loaded, advisories: Option<&Advisories>) -> anyhow::Result<Content> {
    Ok(match &loaded.parts {
        Parts::Artifact => Content::Artifact {
            artifact_type: loaded.manifest.referrer_type().unwrap_or_default().to_owned(),
            size: match &loaded.manifest.kind {
                Kind::Artifact { blobs, .. } => {
                    blobs.iter().fold(0, |sum: u64, blob| sum.saturating_add(blob.size))
                }
                Kind::Image { .. } | Kind::Index { .. } => 0,
            },
        },
        Parts::Document(inventory) => Content::Image(document_facts(inventory, advisories)),
        Parts::Image { config, reports } => {
            Content::Image(image_facts(&loaded.manifest, config, reports, advisories)?)
        }
        Parts::Index(children) => Content::Index(
            children
                .iter()
                .map(|(platform, child)| {
                    let digest = child.manifest.digest.clone();
                    anyhow::Ok(IndexChild {
                        digest,
                        platform: platform.clone(),
                        content: content(child, advisories)?,
                    })
                })
                .collect::<anyhow::Result<_>>()?,
        ),
    })
}

/// The runnable images of a content: platform and digest where an index names them, and the facts.
pub(super) fn images(content: &Content) -> Vec<(Option<&str>, Option<&str>, &ImageFacts)> {
    match content {
        Content::Image(facts) => vec![(None, None, facts)],
        Content::Index(children) => children
            .iter()
            .filter_map(|child| match &child.content {
                Content::Image(facts) => Some((Some(&*child.platform), Some(&*child.digest), facts)),
                Content::Artifact { .. } | Content::Index(_) | Content::Judged => None,
            })
            .collect(),
        Content::Artifact { .. } | Content::Judged => Vec::new(),
    }
}

/// A compiled advisory file.
pub(super) fn read_advisories(file: &Path) -> anyhow::Result<Advisories> {
    advisories::load(file)
        .with_context(|| UsageError(format!("cannot use the advisories `{}`", file.display())))
}

/// A folder of YARA rules.
pub(super) fn read_rules(folder: &Path) -> anyhow::Result<Arc<RuleSet>> {
    let rules = malware::read(folder)
        .with_context(|| UsageError(format!("cannot use the YARA rules `{}`", folder.display())))?;
    Ok(Arc::new(rules))
}

/// Writes an answer to a file, or to standard output.
pub(super) fn write_out(text: &str, file: Option<&Path>) -> anyhow::Result<()> {
    match file {
        Some(file) => std::fs::write(file, text)
            .with_context(|| UsageError(format!("cannot write `--output-file {}`", file.display()))),
        None => Ok(std::io::stdout().write_all(text.as_bytes())?),
    }
}

/// How wide a table may be.
pub(super) fn width() -> u16 {
    let terminal = console::Term::stdout();
    if terminal.is_term() { terminal.size().1.clamp(WIDTHS.0, WIDTHS.1) } else { WIDTH }
}
