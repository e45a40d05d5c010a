//! What the end-to-end tests stand on: the real gateway as a process, real clients, a raw HTTP client, and images made
//! in code.

pub mod check_folder;
pub mod clients;
pub mod containerd_engine;
pub mod debian_root;
pub mod docker_engine;
mod engine_start;
pub mod http;
pub mod image_builder;
pub mod inventory;
pub mod language_roots;
pub mod podman_engine;
pub mod test_gateway;
