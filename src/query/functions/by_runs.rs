//! Functions of time that are asked once for each run of rows that they must answer alike.
//!
//! In: a function of the engine that reads instants one by one through a calendar. Out: the same function; rows that
//! follow each other on the same day, or at the same instant, share one call of it. The evidence lies in order of time,
//! so that a run is long. Invariant: every value is the one that the function itself gives; where rows do not repeat, or
//! their zone has a clock of its own, it is asked for each row.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, FieldRef, TimeUnit, TimestampMicrosecondType};
use datafusion::common::Result;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use crate::clock::DAY;

/// Parts of a date for which the function has no arithmetic and asks a calendar.
const CALENDAR_PARTS: [&str; 4] = ["week", "month", "quarter", "year"];
/// What may follow a `%` in the format of a date without a time.
const DATE_FORMATS: &str = "YCyqmbBhdeaAwuUWGgVjDxFv%";

/// `function`, asked by runs if it is one that gains by it.
pub fn by_runs(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    let alike: Alike = match function.name() {
        "date_trunc" => truncated_alike,
        "to_char" => written_alike,
        _ => return function,
    };
    Arc::new(ScalarUDF::new_from_impl(ByRuns { inner: function, alike }))
}

/// What two instants share when they are answered alike.
type Shared = fn(i64) -> i64;
/// Which argument holds the instants, and what those that are answered alike share.
type Alike = fn(&[ColumnarValue]) -> Option<(usize, Shared)>;

fn truncated_alike(args: &[ColumnarValue]) -> Option<(usize, Shared)> {
    let part = text(args.first()?)?.to_ascii_lowercase();
    let shared: Shared = day_of;
    CALENDAR_PARTS.contains(&part.as_str()).then_some((1, shared))
}

fn written_alike(args: &[ColumnarValue]) -> Option<(usize, Shared)> {
    let shared: Shared = if is_of_dates(text(args.get(1)?)?) { day_of } else { itself };
    Some((0, shared))
}

/// Whether `format` writes dates without a time.
fn is_of_dates(format: &str) -> bool {
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter == '%' && !letters.next().is_some_and(|part| DATE_FORMATS.contains(part)) {
            return false;
        }
    }
    true
}

fn day_of(instant: i64) -> i64 {
    instant.div_euclid(DAY)
}

fn itself(instant: i64) -> i64 {
    instant
}

fn text(value: &ColumnarValue) -> Option<&str> {
    match value {
        ColumnarValue::Scalar(value) => value.try_as_str().flatten(),
        ColumnarValue::Array(_) => None,
    }
}

/// `value` as instants whose days are those of UTC.
fn instants(value: &ColumnarValue) -> Option<&ArrayRef> {
    let ColumnarValue::Array(values) = value else { return None };
    let DataType::Timestamp(TimeUnit::Microsecond, zone) = values.data_type() else { return None };
    zone.as_ref().is_none_or(|zone| zone.as_ref() == "UTC").then_some(values)
}

/// Runs of rows whose instants share something.
struct Runs {
    /// The first row of each.
    firsts: Vec<u32>,
    /// For each row, its run.
    of_rows: Vec<u32>,
}

impl Runs {
    fn of(values: &PrimitiveArray<TimestampMicrosecondType>, shared: Shared) -> Self {
        let mut runs = Self { firsts: Vec::new(), of_rows: Vec::with_capacity(values.len()) };
        let mut before = None;
        for (row, value) in (0..).zip(values) {
            let here = Some(value.map(shared));
            if before != here {
                runs.firsts.push(row);
                before = here;
            }
            runs.of_rows.push(runs.firsts.len() as u32 - 1);
        }
        runs
    }

    /// Whether so few rows differ that it pays to put the answers together again.
    fn are_long(&self) -> bool {
        self.firsts.len() * 2 <= self.of_rows.len()
    }
}

/// `inner`, asked once for each run.
#[derive(Debug)]
struct ByRuns {
    inner: Arc<ScalarUDF>,
    alike: Alike,
}

// What rows share follows from the function.
impl PartialEq for ByRuns {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl Eq for ByRuns {}

impl std::hash::Hash for ByRuns {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl ScalarUDFImpl for ByRuns {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.inner.output_ordering(inputs)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some((place, shared)) = (self.alike)(&args.args) else { return self.inner.invoke_with_args(args) };
        let Some(values) = args.args.get(place).and_then(instants) else { return self.inner.invoke_with_args(args) };
        let runs = Runs::of(values.as_primitive(), shared);
        if !runs.are_long() {
            return self.inner.invoke_with_args(args);
        }
        let firsts = take(values, &UInt32Array::from(runs.firsts), None)?;
        args.number_rows = firsts.len();
        args.args[place] = ColumnarValue::Array(firsts);
        Ok(match self.inner.invoke_with_args(args)? {
            ColumnarValue::Array(values) => {
                ColumnarValue::Array(take(&values, &UInt32Array::from(runs.of_rows), None)?)
            }
            same => same,
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::TimestampMicrosecondArray;
    use arrow::record_batch::RecordBatch;
    use datafusion::execution::SessionStateDefaults;
    use datafusion::prelude::SessionContext;

    use super::*;

    /// Instants around the turns of years, weeks and days and before 1970, each beside others of its day, with nulls.
    fn some_instants(zone: Option<&str>) -> RecordBatch {
        let turns = [0, 1, -1, DAY, 1_767_225_600_000_000, 1_772_323_200_000_000, 1_735_689_600_000_000, -DAY * 40_000];
        let around = turns.into_iter().flat_map(|turn| {
            let steps = [-DAY, -1, 0, 0, 1, DAY / 3, DAY - 1, DAY, DAY + 1, 5 * DAY];
            steps.into_iter().map(move |step| Some(turn + step)).chain([None, None])
        });
        let instants: TimestampMicrosecondArray = around.flat_map(|at| [at, at, at.map(|at| at + 2)]).collect();
        let instants = Arc::new(instants.with_timezone_opt(zone)) as ArrayRef;
        RecordBatch::try_from_iter_with_nullable([("at", instants, true)]).unwrap()
    }

    async fn answer(zone: Option<&str>, call: &str, is_by_runs: fn(Arc<ScalarUDF>) -> Arc<ScalarUDF>) -> String {
        let context = SessionContext::new();
        for function in SessionStateDefaults::default_scalar_functions() {
            context.register_udf(is_by_runs(function).as_ref().clone());
        }
        context.register_batch("t", some_instants(zone)).unwrap();
        let found = context.sql(&format!("select at, {call} as it from t")).await.unwrap().collect().await.unwrap();
        arrow::util::pretty::pretty_format_batches(&found).unwrap().to_string()
    }

    #[tokio::test]
    async fn runs_are_answered_as_rows_are() {
        let mut calls: Vec<String> = ["second", "day", "week", "MONTH", "quarter", "year"]
            .map(|part| format!("date_trunc('{part}', at)"))
            .into_iter()
            .collect();
        for format in ["%Y-%m-%d", "%G-W%V", "%% day %j", "%Y-%m-%dT%H:%M:%S%.6f", "%-d", "plain"] {
            calls.push(format!("to_char(at, '{format}')"));
            calls.push(format!("date_format(date_trunc('week', at), '{format}')"));
        }
        calls.push("to_char(at, case when at is null then null else '%Y' end)".to_owned());
        for zone in [None, Some("UTC"), Some("+05:30")] {
            for call in &calls {
                assert_eq!(answer(zone, call, by_runs).await, answer(zone, call, |it| it).await, "{call} in {zone:?}");
            }
        }
    }

    #[test]
    fn a_format_with_a_time_is_no_date() {
        assert!(["%Y-%m-%d", "", "100%%", "%G %V", "%Y年"].into_iter().all(is_of_dates));
        assert!(!["%H", "%Y-%m-%d %T", "%.3f", "%-d", "%", "%s", "%Z", "%c"].into_iter().any(is_of_dates));
    }

    #[test]
    fn null_begins_a_run_of_its_own() {
        let values: TimestampMicrosecondArray =
            [Some(0), Some(5), None, None, Some(7), Some(DAY), Some(0)].into_iter().collect();
        let runs = Runs::of(&values, day_of);
        assert_eq!((runs.firsts, runs.of_rows), (vec![0, 2, 4, 5, 6], vec![0, 0, 1, 1, 2, 3, 4]));
    }
}
