//! Docker Engine's authorization plug-in protocol: what a request to the engine's API would run or bring in.
//!
//! The engine calls the plug-in before each request. It hands over the body only when it is JSON and small enough;
//! CVE-2024-41110 and CVE-2026-34040 were requests whose body the plug-in did not see and the engine did. So here a request that
//! needs a body and has none is denied, and so is every change that is not known to be harmless.

pub mod plugin;
mod request;
mod routes;

pub use request::{AuthorizationRequest, RequestError};
use serde::Serialize;

use super::{Answer, Asked, reasons_text};

/// What the plug-in says at activation.
pub const ACTIVATION: &str = r#"{"Implements":["authz"]}"#;
/// Largest call of the engine read, in bytes. The engine copies at most 1 MiB of a body; base64 and headers come on top.
pub const CALL_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest text shown by the docker client, in bytes.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// Whether this host may make images. What comes out of a build has no digest that the gate has seen, so it is still
/// not admitted to run; but a build runs commands of its own, in images of its own choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LocalImages {
    /// A build host: build, load, import, tag and commit pass.
    Allowed,
    /// They are denied.
    #[default]
    Denied,
}

/// What a request to the engine means for the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// It neither runs nor brings in an image.
    Harmless,
    /// It would run or bring in these images: ask the gate.
    Images(Vec<Asked>),
    /// Denied without asking, with what to do instead.
    Refused(String),
}

/// The protocol's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    /// Whether the engine goes on.
    pub allow: bool,
    /// Why not, for the docker client.
    pub msg: String,
    /// Set when the plug-in failed; the engine then answers with a server error and does not go on either.
    pub err: String,
}

impl Reply {
    /// Go on.
    pub fn allow() -> Self {
        Self { allow: true, msg: String::new(), err: String::new() }
    }

    /// Stop, and tell the caller why.
    pub fn deny(why: &str) -> Self {
        Self {
            allow: false,
            msg: super::shortened(&format!("portcullis: {why}"), MESSAGE_BYTES_MAX),
            err: String::new(),
        }
    }
}

/// Reads a call and finds out what it means.
pub fn read(call: &[u8], local_images: LocalImages) -> Question {
    match AuthorizationRequest::parse(call) {
        Ok(request) => routes::question(&request, local_images).unwrap_or_else(Question::Refused),
        Err(error) => {
            let cause = std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
            Question::Refused(format!("{error}{cause}"))
        }
    }
}

/// The reply to a question about images; one that has no answer counts as no.
pub fn reply(asked: &[Asked], answers: &[Answer]) -> Reply {
    let mut text = String::new();
    for (index, asked) in asked.iter().enumerate() {
        match answers.get(index) {
            Some(Answer::Admitted { .. }) => {}
            Some(Answer::Denied(denial)) => {
                text.push_str(&format!(
                    "`{}` is denied:\n{}",
                    asked.image,
                    reasons_text(&denial.reasons, MESSAGE_BYTES_MAX)
                ));
            }
            Some(Answer::Undecided { problem }) => {
                text.push_str(&format!(
                    "`{}` is denied, because nobody could decide: {problem}\n",
                    asked.image
                ));
            }
            None => text.push_str(&format!("`{}` is denied, because there is no answer\n", asked.image)),
        }
    }
    if text.is_empty() && !asked.is_empty() { Reply::allow() } else { Reply::deny(text.trim_end()) }
}

#[cfg(test)]
mod tests;
