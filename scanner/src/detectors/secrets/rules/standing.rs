//! What a rule's own pattern demands around its keywords.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

use super::{Rule, Shape};
use crate::detectors::secrets::keywords::{LONG_RUN_BYTES, RUN_BYTES, Standing, is_token};

pub(super) fn of(rule: &Rule) -> Standing {
    // What a match must touch is the keyword; where it need not, nothing is known.
    let (Shape::Token { pattern, .. } | Shape::Pattern { pattern, everywhere: false, .. }) = rule.shape
    else {
        return Standing::Anywhere;
    };
    match run_bytes_min(pattern) {
        Some(bytes) if bytes >= RUN_BYTES && rule.begins_with_keyword() => Standing::BeginsRun,
        Some(bytes) if bytes >= LONG_RUN_BYTES => Standing::InLongRun,
        _ => Standing::Anywhere,
    }
}

/// The least token characters of which a match consists; `None` when others may be in it.
fn run_bytes_min(pattern: &str) -> Option<usize> {
    let parsed = ParserBuilder::new().unicode(false).utf8(false).build().parse(pattern).ok()?;
    if consists_of_token_characters(&parsed) { parsed.properties().minimum_len() } else { None }
}

fn consists_of_token_characters(part: &Hir) -> bool {
    match part.kind() {
        HirKind::Empty | HirKind::Look(_) => true,
        HirKind::Literal(literal) => literal.0.iter().copied().all(is_token),
        HirKind::Class(Class::Bytes(class)) => {
            class.ranges().iter().all(|range| (range.start()..=range.end()).all(is_token))
        }
        HirKind::Class(Class::Unicode(_)) => false,
        HirKind::Repetition(repetition) => consists_of_token_characters(&repetition.sub),
        HirKind::Capture(capture) => consists_of_token_characters(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().all(consists_of_token_characters)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_tells_the_shortest_run_that_it_matches() {
        let cases = [
            ("AKIA[A-Z2-7]{16}", Some(20)),
            (r"[sp]at\.[0-9a-f]{24}(?:-[0-9]{3})?", Some(28)),
            ("(?:EAAA[0-9A-Za-z_-]{60}|sq0atp-[0-9A-Za-z_-]{22})", Some(29)),
            ("(?i)https://[a-z]{2,}(x+)={0,2}", Some(11)),
            // A blank, a quote, any byte but some.
            ("key [0-9a-f]{40}", None),
            (r#"_authToken\s*=\s*"?([0-9a-f]{16})"#, None),
            ("AccountKey=[^;]{86}", None),
            ("key-.{40}", None),
            // No regular expression.
            ("key-[", None),
        ];
        for (pattern, expected) in cases {
            assert_eq!(run_bytes_min(pattern), expected, "{pattern}");
        }
    }
}
