//! The `Extractor` seam and the full list; one file per package database.
