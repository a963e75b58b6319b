//! The answer of a query as JSON objects, for those who compose words from it; and a text as SQL writes it, for those
//! who ask about one.
//!
//! In: record batches. Out: JSON objects by column name. Invariant: a null stays a null; it never becomes 0.

use serde_json::{Map, Value};

use super::answer::Answer;
use crate::error::{Error, Result};

/// One row by column name.
pub type Row = Map<String, Value>;

/// The part that is the rate itself where a metric lists the reasons for the rest beside it.
pub const RATE_PART: &str = "valid";

/// The rows of `answer`.
///
/// # Errors
/// When a column has a type that JSON cannot hold.
pub fn rows(answer: &Answer) -> Result<Vec<Row>> {
    let unprintable = |e: arrow::error::ArrowError| Error::internal("an answer cannot be written as JSON").because(e);
    let mut out = Vec::new();
    let builder = arrow::json::WriterBuilder::new().with_explicit_nulls(true);
    let mut writer = builder.build::<_, arrow::json::writer::JsonArray>(&mut out);
    for batch in &answer.batches {
        writer.write(batch).map_err(unprintable)?;
    }
    writer.finish().map_err(unprintable)?;
    drop(writer);
    if out.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(&out).map_err(|e| Error::internal("an answer cannot be read back").because(e))
}

/// `text` as a literal of SQL: whatever stands in it stays text.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Text of a column; empty where it is null.
pub fn text<'a>(row: &'a Row, column: &str) -> &'a str {
    row.get(column).and_then(Value::as_str).unwrap_or_default()
}

/// Count of a column; none where it is null.
pub fn count(row: &Row, column: &str) -> Option<u64> {
    row.get(column).and_then(Value::as_u64)
}

/// Number of a column; none where it is null.
pub fn number(row: &Row, column: &str) -> Option<f64> {
    row.get(column).and_then(Value::as_f64)
}
