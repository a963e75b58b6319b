//! `sum` over whole numbers that does not wrap.
//!
//! In: DataFusion's own `sum`. Out: the same function, which adds whole numbers as decimals of 38 digits and fails where
//! the result does not fit. Invariant: whether it fails depends on the numbers alone, not on the order in which
//! partitions add them; every other type is summed as before.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator, ReversedUDAF,
    SetMonotonicity, Signature,
};

use super::checked::too_large;

/// What whole numbers are added as: 2^64 of the largest fit.
const WIDE: DataType = DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0);

/// The name of the function.
const SUM: &str = "sum";

/// `functions` with a `sum` that does not wrap.
pub(super) fn checked(functions: Vec<Arc<AggregateUDF>>) -> Vec<Arc<AggregateUDF>> {
    let checked = |function: Arc<AggregateUDF>| match function.name() {
        SUM => Arc::new(AggregateUDF::new_from_impl(CheckedSum { inner: function })),
        _ => function,
    };
    functions.into_iter().map(checked).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckedSum {
    inner: Arc<AggregateUDF>,
}

impl CheckedSum {
    fn inner(&self) -> &dyn AggregateUDFImpl {
        self.inner.inner().as_ref()
    }
}

/// Whether sums of this type are added as [`WIDE`].
fn is_whole(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int64 | DataType::UInt64)
}

fn wide_field() -> FieldRef {
    Arc::new(Field::new(SUM, WIDE, true))
}

fn widened(args: AccumulatorArgs<'_>) -> AccumulatorArgs<'_> {
    AccumulatorArgs { return_field: wide_field(), ..args }
}

impl AggregateUDFImpl for CheckedSum {
    fn name(&self) -> &str {
        SUM
    }

    fn signature(&self) -> &Signature {
        self.inner().signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner().return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let to = args.return_type().clone();
        if !is_whole(&to) {
            return self.inner().accumulator(args);
        }
        Ok(Box::new(Narrowed { inner: self.inner().accumulator(widened(args))?, to }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if !is_whole(args.return_type()) {
            return self.inner().state_fields(args);
        }
        self.inner().state_fields(StateFieldsArgs { return_field: wide_field(), ..args })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner().groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let to = args.return_type().clone();
        if !is_whole(&to) {
            return self.inner().create_groups_accumulator(args);
        }
        Ok(Box::new(NarrowedGroups { inner: self.inner().create_groups_accumulator(widened(args))?, to }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let to = args.return_type().clone();
        match (is_whole(&to), args.is_distinct) {
            (false, _) => self.inner().create_sliding_accumulator(args),
            (true, true) => plan_err!("sum(distinct …) cannot run over a window that moves; group by instead"),
            (true, false) => {
                Ok(Box::new(Narrowed { inner: self.inner().create_sliding_accumulator(widened(args))?, to }))
            }
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.inner().reverse_expr()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner().order_sensitivity()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner().documentation()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.inner().set_monotonicity(data_type)
    }
}

/// The columns as [`WIDE`].
fn wide(values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    values.iter().map(|values| Ok(cast(values, &WIDE)?)).collect()
}

/// One sum: of decimals inside, a whole number of type `to` outside.
#[derive(Debug)]
struct Narrowed {
    inner: Box<dyn Accumulator>,
    to: DataType,
}

impl Accumulator for Narrowed {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(&wide(values)?)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = self.inner.evaluate()?.to_array()?;
        ScalarValue::try_from_array(narrow(&sum, &self.to)?.as_ref(), 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(&wide(values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }
}

/// The same for the sums of many groups.
struct NarrowedGroups {
    inner: Box<dyn GroupsAccumulator>,
    to: DataType,
}

impl GroupsAccumulator for NarrowedGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.inner.update_batch(&wide(values)?, group_indices, opt_filter, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        narrow(&self.inner.evaluate(emit_to)?, &self.to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit_to)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.inner.merge_batch(values, group_indices, total_num_groups)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(&wide(values)?, opt_filter)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}

/// `sums`, which are of type [`WIDE`], as whole numbers of type `to`.
fn narrow(sums: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let Some(sums) = sums.as_primitive_opt::<Decimal128Type>() else { return internal_err!("a sum has another type") };
    let past = |_| too_large("a sum");
    match to {
        DataType::Int64 => {
            let whole = sums.iter().map(|sum| sum.map(i64::try_from).transpose());
            Ok(Arc::new(whole.collect::<std::result::Result<Int64Array, _>>().map_err(past)?))
        }
        DataType::UInt64 => {
            let whole = sums.iter().map(|sum| sum.map(u64::try_from).transpose());
            Ok(Arc::new(whole.collect::<std::result::Result<UInt64Array, _>>().map_err(past)?))
        }
        other => internal_err!("a sum of whole numbers is asked for as {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::{Answer, Limits};
    use super::super::rows::row;
    use super::super::testing::{engine, random_events, snapshot};
    use crate::error::{ErrorKind, Result};

    async fn asked(sql: &str) -> Result<Answer> {
        engine(&snapshot(&random_events(5, 40), 30, 30).await).await.sql(sql, Limits::default()).await
    }

    const LARGE: &str = "(values (9223372036854775807, 1), (1, 1), (5, 2)) as t (n, k)";

    #[tokio::test]
    async fn a_sum_that_does_not_fit_is_an_error() {
        for sql in [
            format!("select sum(n) from {LARGE}"),
            format!("select k, sum(n) from {LARGE} group by k"),
            format!("select sum(distinct n) from {LARGE}"),
            format!("select sum(n) over (order by n desc) from {LARGE}"),
            format!("select sum(n) over (order by n desc rows between 1 preceding and current row) from {LARGE}"),
            format!("select sum(n) filter (where k = 1) from {LARGE}"),
            "select sum(seq + 400000000000000000) from evidence".to_owned(),
        ] {
            let err = asked(&sql).await.expect_err(&sql);
            assert_eq!(err.kind(), ErrorKind::Invalid, "{sql}: {err}");
            assert!(err.to_string().contains("does not fit"), "{sql}: {err}");
        }
    }

    #[tokio::test]
    async fn a_sum_that_fits_is_the_same_whatever_lies_between() {
        for (sql, rows) in [
            ("select sum(n) from (values (9223372036854775807), (1), (-1)) as t (n)", "[9223372036854775807]"),
            ("select sum(seq), sum(distinct seq % 2) from evidence", "[780,1]"),
            ("select sum(seq) from evidence where seq < 0", "[null]"),
            ("select sum(seq % 4) as s from evidence group by seq % 2 order by s limit 1", "[20]"),
            (
                "select sum(seq) over (order by seq rows between 1 preceding and current row) as s from evidence order by s desc limit 1",
                "[77]",
            ),
            (
                "select sum(cast(seq as tinyint)), sum(arrow_cast(seq, 'UInt64')), sum(seq / 2.0) from evidence",
                "[780,780,390.0]",
            ),
            ("select sum(confidence) is not null, sum(amount) is not null from evidence", "[true,true]"),
        ] {
            let answer = asked(sql).await.unwrap_or_else(|err| panic!("{sql}: {err}"));
            assert_eq!(serde_json::to_string(&row(&answer.batches[0], 0).unwrap()).unwrap(), rows, "{sql}");
        }
    }
}
