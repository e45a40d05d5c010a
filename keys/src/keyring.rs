//! Generate, import and show keys: cosign-compatible encrypted private keys.
