//! Writes tar archives byte by byte, so that they can be wrong in any way.

use std::io::Write;

pub(crate) const BLOCK: usize = 512;

/// A header whose fields a test may change before it is sealed.
pub(crate) struct Header(pub(crate) [u8; BLOCK]);

impl Header {
    pub(crate) fn new(kind: u8, name: &str, size: u64) -> Self {
        let mut header = Self([0; BLOCK]);
        header.set(0, name.as_bytes());
        header.set(100, b"0000644\0");
        header.set(108, b"0000000\0");
        header.set(116, b"0000000\0");
        header.set(124, format!("{size:011o}\0").as_bytes());
        header.set(136, b"00000000000\0");
        header.set(156, &[kind]);
        header.set(257, b"ustar\x0000");
        header
    }

    pub(crate) fn link(mut self, target: &str) -> Self {
        self.set(157, target.as_bytes());
        self
    }

    pub(crate) fn mode(mut self, mode: u32) -> Self {
        self.set(100, format!("{mode:07o}\0").as_bytes());
        self
    }

    pub(crate) fn set(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// With its checksum.
    pub(crate) fn sealed(mut self) -> [u8; BLOCK] {
        self.set(148, b"        ");
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.set(148, format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

/// An archive that grows.
#[derive(Clone, Default)]
pub(crate) struct Archive(pub(crate) Vec<u8>);

impl Archive {
    pub(crate) fn header(mut self, header: Header) -> Self {
        self.0.extend(header.sealed());
        self
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// Content, padded to whole blocks.
    pub(crate) fn content(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }

    pub(crate) fn file(self, name: &str, content: &[u8]) -> Self {
        self.header(Header::new(b'0', name, content.len() as u64)).content(content)
    }

    pub(crate) fn pax(self, records: &[u8]) -> Self {
        self.header(Header::new(b'x', "pax", records.len() as u64)).content(records)
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 2 * BLOCK]);
        self.0
    }

    /// One entry a line: `d PATH`, `f PATH=CONTENT`, `s PATH=SIZE` (as many bytes), `l PATH->TARGET` (symbolic link),
    /// `h PATH->TARGET` (hard link), `c PATH` (device).
    pub(crate) fn lines(mut self, lines: &[&str]) -> Self {
        for line in lines {
            let (kind, rest) = line.split_at(2);
            let pair = |separator: &str| rest.split_once(separator).expect("two parts");
            self = match kind {
                "d " => self.header(Header::new(b'5', rest, 0).mode(0o755)),
                "f " => self.file(pair("=").0, pair("=").1.as_bytes()),
                "s " => {
                    let size: usize = pair("=").1.parse().expect("a size");
                    self.file(pair("=").0, &vec![b'x'; size])
                }
                "l " => self.header(Header::new(b'2', pair("->").0, 0).link(pair("->").1)),
                "h " => self.header(Header::new(b'1', pair("->").0, 0).link(pair("->").1)),
                "c " => self.header(Header::new(b'3', rest, 0)),
                _ => unreachable!("no such line: {line}"),
            };
        }
        self
    }
}

pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).expect("memory");
    encoder.finish().expect("memory")
}

pub(crate) fn zstd(plain: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(plain, 1).expect("memory")
}
