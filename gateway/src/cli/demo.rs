//! `portcullis demo`: the main job, shown in a minute on a server of its own.

pub mod image;
