//! `portcullis check IMAGE --policy FILE`: the pipeline stage. Asks the same gate as the registry does, without a server.

mod growth;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use keys::attestation::Attestations;
use keys::signature::Subject;
use keys::verify::{Verification, Verifier};
use scanner::advisory::Advisories;
use scanner::explain::Explanation;

use super::image_input::{
    EngineAccess, content, images, load, open, read_advisories, read_rules, width, write_out,
};
use super::registry_access::RegistryAccess;
use super::{EXIT_DENIED, UsageError};
use crate::clock::Clock;
use crate::digest::Digest;
use crate::gate::assemble::{effectiveness, explain};
use crate::gate::evidence::{Content, Evidence, ImageFacts};
use crate::gate::policy::{ApprovedBase, Exception, Pattern, Policy, exceptions_of};
use crate::gate::verdict::Verdict;
use crate::gate::{Checkpoint, decide, vex};
use crate::output::base::{BaseReport, identify};
use crate::output::explain::ExplainReport;
use crate::output::{CheckReport, Output, PlatformScan, SCHEMA, Word, render_undecided};
use crate::policy_file;
use crate::reference::ImageReference;
use crate::source::{Image, Loaded, Location, Parts, Source, attestations, notary, signatures};
use crate::trust;

/// Check an image against a policy before it is pushed, released or run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `registry/name:tag`, `registry/name@sha256:…`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`,
    /// `docker-archive:FILE[:TAG]`, `docker:IMAGE`, `podman:IMAGE`,
    /// `containerd:IMAGE`, `dir:PATH` or `sbom:FILE`.
    image: Location,
    /// The policy file.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The name that the image has or will have in its registry; the policy's patterns are compared with it.
    #[arg(long = "as", value_name = "REFERENCE")]
    judged_as: Option<ImageReference>,
    /// Compiled advisories, made by `portcullis advisories build`. Without them every package is unknown.
    #[arg(long, value_name = "FILE")]
    advisories: Option<PathBuf>,
    /// A folder of YARA rules (`*.yar`, `*.yara`) that every file of every layer is searched by.
    #[arg(long, value_name = "FOLDER")]
    yara: Option<PathBuf>,
    /// A VEX document (OpenVEX 0.2, CSAF VEX) whose statements are taken for this check, beside those of the policy. May
    /// be repeated.
    #[arg(long, value_name = "FILE")]
    vex: Vec<PathBuf>,
    /// How old such a statement may be.
    #[arg(long, value_name = "AGE", default_value = "90d", value_parser = humantime::parse_duration)]
    vex_max_age: Duration,
    /// Where the trusted roots of the policy's `[[trust-root]]` sections are kept, as `portcullis trust update` keeps them.
    #[arg(long, value_name = "FOLDER", default_value = "portcullis-data/trust")]
    trust_dir: PathBuf,
    /// Which question to ask [default: push for files, release for images in a registry].
    #[arg(long, value_enum)]
    checkpoint: Option<Question>,
    /// Tell why this vulnerability (any of its names), or everything about this package, is reported or not; as a table
    /// or as JSON.
    #[arg(long, value_name = "CVE|GHSA|PACKAGE")]
    explain: Option<String>,
    /// Show every layer with its instruction and bytes, and what to change in the Dockerfile; with the table.
    #[arg(long)]
    layers: bool,
    /// A newer base image, named as IMAGE is: tells which inherited vulnerabilities rebasing removes.
    #[arg(long, value_name = "IMAGE")]
    rebase_to: Option<Location>,
    /// The release that the image follows, named as IMAGE is, `dir:` too: tells what grew, and the rule's `max-growth` is
    /// asked.
    #[arg(long, value_name = "IMAGE")]
    previous: Option<Location>,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Write the answer to this file; the table still goes to stdout.
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,
    /// The moment that documents are dated with, in seconds since 1970-01-01 UTC [default: the image's `created`].
    #[arg(long, env = "SOURCE_DATE_EPOCH", value_name = "SECONDS")]
    source_date_epoch: Option<i64>,
    #[command(flatten)]
    registry: RegistryAccess,
    #[command(flatten)]
    engine: EngineAccess,
}

/// The questions that can be asked without a store; `pull` is about its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Question {
    /// May a container be created from it?
    Admit,
    /// May it be stored?
    Push,
    /// May consumers have it?
    Release,
}

/// Checks; exit code 0 admitted, 1 denied, 2 wrong usage, 3 could not decide.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.explain.is_some() && !matches!(args.output, Output::Json | Output::Table) {
        return Err(UsageError("`--explain` is told as a table or as JSON".to_owned()).into());
    }
    let Answer { report, explanations } = match check(args) {
        Ok(answer) => answer,
        Err(error) => {
            if !error.is::<UsageError>() {
                let problem = error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ");
                let text = render_undecided(&args.image.to_string(), &problem, args.output)?;
                write_out(&text, args.output_file.as_deref())?;
            }
            return Err(error);
        }
    };
    let render = |output| match &args.explain {
        Some(query) => {
            let explained = ExplainReport::new(&report, query, &explanations);
            if output == Output::Json { explained.json() } else { Ok(explained.text()) }
        }
        None if output == Output::Table && args.layers => Ok(report.layers(width())),
        None => report.render(output, width()),
    };
    write_out(&render(args.output)?, args.output_file.as_deref())?;
    if args.output_file.is_some() {
        write_out(&render(Output::Table)?, None)?;
    }
    Ok(match report.verdict {
        Word::Admitted => ExitCode::SUCCESS,
        Word::Denied => ExitCode::from(EXIT_DENIED),
    })
}

/// What was decided, and what `--explain` asked, for each of the report's scans.
struct Answer {
    report: CheckReport,
    explanations: Vec<Explanation>,
}

fn check(args: &Args) -> anyhow::Result<Answer> {
    let name = name(args)?;
    let mut policy = policy_file::read(&args.policy)
        .with_context(|| UsageError(format!("cannot use the policy `{}`", args.policy.display())))?;
    for file in &args.vex {
        policy.state(stated(file, args.vex_max_age)?);
    }
    let policy = trust::put_in(&policy, &args.trust_dir);
    let advisories = args.advisories.as_deref().map(read_advisories).transpose()?;
    let rules = args.yara.as_deref().map(read_rules).transpose()?;
    let source = open(&args.image, &args.registry, &args.engine)?.searched_by(rules);
    let image = load(&source)?;
    let checkpoint = match (args.checkpoint, source.remote()) {
        (Some(Question::Admit), _) => Checkpoint::Admit,
        (Some(Question::Push), _) | (None, None) => Checkpoint::Push,
        (Some(Question::Release), _) | (None, Some(_)) => Checkpoint::Release,
    };
    let now = Clock::system().now();
    let content = content(&image.loaded, advisories.as_ref())?;
    let digest = image.loaded.manifest.digest.clone();
    let mut evidence = Evidence::new(name.name(), digest, now, content);
    evidence.tag = name.digest().is_none().then(|| name.tag().unwrap_or("latest").to_owned());
    evidence.runtime.pinned = name.digest().is_some();
    evidence.signatures = signatures_of(&source, &policy, &evidence)?;
    evidence.attestations = attestations_of(&source, &policy, &evidence)?;
    evidence.previous = args.previous.as_ref().map(|it| growth::previous(it, args)).transpose()?;
    let verdict = decide(checkpoint, &evidence, &policy);
    let explanations = match &args.explain {
        Some(query) => explanations(&image.loaded, advisories.as_ref(), query)?,
        None => Vec::new(),
    };
    let grown = growth::of_each(&evidence);
    let mut report = report(args, &image, evidence, checkpoint, verdict, policy.digest());
    match grown {
        Some(grown) => report.scans.iter_mut().zip(grown).for_each(|(scan, growth)| scan.growth = growth),
        None => growth::tell_unasked(&mut report, &policy),
    }
    describe(&mut report, &image.loaded)?;
    find_bases(&mut report, &image.loaded, policy.bases());
    if let Some(newer) = &args.rebase_to {
        rebase(&mut report, newer, args, advisories.as_ref(), policy.bases())?;
    }
    Ok(Answer { report, explanations })
}

/// Adds what each image could do without.
fn describe(report: &mut CheckReport, loaded: &Loaded) -> anyhow::Result<()> {
    for (scan, image) in report.scans.iter_mut().zip(runnable(loaded)) {
        if let Parts::Image { config, reports } = &image.parts {
            scan.effectiveness = Some(effectiveness(&image.manifest, config, reports)?);
        }
    }
    Ok(())
}

/// What can run, in the order of [`scans`].
fn runnable(loaded: &Loaded) -> Vec<&Loaded> {
    match &loaded.parts {
        Parts::Artifact => Vec::new(),
        Parts::Document(_) | Parts::Image { .. } => vec![loaded],
        Parts::Index(children) => children.iter().flat_map(|(_, child)| runnable(child)).collect(),
    }
}

/// Adds the approved base that each image begins with.
fn find_bases(report: &mut CheckReport, loaded: &Loaded, bases: &[ApprovedBase]) {
    for (scan, image) in report.scans.iter_mut().zip(runnable(loaded)) {
        if let Some(base) = identify(bases, &diff_ids(image)) {
            scan.base = Some(BaseReport::new(base, &scan.scan));
        }
    }
}

/// As the bytes are, not as the configuration says.
fn diff_ids(loaded: &Loaded) -> Vec<String> {
    match &loaded.parts {
        Parts::Image { reports, .. } => {
            reports.iter().map(|report| report.diff_id.clone().unwrap_or_default()).collect()
        }
        Parts::Artifact | Parts::Document(_) | Parts::Index(_) => Vec::new(),
    }
}

/// Says what another base would change, platform by platform.
fn rebase(
    report: &mut CheckReport,
    newer: &Location,
    args: &Args,
    advisories: Option<&Advisories>,
    bases: &[ApprovedBase],
) -> anyhow::Result<()> {
    if advisories.is_none() {
        let message = "`--rebase-to` needs `--advisories FILE`: without it nothing is judged";
        return Err(UsageError(message.to_owned()).into());
    }
    let image = load(&open(newer, &args.registry, &args.engine)?)?;
    let content = content(&image.loaded, advisories)?;
    let newer_images = images(&content);
    let layers: Vec<Vec<String>> = runnable(&image.loaded).into_iter().map(diff_ids).collect();
    let single = newer_images.len() == 1 && report.scans.len() == 1;
    for scan in &mut report.scans {
        let same = |(platform, ..): &(Option<&str>, Option<&str>, &ImageFacts)| {
            single || *platform == scan.platform.as_deref()
        };
        let (Some(base), Some(at)) = (&mut scan.base, newer_images.iter().position(same)) else { continue };
        let known = layers.get(at).and_then(|layers| identify(bases, layers));
        let to = known.map_or_else(|| newer.to_string(), |base| base.name.clone());
        base.compare(&newer_images[at].2.scan, to, known.is_some());
    }
    Ok(())
}

/// One for each runnable image, in the order of [`scans`].
fn explanations(
    loaded: &Loaded,
    advisories: Option<&Advisories>,
    query: &str,
) -> anyhow::Result<Vec<Explanation>> {
    Ok(match &loaded.parts {
        Parts::Artifact => Vec::new(),
        Parts::Document(inventory) => vec![scanner::sbom::explain(inventory, advisories, query)?],
        Parts::Image { config, reports } => {
            vec![explain(&loaded.manifest, config, reports, advisories, query)?]
        }
        Parts::Index(children) => {
            let children = children.iter().map(|(_, child)| explanations(child, advisories, query));
            children.collect::<anyhow::Result<Vec<_>>>()?.concat()
        }
    })
}

/// The statements of a document, for whatever image is checked.
fn stated(file: &Path, max_age: Duration) -> anyhow::Result<Vec<Exception>> {
    let shown = file.display().to_string();
    let usage = || UsageError(format!("cannot use `--vex {shown}`"));
    let document = vex::parse(&policy_file::read_named(file).with_context(usage)?).with_context(usage)?;
    Ok(exceptions_of(document, &shown, &[Pattern::parse("**")?], max_age))
}

/// The policy's patterns need a name; what a file says about its own name is its maker's choice, so it is not asked.
fn name(args: &Args) -> anyhow::Result<ImageReference> {
    match (&args.judged_as, &args.image) {
        (Some(name), _) => Ok(name.clone()),
        (None, Location::Registry(reference)) => Ok(reference.clone()),
        (None, location) => Err(UsageError(format!(
            "`{location}` has no registry name; say which one it will have: --as registry.example/team/app:1.2"
        ))
        .into()),
    }
}

/// Signatures lie beside the image in its registry. Beside a file there are none.
fn signatures_of(source: &Source, policy: &Policy, evidence: &Evidence) -> anyhow::Result<Verification> {
    let Some(remote) = source.remote() else {
        return Ok(Verification::default());
    };
    let found = signatures::find(remote, &Digest::parse(&evidence.digest)?)
        .with_context(|| format!("cannot look for signatures of `{}`", remote.reference()))?;
    let subject = Subject { digest: &evidence.digest, repository: &evidence.repository };
    let mut verifier = Verifier::new(subject, policy.trust_store(), evidence.as_of);
    for signature in &found.signatures {
        verifier.examine(signature);
    }
    notary::examine(remote, &evidence.repository, policy.trust_store(), &mut verifier, evidence.as_of)
        .with_context(|| format!("cannot read the metadata beside `{}`", remote.reference()))?;
    let mut verification = verifier.finish();
    verification.rejected.extend(found.unreadable);
    Ok(verification)
}

/// The same for what was stated, where the rule asks for any.
fn attestations_of(source: &Source, policy: &Policy, evidence: &Evidence) -> anyhow::Result<Attestations> {
    let is_asked = policy.rule_for(&evidence.repository).is_some_and(|rule| !rule.attestations.is_empty());
    let Some(remote) = source.remote().filter(|_| is_asked) else {
        return Ok(Attestations::default());
    };
    let found = attestations::find(remote, &Digest::parse(&evidence.digest)?)
        .with_context(|| format!("cannot look for attestations of `{}`", remote.reference()))?;
    let subject = Subject { digest: &evidence.digest, repository: &evidence.repository };
    let store = policy.trust_store();
    let mut answer = keys::attestation::verify(&found.attestations, subject, store, evidence.as_of);
    answer.incomplete |= found.incomplete;
    answer.rejected.extend(found.unreadable);
    Ok(answer)
}

fn report(
    args: &Args,
    image: &Image,
    evidence: Evidence,
    checkpoint: Checkpoint,
    verdict: Verdict,
    policy: &str,
) -> CheckReport {
    let mut report = CheckReport {
        schema: SCHEMA,
        image: args.image.to_string(),
        repository: evidence.repository,
        tag: evidence.tag,
        digest: image.digest.clone(),
        checkpoint,
        verdict: Word::Admitted,
        reasons: Vec::new(),
        omitted: 0,
        warnings: Vec::new(),
        help: None,
        policy: policy.to_owned(),
        signatures: evidence.signatures,
        attestations: evidence.attestations,
        scans: scans(&evidence.content, image.digest.as_deref()),
        stamped_at: args.source_date_epoch.or_else(|| created(&image.loaded)),
    };
    match verdict {
        Verdict::Allow(admitted) => report.warnings = admitted.warnings().to_vec(),
        Verdict::Deny(denial) => report.deny(denial),
    }
    report
}

/// When the image says it was made, seconds since 1970-01-01 UTC; of an index, its first image.
fn created(loaded: &Loaded) -> Option<i64> {
    match &loaded.parts {
        Parts::Artifact | Parts::Document(_) => None,
        Parts::Image { config, .. } => {
            let config: serde_json::Value = serde_json::from_slice(config).ok()?;
            let created: jiff::Timestamp = config.get("created")?.as_str()?.parse().ok()?;
            Some(created.as_second())
        }
        Parts::Index(children) => children.iter().find_map(|(_, child)| created(child)),
    }
}

fn scans(content: &Content, digest: Option<&str>) -> Vec<PlatformScan> {
    let scan = |(platform, child, facts): (Option<&str>, Option<&str>, &ImageFacts)| PlatformScan {
        platform: platform.map(str::to_owned),
        digest: child.or(digest).map(str::to_owned),
        scan: Arc::clone(&facts.scan),
        effectiveness: None,
        base: None,
        growth: None,
    };
    images(content).into_iter().map(scan).collect()
}
