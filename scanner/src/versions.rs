//! Ordering of versions, one file per ecosystem.
