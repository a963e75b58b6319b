//! What a control found: its items counted by result, the violating ones kept.
//!
//! In: the rows of a control, one per item of its population, with `result` as their first column. Out: counts,
//! a verdict, the violations. Invariant: missing data never passes: a population of which nothing can be tested
//! is not testable.

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::DataType;
use serde::Serialize;

use crate::error::{Error, Result};

/// How a control ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing violates it.
    Pass,
    /// Something violates it.
    Fail,
    /// No item of the population could be judged.
    NotTestable,
}

impl Verdict {
    /// The verdict as data name it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotTestable => "not_testable",
        }
    }
}

/// The items of a control by result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Judgement {
    /// All of them.
    pub population: u64,
    /// Those that violate it.
    pub violations: u64,
    /// Those that lack what it needs.
    pub untestable: u64,
}

impl Judgement {
    /// The verdict over all items; an empty population passes.
    pub fn verdict(self) -> Verdict {
        if self.violations > 0 {
            Verdict::Fail
        } else if self.population > 0 && self.untestable == self.population {
            Verdict::NotTestable
        } else {
            Verdict::Pass
        }
    }

    /// Counts the items of `batch` and gives the violating ones.
    ///
    /// # Errors
    /// When the first column is not one of the three words.
    pub(super) fn take(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let defect = |e: arrow::error::ArrowError| Error::internal("a control has no `result`").because(e);
        let results = cast(batch.column(0), &DataType::Utf8View).map_err(defect)?;
        let results = results.as_string_view();
        let mut violates = Vec::with_capacity(results.len());
        for result in results {
            match result {
                Some("violation") => self.violations += 1,
                Some("untestable") => self.untestable += 1,
                Some("ok") => {}
                other => return Err(Error::internal(format!("a control gives {other:?} as result"))),
            }
            violates.push(result == Some("violation"));
        }
        self.population += results.len() as u64;
        filter_record_batch(batch, &BooleanArray::from(violates)).map_err(defect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_data_never_passes_and_nothing_to_judge_does() {
        let verdict = |population, violations, untestable| Judgement { population, violations, untestable }.verdict();
        assert_eq!(verdict(0, 0, 0), Verdict::Pass);
        assert_eq!(verdict(3, 0, 2), Verdict::Pass);
        assert_eq!(verdict(3, 0, 3), Verdict::NotTestable);
        assert_eq!(verdict(3, 1, 2), Verdict::Fail);
    }
}
