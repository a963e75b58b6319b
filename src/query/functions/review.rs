//! The arithmetic of sample reviews, as functions.
//!
//! In: counts, rates as `p/q`, seeds and ids. Out: E, the decision, sample sizes, tickets. Invariant: counts or rates
//! that cannot be give null, and nothing is computed here: each entry reads its arguments and asks `analysis`.

use datafusion::logical_expr::ScalarUDF;

use super::FunctionNote;
use super::row_function::Takes::{Int, Text};
use super::row_function::{Gives, Row, RowFunction};
use crate::analysis::eprocess::{self, Sample};
use crate::analysis::fixed;
use crate::analysis::fraction::Fraction;
use crate::analysis::sampler::{seed_hash, ticket};

/// The functions made here.
pub(super) fn functions() -> Vec<ScalarUDF> {
    TABLE.iter().map(RowFunction::udf).collect()
}

/// Every function made here, in words.
pub(super) const NOTES: &[FunctionNote] = &[TABLE[0].note, TABLE[1].note, TABLE[2].note, TABLE[3].note];

const TABLE: &[RowFunction] = &[
    RowFunction {
        note: FunctionNote {
            call: "review_e(frame, claim, n, k)",
            gives: "E of n items reviewed with k errors, for the claim that fewer than 'p/q' of the frame are errors",
        },
        takes: &[Int, Text, Int, Int],
        gives: Gives::Float(|row| Some(eprocess::evidence(sample(row)?, errors_excluded(row)?)?.to_f64())),
    },
    RowFunction {
        note: FunctionNote {
            call: "review_decision(frame, claim, n, k, alpha)",
            gives: "ENABLE, EXTEND, CENSUS or REJECTED, by integers: whether that E is at least 1/alpha",
        },
        takes: &[Int, Text, Int, Int, Text],
        gives: Gives::Text(|row| {
            let decision = eprocess::decide(sample(row)?, errors_excluded(row)?, share(row.text(4))?)?;
            Some(decision.name().to_owned())
        }),
    },
    RowFunction {
        note: FunctionNote {
            call: "sample_size(frame, claim, alpha, errors, procedure)",
            gives: "items that show the claim with so many errors among them, 'sequential' or 'fixed'; null: none do",
        },
        takes: &[Int, Text, Text, Int, Text],
        gives: Gives::Int(sample_size),
    },
    RowFunction {
        note: FunctionNote {
            call: "review_ticket(seed, id)",
            gives: "the ticket of an id under a seed text by Rivest's consistent sampling; samples are in order of tickets",
        },
        takes: &[Text, Text],
        gives: Gives::Text(|row| Some(ticket(&seed_hash(row.text(0)), row.text(1)))),
    },
];

/// Frame, n and k of the arguments 0, 2 and 3.
fn sample(row: &Row<'_>) -> Option<Sample> {
    Some(Sample { frame: count(row, 0)?, n: count(row, 2)?, k: count(row, 3)? })
}

/// The least number of errors that makes the claim of argument 1 about the frame of argument 0 false.
fn errors_excluded(row: &Row<'_>) -> Option<u64> {
    Some(share(row.text(1))?.of(count(row, 0)?))
}

fn sample_size(row: &Row<'_>) -> Option<i64> {
    let (frame, d0) = (count(row, 0)?, errors_excluded(row)?);
    let (alpha, errors) = (share(row.text(2))?, count(row, 3)?);
    let items = match row.text(4) {
        "sequential" => eprocess::sequential_items(frame, d0, alpha, errors),
        "fixed" => fixed::items(frame, d0, alpha, errors),
        _ => None,
    };
    i64::try_from(items?).ok()
}

fn count(row: &Row<'_>, place: usize) -> Option<u64> {
    u64::try_from(row.int(place)).ok()
}

/// A rate or an allowed error, strictly between 0 and 1.
fn share(text: &str) -> Option<Fraction> {
    Fraction::parse(text).filter(|fraction| fraction.is_share())
}

#[cfg(test)]
mod tests {
    use super::super::testing::text;
    use super::*;

    #[tokio::test]
    async fn every_function_is_called_as_its_note_says_and_null_of_null() {
        assert_eq!(NOTES.len(), TABLE.len());
        for function in TABLE {
            let (name, takes) = (function.name(), function.takes.len());
            assert_eq!(function.note.call.matches(',').count() + 1, takes, "{}", function.note.call);
            let shown = text(&format!("select {name}({}) is null as n", vec!["null"; takes].join(", "))).await;
            assert!(shown.contains("| true |"), "{shown}");
        }
    }

    #[tokio::test]
    async fn counts_give_evidence_and_a_decision() {
        let shown = text(
            "select n, round(review_e(200, '1/20', n, k), 3) as e, review_decision(200, '0.05', n, k, '1/20') as d
             from (values (0, 0), (55, 0), (56, 0), (60, 10), (199, 0), (10, 11), (-1, 0)) as t(n, k) order by n, k",
        )
        .await;
        let expected = [
            "| -1  |        |          |",
            "| 0   | 1.0    | EXTEND   |",
            "| 10  |        |          |",
            "| 55  | 18.99  | EXTEND   |",
            "| 56  | 20.324 | ENABLE   |",
            "| 199 | inf    | ENABLE   |",
        ];
        for line in expected {
            assert!(shown.contains(line), "{line} in\n{shown}");
        }
        assert!(shown.contains("| 60  | 0.01   | REJECTED |"), "{shown}");
    }

    #[tokio::test]
    async fn sizes_are_those_of_the_procedure() {
        let shown = text(
            "select sample_size(200, '1/20', '1/20', errors, 'sequential') as s,
                    sample_size(200, '1/20', '1/20', errors, 'fixed') as f,
                    sample_size(200, '1/20', '1/20', errors, 'other') is null as o,
                    sample_size(200, '1/1', '1/20', errors, 'fixed') is null as v
             from (values (0), (1), (2), (3), (10)) as t(errors) order by errors",
        )
        .await;
        for line in [
            "| 56  | 51  | true | true |",
            "| 101 | 78  |",
            "| 130 | 101 |",
            "| 151 | 121 |",
            "|     |     | true | true |",
        ] {
            assert!(shown.contains(line), "{line} in\n{shown}");
        }
    }

    /// The first fraction that the documentation of consistent_sampler shows.
    #[tokio::test]
    async fn a_ticket_is_that_of_the_seed_text() {
        let shown = text("select review_ticket('01382438112797316654', 'AB-130') as t").await;
        let ticket = "0.26299714122838008416507544297546663599715395525154425586041245287750224561854";
        assert!(shown.contains(ticket), "{shown}");
    }
}
