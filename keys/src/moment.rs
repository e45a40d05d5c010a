//! Seconds since 1970 as people and manifests write them.

const SECONDS_PER_DAY: i64 = 86_400;

/// RFC 3339, UTC, whole seconds. Years outside 0 to 9999 have no such form: then the number itself.
pub(crate) fn rfc3339(seconds: i64) -> String {
    let days = seconds.div_euclid(SECONDS_PER_DAY);
    let second = seconds.rem_euclid(SECONDS_PER_DAY);
    let (year, month, day) = civil(days);
    if !(0..=9999).contains(&year) {
        return format!("{seconds} s after 1970");
    }
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// Year, month and day of a day number, by eras of 400 years that begin on 1 March: leap days come last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// Seconds since 1970 of year, month, day, hour, minute and second in UTC; `None` for what is no date. A leap second
/// counts as the next second, as clocks have it.
pub(crate) fn seconds([year, month, day, hour, minute, second]: [i64; 6]) -> Option<i64> {
    let in_range = (0..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_of_month(year, month)).contains(&day)
        && (0..=23).contains(&hour)
        && (0..=59).contains(&minute)
        && (0..=60).contains(&second);
    in_range.then(|| days(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second)
}

/// Reads RFC 3339 (`2036-11-20T18:46:11.463693674Z`, `…+02:00`); a fraction of a second is dropped.
pub(crate) fn parse_rfc3339(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (head, rest) = bytes.split_at_checked(19)?;
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|&(at, separator)| head[at] != separator) {
        return None;
    }
    let [year, month, day] = [digits(&head[..4])?, digits(&head[5..7])?, digits(&head[8..10])?];
    let [hour, minute, second] = [digits(&head[11..13])?, digits(&head[14..16])?, digits(&head[17..19])?];
    let local = seconds([year, month, day, hour, minute, second])?;
    let zone = match rest.split_first() {
        Some((b'.', fraction)) => {
            let count = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (1..=9).contains(&count).then(|| &fraction[count..])?
        }
        _ => rest,
    };
    match zone {
        b"Z" => Some(local),
        [sign @ (b'+' | b'-'), hours @ .., b':', tens, ones] if hours.len() == 2 => {
            let (hours, minutes) = (digits(hours)?, digits(&[*tens, *ones])?);
            let offset = (hours <= 23 && minutes <= 59).then_some(hours * 3600 + minutes * 60)?;
            Some(if *sign == b'+' { local - offset } else { local + offset })
        }
        _ => None,
    }
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0i64, |sum, byte| {
        byte.is_ascii_digit().then(|| sum.checked_mul(10)?.checked_add(i64::from(byte - b'0')))?
    })
}

fn days_of_month(year: i64, month: i64) -> i64 {
    let next = if month == 12 { days(year + 1, 1, 1) } else { days(year, month + 1, 1) };
    next - days(year, month, 1)
}

/// The reverse of [`civil`], for years that have a spelling.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::{parse_rfc3339, rfc3339};

    #[test]
    fn dates_become_seconds() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T00:00:00Z", Some(951_782_400)),
            ("2026-11-23T18:35:51.463693674Z", Some(1_795_458_951)),
            ("2026-11-23T20:35:51+02:00", Some(1_795_458_951)),
            ("2026-11-23T10:35:51.1-08:00", Some(1_795_458_951)),
            ("2100-03-01T00:00:00Z", Some(4_107_542_400)),
            ("2100-02-29T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-00-01T00:00:00Z", None),
            ("2026-11-31T00:00:00Z", None),
            ("2026-11-23T24:00:00Z", None),
            ("2026-11-23T18:35:51", None),
            ("2026-11-23T18:35:51.Z", None),
            ("2026-11-23 18:35:51Z", None),
            ("2026-11-23T18:35:51+0200", None),
            ("2026-11-23T18:35:51Zx", None),
            ("+026-11-23T18:35:51Z", None),
            ("", None),
        ] {
            assert_eq!(parse_rfc3339(text), expected, "{text}");
        }
    }

    #[test]
    fn seconds_become_dates() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_458_951, "2026-11-23T18:35:51Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (i64::MAX, "9223372036854775807 s after 1970"),
            (i64::MIN, "-9223372036854775808 s after 1970"),
        ] {
            assert_eq!(rfc3339(seconds), expected);
        }
    }
}
