//! Any bytes as a VEX document: what is taken fits only what it says, and nothing else.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use portcullis::gate::policy::{Pattern, exceptions_of};
use portcullis::gate::vex::parse;

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = parse(bytes) else { return };
    assert!(document.statements.iter().all(|statement| !statement.names.is_empty()));
    assert!(document.statements.iter().enumerate().all(|(place, statement)| statement.order == place));
    assert_eq!(parse(bytes).as_ref().ok(), Some(&document));
    let (images, statements) = ([Pattern::parse("**").expect("a pattern")], document.statements.len());
    for age in [Duration::from_secs(86_400), Duration::MAX] {
        assert_eq!(exceptions_of(document.clone(), "vex.json", &images, age).len(), statements);
    }
});
