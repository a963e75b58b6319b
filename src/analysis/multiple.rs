//! Many tests at once: p-values adjusted for their number.
//!
//! In: p-values, each in 0..1. Out: adjusted ones in the same order. Invariant: an adjusted value is not below
//! the value itself, not above 1, and the order of size is kept. Pure.

/// Holm's step-down values: those below a level are wrong together no more often than the level (Holm 1979).
/// `None` unless each value lies in 0..1.
pub fn holm(values: &[f64]) -> Option<Vec<f64>> {
    let order = ascending(values)?;
    let mut adjusted = vec![0.0; values.len()];
    let mut largest: f64 = 0.0;
    for (rank, index) in order.into_iter().enumerate() {
        largest = largest.max((values.len() - rank) as f64 * values[index]).min(1.0);
        adjusted[index] = largest;
    }
    Some(adjusted)
}

/// Benjamini and Hochberg's step-up values: of those below a level, at most that share is expected to be wrong
/// (1995). `None` unless each value lies in 0..1.
pub fn benjamini_hochberg(values: &[f64]) -> Option<Vec<f64>> {
    let order = ascending(values)?;
    let mut adjusted = vec![0.0; values.len()];
    let mut smallest: f64 = 1.0;
    for (rank, index) in order.into_iter().enumerate().rev() {
        smallest = smallest.min(values.len() as f64 / (rank + 1) as f64 * values[index]);
        adjusted[index] = smallest;
    }
    Some(adjusted)
}

fn ascending(values: &[f64]) -> Option<Vec<usize>> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    values.iter().all(|value| (0.0..=1.0).contains(value)).then_some(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::testing::{assert_close, cases, numbers};

    #[test]
    fn adjusted_values_are_those_of_statsmodels() {
        let vectors = cases(include_str!("../../tests/fixtures/stats/fairness.json"), "multiple");
        assert!(vectors.len() >= 6);
        for case in vectors {
            let values = numbers(&case["p"]);
            let (holm, hochberg) = (holm(&values).unwrap(), benjamini_hochberg(&values).unwrap());
            for i in 0..values.len() {
                assert_close(Some(holm[i]), &case["holm"][i], 1e-14, "holm");
                assert_close(Some(hochberg[i]), &case["bh"][i], 1e-14, "benjamini_hochberg");
            }
        }
    }

    #[test]
    fn no_values_are_adjusted_to_none_and_nonsense_is_refused() {
        assert_eq!((holm(&[]), benjamini_hochberg(&[])), (Some(Vec::new()), Some(Vec::new())));
        assert_eq!(holm(&[0.1, f64::NAN]).or(benjamini_hochberg(&[1.1])), None);
    }
}
