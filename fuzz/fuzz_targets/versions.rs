//! Any two texts as versions of each ecosystem: no panic, and the mirrored question has the mirrored answer.

#![no_main]

use std::cmp::Ordering;

use libfuzzer_sys::fuzz_target;
use scanner::versions::{Scheme, compare};

fuzz_target!(|pair: (&str, &str)| {
    let (a, b) = pair;
    for scheme in [Scheme::Apk, Scheme::Dpkg, Scheme::Pep440, Scheme::Semver] {
        if let Ok(order) = compare(scheme, a, b) {
            assert_eq!(compare(scheme, b, a), Ok(order.reverse()));
            assert_eq!(compare(scheme, a, a), Ok(Ordering::Equal));
        }
    }
});
