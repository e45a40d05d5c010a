//! Until when a distribution's release gets fixes. After that day its advisories fall silent, and "no finding" says less
//! every week.
//!
//! The dates are those that the distributions publish for everyone; support that is paid for is not counted.

use serde::{Deserialize, Serialize};

use crate::advisory::parse_date;
use crate::package::Distribution;

/// How long a release is looked after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", content = "ends", rename_all = "kebab-case")]
pub enum Support {
    /// Seconds since 1970-01-01 UTC: the begin of the last day with fixes for everyone. Whether that day has passed is
    /// for the caller to say, who has a clock.
    Ends(i64),
    /// No releases: the newest packages are the only ones that get fixes.
    Rolling,
    /// A distribution or a release that is not known here.
    Unknown,
}

/// `ID` and release of `os-release`, and the last day.
const RELEASES: [(&str, &str, &str); 75] = [
    ("almalinux", "8", "2029-03-01"),
    ("almalinux", "9", "2032-05-31"),
    ("almalinux", "10", "2035-05-31"),
    ("alpine", "3.9", "2020-11-01"),
    ("alpine", "3.10", "2021-05-01"),
    ("alpine", "3.11", "2021-11-01"),
    ("alpine", "3.12", "2022-05-01"),
    ("alpine", "3.13", "2022-11-01"),
    ("alpine", "3.14", "2023-05-01"),
    ("alpine", "3.15", "2023-11-01"),
    ("alpine", "3.16", "2024-05-23"),
    ("alpine", "3.17", "2024-11-22"),
    ("alpine", "3.18", "2025-05-09"),
    ("alpine", "3.19", "2025-11-01"),
    ("alpine", "3.20", "2026-04-01"),
    ("alpine", "3.21", "2026-11-01"),
    ("alpine", "3.22", "2027-05-01"),
    ("alpine", "3.23", "2027-11-01"),
    ("amzn", "2018.03", "2023-12-31"),
    ("amzn", "2", "2026-06-30"),
    ("amzn", "2023", "2029-06-30"),
    ("azurelinux", "3.0", "2027-07-31"),
    ("centos", "6", "2020-11-30"),
    ("centos", "7", "2024-06-30"),
    ("centos", "8", "2021-12-31"),
    ("debian", "7", "2018-05-31"),
    ("debian", "8", "2020-06-30"),
    ("debian", "9", "2022-06-30"),
    ("debian", "10", "2024-06-30"),
    ("debian", "11", "2026-08-31"),
    ("debian", "12", "2028-06-30"),
    ("debian", "13", "2030-06-30"),
    ("fedora", "38", "2024-05-21"),
    ("fedora", "39", "2024-11-26"),
    ("fedora", "40", "2025-05-13"),
    ("fedora", "41", "2025-11-19"),
    ("mariner", "2.0", "2025-07-31"),
    ("ol", "6", "2021-03-31"),
    ("ol", "7", "2024-12-31"),
    ("ol", "8", "2029-07-31"),
    ("ol", "9", "2032-06-30"),
    ("opensuse-leap", "15.0", "2019-12-03"),
    ("opensuse-leap", "15.1", "2021-02-02"),
    ("opensuse-leap", "15.2", "2022-01-04"),
    ("opensuse-leap", "15.3", "2022-12-31"),
    ("opensuse-leap", "15.4", "2023-12-07"),
    ("opensuse-leap", "15.5", "2024-12-31"),
    ("opensuse-leap", "15.6", "2026-04-30"),
    ("photon", "1.0", "2022-02-28"),
    ("photon", "2.0", "2022-12-31"),
    ("photon", "3.0", "2024-03-01"),
    ("rhel", "6", "2020-11-30"),
    ("rhel", "7", "2024-06-30"),
    ("rhel", "8", "2029-05-31"),
    ("rhel", "9", "2032-05-31"),
    ("rhel", "10", "2035-05-31"),
    ("rocky", "8", "2029-05-31"),
    ("rocky", "9", "2032-05-31"),
    ("rocky", "10", "2035-05-31"),
    ("sles", "12.5", "2024-10-31"),
    ("sles", "15.3", "2022-12-31"),
    ("sles", "15.4", "2023-12-31"),
    ("sles", "15.5", "2024-12-31"),
    ("sles", "15.6", "2025-12-31"),
    ("sles", "15.7", "2031-07-31"),
    ("ubuntu", "14.04", "2019-04-25"),
    ("ubuntu", "16.04", "2021-04-30"),
    ("ubuntu", "18.04", "2023-05-31"),
    ("ubuntu", "20.04", "2025-05-31"),
    ("ubuntu", "22.04", "2027-04-30"),
    ("ubuntu", "23.10", "2024-07-11"),
    ("ubuntu", "24.04", "2029-04-30"),
    ("ubuntu", "24.10", "2025-07-10"),
    ("ubuntu", "25.04", "2026-01-15"),
    ("ubuntu", "25.10", "2026-07-09"),
];

/// Distributions without releases.
const ROLLING: [&str; 4] = ["arch", "chainguard", "opensuse-tumbleweed", "wolfi"];

/// How long the release that an image names is looked after.
pub fn support(distribution: &Distribution) -> Support {
    let id = distribution.id.as_str();
    let version = distribution.version_id.as_deref().unwrap_or_default();
    let unstable = matches!((id, distribution.codename.as_deref()), ("debian", Some("sid")));
    if ROLLING.contains(&id) || unstable || (id == "alpine" && version.contains("alpha")) {
        return Support::Rolling;
    }
    // Some release by major number, some by two, some tell the point release too.
    let release =
        |parts: usize| version.match_indices('.').nth(parts - 1).map_or(version, |(at, _)| &version[..at]);
    let known = |release: &str| RELEASES.iter().find(|(known, name, _)| *known == id && *name == release);
    let entry = [version, release(2), release(1)].into_iter().find_map(known);
    entry.and_then(|(.., last_day)| parse_date(last_day)).map_or(Support::Unknown, Support::Ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_found_by_their_own_way_of_counting() {
        let ends = |day| Support::Ends(parse_date(day).expect("a day"));
        for (id, version, codename, expected) in [
            ("debian", Some("12"), None, ends("2028-06-30")),
            ("debian", Some("12.5"), None, ends("2028-06-30")),
            ("debian", None, Some("sid"), Support::Rolling),
            ("debian", Some("99"), None, Support::Unknown),
            ("alpine", Some("3.10.2"), None, ends("2021-05-01")),
            ("alpine", Some("3.1"), None, Support::Unknown),
            ("alpine", Some("3.21_alpha20240101"), None, Support::Rolling),
            ("almalinux", Some("9.1"), None, ends("2032-05-31")),
            ("mariner", Some("2.0.20240101"), None, ends("2025-07-31")),
            ("ubuntu", Some("20.04"), None, ends("2025-05-31")),
            ("wolfi", Some("20230201"), None, Support::Rolling),
            ("homemade", Some("1"), None, Support::Unknown),
            ("ubuntu", None, None, Support::Unknown),
        ] {
            let distribution = Distribution {
                id: id.to_owned(),
                version_id: version.map(str::to_owned),
                codename: codename.map(str::to_owned),
                pretty_name: None,
                repositories: Vec::new(),
            };
            assert_eq!(support(&distribution), expected, "{id} {version:?}");
        }
    }

    #[test]
    fn every_day_of_the_table_is_one() {
        for (id, release, last_day) in RELEASES {
            assert!(parse_date(last_day).is_some(), "{id} {release}");
        }
    }
}
