//! All names of each problem, across feeds: a GHSA that one feed calls a CVE, and another a PYSEC, is one problem.

use std::collections::HashMap;

use super::feed::{Advisory, is_cve};

/// Names of one problem; real ones have at most some twenty. A chain of careless aliases must not join everything.
const NAMES_MAX: usize = 64;

/// Groups of names that stand for one problem each.
pub(super) struct Names<'a> {
    numbers: HashMap<&'a str, usize>,
    /// The leader's number for each name's; a leader leads itself.
    leaders: Vec<usize>,
    /// The names that a leader leads; emptied when it follows another.
    members: Vec<Vec<&'a str>>,
}

impl<'a> Names<'a> {
    /// Joins what any advisory says is one problem, but never two CVEs by way of a third name: whoever assigned the CVEs
    /// says that they are two problems. An advisory that calls itself both names two problems, and joins nothing.
    pub(super) fn new(advisories: impl Iterator<Item = &'a Advisory>) -> Self {
        let mut names = Self { numbers: HashMap::new(), leaders: Vec::new(), members: Vec::new() };
        for advisory in advisories.filter(|advisory| !advisory.aliases.is_empty()) {
            let all = || std::iter::once(&advisory.id).chain(&advisory.aliases);
            if all().filter(|name| is_cve(name)).count() > 1 || all().count() > NAMES_MAX {
                continue;
            }
            let first = names.number(&advisory.id);
            for alias in &advisory.aliases {
                let other = names.number(alias);
                names.join(first, other);
            }
        }
        names
    }

    fn number(&mut self, name: &'a str) -> usize {
        let next = self.leaders.len();
        let number = *self.numbers.entry(name).or_insert(next);
        if number == next {
            self.leaders.push(next);
            self.members.push(vec![name]);
        }
        number
    }

    fn leader(&mut self, mut number: usize) -> usize {
        while self.leaders[number] != number {
            // Halving the path keeps it short for the next.
            self.leaders[number] = self.leaders[self.leaders[number]];
            number = self.leaders[number];
        }
        number
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.leader(a), self.leader(b));
        if a == b {
            return;
        }
        let both = || self.members[a].iter().chain(&self.members[b]);
        if both().count() > NAMES_MAX || both().filter(|name| is_cve(name)).count() > 1 {
            return;
        }
        let (to, from) = if self.members[a].len() < self.members[b].len() { (b, a) } else { (a, b) };
        let moved = std::mem::take(&mut self.members[from]);
        self.members[to].extend(moved);
        self.leaders[from] = to;
    }

    /// All names of what `name` stands for, itself included; none for a name that has no other.
    pub(super) fn of(&mut self, name: &str) -> &[&'a str] {
        match self.numbers.get(name).copied() {
            Some(number) => {
                let leader = self.leader(number);
                &self.members[leader]
            }
            None => &[],
        }
    }
}

/// `UBUNTU-CVE-2024-1`: a distribution's record of a CVE. Its name is of use only where that distribution speaks.
pub(super) fn is_record(name: &str) -> bool {
    name.split_once('-').is_some_and(|(_, rest)| is_cve(rest))
}
