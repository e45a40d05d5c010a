//! Holds one file at a time for the YARA rules, as far as they look into it; exists only where there are rules.

use std::sync::Arc;

use crate::detectors::Detected;
use crate::limits::YARA_TIMEOUTS_MAX;
use crate::report::Unsearched;
use crate::yara::{RuleSet, Search};

/// The file whose content arrives, and what asks about it.
pub(super) struct WholeFiles {
    search: Search,
    held: Vec<u8>,
    /// The content came in one piece, and was searched where it lay.
    searched: bool,
    timeouts: usize,
}

impl WholeFiles {
    pub(super) fn new(rules: Arc<RuleSet>) -> Self {
        Self { search: Search::new(rules), held: Vec::new(), searched: false, timeouts: 0 }
    }

    /// Digest of the rules.
    pub(super) fn rules(&self) -> &str {
        self.search.rules().digest()
    }

    pub(super) fn begin(&mut self) {
        self.held.clear();
        self.searched = false;
    }

    /// The next bytes of a file of `size` bytes.
    pub(super) fn more(&mut self, path: &[u8], size: u64, bytes: &[u8], found: &mut Vec<Detected>) {
        let max = self.search.rules().file_bytes_max();
        if self.held.is_empty() {
            let wanted = usize::try_from(size).unwrap_or(max).min(max);
            if bytes.len() as u64 == size && bytes.len() <= max {
                // Small files, which are most, need no copy.
                self.searched = true;
                return self.look(path, None, bytes, found);
            }
            // Grown piece by piece, a large file would be held twice.
            self.held.reserve_exact(wanted);
        }
        let room = max.saturating_sub(self.held.len()).min(bytes.len());
        self.held.extend_from_slice(&bytes[..room]);
    }

    /// The file is complete.
    pub(super) fn end(&mut self, path: &[u8], size: u64, found: &mut Vec<Detected>) {
        if self.searched {
            return;
        }
        let held = std::mem::take(&mut self.held);
        let beyond = (held.len() as u64) < size;
        let bytes = held.len() as u64;
        self.look(path, beyond.then_some(Unsearched::Oversize { bytes }), &held, found);
        self.held = held;
    }

    fn look(&mut self, path: &[u8], beyond: Option<Unsearched>, content: &[u8], found: &mut Vec<Detected>) {
        if self.timeouts >= YARA_TIMEOUTS_MAX {
            found.push(Detected::Unsearched(Unsearched::GaveUp));
            return;
        }
        let before = found.len();
        self.search.file(path, content, found);
        let timed_out = |detected: &Detected| matches!(detected, Detected::Unsearched(Unsearched::TimedOut));
        self.timeouts += found[before..].iter().filter(|detected| timed_out(detected)).count();
        found.extend(beyond.map(Detected::Unsearched));
    }
}
