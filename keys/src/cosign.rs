//! Where cosign signatures lie, and their two forms; payload and bundle, a file each.
