//! Why a layer is refused: one variant for each malformation and each limit.

use thiserror::Error;

/// A reason to refuse a layer. What engines cannot unpack and what readers of tar read differently are both refused:
/// a scanner that guesses can be made to see other files than the engine.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The gzip stream is malformed.
    #[error("broken gzip stream: {0}")]
    BrokenGzip(&'static str),
    /// The zstd stream is malformed, or needs a larger window than allowed.
    #[error("broken zstd stream: {0}")]
    BrokenZstd(String),
    /// The archive's structure is malformed.
    #[error("broken tar archive at byte {offset}: {problem}")]
    BrokenTar {
        /// Position in the unpacked archive.
        offset: u64,
        /// What is wrong there.
        problem: &'static str,
    },
    /// Readers disagree on what this archive holds.
    #[error("ambiguous tar archive at byte {offset}: {problem}")]
    AmbiguousTar {
        /// Position in the unpacked archive.
        offset: u64,
        /// On what they disagree.
        problem: &'static str,
    },
    /// Bytes after the end of the compressed stream or of the archive.
    #[error("`{0}` bytes follow the end of the archive")]
    TrailingBytes(&'static str),
    /// The bytes end too early.
    #[error("the layer is cut short: {0}")]
    Truncated(&'static str),
    /// See [`crate::limits::Limits::uncompressed_bytes_max`].
    #[error("unpacks to more than {max} bytes")]
    TooLarge {
        /// The limit.
        max: u64,
    },
    /// See [`crate::limits::Limits::ratio_max`].
    #[error("compression bomb: {unpacked} bytes from {packed} bytes, more than {max} for one")]
    Bomb {
        /// Bytes that came out.
        unpacked: u64,
        /// Bytes that went in.
        packed: u64,
        /// The limit.
        max: u64,
    },
    /// See [`crate::limits::Limits::entries_max`].
    #[error("more than {max} entries")]
    TooManyEntries {
        /// The limit.
        max: u64,
    },
    /// See [`crate::limits::Limits::table_bytes_max`].
    #[error("the names of the entries need more than {max} bytes")]
    TableTooLarge {
        /// The limit.
        max: usize,
    },
    /// See [`crate::limits::Limits::extracted_bytes_max`].
    #[error("the packages listed need more than {max} bytes")]
    TooMuchExtracted {
        /// The limit.
        max: usize,
    },
    /// See [`crate::limits::Limits::detections_max`].
    #[error("more than {max} secrets, doubtful permissions and matches of rules")]
    TooManyDetections {
        /// The limit.
        max: usize,
    },
    /// See [`crate::limits::Limits::path_bytes_max`].
    #[error("a path of {bytes} bytes, more than {max}")]
    PathTooLong {
        /// Length found.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// See [`crate::limits::Limits::path_depth_max`].
    #[error("a path of {depth} directories, more than {max}")]
    PathTooDeep {
        /// Depth found.
        depth: usize,
        /// The limit.
        max: usize,
    },
    /// See [`crate::limits::Limits::meta_bytes_max`].
    #[error("an extended header of {bytes} bytes, more than {max}")]
    MetaTooLarge {
        /// Size found.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// A path or hard link that leaves the root: some engines refuse it, others clamp it.
    #[error("`{path}` leaves the root of the image")]
    PathEscapes {
        /// The name, made printable.
        path: String,
    },
    /// A whiteout of nothing, of its own directory, or of the parent.
    #[error("`{path}` is a whiteout without a name")]
    NamelessWhiteout {
        /// The name, made printable.
        path: String,
    },
}
