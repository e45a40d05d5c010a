//! `--previous`: what the image is compared with, and what is told where nothing is.

use anyhow::Context as _;

use super::Args;
use crate::cli::UsageError;
use crate::cli::image_input::{content, images, load, open};
use crate::gate::evidence::{Evidence, Previous};
use crate::gate::growth::Growth;
use crate::gate::policy::Policy;
use crate::gate::verdict::Reason;
use crate::output::CheckReport;
use crate::source::Location;

/// What `--previous` names. Packages are counted, not judged.
pub(super) fn previous(location: &Location, args: &Args) -> anyhow::Result<Previous> {
    if [location, &args.image].into_iter().any(|it| matches!(it, Location::Sbom(_))) {
        let message = "`--previous` compares bytes, and a document that lists packages has none";
        return Err(UsageError(message.to_owned()).into());
    }
    let image = load(&open(location, &args.registry, &args.engine)?)
        .with_context(|| format!("cannot read the previous release `{location}`"))?;
    let previous = Previous { name: location.to_string(), content: content(&image.loaded, None)? };
    if images(&previous.content).is_empty() {
        return Err(UsageError(format!("`{location}` holds nothing that can run")).into());
    }
    Ok(previous)
}

/// For each runnable image; `None`: nothing was named to compare with.
pub(super) fn of_each(evidence: &Evidence) -> Option<Vec<Option<Growth>>> {
    let previous = evidence.previous.as_ref()?;
    let images = images(&evidence.content);
    Some(images.iter().map(|(platform, _, facts)| Growth::new(previous, *platform, facts)).collect())
}

/// A limit that was not asked about is told: the gate, which knows what is released, will ask.
pub(super) fn tell_unasked(report: &mut CheckReport, policy: &Policy) {
    let rule = policy.rule_for(&report.repository).filter(|rule| rule.image.max_growth.is_some());
    if let Some(rule) = rule {
        let message = "the rule limits growth, and nothing says which release to compare with";
        let next_step = "name the release that it follows: `--previous IMAGE`";
        report.warnings.push(Reason::new("growth", &rule.name, message, next_step));
    }
}
