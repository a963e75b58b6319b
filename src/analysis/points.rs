//! The probability of one outcome of the binomial distribution, to nearly all digits of a float.
//!
//! In: counts and a probability. Out: a probability. Loader's saddle-point expansion takes the difference from the
//! most probable outcome apart, so that no large logarithms are subtracted from each other. Pure.

/// P(X = `k`), 0 <= k <= n, q = 1 - p. Loader 2000, "Fast and accurate computation of binomial probabilities".
pub fn binomial_point(k: i64, n: i64, p: f64, q: f64) -> f64 {
    if k == 0 {
        return power(q, p, n);
    }
    if k == n {
        return power(p, q, n);
    }
    if p == 0.0 || q == 0.0 {
        return 0.0;
    }
    let (hits, misses, all) = (k as f64, (n - k) as f64, n as f64);
    let log = stirling_error(n)
        - stirling_error(k)
        - stirling_error(n - k)
        - deviance(hits, all * p)
        - deviance(misses, all * q);
    log.exp() * (all / (2.0 * std::f64::consts::PI * hits * misses)).sqrt()
}

/// `p` to the power `n`, where `q` = 1 - p is the more exact of the two when it is small.
fn power(p: f64, q: f64, n: i64) -> f64 {
    if n == 0 {
        return 1.0;
    }
    let log = if q < 0.5 { (-q).ln_1p() } else { p.ln() };
    (n as f64 * log).exp()
}

/// x ln(x / mean) + mean - x, without cancellation where x is near the mean; x > 0.
fn deviance(x: f64, mean: f64) -> f64 {
    let difference = x - mean;
    if difference.abs() >= 0.1 * (x + mean) {
        return x * (x / mean).ln() - difference;
    }
    let v = difference / (x + mean);
    let (mut sum, mut power, mut odd) = (difference * v, 2.0 * x * v, 1.0);
    loop {
        power *= v * v;
        odd += 2.0;
        let next = sum + power / odd;
        if next == sum {
            return sum;
        }
        sum = next;
    }
}

/// ln(n!) - ln(sqrt(2 pi n) (n/e)^n), n >= 1.
fn stirling_error(n: i64) -> f64 {
    #[rustfmt::skip]
    const SMALL: [f64; 16] = [
        0.0, 0.08106146679532726, 0.0413406959554093, 0.02767792568499834,
        0.020790672103765093, 0.016644691189821193, 0.013876128823070748, 0.01189670994589177,
        0.010411265261972096, 0.009255462182712733, 0.00833056343336287, 0.007573675487951841,
        0.00694284010720953, 0.006408994188004207, 0.0059513701127588475, 0.005554733551962801,
    ];
    if let Some(value) = usize::try_from(n).ok().and_then(|n| SMALL.get(n)) {
        return *value;
    }
    let n = n as f64;
    let n2 = n * n;
    (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / 1188.0 / n2) / n2) / n2) / n2) / n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_of_few_draws_are_those_of_pascals_triangle() {
        let fair = |k, n| binomial_point(k, n, 0.5, 0.5);
        for (k, n, want) in
            [(0, 0, 1.0), (1, 1, 0.5), (1, 2, 0.5), (2, 6, 15.0 / 64.0), (10, 20, 184_756.0 / 1_048_576.0)]
        {
            assert!((fair(k, n) / want - 1.0).abs() < 1e-14, "{k} of {n}: {}", fair(k, n));
        }
    }

    #[test]
    fn points_of_many_draws_add_up_to_one() {
        for (n, p) in [(15, 0.2), (16, 0.9), (40_000, 0.001), (100_000, 0.5)] {
            let sum: f64 = (0..=n).map(|k| binomial_point(k, n, p, 1.0 - p)).sum();
            assert!((sum - 1.0).abs() < 1e-12, "{n} {p}: {sum}");
        }
    }

    #[test]
    fn a_certain_outcome_has_probability_one() {
        assert_eq!((binomial_point(0, 9, 0.0, 1.0), binomial_point(9, 9, 1.0, 0.0)), (1.0, 1.0));
        assert_eq!((binomial_point(3, 9, 0.0, 1.0), binomial_point(3, 9, 1.0, 0.0)), (0.0, 0.0));
    }
}
