//! The standard normal distribution.
//!
//! In: a number. Out: its probability, or the number of a probability. Invariant: `normal_cdf` is the inverse of
//! `normal_quantile` to about 1e-14. Pure.

/// P(Z > 3): the share that a three-sigma limit leaves on one side.
pub const BEYOND_THREE_SIGMA: f64 = 0.0013498980316300946;

const CENTRE: [[f64; 8]; 2] = [
    [
        3.387_132_872_796_366_6,
        133.141_667_891_784_38,
        1_971.590_950_306_551_3,
        13_731.693_765_509_46,
        45_921.953_931_549_87,
        67_265.770_927_008_7,
        33_430.575_583_588_13,
        2_509.080_928_730_122_7,
    ],
    [
        1.0,
        42.313_330_701_600_91,
        687.187_007_492_057_9,
        5_394.196_021_424_751,
        21_213.794_301_586_597,
        39_307.895_800_092_71,
        28_729.085_735_721_943,
        5_226.495_278_852_854,
    ],
];

const SHOULDER: [[f64; 8]; 2] = [
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        0.241_780_725_177_450_6,
        0.022_723_844_989_269_184,
        7.745_450_142_783_414e-4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        0.689_767_334_985_1,
        0.148_103_976_427_480_08,
        0.015_198_666_563_616_457,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ],
];

const FAR: [[f64; 8]; 2] = [
    [
        6.657_904_643_501_104,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        0.296_560_571_828_504_9,
        0.026_532_189_526_576_124,
        0.001_242_660_947_388_078_4,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_2e-7,
    ],
    [
        1.0,
        0.599_832_206_555_888,
        0.136_929_880_922_735_8,
        0.014_875_361_290_850_615,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_8e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ],
];

/// The z with P(Z <= z) = `p`, to about 1e-16 of its size; `None` unless 0 < `p` < 1.
///
/// Wichura 1988, algorithm AS 241, routine PPND16.
pub fn normal_quantile(p: f64) -> Option<f64> {
    if !(p > 0.0 && p < 1.0) {
        return None;
    }
    let centred = p - 0.5;
    if centred.abs() <= 0.425 {
        return Some(centred * quotient(&CENTRE, 0.180625 - centred * centred));
    }
    let r = (-p.min(1.0 - p).ln()).sqrt();
    let size = if r <= 5.0 { quotient(&SHOULDER, r - 1.6) } else { quotient(&FAR, r - 5.0) };
    Some(size.copysign(centred))
}

fn quotient([above, below]: &[[f64; 8]; 2], x: f64) -> f64 {
    let value = |terms: &[f64; 8]| terms.iter().rev().fold(0.0, |sum, term| sum * x + term);
    value(above) / value(below)
}

/// P(Z <= `z`), to about 1e-14 of its size also far below zero; `None` unless `z` is finite.
///
/// The series of the error function near zero, the continued fraction of Mills' ratio beyond (Abramowitz and
/// Stegun 26.2.10 and 26.2.14).
pub fn normal_cdf(z: f64) -> Option<f64> {
    if !z.is_finite() {
        return None;
    }
    let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if z.abs() < 2.0 {
        let (mut term, mut sum, mut odd) = (z, z, 1.0);
        while term.abs() > 1e-18 * sum.abs() {
            odd += 2.0;
            term *= z * z / odd;
            sum += term;
        }
        return Some(0.5 + density * sum);
    }
    let beyond = density / (1..=200).rev().fold(z.abs(), |below, i| z.abs() + f64::from(i) / below);
    Some(if z < 0.0 { beyond } else { 1.0 - beyond })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::testing::{assert_close, cases};

    #[test]
    fn quantiles_are_those_of_mpmath() {
        let vectors = cases(include_str!("../../tests/fixtures/stats/quantiles.json"), "normal");
        assert!(vectors.len() >= 12);
        for case in vectors {
            let p = case["p"].as_str().unwrap().parse().unwrap();
            // 0.999999 as a double is 2.6e-11 away from the decimal number that mpmath took.
            let (want, relative) = if p == 0.999999 { (&case["scipy"], 1e-12) } else { (&case["z"], 1e-15) };
            assert_close(normal_quantile(p), want, relative, "z");
        }
    }

    #[test]
    fn the_probability_of_a_quantile_is_the_probability_asked_for() {
        for p in [1e-300, 1e-20, 1e-6, 0.00134, 0.02, 0.0228, 0.3, 0.5, 0.7, 0.98, 0.999] {
            let back = normal_cdf(normal_quantile(p).unwrap()).unwrap();
            assert!((back / p - 1.0).abs() < 1e-13 * p.ln().abs().max(1.0), "{p}: {back}");
        }
        assert!((normal_cdf(-3.0).unwrap() / BEYOND_THREE_SIGMA - 1.0).abs() < 1e-14);
    }

    #[test]
    fn outside_of_its_range_there_is_no_answer() {
        assert_eq!([0.0, 1.0, -1.0, f64::NAN].map(normal_quantile), [None; 4]);
        assert_eq!([f64::NAN, f64::INFINITY].map(normal_cdf), [None; 2]);
    }
}
