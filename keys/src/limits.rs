//! Bounds on signatures, payloads, bundles and keys.
