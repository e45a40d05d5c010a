//! Counts distinct principals; the only such loop.
