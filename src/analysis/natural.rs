//! Natural numbers of any size, as far as exact comparisons of counts need them.
//!
//! In: small factors. Out: products, sums, exact quotients and their order. Invariant: the digits are of base
//! 2^64, least first, without leading zeros. Pure.

use std::cmp::Ordering;

/// A natural number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Natural(Vec<u64>);

impl Natural {
    /// The number one.
    pub fn one() -> Self {
        Self(vec![1])
    }

    /// The number zero.
    pub fn zero() -> Self {
        Self(Vec::new())
    }

    /// `n` over `k`, the number of ways to choose; zero when k > n.
    pub fn choose(n: u64, k: u64) -> Self {
        if k > n {
            return Self::zero();
        }
        let mut ways = Self::one();
        for i in 0..k.min(n - k) {
            ways.multiply(n - i);
            ways.divide(i + 1);
        }
        ways
    }

    /// Becomes itself times `factor`.
    pub fn multiply(&mut self, factor: u64) {
        let mut carry = 0;
        for digit in &mut self.0 {
            let product = u128::from(*digit) * u128::from(factor) + carry;
            *digit = product as u64;
            carry = product >> 64;
        }
        if carry > 0 {
            self.0.push(carry as u64);
        }
        self.trim();
    }

    /// Becomes itself divided by `divisor`, rounded down; the divisor is not zero.
    pub fn divide(&mut self, divisor: u64) {
        let mut rest = 0;
        for digit in self.0.iter_mut().rev() {
            let part = (rest << 64) | u128::from(*digit);
            *digit = (part / u128::from(divisor)) as u64;
            rest = part % u128::from(divisor);
        }
        self.trim();
    }

    /// Becomes itself plus `other`.
    pub fn add(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()), 0);
        let mut carry = false;
        for (i, digit) in self.0.iter_mut().enumerate() {
            let (sum, over) = digit.overflowing_add(other.0.get(i).copied().unwrap_or(0));
            let (sum, over_again) = sum.overflowing_add(u64::from(carry));
            *digit = sum;
            carry = over || over_again;
        }
        if carry {
            self.0.push(1);
        }
    }

    /// Itself times `other`.
    pub fn times(&self, other: &Self) -> Self {
        let mut product = vec![0; self.0.len() + other.0.len()];
        for (i, a) in self.0.iter().enumerate() {
            let mut carry = 0;
            for (j, b) in other.0.iter().enumerate() {
                let sum = u128::from(*a) * u128::from(*b) + u128::from(product[i + j]) + carry;
                product[i + j] = sum as u64;
                carry = sum >> 64;
            }
            product[i + other.0.len()] = carry as u64;
        }
        let mut product = Self(product);
        product.trim();
        product
    }

    /// Its digits in base 2; 0 of zero.
    pub fn bits(&self) -> u64 {
        self.0.last().map_or(0, |top| 64 * self.0.len() as u64 - u64::from(top.leading_zeros()))
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }
}

impl Ord for Natural {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_of_pascals_triangle_is_the_sum_of_the_two_above() {
        for n in 1..200 {
            for k in 1..=n {
                let mut sum = Natural::choose(n - 1, k - 1);
                sum.add(&Natural::choose(n - 1, k));
                assert_eq!(sum, Natural::choose(n, k), "{n} over {k}");
            }
        }
    }

    #[test]
    fn products_of_large_numbers_are_the_products_of_their_factors() {
        let (mut left, mut right, mut all) = (Natural::one(), Natural::one(), Natural::one());
        for factor in (u64::MAX - 40)..u64::MAX {
            if factor % 3 == 0 {
                left.multiply(factor)
            } else {
                right.multiply(factor)
            }
            all.multiply(factor);
        }
        assert_eq!(left.times(&right), all);
        all.divide(u64::MAX - 1);
        assert!(all < left.times(&right) && all > left);
        assert_eq!(left.times(&Natural::zero()), Natural::zero());
    }
}
