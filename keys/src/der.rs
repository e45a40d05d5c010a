//! A strict reader for the few DER structures that hold keys and certificates (ITU-T X.690 § 10: one encoding per
//! value).

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// The tag of a context-specific element that holds others, `[number]`.
pub(crate) const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// The tag of a context-specific element that holds a value itself, `[number] IMPLICIT`.
pub(crate) const fn context_value(number: u8) -> u8 {
    0x80 | number
}

/// Object identifiers of key algorithms and curves, encoded.
pub(crate) mod oid {
    pub(crate) const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]; // 1.2.840.10045.2.1
    pub(crate) const ED25519: &[u8] = &[0x2b, 0x65, 0x70]; // 1.3.101.112
    pub(crate) const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01]; // 1.2.840.113549.1.1.1
    pub(crate) const SECP256R1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]; // 1.2.840.10045.3.1.7
    pub(crate) const SECP384R1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22]; // 1.3.132.0.34
    pub(crate) const SECP521R1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23]; // 1.3.132.0.35
}

/// The bytes not read yet.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The content of the next element if it has this tag.
    pub(crate) fn element(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&seen, rest) = self.rest.split_first()?;
        let (&first, rest) = rest.split_first()?;
        if seen != tag {
            return None;
        }
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = bytes
                    .iter()
                    .try_fold(0usize, |sum, &byte| sum.checked_mul(256)?.checked_add(usize::from(byte)))?;
                // Shortest form only: the same key in two encodings would have two key ids.
                if bytes[0] == 0 || length < 0x80 {
                    return None;
                }
                (length, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(content)
    }

    /// The next element whole, tag and length included, if it has this tag.
    pub(crate) fn whole(&mut self, tag: u8) -> Option<&'a [u8]> {
        let start = self.rest;
        self.element(tag)?;
        start.get(..start.len().checked_sub(self.rest.len())?)
    }

    /// The tag of the next element.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Like [`Self::element`] for an element that holds others.
    pub(crate) fn nested(&mut self, tag: u8) -> Option<Reader<'a>> {
        self.element(tag).map(Reader::new)
    }

    /// Tag and content of the next element, whatever it is; none of our formats has tags of several bytes.
    pub(crate) fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let tag = self.peek().filter(|tag| tag & 0x1f != 0x1f)?;
        Some((tag, self.element(tag)?))
    }

    /// Like [`Self::element`] for an OPTIONAL element: `Some(None)` when the next one has another tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Option<Option<&'a [u8]>> {
        if self.peek() == Some(tag) { self.element(tag).map(Some) } else { Some(None) }
    }

    /// A BOOLEAN that is DEFAULT FALSE: DER leaves the default out and writes true as `ff`.
    pub(crate) fn default_false(&mut self) -> Option<bool> {
        match self.optional(BOOLEAN)? {
            None => Some(false),
            Some([0xff]) => Some(true),
            Some(_) => None,
        }
    }

    /// A non-negative INTEGER without its sign byte.
    pub(crate) fn unsigned(&mut self) -> Option<&'a [u8]> {
        let content = self.element(INTEGER)?;
        match content {
            [0] => Some(content),
            // The sign byte stands only where the magnitude begins with a set bit.
            [0, magnitude @ ..] => (magnitude[0] >= 0x80).then_some(magnitude),
            [first, ..] => (*first < 0x80).then_some(content),
            [] => None,
        }
    }

    /// A BIT STRING of whole bytes.
    pub(crate) fn bits(&mut self) -> Option<&'a [u8]> {
        match self.element(BIT_STRING)? {
            [0, bytes @ ..] => Some(bytes),
            _ => None,
        }
    }

    /// `Some` when nothing is left.
    pub(crate) fn end(self) -> Option<()> {
        self.rest.is_empty().then_some(())
    }

    pub(crate) fn is_empty(self) -> bool {
        self.rest.is_empty()
    }
}

/// The SubjectPublicKeyInfo around an RSAPublicKey (RFC 3279 § 2.3.1). `None` for what is not one.
pub(crate) fn wrap_rsa(key: &[u8]) -> Option<Vec<u8>> {
    let mut outer = Reader::new(key);
    let mut numbers = outer.nested(SEQUENCE)?;
    outer.end()?;
    numbers.unsigned()?;
    numbers.unsigned()?;
    numbers.end()?;
    let algorithm = [encode(OBJECT_IDENTIFIER, oid::RSA), encode(NULL, &[])].concat();
    let bits = encode(BIT_STRING, &[&[0], key].concat());
    Some(encode(SEQUENCE, &[encode(SEQUENCE, &algorithm), bits].concat()))
}

/// Length of the modulus of an RSAPublicKey (RFC 8017 § A.1.1).
pub(crate) fn rsa_modulus_bits(key: &[u8]) -> Option<usize> {
    let mut outer = Reader::new(key);
    let mut numbers = outer.nested(SEQUENCE)?;
    outer.end()?;
    let modulus = numbers.unsigned()?;
    numbers.unsigned()?;
    numbers.end()?;
    let leading_zeros = usize::try_from(modulus.first()?.leading_zeros()).ok()?;
    modulus.len().checked_mul(8)?.checked_sub(leading_zeros)
}

/// A number without sign, big-endian, as an INTEGER in the shortest form.
pub(crate) fn unsigned(number: &[u8]) -> Vec<u8> {
    let start = number.iter().position(|&byte| byte != 0).unwrap_or(number.len());
    let digits = &number[start..];
    let sign: &[u8] = if digits.first().is_none_or(|&first| first >= 0x80) { &[0] } else { &[] };
    encode(INTEGER, &[sign, digits].concat())
}

/// One element in the shortest form.
pub(crate) fn encode(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = length.iter().position(|&byte| byte != 0).map_or(&[][..], |start| &length[start..]);
    let header = match significant {
        [] => vec![tag, 0],
        [short] if *short < 0x80 => vec![tag, *short],
        long => [&[tag, 0x80 | u8::try_from(long.len()).unwrap_or(8)], long].concat(),
    };
    [header.as_slice(), content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).expect("short").to_be_bytes();
        let skip = length.iter().take_while(|&&byte| byte == 0).count();
        let count = 0x80 | u8::try_from(4 - skip).expect("short");
        [&[OCTET_STRING, count], &length[skip..], content].concat()
    }

    #[test]
    fn one_encoding_per_value() {
        let ok = |bytes: &[u8]| Reader::new(bytes).element(OCTET_STRING).is_some();
        assert!(ok(&[4, 1, 9]));
        assert!(ok(&octets(&[7; 200])));
        assert!(ok(&octets(&[7; 70_000])));
        let long_form_for_short: &[u8] = &[4, 0x81, 1, 9];
        let indefinite: &[u8] = &[4, 0x80, 9, 0, 0];
        let truncated: &[u8] = &[4, 2, 9];
        let huge: &[u8] = &[4, 0x84, 0xff, 0xff, 0xff, 0xff, 9];
        let padded = [&[4, 0x82, 0, 200], [7u8; 200].as_slice()].concat();
        for wrong in [long_form_for_short, indefinite, truncated, huge, &padded, &[], &[4]] {
            assert!(!ok(wrong), "{wrong:?}");
        }
        let unsigned = |bytes: &[u8]| Reader::new(bytes).unsigned().map(<[u8]>::to_vec);
        assert_eq!(unsigned(&[2, 1, 0]), Some(vec![0]));
        assert_eq!(unsigned(&[2, 2, 0, 0x80]), Some(vec![0x80]));
        for wrong in [&[2u8, 0][..], &[2, 1, 0x80], &[2, 2, 0, 1], &[2, 3, 0, 0, 0x80]] {
            assert_eq!(unsigned(wrong), None, "{wrong:?}");
        }
    }
}
