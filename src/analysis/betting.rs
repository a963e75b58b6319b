//! The sequential test by value: of a value drawn unit by unit, how much is wrong.
//!
//! In: per draw the taint x in 0..1, the share of the drawn item's value that is wrong. Out: the E-value against a
//! share of X or more,
//!
//! E = sum w_i product [x p_i / X + (1 - x) (1 - p_i) / (1 - X)], p_i = i X / 32, w_i = 33 / (32 (i+1) (i+2)),
//! i = 0 … 31.
//!
//! Draws are independent and with replacement, each unit as likely as any other, so every factor has a mean of at most
//! 1 when the share of wrong value is X or more: the bets of Waudby-Smith and Ramdas (2020, arXiv:2010.09686) with
//! taints of auditing. With taints of 0 and 1 it is also the test of a process that goes on like the frame.
//! Invariant: whole numbers decide. Pure.

use super::eprocess::{POINTS, SHARES, weighted};
use super::evidence::Evidence;
use super::fraction::Fraction;
use super::natural::Natural;
use super::number::{Bounds, Number};

/// The test while draws come in.
#[derive(Debug, Clone)]
pub struct Bets {
    below: Fraction,
    taints: Vec<Fraction>,
    stakes: Stakes<Bounds>,
}

impl Bets {
    /// The test against a share of `below` or more before the first draw; `None` unless 0 < `below` < 1 with a
    /// denominator of 32 bits.
    pub fn new(below: Fraction) -> Option<Self> {
        let is_possible = below.is_share() && below.denominator() <= u64::from(u32::MAX);
        is_possible.then(|| Self { below, taints: Vec::new(), stakes: Stakes::new() })
    }

    /// Counts one more draw; a taint above 1 counts as 1.
    pub fn draw(&mut self, taint: Fraction) {
        let taint = taint.min(Fraction::ONE);
        self.stakes.draw(self.below, taint);
        self.taints.push(taint);
    }

    /// Draws so far.
    pub fn draws(&self) -> usize {
        self.taints.len()
    }

    /// E of the draws so far.
    pub fn evidence(&self) -> Evidence<'_> {
        Evidence::new(self.stakes.value(), move || {
            let mut stakes = Stakes::<Natural>::new();
            self.taints.iter().for_each(|taint| stakes.draw(self.below, *taint));
            stakes.value()
        })
    }
}

/// The products of all factors over a common denominator.
#[derive(Debug, Clone)]
struct Stakes<N> {
    products: Vec<N>,
    denominator: N,
}

impl<N: Number> Stakes<N> {
    fn new() -> Self {
        Self { products: vec![N::one(); POINTS as usize], denominator: N::one() }
    }

    /// With X = p/q and x = a/b a factor is [a i (q-p) + (b-a) (32 q - i p)] / [32 b (q-p)].
    fn draw(&mut self, below: Fraction, taint: Fraction) {
        let [p, q] = [below.numerator(), below.denominator()].map(u128::from);
        let [a, b] = [taint.numerator(), taint.denominator()].map(u128::from);
        for (i, product) in (0..).zip(&mut self.products) {
            product.multiply_wide(a * i * (q - p) + (b - a) * (u128::from(POINTS) * q - i * p));
        }
        self.denominator.multiply_wide(u128::from(POINTS) * b * (q - p));
    }

    fn value(&self) -> [N; 2] {
        let mut sum = weighted(self.products.iter());
        sum.multiply(POINTS + 1);
        let mut scale = self.denominator.clone();
        scale.multiply(POINTS);
        scale.multiply(SHARES);
        [sum, scale]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::testing::{assert_close, cases};

    fn fraction(text: &str) -> Fraction {
        Fraction::parse(text).unwrap()
    }

    fn after(below: &str, taints: impl IntoIterator<Item = Fraction>) -> Bets {
        let mut bets = Bets::new(fraction(below)).unwrap();
        taints.into_iter().for_each(|taint| bets.draw(taint));
        bets
    }

    #[test]
    fn evidence_is_that_of_exact_fractions() {
        let vectors = cases(include_str!("../../tests/fixtures/stats/mus_betting.json"), "cases");
        assert!(vectors.len() >= 7);
        for case in vectors {
            let taints = case["taints"].as_array().unwrap().iter().map(|taint| fraction(taint.as_str().unwrap()));
            let bets = after(case["X"].as_str().unwrap(), taints);
            assert_close(Some(bets.evidence().to_f64()), &case["e"], 1e-12, &case["X"].to_string());
        }
    }

    #[test]
    fn no_draws_show_nothing() {
        assert_eq!(after("1/20", []).evidence().digits(), "1");
        assert!(Bets::new(fraction("0")).is_none() && Bets::new(fraction("1")).is_none());
    }

    #[test]
    fn a_greater_taint_never_helps() {
        let taints = ["0", "0.1", "0.5", "0.9", "1", "7"].map(fraction);
        let clean = vec![fraction("0"); 60];
        let found: Vec<f64> = taints
            .iter()
            .map(|taint| after("1/10", clean.iter().chain([taint]).copied()).evidence().to_f64())
            .collect();
        assert!(found.windows(2).all(|pair| pair[0] >= pair[1]), "{found:?}");
        assert_eq!(found[4], found[5]);
    }

    /// Were the share of wrong value just X, E would have a mean of 1 after any number of draws: here all 2^10
    /// sequences of taints 0 and 3/4 with a mean of 1/4.
    #[test]
    fn the_mean_under_the_claims_opposite_is_one() {
        let mut mean = 0.0;
        for sequence in 0..1_u32 << 10 {
            let taint = |i: u32| fraction(if (sequence >> i) & 1 == 1 { "3/4" } else { "0" });
            let wrong = sequence.count_ones();
            let weight = (1.0_f64 / 3.0).powi(wrong as i32) * (2.0_f64 / 3.0).powi(10 - wrong as i32);
            mean += weight * after("1/4", (0..10).map(taint)).evidence().to_f64();
        }
        assert!((mean - 1.0).abs() < 1e-9, "{mean}");
    }

    #[test]
    fn amounts_of_many_digits_keep_every_digit() {
        let odd = Fraction::new(u64::MAX - 59, u64::MAX - 58).unwrap();
        let rough = after("1/20", vec![odd; 40]);
        let [numerator, denominator] = rough.stakes.value();
        let exact = after("1/20", vec![fraction("1"); 40]).evidence().to_f64();
        assert!((numerator.ratio(&denominator) / exact - 1.0).abs() < 1e-9);
    }
}
