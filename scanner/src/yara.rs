//! YARA rules: what an operator's own rules say of one whole file, within bounds.
//!
//! Unlike the [detectors](crate::detectors) it needs a file whole, because rules ask for sizes, places and formats. A search
//! that hits a bound says so ([`Unsearched`]): what it did not see is unknown, never clean.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use boreal::Scanner;
use boreal::scanner::{CallbackEvents, ScanCallbackResult, ScanError, ScanEvent};

use crate::detectors::Detected;
use crate::limits::YARA_RULES_PER_FILE_MAX;
use crate::report::Unsearched;

mod compile;
mod counting;

pub use compile::{Bounds, RuleSet, RulesError, Source};

/// Raised whenever the same rules would say something else of the same bytes.
pub(crate) const VERSION: u32 = 1;

/// Names that rules may use beside their own, as other scanners give them: name, absolute path and ending of the file.
const NAMES: [&str; 3] = ["filename", "filepath", "extension"];

/// Asks a rule set about one file after the other.
pub(crate) struct Search {
    scanner: Scanner,
    rules: Arc<RuleSet>,
}

impl Search {
    pub(crate) fn new(rules: Arc<RuleSet>) -> Self {
        Self { scanner: rules.scanner.clone(), rules }
    }

    pub(crate) fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// Adds every rule that `content` matches, and whether the search came to its end.
    pub(crate) fn file(&mut self, path: &[u8], content: &[u8], found: &mut Vec<Detected>) {
        self.name(path);
        let mut matched = Vec::new();
        let mut reached = Vec::new();
        // The engine reads hostile bytes in formats of its own; should it fail, one file is unknown and no more.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            self.scanner.scan_mem_with_callback(content, |event| match event {
                ScanEvent::RuleMatch(rule) if matched.len() >= YARA_RULES_PER_FILE_MAX => {
                    drop(rule);
                    ScanCallbackResult::Abort
                }
                ScanEvent::RuleMatch(rule) => {
                    matched.push((rule.name, rule.namespace));
                    ScanCallbackResult::Continue
                }
                ScanEvent::StringReachedMatchLimit(string) => {
                    reached.push((string.rule_name, string.rule_namespace));
                    ScanCallbackResult::Continue
                }
                _ => ScanCallbackResult::Continue,
            })
        }));
        // Only a rule that counts or measures its matches may be wrong for lack of some.
        let uncounted = reached.iter().find(|rule| !matched.contains(rule) && self.rules.counts(rule.0));
        let unsearched = match outcome {
            Ok(Ok(())) => uncounted.map(|(rule, _)| Unsearched::TooManyMatches { rule: (*rule).to_owned() }),
            Ok(Err(ScanError::Timeout)) => Some(Unsearched::TimedOut),
            Ok(Err(ScanError::CallbackAbort)) => Some(Unsearched::TooManyRules),
            Ok(Err(_)) | Err(_) => Some(Unsearched::Failed),
        };
        found.extend(
            matched
                .into_iter()
                .map(|(rule, file)| Detected::Malware { rule: rule.to_owned(), file: file.to_owned() }),
        );
        found.extend(unsearched.map(Detected::Unsearched));
    }

    fn name(&mut self, path: &[u8]) {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        let dot = name.iter().rposition(|byte| *byte == b'.');
        let extension = dot.map_or(&b""[..], |dot| &name[dot..]);
        let absolute = [b"/", path].concat();
        for (symbol, value) in NAMES.iter().zip([name, &absolute, extension]) {
            // All are defined when the rules are compiled, as texts.
            let _ = self.scanner.define_symbol(symbol, value);
        }
    }
}

/// What happens on the way that the search must hear of.
fn events() -> CallbackEvents {
    CallbackEvents::RULE_MATCH | CallbackEvents::STRING_REACHED_MATCH_LIMIT
}

#[cfg(test)]
mod tests;
