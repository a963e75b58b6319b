//! Whole numbers of any size, roughly and exactly, by the same words.
//!
//! In: factors and divisors. Out: products, sums and their order. [`Bounds`] hold a number between two of 64 bits
//! times a power of two, rounded outwards in whole numbers, so that an order which they tell is the right one on every
//! machine; where they cannot tell, [`Natural`] can. Invariant: low <= the number <= high. Pure.

use std::cmp::Ordering;

use super::natural::Natural;

/// A number that is not negative.
pub trait Number: Clone {
    /// The number zero.
    fn zero() -> Self;

    /// The number one.
    fn one() -> Self;

    /// Becomes itself times `factor`.
    fn multiply(&mut self, factor: u64);

    /// Becomes itself divided by `divisor`, which is not zero and leaves no rest.
    fn divide(&mut self, divisor: u64);

    /// Becomes itself plus `other`.
    fn add(&mut self, other: &Self);

    /// Itself times `other`.
    fn times(&self, other: &Self) -> Self;

    /// How it compares with `other`; `None` where it is not known well enough.
    fn order(&self, other: &Self) -> Option<Ordering>;

    /// Its digits in base 2, but for one or two; 0 of zero.
    fn bits(&self) -> i64;

    /// Becomes itself times `first` (`first` - 1) …, `count` factors; zero when they reach zero.
    fn multiply_falling(&mut self, first: u64, count: u64) {
        if count > first {
            *self = Self::zero();
            return;
        }
        let mut packed = 1_u64;
        for factor in first - count + 1..=first {
            pack(self, &mut packed, factor);
        }
        self.multiply(packed);
    }

    /// Becomes itself times `base` to the power of `exponent`.
    fn multiply_power(&mut self, base: u64, exponent: u64) {
        let mut packed = 1_u64;
        for _ in 0..exponent {
            pack(self, &mut packed, base);
        }
        self.multiply(packed);
    }

    /// Becomes itself times a factor of up to 128 bits.
    fn multiply_wide(&mut self, factor: u128) {
        let upper = (factor >> 64) as u64;
        let mut rest = self.clone();
        self.multiply(factor as u64);
        if upper > 0 {
            rest.multiply(upper);
            rest.multiply(1 << 32);
            rest.multiply(1 << 32);
            self.add(&rest);
        }
    }
}

/// Collects small factors in `packed`: one multiplication by 64 bits costs as much as one by two.
fn pack<N: Number>(number: &mut N, packed: &mut u64, factor: u64) {
    match packed.checked_mul(factor) {
        Some(product) => *packed = product,
        None => {
            number.multiply(*packed);
            *packed = factor;
        }
    }
}

impl Number for Natural {
    fn zero() -> Self {
        Natural::zero()
    }

    fn one() -> Self {
        Natural::one()
    }

    fn multiply(&mut self, factor: u64) {
        Natural::multiply(self, factor);
    }

    fn divide(&mut self, divisor: u64) {
        Natural::divide(self, divisor);
    }

    fn add(&mut self, other: &Self) {
        Natural::add(self, other);
    }

    fn times(&self, other: &Self) -> Self {
        Natural::times(self, other)
    }

    fn order(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }

    fn bits(&self) -> i64 {
        Natural::bits(self) as i64
    }
}

/// A number of which two bounds are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    low: Scaled,
    high: Scaled,
}

impl Bounds {
    /// Its ratio to `other` as a float, both by their lower bounds; the largest float where it is larger still.
    pub fn ratio(&self, other: &Self) -> f64 {
        let exponent = (self.low.exponent - other.low.exponent).clamp(-2_000, 2_000) as i32;
        let digits = self.low.digits as f64 / other.low.digits as f64;
        (digits * 2_f64.powi(exponent)).min(f64::MAX)
    }
}

impl Number for Bounds {
    fn zero() -> Self {
        Self { low: Scaled::ZERO, high: Scaled::ZERO }
    }

    fn one() -> Self {
        let one = Scaled::new(1, 0, Round::Down);
        Self { low: one, high: one }
    }

    fn multiply(&mut self, factor: u64) {
        let factor = Scaled::new(u128::from(factor), 0, Round::Down);
        self.low = self.low.times(factor, Round::Down);
        self.high = self.high.times(factor, Round::Up);
    }

    fn divide(&mut self, divisor: u64) {
        self.low = self.low.over(divisor, Round::Down);
        self.high = self.high.over(divisor, Round::Up);
    }

    fn add(&mut self, other: &Self) {
        self.low = self.low.plus(other.low, Round::Down);
        self.high = self.high.plus(other.high, Round::Up);
    }

    fn times(&self, other: &Self) -> Self {
        Self { low: self.low.times(other.low, Round::Down), high: self.high.times(other.high, Round::Up) }
    }

    fn order(&self, other: &Self) -> Option<Ordering> {
        let are_exact = self.low == self.high && other.low == other.high;
        match (self.high.order(other.low), self.low.order(other.high)) {
            (Ordering::Less, _) => Some(Ordering::Less),
            (_, Ordering::Greater) => Some(Ordering::Greater),
            (Ordering::Equal, Ordering::Equal) if are_exact => Some(Ordering::Equal),
            _ => None,
        }
    }

    fn bits(&self) -> i64 {
        if self.low.digits == 0 { 0 } else { self.low.exponent + 64 }
    }
}

/// `digits` times 2 to the power of `exponent`; the highest bit of the digits is set, or all is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scaled {
    digits: u64,
    exponent: i64,
}

/// Where a result goes that has more than 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    Down,
    Up,
}

impl Scaled {
    const ZERO: Self = Self { digits: 0, exponent: 0 };

    /// `value` times 2 to the power of `exponent`.
    fn new(value: u128, exponent: i64, round: Round) -> Self {
        if value == 0 {
            return Self::ZERO;
        }
        let surplus = 64 - i64::from(value.leading_zeros());
        let exponent = exponent + surplus;
        if surplus <= 0 {
            return Self { digits: (value << -surplus) as u64, exponent };
        }
        let is_cut = value & ((1_u128 << surplus) - 1) != 0;
        let up = u64::from(is_cut && round == Round::Up);
        match ((value >> surplus) as u64).checked_add(up) {
            Some(digits) => Self { digits, exponent },
            None => Self { digits: 1 << 63, exponent: exponent + 1 },
        }
    }

    fn times(self, other: Self, round: Round) -> Self {
        let product = u128::from(self.digits) * u128::from(other.digits);
        Self::new(product, self.exponent + other.exponent, round)
    }

    fn over(self, divisor: u64, round: Round) -> Self {
        let (dividend, divisor) = (u128::from(self.digits) << 64, u128::from(divisor));
        let is_cut = !dividend.is_multiple_of(divisor);
        let quotient = dividend / divisor + u128::from(is_cut && round == Round::Up);
        Self::new(quotient, self.exponent - 64, round)
    }

    fn plus(self, other: Self, round: Round) -> Self {
        let (large, small) = if self.order(other) == Ordering::Less { (other, self) } else { (self, other) };
        if small.digits == 0 {
            return large;
        }
        let gap = large.exponent - small.exponent;
        let aligned = match gap {
            ..=63 => u128::from(small.digits) << (63 - gap),
            64..=126 => u128::from(small.digits) >> (gap - 63),
            _ => 0,
        };
        // What was shifted out counts as something, whether it was or not.
        let up = u128::from(gap > 63 && round == Round::Up);
        Self::new((u128::from(large.digits) << 63) + aligned + up, large.exponent - 63, round)
    }

    fn order(self, other: Self) -> Ordering {
        match (self.digits, other.digits) {
            (0, 0) => Ordering::Equal,
            (0, _) => Ordering::Less,
            (_, 0) => Ordering::Greater,
            _ => (self.exponent, self.digits).cmp(&(other.exponent, other.digits)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of `bounds` lies between them: both ends as exact numbers, scaled by a power of two.
    fn holds(bounds: &Bounds, number: &Natural) -> bool {
        let at = |end: Scaled, round: Round| {
            let mut exact = Natural::one();
            exact.multiply(end.digits);
            for _ in 0..end.exponent.max(0) {
                exact.multiply(2);
            }
            for _ in 0..(-end.exponent).max(0) {
                if round == Round::Up {
                    exact.add(&Natural::one());
                }
                exact.divide(2);
            }
            exact
        };
        at(bounds.low, Round::Down) <= *number && *number <= at(bounds.high, Round::Up)
    }

    /// Factors of all sizes, the same on every run.
    fn factors(count: usize) -> Vec<u64> {
        let step = |x: &u64| Some(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
        std::iter::successors(Some(7_u64), step).take(count).map(|x| (x >> (x % 60)).max(1)).collect()
    }

    #[test]
    fn the_number_stays_between_its_bounds() {
        let (mut rough, mut exact) = (Bounds::one(), Natural::one());
        let (mut rough_sum, mut exact_sum) = (Bounds::zero(), Natural::zero());
        for (i, factor) in factors(60).into_iter().enumerate() {
            Number::multiply(&mut rough, factor);
            Number::multiply(&mut exact, factor);
            assert!(holds(&rough, &exact), "product {i}");
            if i % 3 == 2 {
                // The factor of before divides without a rest.
                Number::divide(&mut rough, factor);
                Number::divide(&mut exact, factor);
                assert!(holds(&rough, &exact), "quotient {i}");
            }
            Number::add(&mut rough_sum, &rough);
            Number::add(&mut exact_sum, &exact);
            assert!(holds(&rough_sum, &exact_sum), "sum {i}");
        }
        assert!(holds(&rough.times(&rough_sum), &exact.times(&exact_sum)));
        assert!((rough.bits() - Number::bits(&exact)).abs() <= 1);
    }

    #[test]
    fn an_order_that_bounds_tell_is_the_true_one() {
        let mut told = 0;
        for pair in factors(600).windows(2) {
            let [mut rough, mut other] = [Bounds::one(); 2];
            let [mut exact, mut exact_other] = [Natural::one(), Natural::one()];
            for (number, factor) in [(&mut rough, pair[0]), (&mut other, pair[1])] {
                number.multiply_power(factor, 7);
                number.multiply_wide(u128::from(factor) << 50);
            }
            for (number, factor) in [(&mut exact, pair[0]), (&mut exact_other, pair[1])] {
                number.multiply_power(factor, 7);
                number.multiply_wide(u128::from(factor) << 50);
            }
            if let Some(order) = rough.order(&other) {
                assert_eq!(order, exact.cmp(&exact_other));
                told += 1;
            }
        }
        assert!(told > 500, "{told}");
    }

    #[test]
    fn what_is_too_close_is_not_told() {
        let [mut a, mut b] = [Bounds::one(), Bounds::one()];
        a.multiply_falling(1_000_003, 300);
        b.multiply_falling(1_000_003, 299);
        Number::multiply(&mut b, 1_000_003 - 299);
        assert_eq!(a.order(&b), None);
        Number::multiply(&mut b, 2);
        assert_eq!((a.order(&b), b.order(&a)), (Some(Ordering::Less), Some(Ordering::Greater)));
    }

    #[test]
    fn small_numbers_are_exact() {
        let mut six = Bounds::one();
        six.multiply_falling(3, 3);
        let mut sum = Bounds::one();
        Number::multiply(&mut sum, 5);
        Number::add(&mut sum, &Bounds::one());
        assert_eq!((six.order(&sum), six.low, six.ratio(&Bounds::one())), (Some(Ordering::Equal), sum.high, 6.0));
        six.multiply_falling(2, 3);
        assert_eq!((six, six.order(&Bounds::zero()), six.bits()), (Bounds::zero(), Some(Ordering::Equal), 0));
    }

    #[test]
    fn a_sum_of_numbers_far_apart_covers_the_small_one() {
        for shift in [1_u64, 62, 63, 64, 65, 100, 127, 128, 500] {
            let (mut rough, mut exact) = (Bounds::one(), Natural::one());
            rough.multiply_power(2, shift);
            exact.multiply_power(2, shift);
            Number::add(&mut rough, &Bounds::one());
            exact.add(&Natural::one());
            assert!(holds(&rough, &exact), "{shift}");
        }
    }
}
