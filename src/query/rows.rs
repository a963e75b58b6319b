//! Values of an answer as JSON and as text.
//!
//! In: record batches. Out: one value at a time. Invariant: the same value always has the same form: integers
//! as numbers, decimals as strings, instants RFC 3339 in UTC with six digits, NaN and infinities as null.
//! It rounds nothing.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DecimalType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Value};

use crate::clock::rfc3339;
use crate::error::{Error, Result};
use crate::ledger::hash::hex;

/// One value of `array` as JSON.
///
/// # Errors
/// When its type has no form, which no column of the evidence has.
pub fn json(array: &dyn Array, row: usize) -> Result<Value> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    Ok(match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::UInt8 => array.as_primitive::<UInt8Type>().value(row).into(),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().value(row).into(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).into(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).into(),
        DataType::Float32 => f64::from(array.as_primitive::<Float32Type>().value(row)).into(),
        // A number that JSON cannot write becomes null.
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).into(),
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let entries = fields.iter().zip(columns).map(|(f, column)| Ok((f.name().clone(), json(column, row)?)));
            Value::Object(entries.collect::<Result<Map<String, Value>>>()?)
        }
        DataType::List(_) => entries(array.as_list::<i32>().value(row).as_ref())?,
        DataType::LargeList(_) => entries(array.as_list::<i64>().value(row).as_ref())?,
        _ => Value::String(word(array, row)?),
    })
}

fn entries(array: &dyn Array) -> Result<Value> {
    (0..array.len()).map(|row| json(array, row)).collect::<Result<Vec<_>>>().map(Value::Array)
}

/// One value of `array` as text, for tables and CSV; empty for null. Lists and structs are JSON.
///
/// # Errors
/// As [`json`].
pub fn text(array: &dyn Array, row: usize) -> Result<String> {
    match json(array, row)? {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text),
        other => Ok(other.to_string()),
    }
}

/// A value that JSON writes as a string.
fn word(array: &dyn Array, row: usize) -> Result<String> {
    Ok(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).to_owned(),
        DataType::Utf8View => array.as_string_view().value(row).to_owned(),
        DataType::Decimal128(precision, scale) => {
            Decimal128Type::format_decimal(array.as_primitive::<Decimal128Type>().value(row), *precision, *scale)
        }
        DataType::Timestamp(unit, _) => instant(array, *unit, row),
        DataType::Date32 => {
            let day = Date32Type::to_naive_date_opt(array.as_primitive::<Date32Type>().value(row));
            day.map_or_else(String::new, |day| day.format("%Y-%m-%d").to_string())
        }
        DataType::Binary => hex(array.as_binary::<i32>().value(row)),
        DataType::BinaryView => hex(array.as_binary_view().value(row)),
        other => {
            let options = FormatOptions::default();
            let formatter = ArrayFormatter::try_new(array, &options).map_err(|e| {
                Error::invalid(format!("a column of type {other} has no text form; cast it")).because(e)
            })?;
            formatter.value(row).to_string()
        }
    })
}

fn instant(array: &dyn Array, unit: TimeUnit, row: usize) -> String {
    rfc3339(match unit {
        TimeUnit::Second => array.as_primitive::<TimestampSecondType>().value(row).saturating_mul(1_000_000),
        TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().value(row).saturating_mul(1_000),
        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(row),
        TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().value(row).div_euclid(1_000),
    })
}

/// Row `row` of `batch` as JSON values in column order.
///
/// # Errors
/// As [`json`].
pub fn row(batch: &RecordBatch, row: usize) -> Result<Vec<Value>> {
    batch.columns().iter().map(|column| json(column.as_ref(), row)).collect()
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn every_type_has_its_form() {
        let sql = "select cast(9007199254740993 as bigint), cast(1.5 as decimal(18,2)), cast('NaN' as double), 0.25e0, true, null,
            arrow_cast('2026-03-01T09:00:00.5Z', 'Timestamp(Microsecond, Some(\"UTC\"))'), date '2026-03-01', 'a\"b',
            make_array(1, null), named_struct('k', 'v', 'n', cast(2 as int)), timestamp '2026-03-01T09:00:00.123456789',
            cast('-0.05' as decimal(18,2)), interval '1 day'";
        let batches = SessionContext::new().sql(sql).await.unwrap().collect().await.unwrap();
        let shown = serde_json::to_string(&row(&batches[0], 0).unwrap()).unwrap();
        assert_eq!(
            shown,
            r#"[9007199254740993,"1.50",null,0.25,true,null,"2026-03-01T09:00:00.500000Z","2026-03-01","a\"b",[1,null],{"k":"v","n":2},"2026-03-01T09:00:00.123456Z","-0.05","1 days"]"#
        );
        assert_eq!(text(batches[0].column(5), 0).unwrap(), "");
        assert_eq!(text(batches[0].column(9), 0).unwrap(), "[1,null]");
    }
}
