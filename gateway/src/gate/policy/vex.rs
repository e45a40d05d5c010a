//! `[[vex]]`: documents of suppliers, whose statements become exceptions with an end.

use std::sync::Arc;
use std::time::Duration;

use super::exception::{Exception, Waives};
use super::pattern::Pattern;
use super::reader::{Mistakes, Section};
use crate::gate::vex::{self, VexDocument};
use crate::gate::words::printable;

/// The exceptions of one document. Only statements of at most `max_age` hold; the day on which one grows too old is its
/// end.
pub fn exceptions(
    document: VexDocument,
    file: &str,
    images: &[Pattern],
    max_age: Duration,
) -> Vec<Exception> {
    let owner = printable(&document.author, 100);
    let age = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
    let exception = |statement: vex::Statement| {
        let last_second = statement.at.saturating_add(age);
        let end = jiff::Timestamp::from_second(last_second).unwrap_or(jiff::Timestamp::MAX);
        Exception {
            reason: statement.reason(file),
            waives: Waives::Statement { document: file.to_owned(), statement: Arc::new(statement) },
            package: None,
            images: images.to_vec(),
            owner: owner.clone(),
            expires: end.to_zoned(jiff::tz::TimeZone::UTC).date(),
            last_second,
        }
    };
    document.statements.into_iter().map(exception).collect()
}

pub(super) fn parse(
    mut section: Section<'_>,
    key_files: &mut super::KeyFiles<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Vec<Exception>> {
    let file = section.require("file", "name the document: `file = \"vex/app.json\"`", mistakes);
    let images = super::patterns(&mut section, mistakes);
    let hint = "every exception ends: `max-age = \"90d\"`, counted from the time of the statement";
    let max_age = section.require("max-age", hint, mistakes).and_then(|entry| entry.duration(mistakes));
    let author = section.take("author").map(|entry| (entry.line(mistakes), entry.place));
    section.finish(mistakes);
    let entry = file?;
    let name = entry.text(mistakes)?;
    let read = key_files.read(name).map_err(|error| error.to_string());
    let document = match read.and_then(|bytes| vex::parse(&bytes).map_err(|error| error.to_string())) {
        Ok(document) => document,
        Err(problem) => {
            let hint = "OpenVEX 0.2.0 and CSAF 2 VEX are read; the path is relative to the policy file";
            mistakes.note(&entry.place, format!("cannot use `{name}`: {problem}"), hint);
            return None;
        }
    };
    if let Some((Some(author), place)) = author
        && author != document.author
    {
        let stated = printable(&document.author, 100);
        mistakes.note(&place, format!("the document is by `{stated}`"), "whose word do you take?");
        return None;
    }
    Some(exceptions(document, name, &images?, max_age?))
}
