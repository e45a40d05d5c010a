//! Words, sizes, shares, spans of time and dates, as a policy file writes them.

use std::time::Duration;

use serde::Serialize;
use toml::de::DeValue;

use super::reader::{Entry, Mistakes};

/// What a check does when it is not met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It refuses.
    Deny,
    /// It is not asked.
    Off,
    /// It is told, and refuses nothing.
    Warn,
}

pub(super) const LEVELS: [(&str, Level); 3] =
    [("deny", Level::Deny), ("warn", Level::Warn), ("off", Level::Off)];

/// What a rule's refusals do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Enforcement {
    /// They refuse.
    Deny,
    /// They are only logged: nobody but the decision log sees them.
    Shadow,
    /// They are told to the client, and refuse nothing.
    Warn,
}

pub(super) const ENFORCEMENTS: [(&str, Enforcement); 3] =
    [("deny", Enforcement::Deny), ("warn", Enforcement::Warn), ("shadow", Enforcement::Shadow)];

/// A limit in bytes, or as a share of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Bytes.
    Bytes(u64),
    /// Hundredths of a per cent: 10 % is 1000.
    BasisPoints(u32),
}

impl Share {
    /// Whether `part` of `whole` bytes is more than this.
    pub fn exceeded_by(self, part: u64, whole: u64) -> bool {
        match self {
            Self::Bytes(limit) => part > limit,
            Self::BasisPoints(limit) => u128::from(part) * 10_000 > u128::from(whole) * u128::from(limit),
        }
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => formatter.write_str(&format_bytes(*bytes)),
            Self::BasisPoints(points) if points % 100 == 0 => write!(formatter, "{}%", points / 100),
            Self::BasisPoints(points) => write!(formatter, "{}.{:02}%", points / 100, points % 100),
        }
    }
}

impl Serialize for Share {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// `512 MiB`, `1.4 GiB`, `17 B`: one decimal where it is not whole.
pub fn format_bytes(bytes: u64) -> String {
    for (unit, size) in &UNITS[..4] {
        if bytes >= *size {
            let tenths = u128::from(bytes) * 10 / u128::from(*size);
            let rounded = if tenths % 10 == 0 {
                format!("{}", tenths / 10)
            } else {
                format!("{}.{}", tenths / 10, tenths % 10)
            };
            return format!("{rounded} {unit}");
        }
    }
    format!("{bytes} B")
}

fn parse_bytes(text: &str) -> Option<u64> {
    let (unit, size) = UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
    let number = text.strip_suffix(unit)?.trim_end();
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(*size)
}

fn parse_basis_points(text: &str) -> Option<u32> {
    let number = text.strip_suffix('%')?.trim_end();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 2 {
        return None;
    }
    let hundredths = format!("{fraction:0<2}").parse::<u32>().ok()?;
    let points = whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(hundredths)?;
    (points <= 10_000).then_some(points)
}

impl Entry<'_> {
    pub(super) fn level(&self, mistakes: &mut Mistakes<'_>) -> Option<Level> {
        self.word(&LEVELS, mistakes)
    }

    pub(super) fn bytes(&self, mistakes: &mut Mistakes<'_>) -> Option<u64> {
        let text = self.text(mistakes)?;
        let bytes = parse_bytes(text);
        if bytes.is_none() {
            mistakes.note(
                &self.place,
                format!("`{text}` is no size"),
                "write a whole number and a unit: `500MiB`, `2GB`",
            );
        }
        bytes
    }

    pub(super) fn share(&self, mistakes: &mut Mistakes<'_>) -> Option<Share> {
        let text = self.text(mistakes)?;
        let share =
            parse_basis_points(text).map(Share::BasisPoints).or_else(|| parse_bytes(text).map(Share::Bytes));
        if share.is_none() {
            mistakes.note(
                &self.place,
                format!("`{text}` is no share"),
                "write `10%` (0% to 100%) or a size: `50MiB`",
            );
        }
        share
    }

    pub(super) fn duration(&self, mistakes: &mut Mistakes<'_>) -> Option<Duration> {
        let text = self.text(mistakes)?;
        match humantime::parse_duration(text) {
            Ok(duration) if !duration.is_zero() && duration <= DURATION_MAX => Some(duration),
            _ => {
                let problem = format!("`{text}` is no span of time");
                mistakes.note(
                    &self.place,
                    problem,
                    "write `36h` or `7d`; more than nothing, ten years at most",
                );
                None
            }
        }
    }

    /// A day (`2027-01-31`).
    pub(super) fn day(&self, mistakes: &mut Mistakes<'_>) -> Option<jiff::civil::Date> {
        let day = match self.value {
            DeValue::Datetime(datetime) if datetime.time.is_none() => datetime.date.and_then(civil_date),
            _ => None,
        };
        if day.is_none() {
            mistakes.note(&self.place, "is no day", "write it without quotes: 2027-01-31");
        }
        day
    }

    /// A moment: a day, or a date and time with its offset, in seconds since 1970-01-01 UTC. A day means its first
    /// second, or its last where `whole_day` says that the day itself still counts.
    pub(super) fn moment(&self, whole_day: WholeDay, mistakes: &mut Mistakes<'_>) -> Option<i64> {
        let DeValue::Datetime(datetime) = self.value else {
            self.wrong_type("a date without quotes, such as 2027-01-31 or 2027-01-31T12:00:00Z", mistakes);
            return None;
        };
        if datetime.time.is_none() {
            let day = self.day(mistakes)?;
            return Some(match whole_day {
                WholeDay::FromStart => first_second(day),
                WholeDay::ToEnd => last_second(day),
            });
        }
        let moment = datetime.to_string().parse::<jiff::Timestamp>().ok();
        if moment.is_none() {
            mistakes.note(
                &self.place,
                format!("`{datetime}` is no moment"),
                "add the offset: 2027-01-31T12:00:00Z",
            );
        }
        moment.map(jiff::Timestamp::as_second)
    }
}

/// What a bare day means as a bound.
#[derive(Clone, Copy)]
pub(super) enum WholeDay {
    FromStart,
    ToEnd,
}

/// Ten years: longer ages are typing mistakes, and sums with them must not overflow.
const DURATION_MAX: Duration = Duration::from_secs(10 * 366 * 86_400);

fn civil_date(date: toml::value::Date) -> Option<jiff::civil::Date> {
    let year = i16::try_from(date.year).ok()?;
    let month = i8::try_from(date.month).ok()?;
    let day = i8::try_from(date.day).ok()?;
    jiff::civil::Date::new(year, month, day).ok()
}

fn first_second(day: jiff::civil::Date) -> i64 {
    let midnight = day.to_datetime(jiff::civil::Time::midnight());
    // A year of four digits always lies inside the range of timestamps but for the very last day of 9999.
    jiff::tz::Offset::UTC.to_timestamp(midnight).map_or(i64::MAX, jiff::Timestamp::as_second)
}

/// The last second of a day, UTC: what "until" means to people.
pub(super) fn last_second(day: jiff::civil::Date) -> i64 {
    first_second(day).saturating_add(86_399)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_shares_are_read_exactly_or_not_at_all() {
        let bytes = [
            ("500MiB", Some(500 << 20)),
            ("2 GB", Some(2_000_000_000)),
            ("0B", Some(0)),
            ("17", None),
            ("1.5GiB", None),
            ("-1B", None),
            ("MiB", None),
            ("99999999999999TiB", None),
            ("500mib", None),
        ];
        for (text, expected) in bytes {
            assert_eq!(parse_bytes(text), expected, "{text}");
        }
        let shares = [
            ("10%", Some(1000)),
            ("2.5%", Some(250)),
            ("0%", Some(0)),
            ("100%", Some(10_000)),
            ("101%", None),
            ("1.234%", None),
            ("%", None),
            ("-1%", None),
            ("10", None),
        ];
        for (text, expected) in shares {
            assert_eq!(parse_basis_points(text), expected, "{text}");
        }
    }

    #[test]
    fn a_share_is_exceeded_only_past_its_limit() {
        assert!(!Share::BasisPoints(1000).exceeded_by(10, 100));
        assert!(Share::BasisPoints(1000).exceeded_by(11, 100));
        assert!(!Share::BasisPoints(0).exceeded_by(0, 0));
        assert!(!Share::BasisPoints(10_000).exceeded_by(u64::MAX, u64::MAX));
        assert!(Share::Bytes(5).exceeded_by(6, 0));
    }

    #[test]
    fn bytes_print_for_people() {
        let cases =
            [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (500 << 20, "500 MiB")];
        for (bytes, expected) in cases {
            assert_eq!(format_bytes(bytes), expected);
        }
    }

    #[test]
    fn a_day_ends_at_its_last_second() {
        let day = jiff::civil::Date::new(2027, 1, 31).unwrap();
        assert_eq!(first_second(day), 1_801_353_600);
        assert_eq!(last_second(day), 1_801_439_999);
    }
}
