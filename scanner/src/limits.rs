//! Every bound on hostile input, each with the attack that it stops.

use std::time::Duration;

/// Bounds for one layer walk. Memory of a walk is at most about [`Limits::table_bytes_max`] +
/// [`Limits::database_bytes_max`] + [`Limits::extracted_bytes_max`] + the decompressor's window, whatever the size of
/// the layer; where there are YARA rules, and one file that they see whole, 32 MiB at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that one layer may unpack to. Stops a bomb that stays below the ratio. Default 16 GiB: twice the largest
    /// machine-learning layers in use.
    pub uncompressed_bytes_max: u64,
    /// Unpacked bytes for one compressed byte, looked at once [`Limits::ratio_free_bytes`] have come out. Stops bombs
    /// long before the disk or the time is used up: deflate reaches 1030, zstd 30000. Default 200; whole distributions
    /// stay below 10.
    pub ratio_max: u64,
    /// Unpacked bytes for which the ratio is not looked at: real layers hold sparse files (lastlog, empty databases)
    /// that are megabytes of zeros. Default 256 MiB, which costs an attacker's victim a quarter of a second.
    pub ratio_free_bytes: u64,
    /// Entries in one archive. Stops millions of empty files. Default 500 000; layers of whole
    /// development environments have 300 000.
    pub entries_max: u64,
    /// Bytes of one path or link target. Stops names of a megabyte. Default 4096, Linux' `PATH_MAX`: what is longer
    /// cannot be unpacked.
    pub path_bytes_max: usize,
    /// Directories in one path. Stops work that grows with depth times entries. Default 512.
    pub path_depth_max: usize,
    /// Bytes of one PAX header or GNU long name. Stops headers that are held in memory. Default 1 MiB, the limit of
    /// Go's `archive/tar`, so that what engines unpack is read.
    pub meta_bytes_max: u64,
    /// Bytes of the packed entry table. Stops a million names of a kilobyte each. Default 16 MiB, about 40
    /// bytes for each of the allowed entries; names of one directory share what they begin with.
    pub table_bytes_max: usize,
    /// Bytes of one package database that is held in memory to be parsed. A larger one is a broken database, never a
    /// clean one. Default 16 MiB, three times the largest seen.
    pub captured_bytes_max: usize,
    /// Bytes of one rpm database or Java archive: both must be held whole, because what they list stands at places that
    /// only their end or their middle tells. Default 96 MiB: the database of a development environment has 60, Jenkins'
    /// own archive 95.
    pub database_bytes_max: usize,
    /// Bytes of all that extractors and detectors found in one layer. Stops databases made to be many. Default 16 MiB.
    pub extracted_bytes_max: usize,
    /// Secrets and permission findings in one layer. Stops a layer of nothing but keys. Default 100 000.
    pub detections_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            uncompressed_bytes_max: 16 << 30,
            ratio_max: 200,
            ratio_free_bytes: 256 << 20,
            entries_max: 500_000,
            path_bytes_max: 4096,
            path_depth_max: 512,
            meta_bytes_max: 1 << 20,
            table_bytes_max: 16 << 20,
            captured_bytes_max: 16 << 20,
            database_bytes_max: 96 << 20,
            extracted_bytes_max: 16 << 20,
            detections_max: 100_000,
        }
    }
}

/// Log2 of the largest zstd window: 32 MiB. Level 19, the highest without `--ultra`, needs 8 MiB and level 20 needs 32;
/// a frame may ask for 2 GiB, which is the attack.
pub(crate) const ZSTD_WINDOW_LOG_MAX: u32 = 25;

/// Bytes of one gzip header's name or comment, as in Go's `compress/gzip`, which engines use.
pub(crate) const GZIP_STRING_BYTES_MAX: usize = 512;

/// Entries of all layers of one image, which are in memory while they are stacked: about 400 bytes each. Stops images
/// that repeat one large layer.
pub(crate) const IMAGE_ENTRIES_MAX: u64 = 1_000_000;

/// Symbolic links followed for one path, as in Linux (`MAXSYMLINKS`). Stops cycles.
pub(crate) const SYMLINKS_MAX: usize = 40;

/// Bytes of an image configuration that is searched. Stops configurations made to be large; the gateway refuses
/// manifests and configurations above this anyway.
pub(crate) const CONFIG_BYTES_MAX: usize = 8 << 20;

/// Bytes that all packed archives inside one layer may unpack to while they are searched for secrets; what lies behind is
/// not searched. Stops bombs inside a layer, which cost time alone. 4 GiB take ten seconds.
pub(crate) const NESTED_BYTES_MAX: u64 = 4 << 30;

/// Bytes that one of them may unpack to, for the same reason.
pub(crate) const NESTED_FILE_BYTES_MAX: u64 = 1 << 30;

/// Bytes of one member of a zip archive that is searched, which is held in memory.
pub(crate) const NESTED_MEMBER_BYTES_MAX: usize = 16 << 20;

/// Bytes of an SBOM, which is held in memory; those of the largest images have some forty megabytes.
pub(crate) const SBOM_BYTES_MAX: usize = 128 << 20;

/// Packages in one.
pub(crate) const SBOM_PACKAGES_MAX: usize = 200_000;

/// Components inside components. Stops documents made to be deep.
pub(crate) const SBOM_DEPTH_MAX: usize = 32;

/// Bytes of one file that YARA rules see, which are held in memory. Stops files made to be large; of them the begin is
/// searched and the rest told as unsearched. All but a few per thousand of the files of images are smaller.
pub(crate) const YARA_FILE_BYTES_MAX: usize = 32 << 20;

/// How long YARA rules may take for one file. Stops content made to be slow for a rule. Thirty times what a few hundred rules
/// need for the largest file.
pub(crate) const YARA_FILE_TIME_MAX: Duration = Duration::from_secs(10);

/// Files of one layer that may take so long; no further one is searched.
pub(crate) const YARA_TIMEOUTS_MAX: usize = 8;

/// Matches of one string of a rule in one file that are kept: some fifty bytes each.
pub(crate) const YARA_MATCHES_MAX: u32 = 1000;

/// Rules told of one file. Stops rules that match everything.
pub(crate) const YARA_RULES_PER_FILE_MAX: usize = 100;

/// Rules in one set, and one more. The largest public collections have some fifty thousand.
pub(crate) const YARA_RULES_MAX: usize = 200_001;

/// Files that files of rules include, all together, and how deep. Stops rings.
pub(crate) const YARA_INCLUDES_MAX: usize = 10_000;
pub(crate) const YARA_INCLUDES_DEPTH_MAX: usize = 16;
