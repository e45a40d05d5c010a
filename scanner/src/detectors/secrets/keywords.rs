//! Finds hundreds of short literals in one read: those of tokens only where enough of a token's characters stand together,
//! all others by a vector search.

use std::ops::Range;

mod literals;
mod runs;
mod table;

use literals::Literals;
pub(super) use runs::{LONG_RUN_BYTES, RUN_BYTES, is_token};
use table::Table;

/// What must stand around a keyword, or else its rule finds nothing there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing is known.
    Anywhere,
    /// It begins at least [`RUN_BYTES`] token characters, its own among them, and is not the middle of a word.
    BeginsRun,
    /// It begins in at least [`LONG_RUN_BYTES`] token characters, or beside them.
    InLongRun,
}

/// The literals, prepared.
pub(super) struct Keywords {
    anywhere: Literals,
    begin_runs: Table,
    in_long_runs: Literals,
}

impl Keywords {
    /// Keywords have at least three bytes.
    pub(super) fn new(keywords: &[(Vec<u8>, Standing)]) -> Self {
        let of = |wanted: Standing| {
            let numbered = keywords.iter().enumerate().filter(move |(_, (_, standing))| *standing == wanted);
            numbered.map(|(number, (word, _))| (number, word.clone())).collect::<Vec<_>>()
        };
        Self {
            anywhere: Literals::new(of(Standing::Anywhere)),
            begin_runs: Table::new(of(Standing::BeginsRun)),
            in_long_runs: Literals::new(of(Standing::InLongRun)),
        }
    }

    /// Hands `visit` each keyword that begins in `fresh` and stands as it must, and where; each place once. Some that do
    /// not stand so are among them.
    pub(super) fn find(&self, bytes: &[u8], fresh: Range<usize>, mut visit: impl FnMut(usize, usize)) {
        self.anywhere.find(bytes, &fresh, &mut visit);
        runs::search(bytes, &fresh, |standing, places| {
            let places = places.start.max(fresh.start)..places.end.min(fresh.end);
            match standing {
                Standing::Anywhere => {}
                Standing::BeginsRun => self.begin_runs.look(bytes, places, &mut visit),
                Standing::InLongRun => self.in_long_runs.find(bytes, &places, &mut visit),
            }
        });
    }
}

#[cfg(test)]
mod tests;
