//! Door three: what engines and clusters ask before they run a container.

pub mod docker;
pub mod door;
#[cfg(test)]
mod hostile;
pub mod kubernetes;
pub mod receipts;
pub mod webhook;

use crate::gate::Checkpoint;
use crate::gate::evidence::Runtime;
use crate::gate::verdict::{Denial, Reason, Verdict};
use crate::reference::{ImageReference, ReferenceError};

use serde::{Deserialize, Serialize};

/// One image that a container would run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Where in the request it stands: ``spec.containers[0] `web` ``.
    pub place: String,
    /// The reference, in full form.
    pub image: ImageReference,
    /// What the container wants from its host.
    pub runtime: Runtime,
}

/// The question of an engine's plug-in to `POST /admission/image`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageQuestion {
    /// The reference, as engines write it.
    pub image: String,
    /// See [`Runtime`].
    #[serde(default)]
    pub privileged: bool,
    /// See [`Runtime`].
    #[serde(default)]
    pub apparmor_unconfined: bool,
    /// See [`Runtime`].
    #[serde(default)]
    pub host_binds: Vec<String>,
}

impl From<&Asked> for ImageQuestion {
    fn from(asked: &Asked) -> Self {
        Self {
            image: asked.image.to_string(),
            privileged: asked.runtime.privileged,
            apparmor_unconfined: asked.runtime.apparmor_unconfined,
            host_binds: asked.runtime.host_binds.clone(),
        }
    }
}

impl ImageQuestion {
    /// The question in the gate's terms.
    pub fn asked(&self) -> Result<Asked, ReferenceError> {
        let image = ImageReference::parse(&self.image)?;
        let runtime = Runtime {
            privileged: self.privileged,
            apparmor_unconfined: self.apparmor_unconfined,
            host_binds: self.host_binds.clone(),
            pinned: image.digest().is_some(),
        };
        Ok(Asked { place: "image".into(), image, runtime })
    }
}

/// What the gate says about one of them; also the answer of `POST /admission/image`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "lowercase")]
pub enum Answer {
    /// It may run.
    Admitted {
        /// The digest that was judged.
        digest: String,
        /// What would have been a denial, were it enforced.
        warnings: Vec<Reason>,
    },
    /// It may not.
    Denied(Denial),
    /// Nobody knows; an engine must take it for no.
    Undecided {
        /// What stood in the way.
        problem: String,
    },
}

impl Answer {
    /// Nobody knows, and why.
    pub fn undecided(problem: impl Into<String>) -> Self {
        Self::Undecided { problem: problem.into() }
    }

    /// `admitted`, `denied` or `undecided`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Admitted { .. } => "admitted",
            Self::Denied(_) => "denied",
            Self::Undecided { .. } => "undecided",
        }
    }
}

fn denied(asked: &Asked, reasons: Vec<Reason>) -> Answer {
    Answer::Denied(Denial::new(asked.image.to_string(), Checkpoint::Admit, reasons))
}

impl From<Verdict> for Answer {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Allow(admitted) => Self::Admitted {
                digest: admitted.digest().to_owned(),
                warnings: admitted.warnings().to_vec(),
            },
            Verdict::Deny(denial) => Self::Denied(denial),
        }
    }
}

/// An image of another registry: nobody here has judged it, so the answer is no. `names` are the names under which
/// engines reach this gateway, host and port; they are compared whole, so that `registry.example.evil` or another port
/// is another registry.
pub fn refuse_foreign(image: &ImageReference, names: &[String]) -> Option<Denial> {
    if names.iter().any(|name| name == image.registry()) {
        return None;
    }
    let ours = names.first().map_or("this gateway", String::as_str);
    let message = format!("`{image}` is not from `{ours}`, so nothing is known about it");
    let next_step = format!("push the image to `{ours}` and run it from there by digest");
    let reason = Reason::new("registry", "admission", message, next_step);
    Some(Denial::new(image.to_string(), Checkpoint::Admit, vec![reason]))
}

/// Reasons for people, one a line, within `bytes_max`; what does not fit is counted.
fn reasons_text(reasons: &[Reason], bytes_max: usize) -> String {
    let mut text = String::new();
    for (index, reason) in reasons.iter().enumerate() {
        let line = format!("  - {} [{}]; {}\n", reason.message, reason.rule, reason.next_step);
        if text.len() + line.len() > bytes_max {
            text.push_str(&format!("  - and {} more\n", reasons.len() - index));
            break;
        }
        text.push_str(&line);
    }
    text
}

/// At most `bytes_max` bytes, cut between characters.
fn shortened(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let mut end = bytes_max.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}
