//! Tells values from placeholders: what looks like a credential by its form but cannot be one.

/// Accepts all: the pattern alone is certain.
pub(super) fn any(_value: &[u8]) -> bool {
    true
}

/// Letters, digits and signs as chance would draw them, and no word that documentation uses.
pub(super) fn random(value: &[u8]) -> bool {
    !is_placeholder(value) && bits_per_byte(value) >= 3.0
}

/// As [`random`], for values whose first half is a prefix with a placeholder's word in it.
pub(super) fn random_second_half(value: &[u8]) -> bool {
    let half = &value[value.len() / 2..];
    !is_placeholder(half) && bits_per_byte(half) >= 2.5
}

/// The value of a setting whose name says credential: neither placeholder nor word.
pub(super) fn chosen_by_chance(value: &[u8]) -> bool {
    password(value) && random(value)
}

/// A password chosen by a person: at least two kinds of characters, and no placeholder.
pub(super) fn password(value: &[u8]) -> bool {
    let kinds: [fn(&u8) -> bool; 3] = [u8::is_ascii_lowercase, u8::is_ascii_uppercase, u8::is_ascii_digit];
    let mixed = kinds.iter().filter(|kind| value.iter().any(kind)).count() >= 2;
    mixed && !is_placeholder(value) && bits_per_byte(value) >= 2.5
}

/// GitHub's and npm's tokens end in the CRC-32 of what stands before, in base 62: six digits. This tells tokens from
/// look-alikes with certainty (GitHub, "Behind GitHub's new authentication token formats", 2021).
pub(super) fn checksummed(value: &[u8]) -> bool {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let Some((body, stated)) = value.split_last_chunk::<6>() else { return false };
    let Some(separator) = memchr::memchr(b'_', body) else { return false };
    let mut crc = flate2::Crc::new();
    crc.update(&body[separator + 1..]);
    let mut rest = usize::try_from(crc.sum()).unwrap_or(usize::MAX);
    let mut computed = [b'0'; 6];
    for digit in computed.iter_mut().rev() {
        *digit = DIGITS[rest % DIGITS.len()];
        rest /= DIGITS.len();
    }
    computed == *stated
}

/// A token of a registry other than npm's own, which has its own rule.
pub(super) fn foreign_registry_token(value: &[u8]) -> bool {
    !value.starts_with(b"npm_") && random(value)
}

fn is_placeholder(value: &[u8]) -> bool {
    const WORDS: [&[u8]; 22] = [
        b"example",
        b"xxxx",
        b"changeme",
        b"change-me",
        b"placeholder",
        b"your",
        b"password",
        b"secret",
        b"12345678",
        b"abcdef",
        b"${",
        b"{{",
        b"$(",
        b"redacted",
        b"dummy",
        b"sample",
        b"foobar",
        b"replace",
        b"notreal",
        b"insert",
        b"%(",
        b"<%",
    ];
    let lower = value.to_ascii_lowercase();
    WORDS.iter().any(|word| memchr::memmem::find(&lower, word).is_some()) || value.starts_with(b"$")
}

/// Shannon's entropy of the bytes: 0 for one repeated byte, about 4 for 20 random letters and digits.
fn bits_per_byte(value: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in value {
        counts[usize::from(*byte)] += 1;
    }
    let length = f64::from(u32::try_from(value.len()).unwrap_or(u32::MAX)).max(1.0);
    let share = |count: &u32| f64::from(*count) / length;
    counts.iter().filter(|count| **count > 0).map(share).map(|share| -share * share.log2()).sum()
}
