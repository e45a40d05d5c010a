//! The single end-to-end test binary: one module per promise.

mod architecture;
mod crash;
mod memory;
