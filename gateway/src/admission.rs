//! Door three: what engines and clusters ask before they run a container.
