//! What could not be judged. "No finding" is worth nothing where this speaks.

use scanner::release::Support;
use scanner::report::Unknown;

use super::{ImageQuestion, Objection, printable};

pub(super) fn unjudged(image: &ImageQuestion<'_>, objections: &mut Vec<Objection>) {
    for unknown in &image.facts.scan.unknown {
        let Some((message, next_step, layer)) = tell(unknown) else { continue };
        let mut objection = image.objection("unknown", image.rule.scan.unknown, message, next_step);
        objection.reason.layer = layer.map(|layer| image.layer(layer));
        objections.push(objection);
    }
}

/// What is unknown, what to do, and the layer to blame.
pub(in crate::gate) fn tell(unknown: &Unknown) -> Option<(String, &'static str, Option<usize>)> {
    Some(match unknown {
        Unknown::NoDistribution => (
            "packages are installed, but `/etc/os-release` does not say which distribution this is"
                .to_owned(),
            "keep `/etc/os-release` of the base image",
            None,
        ),
        Unknown::NoAdvisories { ecosystem, packages } => (
            format!(
                "no advisories are loaded for `{}`, so {packages} packages are not judged",
                printable(ecosystem, 60)
            ),
            "load a source that covers it (`portcullis advisories build`), or use a supported base image",
            None,
        ),
        Unknown::NoSourcePackages { kind, packages } => (
            format!(
                "the document tells the source package of none of its {packages} `{}` packages",
                printable(kind, 30)
            ),
            "make it with a tool that writes `upstream` into package URLs, or check the image itself",
            None,
        ),
        Unknown::IncompleteDocument { problem } => (
            format!("the document does not tell all: {}", printable(problem, 200)),
            "make it again from the whole image, or check the image itself",
            None,
        ),
        Unknown::NoAdvisoryData => (
            "no advisories are loaded at all, so nothing is judged".to_owned(),
            "ask the gate's operator to run `portcullis advisories update`",
            None,
        ),
        Unknown::BrokenDatabase { path, layer, problem } => (
            format!("package database `{}` is broken: {}", printable(path, 200), printable(problem, 200)),
            "build the layer again; do not edit the package database",
            Some(*layer),
        ),
        Unknown::UnsupportedDatabase { path, layer } => (
            format!("package database `{}` is of a kind that is not read yet", printable(path, 200)),
            "use a base image with dpkg, apk or rpm packages",
            Some(*layer),
        ),
        Unknown::NothingRecognised => (
            "nothing that is recognised is installed, so there is nothing to judge".to_owned(),
            "build on a base image with a package database, or ask for an exception for check `unknown`",
            None,
        ),
        Unknown::UnorderableVersion { package } => (
            format!("the version of `{}` cannot be compared with advisories", printable(package, 200)),
            "install a released version of it",
            None,
        ),
        Unknown::UnreadableExecutable { path, layer, problem } => (
            format!(
                "executable `{}` does not tell what was built into it: {}",
                printable(path, 200),
                printable(problem, 200)
            ),
            "build it with a current toolchain and without a packer, or ask for an exception for check `unknown`",
            Some(*layer),
        ),
        Unknown::UnidentifiedPackage { package } => (
            format!(
                "nothing tells whose `{}` this is, and advisories name a library of that name",
                printable(package, 200)
            ),
            "install an archive with its `pom.properties`, or ask for an exception for check `unknown`",
            None,
        ),
        Unknown::ContradictingDistribution { .. }
        | Unknown::DeletedDatabase { .. }
        | Unknown::HiddenPackages { .. }
        | Unknown::LinkedDatabase { .. }
        | Unknown::MisplacedDatabase { .. }
        | Unknown::ShortenedDatabase { .. }
        | Unknown::UnlistedSystem { .. } => return tell_hidden(unknown),
        // Told by the check of integrity, which no `accept-unsafe` softens.
        Unknown::UnreadableLayer { .. } => return None,
    })
}

/// What hides packages from every scanner, by accident or on purpose.
fn tell_hidden(unknown: &Unknown) -> Option<(String, &'static str, Option<usize>)> {
    const KEEP: &str =
        "keep the package database as the package manager writes it, or remove packages with their files";
    Some(match unknown {
        Unknown::ContradictingDistribution { claimed, told, witnesses } => (
            format!(
                "`os-release` says `{}`, but {witnesses} packages were built for `{}`",
                printable(claimed, 60),
                printable(told, 60)
            ),
            "keep `/etc/os-release` of the base image",
            None,
        ),
        Unknown::DeletedDatabase { path, layer, packages, files } => (
            format!(
                "package database `{}` of {packages} packages was deleted or emptied, while {files} of their programs and libraries remain",
                printable(path, 200)
            ),
            KEEP,
            Some(*layer),
        ),
        Unknown::ShortenedDatabase { path, layer, package, packages, files } => (
            format!(
                "{packages} packages, `{}` among them, are no longer listed (`{}`), while {files} of their programs and libraries remain",
                printable(package, 100),
                printable(path, 200)
            ),
            KEEP,
            Some(*layer),
        ),
        Unknown::LinkedDatabase { path, target, layer } => (
            format!(
                "package database `{}` is reached through a link to `{}`",
                printable(path, 200),
                printable(target, 200)
            ),
            KEEP,
            Some(*layer),
        ),
        Unknown::MisplacedDatabase { path, layer } => (
            format!("packages are listed only in `{}`, where no package manager looks", printable(path, 200)),
            KEEP,
            Some(*layer),
        ),
        Unknown::UnlistedSystem { path, layer } => (
            format!("no package explains the C library `{}`", printable(path, 200)),
            "copy the package database together with the system, or build on a base image that has one",
            Some(*layer),
        ),
        Unknown::HiddenPackages { path, layer, problem } => (
            format!("`{}` hides what is installed: {}", printable(path, 200), printable(problem, 200)),
            "keep what the package manager of the language writes beside the code",
            Some(*layer),
        ),
        _ => return None,
    })
}

/// An hour of disagreement between clocks is not a reason to refuse.
const CLOCK_SKEW_SECONDS_MAX: i64 = 3600;

/// Advisories that nobody refreshed cannot call anything clean; nor can advisories from the future, whose age nobody
/// can tell.
pub(super) fn advisory_age(image: &ImageQuestion<'_>, objections: &mut Vec<Objection>) {
    // Without advisories `unjudged` speaks, where there is anything to judge.
    let Some(revision) = &image.facts.scan.advisories else { return };
    let age = image.as_of.saturating_sub(revision.built);
    let limit = i64::try_from(image.rule.scan.max_advisory_age.as_secs()).unwrap_or(i64::MAX);
    if (-CLOCK_SKEW_SECONDS_MAX..=limit).contains(&age) {
        return;
    }
    let message = if age < 0 {
        "the advisories claim to be from the future, so their age cannot be judged".to_owned()
    } else {
        format!("the advisories are {} old, {} are allowed", days(age), days(limit))
    };
    let next_step = "ask the gate's operator to run `portcullis advisories update`";
    objections.push(image.objection("advisory-age", image.rule.scan.unknown, message, next_step));
}

/// What nobody mends any more gets no advisories either, so that "no finding" says less with each day.
pub(super) fn end_of_life(image: &ImageQuestion<'_>, objections: &mut Vec<Objection>) {
    let scan = &image.facts.scan;
    let Some(Support::Ends(last_day)) = scan.support else { return };
    let over = image.as_of.saturating_sub(last_day).saturating_sub(DAY_SECONDS);
    if over < 0 {
        return;
    }
    let name = scan.distribution.as_ref().map_or_else(String::new, |distribution| {
        format!("{} {}", distribution.id, distribution.version_id.as_deref().unwrap_or_default())
    });
    let message = format!("`{}` has had no security support for {}", printable(&name, 60), days(over));
    let next_step = "build on a release that its distribution still supports";
    objections.push(image.objection("end-of-life", image.rule.scan.end_of_life, message, next_step));
}

const DAY_SECONDS: i64 = 86_400;

fn days(seconds: i64) -> String {
    match seconds {
        ..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
