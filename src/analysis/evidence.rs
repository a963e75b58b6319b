//! A ratio that speaks against a claim's opposite, and whether it is large enough.
//!
//! In: numerator and denominator, as bounds, and how to compute them exactly. Out: whether the ratio is at least one
//! over the allowed error, and its digits. Invariant: both are those of exact arithmetic: bounds answer where they are
//! narrow enough, which is all but always, and whole numbers of any size where not. Pure.

use std::cmp::Ordering;
use std::fmt;

use super::fraction::Fraction;
use super::natural::Natural;
use super::number::{Bounds, Number};

/// Digits that are printed.
const DIGITS: usize = 6;

/// How strongly marks speak for a claim: an E-value, or one over a p-value.
pub struct Evidence<'a>(Kind<'a>);

enum Kind<'a> {
    Certain,
    Ratio { rough: [Bounds; 2], exact: Box<dyn Fn() -> [Natural; 2] + 'a> },
}

impl<'a> Evidence<'a> {
    /// Nothing that the claim excludes is possible any more.
    pub fn certain() -> Self {
        Self(Kind::Certain)
    }

    /// Nothing speaks for the claim.
    pub fn none() -> Self {
        Self::new([Bounds::zero(), Bounds::one()], || [Natural::zero(), Natural::one()])
    }

    /// The ratio of two numbers of which `rough` holds bounds and `exact` the digits; the second is not zero.
    pub(super) fn new(rough: [Bounds; 2], exact: impl Fn() -> [Natural; 2] + 'a) -> Self {
        Self(Kind::Ratio { rough, exact: Box::new(exact) })
    }

    /// Whether the claim is certain.
    pub fn is_certain(&self) -> bool {
        matches!(self.0, Kind::Certain)
    }

    /// Whether the ratio is at least 1 / `alpha`.
    pub fn reaches(&self, alpha: Fraction) -> bool {
        match &self.0 {
            Kind::Certain => true,
            Kind::Ratio { rough, exact } => {
                let is_known = is_at_least(rough, alpha);
                is_known.or_else(|| is_at_least(&exact(), alpha)).unwrap_or(false)
            }
        }
    }

    /// The first six digits, rounded down: `20.4921`, `1.23456e9`, `inf` when certain.
    pub fn digits(&self) -> String {
        match &self.0 {
            Kind::Certain => "inf".to_owned(),
            Kind::Ratio { rough, exact } => {
                let leading = leading(rough).or_else(|| leading(&exact()));
                leading.map_or_else(|| "0".to_owned(), |(digits, power)| written(digits, power))
            }
        }
    }

    /// The nearest float but for some parts in 10^13, for display; infinity when certain.
    pub fn to_f64(&self) -> f64 {
        match &self.0 {
            Kind::Certain => f64::INFINITY,
            Kind::Ratio { rough: [numerator, denominator], .. } => numerator.ratio(denominator),
        }
    }
}

impl fmt::Debug for Evidence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Evidence").field(&self.digits()).finish()
    }
}

/// Whether numerator / denominator >= 1 / alpha, by cross-multiplication; `None` where the bounds do not tell.
fn is_at_least<N: Number>([numerator, denominator]: &[N; 2], alpha: Fraction) -> Option<bool> {
    let (mut left, mut right) = (numerator.clone(), denominator.clone());
    left.multiply(alpha.numerator());
    right.multiply(alpha.denominator());
    Some(left.order(&right)? != Ordering::Less)
}

/// The leading digits of the ratio as a number of six digits, and the power of ten of the first of them; `None` for
/// zero, and where the bounds do not tell.
fn leading<N: Number>([numerator, denominator]: &[N; 2]) -> Option<(u64, i64)> {
    if numerator.order(&N::zero())? == Ordering::Equal {
        return None;
    }
    let (least, past) = (10_u64.pow(DIGITS as u32 - 1), 10_u64.pow(DIGITS as u32));
    // Two bits off at most, which is one place; 30103 / 100000 is the logarithm of 2.
    let mut power = ((numerator.bits() - denominator.bits()) * 30_103).div_euclid(100_000);
    loop {
        let shift = DIGITS as i64 - 1 - power;
        let (mut left, mut right) = (numerator.clone(), denominator.clone());
        left.multiply_power(10, shift.max(0) as u64);
        right.multiply_power(10, (-shift).max(0) as u64);
        if is_below(&left, &right, least)? {
            power -= 1;
        } else if !is_below(&left, &right, past)? {
            power += 1;
        } else {
            let (mut inside, mut outside) = (least, past);
            while outside - inside > 1 {
                let middle = inside + (outside - inside) / 2;
                if is_below(&left, &right, middle)? {
                    outside = middle;
                } else {
                    inside = middle;
                }
            }
            return Some((inside, power));
        }
    }
}

/// Whether left < right * factor.
fn is_below<N: Number>(left: &N, right: &N, factor: u64) -> Option<bool> {
    let mut limit = right.clone();
    limit.multiply(factor);
    Some(left.order(&limit)? == Ordering::Less)
}

/// Six digits, the first of which stands for 10^`power`, without the zeros that say nothing.
fn written(digits: u64, power: i64) -> String {
    let text = digits.to_string();
    let (whole, decimals) = match power {
        0..=5 => (text[..=power as usize].to_owned(), text[power as usize + 1..].to_owned()),
        -4..=-1 => ("0".to_owned(), format!("{}{text}", "0".repeat(-power as usize - 1))),
        _ => (text[..1].to_owned(), text[1..].to_owned()),
    };
    let decimals = decimals.trim_end_matches('0');
    let point = if decimals.is_empty() { "" } else { "." };
    let exponent = if (-4..=5).contains(&power) { String::new() } else { format!("e{power}") };
    format!("{whole}{point}{decimals}{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number<N: Number>(factors: &[u64]) -> N {
        factors.iter().fold(N::one(), |mut number, factor| {
            number.multiply(*factor);
            number
        })
    }

    fn ratio<'a>(numerator: &'a [u64], denominator: &'a [u64]) -> Evidence<'a> {
        Evidence::new([number(numerator), number(denominator)], move || [number(numerator), number(denominator)])
    }

    fn fraction(text: &str) -> Fraction {
        Fraction::parse(text).unwrap()
    }

    #[test]
    fn digits_are_rounded_down() {
        let cases: [(&[u64], &[u64], &str); 13] = [
            (&[1], &[1], "1"),
            (&[20], &[1], "20"),
            (&[2], &[3], "0.666666"),
            (&[1], &[20], "0.05"),
            (&[1_999_999], &[100_000], "19.9999"),
            (&[999_999], &[1], "999999"),
            (&[9_999_999], &[10], "999999"),
            (&[1_234_567_891], &[1], "1.23456e9"),
            (&[1], &[30_000], "3.33333e-5"),
            (&[1], &[3_000], "0.000333333"),
            (&[10_u64.pow(19); 20], &[1], "1e380"),
            (&[1], &[10_u64.pow(19); 20], "1e-380"),
            (&[0], &[7], "0"),
        ];
        for (numerator, denominator, want) in cases {
            assert_eq!(ratio(numerator, denominator).digits(), want);
        }
        assert_eq!((Evidence::certain().digits(), Evidence::none().digits()), ("inf".to_owned(), "0".to_owned()));
    }

    #[test]
    fn equality_is_enough_and_a_hair_below_is_not() {
        assert!(ratio(&[20], &[1]).reaches(fraction("1/20")));
        // 20 and 20 (1 - 1/p), both with denominators that bounds of 64 bits cannot hold.
        let prime = u64::MAX - 58;
        assert!(ratio(&[20, prime, prime], &[prime, prime]).reaches(fraction("1/20")));
        assert!(!ratio(&[20, prime - 1, prime], &[prime, prime]).reaches(fraction("1/20")));
        assert!(ratio(&[20, prime + 1, prime], &[prime, prime]).reaches(fraction("1/20")));
        assert!(Evidence::certain().reaches(fraction("1/1000000")) && !Evidence::none().reaches(fraction("1/2")));
    }

    #[test]
    fn digits_at_an_edge_are_those_of_exact_arithmetic() {
        let prime = u64::MAX - 58;
        assert_eq!(ratio(&[20, prime, prime], &[prime, prime]).digits(), "20");
        assert_eq!(ratio(&[20, prime - 1, prime], &[prime, prime]).digits(), "19.9999");
    }

    #[test]
    fn floats_are_near() {
        assert_eq!((ratio(&[41], &[2]).to_f64(), Evidence::none().to_f64()), (20.5, 0.0));
        assert_eq!(Evidence::certain().to_f64(), f64::INFINITY);
        assert_eq!(ratio(&[10_u64.pow(19); 20], &[1]).to_f64(), f64::MAX);
    }
}
