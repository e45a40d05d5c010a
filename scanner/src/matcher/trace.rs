//! The steps of a match, told while it happens.

use crate::advisory::{Ecosystem, Entry, Place, Range};
use crate::report::ImagePackage;

/// Whoever listens.
pub type Trace<'t> = dyn FnMut(&Step<'_>) + 't;

/// One step. Those from [`Step::Package`] to [`Step::Done`] are about that package; those from the last
/// [`Step::Advisory`] to the next are about that one.
#[derive(Clone, Debug)]
pub enum Step<'a> {
    /// A package that is not looked up.
    Passed(&'a ImagePackage, Passed),
    /// A package that is looked up.
    Package {
        /// Which.
        package: &'a ImagePackage,
        /// Whose advisories and whose order of versions apply.
        ecosystem: &'a Ecosystem,
        /// Some source speaks about the whole of that ecosystem.
        covered: bool,
    },
    /// The name under which advisories are looked for, and the version that is compared.
    Asked {
        /// The release's advisories, or those of a channel beside it.
        ecosystem: &'a Ecosystem,
        /// As the ecosystem writes it.
        name: &'a str,
        /// Of the package or of its source.
        version: &'a str,
    },
    /// A span of affected versions was compared.
    Range {
        /// Which.
        range: &'a Range<&'a str>,
        /// Where the version stands.
        place: Place,
    },
    /// The version stands in the advisory's list.
    Listed(&'a str),
    /// An advisory was asked.
    Advisory {
        /// Which.
        entry: &'a Entry<'a>,
        /// The version that was compared.
        version: &'a str,
        /// Its answer.
        affected: bool,
    },
    /// An advisory was not asked: an earlier channel, or the package's own name, has spoken about its problem.
    Superseded {
        /// Which.
        entry: &'a Entry<'a>,
        /// The version that would be compared.
        version: &'a str,
    },
    /// Nothing more about this package.
    Done {
        /// Why it could not be judged.
        problem: Option<&'static str>,
    },
}

/// Why a package is not looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// Built by others than the distribution: its advisories do not speak of it.
    Foreign,
    /// Headers, documentation or source text of a kernel: none of the code that its advisories are about.
    KernelText,
    /// No advisories of its kind can be read.
    NoEcosystem,
    /// A package of the distribution installed it and answers for it.
    OwnedBySystem,
}
