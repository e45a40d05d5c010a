//! The single end-to-end test binary: one module per promise.

mod admission_docker;
mod architecture;
mod attacks;
mod check_base;
mod check_explain;
mod check_forms;
mod check_inputs;
mod check_layers;
mod check_vex;
mod clients_attest;
mod clients_cosign;
mod clients_docker;
mod clients_notary;
mod clients_notation;
mod clients_oras_crane;
mod clients_pkcs11;
mod clients_skopeo_podman_buildah;
mod clients_skopeo_sigstore;
mod conformance;
mod crash;
mod diff;
mod memory;
mod offline;
mod pipeline;
mod register;
mod trust_life;
