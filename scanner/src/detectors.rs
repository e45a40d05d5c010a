//! The `Detector` seam and the full list; one file per kind of finding that is no package.
