//! How far reviewers agree, beyond what chance would give.
//!
//! In: counts of pairs of marks, or marks per item. Out: agreement coefficients, 1 for perfect. Invariant: a
//! coefficient whose chance agreement is already perfect is undefined, `None`, not 1. Pure.

/// Two reviewers who marked the same items.
#[derive(Debug, Clone, PartialEq)]
pub struct TwoReviewers {
    /// Share of items marked alike.
    pub observed: f64,
    /// Share that the two would mark alike by chance, given how often each gives each mark.
    pub expected: f64,
    /// Cohen's kappa; `None` when chance alone gives full agreement.
    pub kappa: Option<f64>,
    /// Standard error of kappa; 0 for perfect agreement.
    pub kappa_se: Option<f64>,
    /// Standard error of kappa if the true one were 0.
    pub kappa_se_null: Option<f64>,
    /// Gwet's AC1, which stays meaningful where one mark is rare.
    pub ac1: f64,
}

/// How often reviewer one gave mark `i` and reviewer two mark `j`, at `[i][j]`; marks in ascending order.
/// `None` when the lists differ in length.
pub fn cross_table<T: Ord>(first: &[T], second: &[T]) -> Option<Vec<Vec<i64>>> {
    let mut marks: Vec<&T> = first.iter().chain(second).collect();
    marks.sort();
    marks.dedup();
    let place = |mark: &T| marks.binary_search(&mark).expect("every mark is listed");
    let mut table = vec![vec![0; marks.len()]; marks.len()];
    for (a, b) in first.iter().zip(second) {
        table[place(a)][place(b)] += 1;
    }
    (first.len() == second.len()).then_some(table)
}

/// Agreement of two reviewers from a square table of counts; `None` when it is empty, not square or negative.
///
/// Kappa: Cohen 1960, standard errors Fleiss, Cohen and Everitt 1969. AC1: Gwet 2008; a single mark counts as
/// one of two.
pub fn two_reviewers(table: &[Vec<i64>]) -> Option<TwoReviewers> {
    let marks = table.len();
    let total = sum(table.iter().flatten())?;
    if total <= 0 || table.iter().any(|row| row.len() != marks || row.iter().any(|count| *count < 0)) {
        return None;
    }
    let n = total as f64;
    let share = |i: usize, j: usize| table[i][j] as f64 / n;
    let rows: Vec<i64> = table.iter().map(|row| row.iter().sum()).collect();
    let columns: Vec<i64> = (0..marks).map(|j| table.iter().map(|row| row[j]).sum()).collect();
    let chance: i128 = rows.iter().zip(&columns).map(|(row, column)| i128::from(*row) * i128::from(*column)).sum();
    let is_defined = chance < i128::from(total) * i128::from(total);
    let (rows, columns) = (shares(&rows, n), shares(&columns, n));
    let observed: f64 = (0..marks).map(|i| share(i, i)).sum();
    let expected: f64 = rows.iter().zip(&columns).map(|(row, column)| row * column).sum();
    let kappa = (observed - expected) / (1.0 - expected);
    let error = |variance: f64| is_defined.then(|| (variance.max(0.0) / n).sqrt() / (1.0 - expected));
    Some(TwoReviewers {
        observed,
        expected,
        kappa: is_defined.then_some(kappa),
        kappa_se: error(kappa_variance(&share, &rows, &columns, kappa)),
        kappa_se_null: error(null_variance(&rows, &columns, expected)),
        ac1: ac1(&rows, &columns, observed),
    })
}

/// `None` when the counts are too large to add.
fn sum<'a>(counts: impl Iterator<Item = &'a i64>) -> Option<i64> {
    i64::try_from(counts.map(|count| i128::from(*count)).sum::<i128>()).ok()
}

fn shares(counts: &[i64], n: f64) -> Vec<f64> {
    counts.iter().map(|count| *count as f64 / n).collect()
}

fn kappa_variance(share: &dyn Fn(usize, usize) -> f64, rows: &[f64], columns: &[f64], kappa: f64) -> f64 {
    let expected: f64 = rows.iter().zip(columns).map(|(row, column)| row * column).sum();
    let (mut alike, mut unlike) = (0.0, 0.0);
    for i in 0..rows.len() {
        alike += share(i, i) * (1.0 - (rows[i] + columns[i]) * (1.0 - kappa)).powi(2);
        unlike +=
            (0..rows.len()).filter(|j| *j != i).map(|j| share(i, j) * (columns[i] + rows[j]).powi(2)).sum::<f64>();
    }
    alike + (1.0 - kappa).powi(2) * unlike - (kappa - expected * (1.0 - kappa)).powi(2)
}

fn null_variance(rows: &[f64], columns: &[f64], expected: f64) -> f64 {
    let crossed: f64 = rows.iter().zip(columns).map(|(row, column)| row * column * (row + column)).sum();
    expected + expected * expected - crossed
}

fn ac1(rows: &[f64], columns: &[f64], observed: f64) -> f64 {
    let mixed: f64 = rows.iter().zip(columns).map(|(row, column)| (row + column) / 2.0).map(|p| p * (1.0 - p)).sum();
    let expected = mixed / (rows.len().max(2) - 1) as f64;
    (observed - expected) / (1.0 - expected)
}

/// Fleiss' kappa (1971) of items times marks: how many reviewers gave the item the mark. `None` unless every item
/// has the same number of reviewers, two at least, and more than one mark was given.
pub fn fleiss_kappa(items: &[Vec<i64>]) -> Option<f64> {
    let reviewers = sum(items.first()?.iter())?;
    let marks = items[0].len();
    let is_even = |item: &Vec<i64>| {
        item.len() == marks && item.iter().all(|count| *count >= 0) && sum(item.iter()) == Some(reviewers)
    };
    if reviewers < 2 || !items.iter().all(is_even) {
        return None;
    }
    let (n, m) = (items.len() as f64, reviewers as f64);
    let pairs: f64 = items.iter().flatten().map(|count| *count as f64 * (*count as f64 - 1.0)).sum();
    let observed = pairs / (n * m * (m - 1.0));
    let totals: Vec<f64> = (0..marks).map(|mark| items.iter().map(|item| item[mark] as f64).sum()).collect();
    let expected: f64 = totals.iter().map(|total| (total / (n * m)).powi(2)).sum();
    let has_choice = totals.iter().filter(|total| **total > 0.0).count() > 1;
    has_choice.then(|| (observed - expected) / (1.0 - expected))
}

/// How far apart two values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Different is different.
    Nominal,
    /// The square of the difference.
    Interval,
}

/// Krippendorff's alpha (2011) of the values given to each unit; reviewers may be missing. `None` when no unit has
/// two values, when all values are equal, or when one is not finite.
pub fn krippendorff_alpha(units: &[Vec<f64>], metric: Metric) -> Option<f64> {
    let paired = || units.iter().filter(|unit| unit.len() > 1);
    let all: Vec<f64> = paired().flatten().copied().collect();
    if !all.iter().all(|value| value.is_finite()) {
        return None;
    }
    let n = all.len() as f64;
    let expected = disagreement(&all, metric) / (n - 1.0);
    let observed: f64 = paired().map(|unit| disagreement(unit, metric) / (unit.len() as f64 - 1.0)).sum();
    (expected > 0.0 && expected.is_finite()).then(|| 1.0 - observed / expected)
}

/// The sum of the distances of all ordered pairs; exactly 0 when all values are equal.
fn disagreement(values: &[f64], metric: Metric) -> f64 {
    let n = values.len() as f64;
    match metric {
        Metric::Nominal => {
            // Adding zero makes a negative zero equal to zero.
            let mut sorted: Vec<f64> = values.iter().map(|value| value + 0.0).collect();
            sorted.sort_by(f64::total_cmp);
            let alike: f64 = sorted.chunk_by(|a, b| a == b).map(|group| (group.len() as f64).powi(2)).sum();
            n * n - alike
        }
        Metric::Interval => {
            let shifted = || values.iter().map(|value| value - values[0]);
            let mean = shifted().sum::<f64>() / n;
            2.0 * n * shifted().map(|value| (value - mean).powi(2)).sum::<f64>()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::analysis::testing::{assert_close, cases, ints};

    fn vectors(kind: &str) -> Vec<Value> {
        let all = cases(include_str!("../../tests/fixtures/stats/agreement.json"), "cases");
        let vectors: Vec<Value> = all.into_iter().filter(|case| case["kind"] == kind).collect();
        assert!(!vectors.is_empty());
        vectors
    }

    fn table(value: &Value) -> Vec<Vec<i64>> {
        value.as_array().unwrap().iter().map(ints).collect()
    }

    #[test]
    fn two_reviewers_agree_as_in_statsmodels_and_as_published() {
        for case in vectors("cohen") {
            let name = case["name"].as_str().unwrap();
            let got = two_reviewers(&table(&case["table"])).unwrap();
            assert_close(Some(got.observed), &case["po"], 1e-14, name);
            assert_close(Some(got.expected), &case["pe"], 1e-14, name);
            assert_close(got.kappa, &case["kappa"], 1e-12, name);
            assert_close(Some(got.ac1), &case["gwet_ac1"], 1e-12, name);
            if name == "one rater constant" {
                // Kappa is 0 whatever the other says, so both errors are 0; statsmodels gives NaN and 3e-8.
                assert!(got.kappa_se.unwrap() < 1e-7 && got.kappa_se_null.unwrap() < 1e-7);
                continue;
            }
            let want = if case["se"].is_null() { [&Value::Null; 2] } else { [&case["se"][0], &case["se"][1]] };
            assert_close(got.kappa_se, want[0], 1e-12, name);
            assert_close(got.kappa_se_null, want[1], 1e-12, name);
        }
    }

    #[test]
    fn many_reviewers_agree_as_published() {
        for case in vectors("fleiss") {
            assert_close(fleiss_kappa(&table(&case["table"])), &case["kappa"], 1e-13, "fleiss");
        }
        for case in vectors("krippendorff") {
            let units: Vec<Vec<f64>> = (case["units"].as_array().unwrap().iter())
                .map(|unit| unit.as_array().unwrap().iter().filter_map(Value::as_f64).collect())
                .collect();
            assert_close(krippendorff_alpha(&units, Metric::Nominal), &case["nominal"], 1e-13, "nominal");
            assert_close(krippendorff_alpha(&units, Metric::Interval), &case["interval"], 1e-13, "interval");
        }
    }

    #[test]
    fn marks_are_counted_in_pairs() {
        let got = cross_table(&["yes", "no", "yes"], &["yes", "yes", "maybe"]).unwrap();
        assert_eq!(got, [[0, 0, 0], [0, 0, 1], [1, 0, 1]]);
        assert_eq!(cross_table(&["yes"], &[]), None);
    }

    #[test]
    fn one_mark_alone_shows_no_agreement_beyond_chance() {
        let got = two_reviewers(&cross_table(&["yes"; 4], &["yes"; 4]).unwrap()).unwrap();
        assert_eq!((got.observed, got.kappa, got.kappa_se, got.ac1), (1.0, None, None, 1.0));
        assert_eq!(fleiss_kappa(&[vec![3, 0], vec![3, 0]]), None);
        let same = [vec![0.1; 3], vec![0.1; 2]];
        assert_eq!(krippendorff_alpha(&same, Metric::Nominal), None);
        assert_eq!(krippendorff_alpha(&same, Metric::Interval), None);
    }

    #[test]
    fn nothing_marked_says_nothing() {
        assert_eq!(two_reviewers(&[]).or(two_reviewers(&[vec![0]])).or(two_reviewers(&[vec![1, 2]])), None);
        assert_eq!(two_reviewers(&[vec![i64::MAX; 2], vec![1; 2]]), None);
        assert_eq!(fleiss_kappa(&[]).or(fleiss_kappa(&[vec![1, 0]])).or(fleiss_kappa(&[vec![2, 0], vec![1, 0]])), None);
        assert_eq!(krippendorff_alpha(&[vec![1.0], vec![]], Metric::Nominal), None);
        assert_eq!(krippendorff_alpha(&[vec![1.0, f64::NAN]], Metric::Interval), None);
    }
}
