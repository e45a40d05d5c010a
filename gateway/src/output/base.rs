//! Which approved base an image begins with, what it inherits from there, and what a newer one would change.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use scanner::finding::Finding;
use scanner::report::ScanReport;
use serde::Serialize;

use crate::gate::policy::ApprovedBase;
use crate::gate::words::printable;

/// Findings named in the table; JSON has all.
const TOLD_MAX: usize = 10;

/// What is said about one platform's base.
#[derive(Clone, Debug, Serialize)]
pub struct BaseReport {
    /// Name in the policy's register.
    pub name: String,
    /// How many of the oldest layers are the base's.
    pub layers: usize,
    /// Vulnerabilities that come with the base.
    pub inherited: BTreeSet<Problem>,
    /// Vulnerabilities that the layers above brought.
    pub added: BTreeSet<Problem>,
    /// What another base in its place would change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebase: Option<Rebase>,
}

/// One vulnerability of one package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// See [`Finding::id`].
    pub id: String,
    /// Name of the package.
    pub package: String,
}

/// See [`BaseReport::rebase`]. An estimate: what the layers above do with packages of the base is not played again.
#[derive(Clone, Debug, Serialize)]
pub struct Rebase {
    /// The newer base, by its name in the register where it has one.
    pub to: String,
    /// Whether the policy's register names it.
    pub approved: bool,
    /// Inherited vulnerabilities that the newer base has not.
    pub removes: BTreeSet<Problem>,
    /// Vulnerabilities of the newer base that are not inherited today.
    pub brings: BTreeSet<Problem>,
}

/// The base that `diff_ids` begin with: of several the longest.
pub fn identify<'b>(bases: &'b [ApprovedBase], diff_ids: &[String]) -> Option<&'b ApprovedBase> {
    bases.iter().filter(|base| base.begins(diff_ids)).max_by_key(|base| base.diff_ids.len())
}

impl BaseReport {
    /// What `scan` inherits from `base`.
    pub fn new(base: &ApprovedBase, scan: &ScanReport) -> Self {
        let layers = base.diff_ids.len();
        let (inherited, added): (Vec<&Finding>, Vec<&Finding>) =
            scan.findings.iter().partition(|finding| finding.layer < layers);
        Self {
            name: base.name.clone(),
            layers,
            inherited: problems(inherited.into_iter()),
            added: problems(added.into_iter()),
            rebase: None,
        }
    }

    /// Says what `newer` in the place of the base would change.
    pub fn compare(&mut self, newer: &ScanReport, to: String, approved: bool) {
        let newer = problems(newer.findings.iter());
        self.rebase = Some(Rebase {
            to,
            approved,
            removes: self.inherited.difference(&newer).cloned().collect(),
            brings: newer.difference(&self.inherited).cloned().collect(),
        });
    }

    /// Lines for people.
    pub(super) fn lines(&self) -> String {
        let name = printable(&self.name, 100);
        let mut text = format!(
            "base        {name}, {} layers; vulnerabilities: {} inherited, {} added above it\n",
            self.layers,
            self.inherited.len(),
            self.added.len()
        );
        if let Some(rebase) = &self.rebase {
            let to = printable(&rebase.to, 200);
            let approved = if rebase.approved { "" } else { ", which the policy's register does not name," };
            let _ = writeln!(
                text,
                "rebase      rebasing to {to}{approved} removes {} of {} inherited and brings {}",
                rebase.removes.len(),
                self.inherited.len(),
                rebase.brings.len()
            );
            for (word, problems) in [("removes", &rebase.removes), ("brings", &rebase.brings)] {
                let told: Vec<String> =
                    problems.iter().take(TOLD_MAX).map(|it| format!("{} in {}", it.id, it.package)).collect();
                let more = problems.len().saturating_sub(TOLD_MAX);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                if !told.is_empty() {
                    let _ = writeln!(text, "            {word} {}{more}", printable(&told.join(", "), 1000));
                }
            }
        }
        text
    }
}

fn problems<'f>(findings: impl Iterator<Item = &'f Finding>) -> BTreeSet<Problem> {
    findings.map(|it| Problem { id: it.id.clone(), package: it.package.name.clone() }).collect()
}
