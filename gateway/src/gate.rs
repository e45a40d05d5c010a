//! `decide(checkpoint, evidence, policy)`: the heart. Pure and total; every door ends here.

pub mod evidence;
pub mod policy;
pub mod verdict;

use evidence::Evidence;
use policy::Policy;
use verdict::Verdict;

/// The moment at which a question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checkpoint {
    /// May a container be created from this image?
    Admit,
    /// May a consumer have it?
    Pull,
    /// May it be stored, visible to producers only?
    Push,
    /// May it become visible to consumers?
    Release,
}

/// Answers one question about one image. "Could not decide" is not an answer: whoever gathers evidence returns an
/// error for that, and fails closed.
pub fn decide(_checkpoint: Checkpoint, _evidence: &Evidence, _policy: &Policy) -> Verdict {
    unreachable!("written with the checks")
}
