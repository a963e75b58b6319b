//! SQL functions of our own.
//!
//! In: columns. Out: columns of the same length. Invariant: each is pure and gives the same for the same
//! input; content that cannot be understood is null, never an error that repeats it.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Builder, ListArray, StringViewBuilder, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use serde::Deserialize;

use crate::analysis::wilson::wilson;

/// A function as the list of named queries shows it.
#[derive(Debug, Clone, Copy)]
pub struct FunctionNote {
    /// How it is called.
    pub call: &'static str,
    /// What it gives.
    pub gives: &'static str,
}

/// Every function made here, in words.
pub const NOTES: &[FunctionNote] = &[
    FunctionNote { call: "wilson_low(k, n)", gives: "lower Wilson 95 % bound of k of n; 0 at n = 0" },
    FunctionNote { call: "wilson_high(k, n)", gives: "upper Wilson 95 % bound of k of n; 1 at n = 0" },
    FunctionNote {
        call: "received_counts(extra)",
        gives: "the counts of an evidence.received event, a list of structs per source and day",
    },
];

/// The scalar functions made here.
pub fn scalar_functions() -> Vec<ScalarUDF> {
    vec![
        ScalarUDF::new_from_impl(Wilson::new("wilson_low", Bound::Low)),
        ScalarUDF::new_from_impl(Wilson::new("wilson_high", Bound::High)),
        ScalarUDF::new_from_impl(ReceivedCounts::new()),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Bound {
    Low,
    High,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Wilson {
    name: &'static str,
    bound: Bound,
    signature: Signature,
}

impl Wilson {
    fn new(name: &'static str, bound: Bound) -> Self {
        let signature = Signature::exact(vec![DataType::Int64, DataType::Int64], Volatility::Immutable);
        Self { name, bound, signature }
    }
}

impl ScalarUDFImpl for Wilson {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let (k, n) = (arrays[0].as_primitive::<Int64Type>(), arrays[1].as_primitive::<Int64Type>());
        let bounds: Float64Array = k
            .iter()
            .zip(n)
            .map(|(k, n)| {
                let (low, high) = wilson(k?, n?);
                Some(if self.bound == Bound::Low { low } else { high })
            })
            .collect();
        Ok(ColumnarValue::Array(Arc::new(bounds)))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ReceivedCounts {
    signature: Signature,
}

/// `extra` of an `evidence.received` event.
#[derive(Deserialize)]
struct Received {
    counts: Vec<Counts>,
}

#[derive(Deserialize)]
struct Counts {
    source: Option<String>,
    day: Option<String>,
    received: Option<i64>,
    accepted: Option<i64>,
    duplicate: Option<i64>,
    conflict: Option<i64>,
    rejected: Option<i64>,
}

fn counts_fields() -> Fields {
    static FIELDS: LazyLock<Fields> = LazyLock::new(|| {
        let text = ["source", "day"].map(|name| Field::new(name, DataType::Utf8View, true));
        let number = ["received", "accepted", "duplicate", "conflict", "rejected"]
            .map(|name| Field::new(name, DataType::Int64, true));
        text.into_iter().chain(number).collect()
    });
    FIELDS.clone()
}

fn counts_element() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Struct(counts_fields()), true))
}

impl ReceivedCounts {
    fn new() -> Self {
        let text = [DataType::Utf8View, DataType::Utf8, DataType::LargeUtf8].map(|t| TypeSignature::Exact(vec![t]));
        Self { signature: Signature::one_of(text.to_vec(), Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for ReceivedCounts {
    fn name(&self) -> &str {
        "received_counts"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(counts_element()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let text = cast(&arrays[0], &DataType::Utf8View)?;
        Ok(ColumnarValue::Array(received_counts(text.as_ref())?))
    }
}

fn received_counts(text: &dyn Array) -> Result<ArrayRef> {
    let text = text.as_string_view();
    let mut source = StringViewBuilder::new();
    let mut day = StringViewBuilder::new();
    let mut numbers: [Int64Builder; 5] = Default::default();
    let mut lengths = Vec::with_capacity(text.len());
    let mut valid = Vec::with_capacity(text.len());
    for extra in text {
        let received = extra.and_then(|extra| serde_json::from_str::<Received>(extra).ok());
        valid.push(received.is_some());
        let counts = received.map(|r| r.counts).unwrap_or_default();
        lengths.push(counts.len());
        for entry in counts {
            source.append_option(entry.source);
            day.append_option(entry.day);
            let values = [entry.received, entry.accepted, entry.duplicate, entry.conflict, entry.rejected];
            for (builder, value) in numbers.iter_mut().zip(values) {
                builder.append_option(value);
            }
        }
    }
    let mut columns: Vec<ArrayRef> = vec![Arc::new(source.finish()), Arc::new(day.finish())];
    columns.extend(numbers.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
    let entries = StructArray::try_new(counts_fields(), columns, None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(counts_element(), offsets, Arc::new(entries), Some(NullBuffer::from(valid)))?))
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;

    async fn text(sql: &str) -> String {
        let ctx = SessionContext::new();
        scalar_functions().into_iter().for_each(|f| ctx.register_udf(f));
        let batches = ctx.sql(sql).await.unwrap().collect().await.unwrap();
        arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string()
    }

    #[tokio::test]
    async fn wilson_bounds_are_those_of_the_analysis_and_null_of_null() {
        let (low, high) = wilson(3, 10);
        let sql = format!(
            "select wilson_low(k, n) = {low:?} and wilson_high(k, n) = {high:?} as same, wilson_low(null, n) as a, wilson_high(0, 0) as b
             from (values (3, 10)) as t(k, n)"
        );
        let shown = text(&sql).await;
        assert!(shown.contains("| true |   | 1.0 |"), "{shown}");
    }

    #[tokio::test]
    async fn received_counts_reads_what_it_understands_and_nothing_else() {
        let sql = r#"
            select id, c['source'] as source, c['day'] as day, c['received'] as received, c['rejected'] as rejected
            from (select id, unnest(received_counts(extra)) as c from (values
                (1, '{"counts":[{"source":"crm","day":"2016-03-01","received":3,"accepted":2,"duplicate":0,"conflict":0,"rejected":1},{"received":7}],"more":0}'),
                (2, '{"counts":[{"received":"x"}]}'), (3, 'not json'), (4, null), (5, '{"counts":[]}')) as t(id, extra))
            order by id, received"#;
        let shown = text(sql).await;
        let expected = "\
+----+--------+------------+----------+----------+
| id | source | day        | received | rejected |
+----+--------+------------+----------+----------+
| 1  | crm    | 2016-03-01 | 3        | 1        |
| 1  |        |            | 7        |          |
+----+--------+------------+----------+----------+";
        assert_eq!(shown, expected);
        let nulls =
            text("select received_counts('{') is null as bad, received_counts('{\"counts\":[]}') is null as empty")
                .await;
        assert!(nulls.contains("| true | false |"), "{nulls}");
    }
}
