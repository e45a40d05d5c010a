//! PAX extended headers (POSIX.1-2001 pax(1)), read as Go's `archive/tar` does, but never where readers disagree.

/// What an extended header changes about the entry that follows it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pax {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link_path: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
}

impl Pax {
    /// Reads all records of one header. `Err` says what is malformed or ambiguous.
    pub(crate) fn parse(mut bytes: &[u8]) -> Result<Self, PaxProblem> {
        let mut pax = Self::default();
        while !bytes.is_empty() {
            let (key, value, rest) = record(bytes).ok_or(PaxProblem::Malformed)?;
            bytes = rest;
            pax.apply(key, value)?;
        }
        Ok(pax)
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn apply(&mut self, key: &[u8], value: &[u8]) -> Result<(), PaxProblem> {
        if key.starts_with(b"GNU.sparse.") {
            return Err(PaxProblem::Sparse);
        }
        let names_something = matches!(key, b"path" | b"linkpath" | b"uname" | b"gname");
        let checked = if names_something { value } else { key };
        if checked.contains(&0) {
            return Err(PaxProblem::Malformed);
        }
        // An empty value takes the record back (pax(1)); Go keeps what the plain header says.
        if value.is_empty() {
            return Ok(());
        }
        match key {
            b"path" => set(&mut self.path, value.to_vec()),
            b"linkpath" => set(&mut self.link_path, value.to_vec()),
            b"size" => set(&mut self.size, decimal(value).ok_or(PaxProblem::Malformed)?),
            _ => Ok(()),
        }
    }
}

/// Why an extended header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PaxProblem {
    Malformed,
    /// Two records of one key: some readers take the first, some the last.
    Repeated,
    /// Sparse files: readers disagree on where the data of the file begins.
    Sparse,
}

fn set<T: PartialEq>(slot: &mut Option<T>, value: T) -> Result<(), PaxProblem> {
    match slot.replace(value) {
        None => Ok(()),
        before if before == *slot => Ok(()),
        Some(_) => Err(PaxProblem::Repeated),
    }
}

/// `"%d %s=%s\n"`: the number counts the whole record, itself included.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = memchr::memchr(b' ', bytes.get(..bytes.len().min(20))?)?;
    let length = usize::try_from(decimal(&bytes[..space])?).ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let body = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = memchr::memchr(b'=', body)?;
    if equals == 0 {
        return None;
    }
    Some((&body[..equals], &body[equals + 1..], rest))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_go_reads_them() {
        let path = |path: &[u8]| Ok(Pax { path: Some(path.to_vec()), ..Pax::default() });
        let cases: [(&[u8], Result<Pax, PaxProblem>); 14] = [
            (b"", Ok(Pax::default())),
            (b"10 path=a\n", path(b"a")),
            (b"9 path=\n", Err(PaxProblem::Malformed)),
            (b"8 path=\n", Ok(Pax::default())),
            (b"10 path=a\n10 path=a\n", path(b"a")),
            (b"10 path=a\n10 path=b\n", Err(PaxProblem::Repeated)),
            (b"10 path=a\n5 x\n", Err(PaxProblem::Malformed)),
            (b"11 path=a\0\n", Err(PaxProblem::Malformed)),
            (b"10 path=ab", Err(PaxProblem::Malformed)),
            (b"99 path=a\n", Err(PaxProblem::Malformed)),
            (b"99999999999999999999 path=a\n", Err(PaxProblem::Malformed)),
            (b"+10 path=a\n", Err(PaxProblem::Malformed)),
            (b"24 GNU.sparse.name=abcd\n", Err(PaxProblem::Sparse)),
            (b"12 size=123\n", Ok(Pax { size: Some(123), ..Pax::default() })),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Pax::parse(bytes), expected, "{}", bytes.escape_ascii());
        }
    }
}
