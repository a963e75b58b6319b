//! Exact probabilities of the binomial and the hypergeometric distribution.
//!
//! In: counts, and a probability. Out: point and tail probabilities, about 1e-12 of their size, also for a
//! million draws: a tail adds points outwards from the nearest one, each from the one before. Nothing is computed
//! as one minus a number near one. Pure.

use super::points::binomial_point;

/// The most draws: a tail takes about ten standard deviations of steps, here some five million.
pub const MAX_DRAWS: i64 = 1_000_000_000_000;

/// `k` hits in `n` independent draws, each a hit with probability `p`.
#[derive(Debug, Clone, Copy)]
pub struct Binomial {
    n: i64,
    p: f64,
}

impl Binomial {
    /// `None` unless 0 <= `n` <= [`MAX_DRAWS`] and 0 <= `p` <= 1.
    pub fn new(n: i64, p: f64) -> Option<Self> {
        ((0..=MAX_DRAWS).contains(&n) && (0.0..=1.0).contains(&p)).then_some(Self { n, p })
    }

    /// P(X = `k`).
    pub fn point(&self, k: i64) -> f64 {
        if k < 0 || k > self.n { 0.0 } else { binomial_point(k, self.n, self.p, 1.0 - self.p) }
    }

    /// P(X <= `k`).
    pub fn low(&self, k: i64) -> f64 {
        if k < 0 {
            0.0
        } else if k >= self.n {
            1.0
        } else if (k as f64) < self.mode() {
            self.sum_down(k)
        } else {
            1.0 - self.sum_up(k + 1)
        }
    }

    /// P(X >= `k`).
    pub fn high(&self, k: i64) -> f64 {
        if k <= 0 {
            1.0
        } else if k > self.n {
            0.0
        } else if (k as f64) > self.mode() {
            self.sum_up(k)
        } else {
            1.0 - self.sum_down(k - 1)
        }
    }

    /// The smallest k with P(X <= k) >= `q`; `None` unless 0 <= `q` <= 1. Equal but for rounding is equal.
    pub fn quantile(&self, q: f64) -> Option<i64> {
        // Each half of the distribution is judged by its own tail, which keeps its digits.
        let is_reached = |k: i64| match q <= 0.5 {
            true => self.low(k) >= q * (1.0 - 1e-12),
            false => self.high(k + 1) <= (1.0 - q) * (1.0 + 1e-12),
        };
        let (mut low, mut high) = (0, self.n);
        while low < high {
            let middle = low + (high - low) / 2;
            if is_reached(middle) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        (0.0..=1.0).contains(&q).then_some(low)
    }

    fn mode(&self) -> f64 {
        (self.n as f64 + 1.0) * self.p
    }

    fn sum_down(&self, k: i64) -> f64 {
        let (n, odds) = (self.n as f64, (1.0 - self.p) / self.p);
        add_outwards(self.point(k), k, |i| {
            let k = (k - i) as f64;
            k / (n - k + 1.0) * odds
        })
    }

    fn sum_up(&self, k: i64) -> f64 {
        let (n, odds) = (self.n as f64, self.p / (1.0 - self.p));
        add_outwards(self.point(k), self.n - k, |i| {
            let k = (k + i) as f64;
            (n - k) / (k + 1.0) * odds
        })
    }
}

/// Hits among `n` draws without replacement from a frame of `frame` items of which `hits` are hits.
#[derive(Debug, Clone, Copy)]
pub struct Hypergeometric {
    frame: i64,
    hits: i64,
    n: i64,
}

impl Hypergeometric {
    /// `None` unless 0 <= `hits`, `n` <= `frame` <= [`MAX_DRAWS`].
    pub fn new(frame: i64, hits: i64, n: i64) -> Option<Self> {
        let is_valid = frame <= MAX_DRAWS && (0..=frame).contains(&hits) && (0..=frame).contains(&n);
        is_valid.then_some(Self { frame, hits, n })
    }

    /// The fewest hits there can be.
    pub fn first(&self) -> i64 {
        (self.n - (self.frame - self.hits)).max(0)
    }

    /// The most hits there can be.
    pub fn last(&self) -> i64 {
        self.n.min(self.hits)
    }

    /// The most probable number of hits (the upper one of two).
    pub fn mode(&self) -> i64 {
        let product = (i128::from(self.n) + 1) * (i128::from(self.hits) + 1);
        (product / (i128::from(self.frame) + 2)) as i64
    }

    /// P(X = `k`): three binomial points with the probability n / frame (Loader 2000, section 5).
    pub fn point(&self, k: i64) -> f64 {
        if k < self.first() || k > self.last() {
            return 0.0;
        }
        if self.n == 0 || self.n == self.frame {
            return 1.0;
        }
        let (p, q) = (self.n as f64 / self.frame as f64, (self.frame - self.n) as f64 / self.frame as f64);
        let hit = binomial_point(k, self.hits, p, q);
        let miss = binomial_point(self.n - k, self.frame - self.hits, p, q);
        hit * miss / binomial_point(self.n, self.frame, p, q)
    }

    /// P(X <= `k`).
    pub fn low(&self, k: i64) -> f64 {
        if k < self.first() {
            0.0
        } else if k >= self.last() {
            1.0
        } else if k < self.mode() {
            self.sum_down(k)
        } else {
            1.0 - self.sum_up(k + 1)
        }
    }

    /// P(X >= `k`).
    pub fn high(&self, k: i64) -> f64 {
        if k <= self.first() {
            1.0
        } else if k > self.last() {
            0.0
        } else if k > self.mode() {
            self.sum_up(k)
        } else {
            1.0 - self.sum_down(k - 1)
        }
    }

    fn sum_down(&self, k: i64) -> f64 {
        let misses = self.frame - self.hits;
        add_outwards(self.point(k), k - self.first(), |i| {
            let k = k - i;
            k as f64 / (self.hits - k + 1) as f64 * ((misses - self.n + k) as f64 / (self.n - k + 1) as f64)
        })
    }

    fn sum_up(&self, k: i64) -> f64 {
        let misses = self.frame - self.hits;
        add_outwards(self.point(k), self.last() - k, |i| {
            let k = k + i;
            (self.hits - k) as f64 / (k + 1) as f64 * ((self.n - k) as f64 / (misses - self.n + k + 1) as f64)
        })
    }
}

/// `first` and up to `steps` terms after it, each `ratio(i)` of the one before. The terms fall ever faster, so
/// that what comes after a negligible one is negligible.
fn add_outwards(first: f64, steps: i64, ratio: impl Fn(i64) -> f64) -> f64 {
    let (mut term, mut sum) = (first, first);
    for i in 0..steps {
        term *= ratio(i);
        sum += term;
        if term <= sum * 1e-20 {
            break;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::testing::{assert_close, cases, int};

    #[test]
    fn hypergeometric_probabilities_are_the_exact_rationals() {
        let vectors = cases(include_str!("../../tests/fixtures/stats/hypergeom.json"), "cases");
        assert!(vectors.len() >= 16);
        for case in vectors {
            let (frame, hits, n, k) = (int(&case["N"]), int(&case["D"]), int(&case["n"]), int(&case["k"]));
            let draw = Hypergeometric::new(frame, hits, n).unwrap();
            assert_close(Some(draw.point(k)), &case["pmf"], 1e-12, "point");
            assert_close(Some(draw.low(k)), &case["cdf"], 1e-12, "low");
            assert_close(Some(draw.high(k + 1)), &case["sf"], 1e-12, "high");
        }
    }

    /// I_x(a, b) = P(X >= a) of a + b - 1 draws with probability x.
    #[test]
    fn binomial_tails_are_the_incomplete_beta_function() {
        let vectors = cases(include_str!("../../tests/fixtures/stats/quantiles.json"), "beta_cdf");
        let mut compared = 0;
        for case in vectors {
            let (a, b) = (case["a"].as_f64().unwrap(), case["b"].as_f64().unwrap());
            if a.fract() == 0.0 {
                let draw = Binomial::new((a + b) as i64 - 1, case["x"].as_f64().unwrap()).unwrap();
                assert_close(Some(draw.high(a as i64)), &case["I"], 1e-12, "tail");
                compared += 1;
            }
        }
        assert!(compared >= 6);
    }

    #[test]
    fn both_tails_and_the_points_add_up() {
        for (n, p) in [(1, 0.3), (7, 0.5), (40, 0.02), (300, 0.9)] {
            let draw = Binomial::new(n, p).unwrap();
            let mut sum = 0.0;
            for k in 0..=n {
                sum += draw.point(k);
                assert!((draw.low(k) - sum).abs() < 1e-13 && (draw.low(k) + draw.high(k + 1) - 1.0).abs() < 1e-13);
            }
        }
    }

    #[test]
    fn a_tail_a_million_draws_wide_keeps_twelve_digits() {
        let expected = [
            (499000, 0.5, 0.02280414993269104),
            (485000, 0.5, 4.726203126285792e-198),
            (9500, 0.01, 2.0878741694360633e-07),
            (899000, 0.9, 0.0004386199762948915),
            (3, 1e-05, 0.010335785844433463),
        ];
        for (k, p, want) in expected {
            let got = Binomial::new(1_000_000, p).unwrap().low(k);
            assert!((got / want - 1.0).abs() < 1e-12, "{k} {p}: {got:e}, expected {want:e}");
        }
    }

    #[test]
    fn certain_draws_are_certain() {
        let (never, always) = (Binomial::new(9, 0.0).unwrap(), Binomial::new(9, 1.0).unwrap());
        assert_eq!((never.low(0), never.high(1), always.low(8), always.high(9)), (1.0, 0.0, 0.0, 1.0));
        assert_eq!((never.quantile(0.975), always.quantile(0.025)), (Some(0), Some(9)));
        let none = Binomial::new(0, 0.3).unwrap();
        assert_eq!((none.low(0), none.high(0), none.high(1), none.quantile(0.5)), (1.0, 1.0, 0.0, Some(0)));
    }

    #[test]
    fn a_quantile_is_the_first_number_whose_low_tail_reaches_the_probability() {
        let draw = Binomial::new(20, 0.5).unwrap();
        for k in 0..20 {
            assert_eq!(draw.quantile(draw.low(k)), Some(k));
        }
        assert_eq!((draw.quantile(0.0), draw.quantile(1.0)), (Some(0), Some(20)));
    }

    #[test]
    fn what_is_no_probability_has_no_distribution() {
        assert!(Binomial::new(MAX_DRAWS + 1, 0.5).is_none() && Hypergeometric::new(MAX_DRAWS + 1, 0, 0).is_none());
        assert!(Binomial::new(-1, 0.5).is_none() && Binomial::new(5, f64::NAN).is_none());
        assert!(Binomial::new(5, 0.5).unwrap().quantile(f64::NAN).is_none());
        assert!(Hypergeometric::new(5, 6, 1).is_none() && Hypergeometric::new(5, 1, -1).is_none());
    }
}
