//! The statistics that SQL cannot state well, as functions.
//!
//! In: counts, rates, lists. Out: bounds, tails, charts, coefficients. Invariant: what is undefined is null, and
//! nothing is computed here: each entry reads its arguments and asks `analysis`.

use datafusion::logical_expr::ScalarUDF;

use super::FunctionNote;
use super::row_function::Takes::{Bools, Float, FloatLists, Floats, Int, IntLists, Ints, Marks, Text};
use super::row_function::{Cell, Columns, Gives, Kind, Row, RowFunction};
use crate::analysis::agreement::{self, Metric, TwoReviewers};
use crate::analysis::binomial::clopper_pearson;
use crate::analysis::calibration::{self, standard_grid};
use crate::analysis::fairness::{self, Count};
use crate::analysis::tails::Binomial;
use crate::analysis::wilson::wilson;
use crate::analysis::{funnel, hypergeometric, multiple, sequential, spc};

/// The functions made here.
pub(super) fn functions() -> Vec<ScalarUDF> {
    TABLE.iter().map(RowFunction::udf).collect()
}

/// Every function made here, in words.
pub(super) const NOTES: &[FunctionNote] = &NOTE_OF_EACH;

const NOTE_OF_EACH: [FunctionNote; TABLE.len()] = {
    let mut notes = [TABLE[0].note; TABLE.len()];
    let mut place = 0;
    while place < TABLE.len() {
        notes[place] = TABLE[place].note;
        place += 1;
    }
    notes
};

const fn note(call: &'static str, gives: &'static str) -> FunctionNote {
    FunctionNote { call, gives }
}

const TABLE: &[RowFunction] = &[
    RowFunction {
        note: note("wilson_low(k, n)", "lower Wilson 95 % bound of k of n; 0 at n = 0"),
        takes: &[Int, Int],
        gives: Gives::Float(|row| Some(wilson_bounds(row)?.0)),
    },
    RowFunction {
        note: note("wilson_high(k, n)", "upper Wilson 95 % bound of k of n; 1 at n = 0"),
        takes: &[Int, Int],
        gives: Gives::Float(|row| Some(wilson_bounds(row)?.1)),
    },
    RowFunction {
        note: note("binomial_low(k, n, alpha)", "lower exact bound (Clopper–Pearson) of k of n, alpha/2 a side"),
        takes: &[Int, Int, Float],
        gives: Gives::Float(|row| Some(clopper_pearson(row.int(0), row.int(1), row.float(2))?.0)),
    },
    RowFunction {
        note: note("binomial_high(k, n, alpha)", "upper exact bound (Clopper–Pearson) of k of n, alpha/2 a side"),
        takes: &[Int, Int, Float],
        gives: Gives::Float(|row| Some(clopper_pearson(row.int(0), row.int(1), row.float(2))?.1)),
    },
    RowFunction {
        note: note(
            "hypergeom_low(frame, n, k, alpha)",
            "fewest hits in a frame of which n were drawn with k hits, alpha/2 a side",
        ),
        takes: &[Int, Int, Int, Float],
        gives: Gives::Int(|row| Some(frame_bounds(row)?.0)),
    },
    RowFunction {
        note: note(
            "hypergeom_high(frame, n, k, alpha)",
            "most hits in a frame of which n were drawn with k hits, alpha/2 a side",
        ),
        takes: &[Int, Int, Int, Float],
        gives: Gives::Int(|row| Some(frame_bounds(row)?.1)),
    },
    RowFunction {
        note: note("binomial_tail_low(k, n, p)", "probability of k or fewer hits in n draws"),
        takes: &[Int, Int, Float],
        gives: Gives::Float(|row| Some(Binomial::new(row.int(1), row.float(2))?.low(row.int(0)))),
    },
    RowFunction {
        note: note("binomial_tail_high(k, n, p)", "probability of k or more hits in n draws"),
        takes: &[Int, Int, Float],
        gives: Gives::Float(|row| Some(Binomial::new(row.int(1), row.float(2))?.high(row.int(0)))),
    },
    RowFunction {
        note: note(
            "binomial_quantile(q, n, p)",
            "smallest k so that k or fewer hits in n draws have at least probability q",
        ),
        takes: &[Float, Int, Float],
        gives: Gives::Int(|row| Binomial::new(row.int(1), row.float(2))?.quantile(row.float(0))),
    },
    RowFunction {
        note: note(
            "p_chart(x, n)",
            "control chart of the weekly rates x/n, a struct per week; exact tails where under 5 hits are expected",
        ),
        takes: &[Ints, Ints],
        gives: Gives::Records(CHART, p_chart),
    },
    RowFunction {
        note: note(
            "ewma_chart(x, n, p0)",
            "moving average of the weekly rates x/n, with its limits while the rate is p0, a struct per week",
        ),
        takes: &[Ints, Ints, Float],
        gives: Gives::Records(EWMA, ewma_chart),
    },
    RowFunction {
        note: note(
            "shiryaev_roberts(x, n, p0, p1)",
            "per week the evidence of a change from p0 to p1; A or more falsely once in A weeks at most",
        ),
        takes: &[Ints, Ints, Float, Float],
        gives: Gives::Floats(|row| watch(row, sequential::shiryaev_roberts)),
    },
    RowFunction {
        note: note("cusum(x, n, p0, p1)", "per week the cumulative sum of the evidence of a change from p0 to p1"),
        takes: &[Ints, Ints, Float, Float],
        gives: Gives::Floats(|row| watch(row, sequential::cusum)),
    },
    RowFunction {
        note: note(
            "threshold_for_precision(p, y, target, alpha)",
            "lowest confidence of 0.95, 0.90, … that shows the target precision at error alpha; null when none does",
        ),
        takes: &[Floats, Bools, Float, Float],
        gives: Gives::Record(THRESHOLD, threshold),
    },
    RowFunction {
        note: note("brier(p, y)", "mean squared distance of confidence and outcome; 0 is perfect"),
        takes: &[Floats, Bools],
        gives: Gives::Float(brier),
    },
    RowFunction {
        note: note(
            "cohen_kappa(a, b)",
            "agreement of two reviewers' marks beyond chance; null when chance alone gives full agreement",
        ),
        takes: &[Marks, Marks],
        gives: Gives::Float(|row| two_reviewers(row)?.kappa),
    },
    RowFunction {
        note: note("gwet_ac1(a, b)", "agreement of two reviewers' marks beyond chance, also where one mark is rare"),
        takes: &[Marks, Marks],
        gives: Gives::Float(|row| Some(two_reviewers(row)?.ac1)),
    },
    RowFunction {
        note: note(
            "fleiss_kappa(counts)",
            "agreement of many reviewers, from a list per item of how many gave each mark",
        ),
        takes: &[IntLists],
        gives: Gives::Float(fleiss_kappa),
    },
    RowFunction {
        note: note(
            "krippendorff_alpha(values, metric)",
            "agreement of many reviewers, from a list per item of the values given; metric 'nominal' or 'interval'",
        ),
        takes: &[FloatLists, Text],
        gives: Gives::Float(krippendorff_alpha),
    },
    RowFunction {
        note: note("ratio_low(k1, n1, k2, n2)", "lower 95 % score bound of the ratio of k1/n1 to the reference k2/n2"),
        takes: &[Int, Int, Int, Int],
        gives: Gives::Float(|row| Some(compare(row, fairness::score_ratio)?.0)),
    },
    RowFunction {
        note: note(
            "ratio_high(k1, n1, k2, n2)",
            "upper 95 % score bound of the ratio of k1/n1 to the reference k2/n2; null when unbounded",
        ),
        takes: &[Int, Int, Int, Int],
        gives: Gives::Float(|row| compare(row, fairness::score_ratio)?.1),
    },
    RowFunction {
        note: note("newcombe_low(k1, n1, k2, n2)", "lower 95 % bound of the difference k1/n1 - k2/n2"),
        takes: &[Int, Int, Int, Int],
        gives: Gives::Float(|row| Some(compare(row, fairness::newcombe)?.0)),
    },
    RowFunction {
        note: note("newcombe_high(k1, n1, k2, n2)", "upper 95 % bound of the difference k1/n1 - k2/n2"),
        takes: &[Int, Int, Int, Int],
        gives: Gives::Float(|row| Some(compare(row, fairness::newcombe)?.1)),
    },
    RowFunction {
        note: note(
            "fisher_two_sided(k1, n1, k2, n2)",
            "Fisher's exact p-value of no difference between k1/n1 and k2/n2",
        ),
        takes: &[Int, Int, Int, Int],
        gives: Gives::Float(|row| compare(row, fairness::fisher_two_sided)),
    },
    RowFunction {
        note: note(
            "is_below_four_fifths(k1, n1, k2, n2)",
            "whether k1/n1 is below four fifths of the reference k2/n2, in whole numbers",
        ),
        takes: &[Int, Int, Int, Int],
        gives: Gives::Bool(|row| compare(row, fairness::is_below_four_fifths)),
    },
    RowFunction {
        note: note(
            "reviewer_funnel(approved, decided)",
            "each reviewer against all others: their rate, how rare the own number is at it, 95 % funnel; a struct each",
        ),
        takes: &[Ints, Ints],
        gives: Gives::Records(FUNNEL, reviewer_funnel),
    },
    RowFunction {
        note: note("holm(p)", "p-values adjusted for their number by Holm; a null stays null and is not counted"),
        takes: &[Floats],
        gives: Gives::Floats(|row| adjust(row, multiple::holm)),
    },
    RowFunction {
        note: note(
            "benjamini_hochberg(p)",
            "p-values adjusted for their number by Benjamini and Hochberg; a null stays null and is not counted",
        ),
        takes: &[Floats],
        gives: Gives::Floats(|row| adjust(row, multiple::benjamini_hochberg)),
    },
];

const FUNNEL: Columns = &[
    ("peer_rate", Kind::Float),
    ("p_high", Kind::Float),
    ("p_low", Kind::Float),
    ("mid_p_high", Kind::Float),
    ("funnel_low", Kind::Int),
    ("funnel_high", Kind::Int),
];

/// The bounds of a share that can be: 0 <= k <= n.
fn wilson_bounds(row: &Row<'_>) -> Option<(f64, f64)> {
    let (k, n) = (row.int(0), row.int(1));
    (0 <= k && k <= n).then(|| wilson(k, n))
}

fn reviewer_funnel(row: &Row<'_>) -> Option<Vec<Vec<Cell>>> {
    let whole = |place| row.ints(place).into_iter().collect::<Option<Vec<i64>>>();
    let cells = |peer: Option<funnel::Peer>| {
        let number = |of: fn(&funnel::Peer) -> f64| Cell::Float(peer.as_ref().map(of));
        vec![
            number(|p| p.peer_rate),
            number(|p| p.p_high),
            number(|p| p.p_low),
            number(|p| p.mid_p_high),
            Cell::Int(peer.as_ref().map(|p| p.funnel.0)),
            Cell::Int(peer.as_ref().map(|p| p.funnel.1)),
        ]
    };
    Some(funnel::peers(&whole(0)?, &whole(1)?)?.into_iter().map(cells).collect())
}

const CHART: Columns = &[
    ("value", Kind::Float),
    ("z", Kind::Float),
    ("center", Kind::Float),
    ("low", Kind::Float),
    ("high", Kind::Float),
    ("laney_low", Kind::Float),
    ("laney_high", Kind::Float),
    ("tail_high", Kind::Float),
    ("tail_low", Kind::Float),
    ("is_signal", Kind::Bool),
];

const EWMA: Columns = &[("ewma", Kind::Float), ("sd", Kind::Float), ("low", Kind::Float), ("high", Kind::Float)];

const THRESHOLD: Columns =
    &[("threshold", Kind::Float), ("chosen", Kind::Int), ("correct", Kind::Int), ("lower_bound", Kind::Float)];

fn frame_bounds(row: &Row<'_>) -> Option<(i64, i64)> {
    hypergeometric::bounds(row.int(0), row.int(1), row.int(2), row.float(3))
}

/// Hits and trials per week, the first two arguments; a week with a null in it has no trials. `None` when the
/// lists differ in length.
fn weeks(row: &Row<'_>) -> Option<(Vec<i64>, Vec<i64>)> {
    Some(pairs(row.ints(0), row.ints(1))?.map(|(x, n)| x.zip(n).unwrap_or((0, 0))).unzip())
}

/// The elements of two lists side by side; `None` when the lists differ in length.
fn pairs<A, B>(left: Vec<A>, right: Vec<B>) -> Option<impl Iterator<Item = (A, B)>> {
    (left.len() == right.len()).then(|| left.into_iter().zip(right))
}

/// One struct per week; of a week without trials only the centre is known.
fn p_chart(row: &Row<'_>) -> Option<Vec<Vec<Cell>>> {
    let (x, n) = weeks(row)?;
    let chart = spc::p_chart(&x, &n)?;
    let cells = |point: Option<spc::Point>| {
        let float = |read: fn(&spc::Point) -> f64| Cell::Float(point.as_ref().map(read));
        vec![
            float(|p| p.value),
            float(|p| p.z),
            Cell::Float(chart.center),
            float(|p| p.low),
            float(|p| p.high),
            Cell::Float(point.as_ref().and_then(|p| p.laney_low)),
            Cell::Float(point.as_ref().and_then(|p| p.laney_high)),
            float(|p| p.tail_high),
            float(|p| p.tail_low),
            Cell::Bool(point.as_ref().map(|p| p.is_signal)),
        ]
    };
    Some(chart.points.into_iter().map(cells).collect())
}

fn ewma_chart(row: &Row<'_>) -> Option<Vec<Vec<Cell>>> {
    let (x, n) = weeks(row)?;
    let weeks = sequential::ewma_chart(&x, &n, row.float(2))?;
    let cells =
        |week: &sequential::Ewma| [week.ewma, week.sd, week.low, week.high].map(|v| Cell::Float(Some(v))).to_vec();
    Some(weeks.iter().map(cells).collect())
}

type Statistic = fn(&[i64], &[i64], f64, f64) -> Option<Vec<f64>>;

fn watch(row: &Row<'_>, statistic: Statistic) -> Option<Vec<Option<f64>>> {
    let (x, n) = weeks(row)?;
    Some(statistic(&x, &n, row.float(2), row.float(3))?.into_iter().map(Some).collect())
}

/// Confidences and outcomes, the first two arguments, where both are known.
fn outcomes(row: &Row<'_>) -> Option<(Vec<f64>, Vec<bool>)> {
    Some(pairs(row.floats(0), row.bools(1))?.filter_map(|(p, y)| p.zip(y)).unzip())
}

fn threshold(row: &Row<'_>) -> Option<Vec<Cell>> {
    let (p, y) = outcomes(row)?;
    let step = calibration::threshold_for_precision((&p, &y), &standard_grid(), row.float(2), row.float(3))?;
    Some(vec![
        Cell::Float(Some(step.threshold)),
        Cell::Int(Some(step.chosen)),
        Cell::Int(Some(step.correct)),
        Cell::Float(Some(step.lower_bound)),
    ])
}

fn brier(row: &Row<'_>) -> Option<f64> {
    let (p, y) = outcomes(row)?;
    calibration::brier(&p, &y)
}

/// Of the items that both reviewers marked.
fn two_reviewers(row: &Row<'_>) -> Option<TwoReviewers> {
    let (a, b): (Vec<String>, Vec<String>) = pairs(row.marks(0), row.marks(1))?.filter_map(|(a, b)| a.zip(b)).unzip();
    agreement::two_reviewers(&agreement::cross_table(&a, &b)?)
}

/// Null when an item or a count is null.
fn fleiss_kappa(row: &Row<'_>) -> Option<f64> {
    let items: Option<Vec<Vec<i64>>> = row.int_lists(0).into_iter().map(|item| item?.into_iter().collect()).collect();
    agreement::fleiss_kappa(&items?)
}

/// A null value, or item, was not marked.
fn krippendorff_alpha(row: &Row<'_>) -> Option<f64> {
    let metric = match row.text(1) {
        "nominal" => Metric::Nominal,
        "interval" => Metric::Interval,
        _ => return None,
    };
    let items = row.float_lists(0).into_iter().flatten();
    let known: Vec<Vec<f64>> = items.map(|item| item.into_iter().flatten().collect()).collect();
    agreement::krippendorff_alpha(&known, metric)
}

fn compare<T>(row: &Row<'_>, statistic: fn(Count, Count) -> Option<T>) -> Option<T> {
    let (group, reference) = (Count { k: row.int(0), n: row.int(1) }, Count { k: row.int(2), n: row.int(3) });
    statistic(group, reference)
}

fn adjust(row: &Row<'_>, method: fn(&[f64]) -> Option<Vec<f64>>) -> Option<Vec<Option<f64>>> {
    let values = row.floats(0);
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    let mut adjusted = method(&known)?.into_iter();
    Some(values.into_iter().map(|value| value.and_then(|_| adjusted.next())).collect())
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;

    async fn try_text(sql: &str) -> datafusion::common::Result<String> {
        let ctx = SessionContext::new();
        functions().into_iter().for_each(|f| ctx.register_udf(f));
        let batches = ctx.sql(sql).await?.collect().await?;
        Ok(arrow::util::pretty::pretty_format_batches(&batches)?.to_string())
    }

    /// The values of each row, one space between them.
    async fn rows(sql: &str) -> Vec<String> {
        let shown = try_text(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let values = |line: &str| line.replace('|', " ").split_whitespace().collect::<Vec<_>>().join(" ");
        shown.lines().skip(3).filter(|line| line.starts_with('|')).map(values).collect()
    }

    #[tokio::test]
    async fn every_function_is_called_as_its_note_says_and_null_of_null() {
        for function in TABLE {
            let (name, takes) = (function.name(), function.takes.len());
            assert_eq!(function.note.call.matches(',').count() + 1, takes, "{}", function.note.call);
            let nulls = vec!["null"; takes].join(", ");
            assert_eq!(rows(&format!("select {name}({nulls}) is null")).await, ["true"], "{name}");
        }
        assert_eq!((NOTES.len(), NOTES[3].call), (TABLE.len(), TABLE[3].note.call));
    }

    #[tokio::test]
    async fn bounds_and_tails_come_from_columns_of_counts() {
        let sql = "
            select k, round(binomial_low(k, n, 0.05), 4), round(binomial_high(k, n, 0.05), 4),
                   hypergeom_low(20, n, k, 0.01), hypergeom_high(20, n, k, 0.01),
                   round(binomial_tail_low(k, n, 0.5), 6), round(binomial_tail_high(k, n, 0.5), 6),
                   binomial_quantile(0.975, n, 0.5)
            from (values (0, 10), (1, 10), (null, 10), (11, 10)) as t(k, n) order by k nulls last";
        let expected =
            ["0 0.0 0.3085 0 6 0.000977 1.0 8", "1 0.0025 0.445 1 8 0.010742 0.999023 8", "11 1.0 0.0 8", "8"];
        assert_eq!(rows(sql).await, expected);
    }

    #[tokio::test]
    async fn numbers_of_every_width_are_read_as_numbers() {
        let sql = "select binomial_tail_low(cast(1 as int), cast(2 as double), cast(0.5 as real)) = 0.75";
        assert_eq!(rows(sql).await, ["true"]);
    }

    #[tokio::test]
    async fn text_is_no_number_and_the_text_is_not_repeated() {
        let error = try_text("select binomial_tail_low('secret', 2, 0.5)").await.unwrap_err().to_string();
        assert!(error.contains("argument 1") && error.contains("Int64") && !error.contains("secret"), "{error}");
        assert!(try_text("select holm(0.5)").await.is_err() && try_text("select holm()").await.is_err());
    }

    #[tokio::test]
    async fn a_reviewer_is_held_against_all_others() {
        let sql = "
            select round(f['peer_rate'], 4), round(f['p_low'], 4), f['funnel_low'], f['funnel_high']
            from (select unnest(reviewer_funnel([45, 352, 2], [50, 400, 5])) as f)";
        let found = rows(sql).await;
        assert_eq!(found[0].split(' ').next(), Some("0.8741"));
        assert_eq!(found.len(), 3);
        assert_eq!(rows("select reviewer_funnel([2], [1]) is null, reviewer_funnel([1], [2])").await.len(), 1);
    }

    #[tokio::test]
    async fn a_chart_has_a_struct_per_week() {
        let sql = "
            select c['value'], round(c['center'], 4), round(c['high'], 4), round(c['laney_high'], 4), c['is_signal']
            from (select unnest(p_chart(x, n)) as c from (
                select array_agg(x order by week) as x, array_agg(n order by week) as n
                from (values (1, 500, 10000), (2, null, null), (3, 510, 10000), (4, 700, 10000)) as t(week, x, n)))";
        assert_eq!(
            rows(sql).await,
            ["0.05 0.057 0.064 0.0836 true", "0.057", "0.051 0.057 0.064 0.0836 false", "0.07 0.057 0.064 0.0836 true"]
        );
    }

    #[tokio::test]
    async fn charts_of_nothing_are_empty_and_of_nonsense_null() {
        let sql = "
            select p_chart([0, 0], [0, 0])[2]['value'] is null, array_length(p_chart([0, 0], [0, 0])),
                   p_chart([1], [1, 2]) is null, p_chart([3], [2]) is null, cusum([1], [2], 0.0, 0.5) is null";
        assert_eq!(rows(sql).await, ["true 2 true true true"]);
    }

    #[tokio::test]
    async fn sequential_charts_are_those_of_the_analysis() {
        let sql = "
            select round(ewma_chart(x, n, 0.02)[2]['ewma'], 6), round(ewma_chart(x, n, 0.02)[2]['high'], 6),
                   round(shiryaev_roberts(x, n, 0.02, 0.05)[1], 6), round(cusum(x, n, 0.02, 0.05)[1], 6)
            from (select [2, 2] as x, [40, 400] as n)";
        assert_eq!(rows(sql).await, ["0.0218 0.031425 1.917724 0.651139"]);
    }

    #[tokio::test]
    async fn thresholds_and_scores_read_confidences_and_outcomes() {
        let sql = "
            select t['threshold'], t['chosen'], t['correct'], round(t['lower_bound'], 4),
                   brier([1, 0.0, null], [true, true, true]), threshold_for_precision([0.97], [true], 0.9, 0.05) is null
            from (select threshold_for_precision([CONFIDENCES], [OUTCOMES], 0.9, 0.05) as t)";
        let (confidences, outcomes) = (vec!["0.97"; 60].join(", "), vec!["true"; 60].join(", "));
        let sql = sql.replace("CONFIDENCES", &confidences).replace("OUTCOMES", &outcomes);
        assert_eq!(rows(&sql).await, ["0.05 60 60 0.9513 0.5 true"]);
    }

    #[tokio::test]
    async fn agreement_reads_marks_and_lists_of_lists() {
        let sql = "
            select cohen_kappa(['a', 'b', 'a', 'b', null], ['a', 'b', 'b', 'a', 'a']),
                   cohen_kappa(['a'], ['a']) is null, gwet_ac1(['a'], ['a']), cohen_kappa([1, 2], [1, 2]),
                   fleiss_kappa([[2, 0], [0, 2]]),
                   krippendorff_alpha([[1, 1, null], [2, 2, 2], null], 'nominal'),
                   krippendorff_alpha([[1, 1], [2, 2]], 'ordinal') is null";
        assert_eq!(rows(sql).await, ["0.0 true 1.0 1.0 1.0 1.0 true"]);
    }

    #[tokio::test]
    async fn comparisons_put_the_group_first_and_the_reference_second() {
        let sql = "
            select round(ratio_low(12, 40, 48, 80), 6), round(ratio_high(12, 40, 48, 80), 6),
                   ratio_high(5, 10, 0, 10) is null,
                   round(newcombe_low(12, 40, 48, 80), 6), round(newcombe_high(12, 40, 48, 80), 6),
                   round(fisher_two_sided(12, 40, 48, 80), 8), is_below_four_fifths(12, 40, 48, 80),
                   is_below_four_fifths(8, 10, 10, 10), is_below_four_fifths(0, 10, 0, 10) is null";
        assert_eq!(rows(sql).await, ["0.292673 0.795257 true -0.455876 -0.110768 0.00340922 true false true"]);
    }

    #[tokio::test]
    async fn adjusted_values_keep_their_places_and_their_nulls() {
        let sql = "select holm([0.25, null, 0.125]), benjamini_hochberg([0.25, null, 0.125]), holm([2.0]) is null";
        assert_eq!(rows(sql).await, ["[0.25, , 0.25] [0.25, , 0.25] true"]);
    }
}
