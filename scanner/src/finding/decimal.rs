//! A small number with exactly five decimals, so that reports compare and sort exactly.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Hundred-thousandths: EPSS is published with five decimals, CVSS with one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal(u32);

/// The digits behind the point.
const ONE: u32 = 100_000;

impl Decimal {
    /// Of a number from 0 to 10 000, rounded; `None` for any other.
    pub fn new(number: f64) -> Option<Self> {
        if !(0.0..=10_000.0).contains(&number) {
            return None;
        }
        // The range was checked, so that nothing is cut off.
        let scaled = (number * f64::from(ONE)).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 10^9 by the check above"
        )]
        Some(Self(scaled as u32))
    }

    /// Of a text such as `0.94432`.
    pub fn parse(text: &str) -> Option<Self> {
        text.trim().parse().ok().and_then(Self::new)
    }

    /// As written in files.
    pub(crate) fn from_hundred_thousandths(number: u32) -> Self {
        Self(number)
    }

    pub(crate) fn hundred_thousandths(self) -> u32 {
        self.0
    }

    /// As a number.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / f64::from(ONE)
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_f64().fmt(formatter)
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_f64())
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        Self::new(number)
            .ok_or_else(|| serde::de::Error::custom(format!("`{number}` is not between 0 and 10000")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_five_decimals_through_json_and_text() {
        for (text, expected) in [("0.94432", 94_432), ("9.8", 980_000), ("1", 100_000), ("0.000004", 0)] {
            let number = Decimal::parse(text).expect(text);
            assert_eq!(number.hundred_thousandths(), expected, "{text}");
            let json = serde_json::to_string(&number).expect("JSON");
            assert_eq!(serde_json::from_str::<Decimal>(&json).expect("JSON"), number, "{text}");
            assert_eq!(Decimal::parse(&number.to_string()), Some(number), "{text}");
        }
        for text in ["-0.1", "NaN", "inf", "10001", "", "x", "1e9"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
        assert_eq!(Decimal::new(9.8).expect("small").to_string(), "9.8");
    }
}
