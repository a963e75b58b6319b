//! Shares and probabilities as people state them: fractions of two whole numbers.
//!
//! In: text such as `1/20` or `0.05`. Out: exact fractions in lowest terms, and products with counts. Invariant: no
//! float is made on the way to a decision. Pure.

use std::cmp::Ordering;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A fraction in lowest terms; as text, and in JSON, `1/20`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fraction {
    numerator: u64,
    denominator: u64,
}

impl Fraction {
    /// Nothing.
    pub const ZERO: Self = Self { numerator: 0, denominator: 1 };
    /// All.
    pub const ONE: Self = Self { numerator: 1, denominator: 1 };

    /// `numerator` / `denominator`; `None` when the denominator is 0.
    pub fn new(numerator: u64, denominator: u64) -> Option<Self> {
        if denominator == 0 {
            return None;
        }
        let divisor = common_divisor(numerator, denominator);
        Some(Self { numerator: numerator / divisor, denominator: denominator / divisor })
    }

    /// Reads `1/20`, or a decimal number such as `0.05`; `None` for anything else, a sign included.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some((numerator, denominator)) = text.split_once('/') {
            return Self::new(digits(numerator)?, digits(denominator)?);
        }
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let places = u32::try_from(decimals.len()).ok()?;
        let denominator = 10_u64.checked_pow(places)?;
        let numerator = digits(whole)?.checked_mul(denominator)?.checked_add(digits(decimals)?)?;
        Self::new(numerator, denominator)
    }

    /// What stands above the line.
    pub fn numerator(self) -> u64 {
        self.numerator
    }

    /// What stands below the line; never 0.
    pub fn denominator(self) -> u64 {
        self.denominator
    }

    /// Whether it lies strictly between 0 and 1.
    pub fn is_share(self) -> bool {
        0 < self.numerator && self.numerator < self.denominator
    }

    /// So much of `count`, rounded up; the largest number where that is larger still.
    pub fn of(self, count: u64) -> u64 {
        let product = u128::from(self.numerator) * u128::from(count);
        u64::try_from(product.div_ceil(u128::from(self.denominator))).unwrap_or(u64::MAX)
    }

    /// Itself divided by `divisor`; `None` when that is 0 or the result needs more than 64 bits.
    pub fn divided_by(self, divisor: u64) -> Option<Self> {
        let shared = common_divisor(self.numerator, divisor.max(1));
        Self::new(self.numerator / shared, self.denominator.checked_mul(divisor / shared)?)
    }

    /// The nearest float or its neighbour, for display.
    pub fn to_f64(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }
}

impl Ord for Fraction {
    fn cmp(&self, other: &Self) -> Ordering {
        let crossed = |a: &Self, b: &Self| u128::from(a.numerator) * u128::from(b.denominator);
        crossed(self, other).cmp(&crossed(other, self))
    }
}

impl PartialOrd for Fraction {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.numerator, self.denominator)
    }
}

impl Serialize for Fraction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fraction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("a fraction is not written as p/q or as a decimal number"))
    }
}

/// The number that `text` writes in digits alone.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The greatest common divisor of two numbers of which one is not 0.
fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fraction(text: &str) -> Fraction {
        Fraction::parse(text).unwrap_or_else(|| panic!("{text} is no fraction"))
    }

    #[test]
    fn a_fraction_and_its_decimal_are_the_same() {
        assert_eq!(fraction("0.05"), fraction("1/20"));
        assert_eq!(fraction("10/200").to_string(), "1/20");
        assert_eq!((fraction("0").to_string(), fraction("3").to_string()), ("0/1".to_owned(), "3/1".to_owned()));
    }

    #[test]
    fn what_is_no_fraction_is_refused() {
        for text in ["", "/", "1/", "/2", "1/0", "-1/2", "+1/2", "1/2/3", ".5.", "a", "1e-3", "0x1", " 1/2", "½"] {
            assert_eq!(Fraction::parse(text), None, "{text:?}");
        }
        assert_eq!(Fraction::parse("0.00000000000000000001"), None);
        assert_eq!(Fraction::parse("99999999999999999999/3"), None);
    }

    #[test]
    fn a_part_of_a_count_is_rounded_up() {
        assert_eq!((fraction("1/20").of(200), fraction("1/20").of(201), fraction("1/20").of(1)), (10, 11, 1));
        assert_eq!((fraction("0/1").of(7), fraction("1/3").of(u64::MAX)), (0, u64::MAX / 3));
        assert_eq!(fraction("3/1").of(u64::MAX), u64::MAX);
    }

    #[test]
    fn divisions_are_exact_or_refused() {
        assert_eq!(fraction("1/20").divided_by(6), Some(fraction("1/120")));
        assert_eq!(fraction("4/5").divided_by(6), Some(fraction("2/15")));
        assert_eq!(fraction("1/2").divided_by(0).or(fraction("1/3").divided_by(u64::MAX)), None);
    }

    #[test]
    fn order_is_that_of_the_numbers() {
        assert!(fraction("1/3") < fraction("0.34") && fraction("2/3") > fraction("665/999"));
        assert!(fraction("19/20").is_share() && !fraction("1").is_share() && !fraction("0/5").is_share());
    }

    #[test]
    fn json_holds_the_text() {
        assert_eq!(serde_json::to_string(&fraction("2/40")).unwrap(), "\"1/20\"");
        assert_eq!(serde_json::from_str::<Fraction>("\"0.25\"").unwrap(), fraction("1/4"));
        assert!(serde_json::from_str::<Fraction>("0.25").is_err());
    }
}
