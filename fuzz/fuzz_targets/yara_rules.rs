//! Any text as a file of YARA rules: it compiles, or is refused with a line that the file has.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scanner::yara::{Bounds, RuleSet, RulesError, Source};

fuzz_target!(|text: &str| {
    let source = |name: &str| Source { name: name.to_owned(), text: text.to_owned() };
    match RuleSet::compile(vec![source("a.yar"), source("b/c.yar")], Bounds::default()) {
        Err(RulesError::Rule { line, .. }) => assert!((1..=text.matches('\n').count() + 1).contains(&line)),
        Err(_) => {}
        Ok(rules) => assert!(!rules.is_empty()),
    }
});
