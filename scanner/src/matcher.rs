//! Packages × advisories → findings; pure.
