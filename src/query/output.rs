//! Answers written out: table, CSV, JSON, lines of JSON, Parquet, Arrow.
//!
//! In: an answer as it comes. Out: bytes. Invariant: rows are written as they arrive and not gathered, except
//! for the table, whose columns need their widths; a truncated answer says so wherever the format has a place
//! for it, and to the caller always. How batches become bytes is said in `encoder`; who cannot wait in a write, such as
//! a server, asks it batch by batch.

mod encoder;

use std::io::Write;
use std::str::FromStr;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::answer::AnswerStream;
use super::params::Bound;
use super::rows;
use crate::error::{Error, Result};
pub use encoder::{Encoder, Ending};

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Aligned columns for people.
    #[default]
    Table,
    /// RFC 4180, with a header line.
    Csv,
    /// One JSON document.
    Json,
    /// One JSON object per line.
    Ndjson,
    /// A Parquet file.
    Parquet,
    /// A stream of Arrow IPC messages.
    Arrow,
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        Ok(match word {
            "table" => Self::Table,
            "csv" => Self::Csv,
            "json" => Self::Json,
            "ndjson" => Self::Ndjson,
            "parquet" => Self::Parquet,
            "arrow" => Self::Arrow,
            _ => {
                return Err(Error::invalid(format!(
                    "`{word}` is no format; there are table, csv, json, ndjson, parquet, arrow"
                )));
            }
        })
    }
}

/// What stands in a JSON document before the rows.
#[derive(Debug, Clone)]
pub struct Preamble<'a> {
    /// Name of the query or text of the SQL.
    pub query: &'a str,
    /// Values of its parameters.
    pub params: &'a Bound,
    /// Events that counted.
    pub size: i64,
    /// Version of the folded table.
    pub version: i64,
    /// Root hash of the ledger at `size`, when it is known.
    pub root: Option<String>,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Rows.
    pub rows: usize,
    /// Whether rows were left out because of the row limit.
    pub is_truncated: bool,
}

/// Writes `answer` to `out` in `format`.
///
/// # Errors
/// When the query fails or `out` cannot be written to; what was written before stays.
pub async fn write(
    answer: &mut AnswerStream,
    format: Format,
    preamble: &Preamble<'_>,
    out: &mut (dyn Write + Send),
) -> Result<Written> {
    let rows = match format {
        Format::Table => table(answer, out).await?,
        _ => encoded(answer, Encoder::new(format, answer.schema(), preamble)?, out).await?,
    };
    out.flush().map_err(cannot_write)?;
    Ok(Written { rows, is_truncated: answer.is_truncated() })
}

fn cannot_write(cause: std::io::Error) -> Error {
    Error::unavailable("cannot write the answer").because(cause)
}

fn names(schema: &SchemaRef) -> Vec<&str> {
    schema.fields().iter().map(|field| field.name().as_str()).collect()
}

async fn encoded(answer: &mut AnswerStream, mut encoder: Encoder, out: &mut (dyn Write + Send)) -> Result<usize> {
    let mut rows = 0;
    while let Some(batch) = answer.next().await? {
        encoder.batch(&batch)?;
        out.write_all(&encoder.take()).map_err(cannot_write)?;
        rows += batch.num_rows();
    }
    encoder.end(Ending::of(answer))?;
    out.write_all(&encoder.take()).map_err(cannot_write)?;
    Ok(rows)
}

/// A CSV field, in quotes where it must be.
pub(crate) fn quoted(text: &str) -> String {
    let is_plain = !text.is_empty() && !text.contains(['"', ',', '\r', '\n']) && text.trim() == text;
    if is_plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

async fn table(answer: &mut AnswerStream, out: &mut (dyn Write + Send)) -> Result<usize> {
    let schema = answer.schema();
    let is_number: Vec<bool> = schema.fields().iter().map(|field| field.data_type().is_numeric()).collect();
    let mut lines: Vec<Vec<String>> = vec![names(&schema).into_iter().map(str::to_owned).collect()];
    while let Some(batch) = answer.next().await? {
        lines.extend(cells(&batch)?);
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..is_number.len()).map(width).collect();
    for (i, line) in lines.iter().enumerate() {
        let padded = line.iter().zip(&widths).zip(&is_number).map(|((cell, width), is_number)| {
            // The widths of `format!` end at 65,535, and a collected text may be longer.
            let space = " ".repeat(width.saturating_sub(cell.chars().count()));
            if *is_number { format!("{space}{cell}") } else { format!("{cell}{space}") }
        });
        writeln!(out, "{}", padded.collect::<Vec<_>>().join("  ").trim_end()).map_err(cannot_write)?;
        if i == 0 {
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            writeln!(out, "{}", rule.join("  ")).map_err(cannot_write)?;
        }
    }
    Ok(lines.len() - 1)
}

fn cells(batch: &RecordBatch) -> Result<Vec<Vec<String>>> {
    let cell = |column: usize, row: usize| -> Result<String> {
        let text = rows::text(batch.column(column), row)?;
        // A line break or an escape sequence in a value would break the table or the terminal.
        Ok(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
    };
    (0..batch.num_rows()).map(|row| (0..batch.num_columns()).map(|column| cell(column, row)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::answer::Limits;
    use super::super::testing::{engine, random_events, snapshot};
    use super::*;

    const SQL: &str = "select * from (values (1, 'a,\"b\"', null, cast('1.5' as decimal(18,2))), (2, '', 'x\ny', null)) as t(n, quoted, maybe, price) order by n";

    async fn written(sql: &str, format: &str, rows: usize) -> (Vec<u8>, Written) {
        let engine = engine(&snapshot(&random_events(1, 3), 2, 2).await).await;
        let mut answer = engine.sql_stream(sql, Limits { rows, seconds: 60 }).await.unwrap();
        let params = Bound::as_of(0);
        let preamble = Preamble { query: "q", params: &params, size: 3, version: 0, root: None };
        let mut out = Vec::new();
        let written = write(&mut answer, format.parse().unwrap(), &preamble, &mut out).await.unwrap();
        (out, written)
    }

    async fn text(sql: &str, format: &str, rows: usize) -> String {
        String::from_utf8(written(sql, format, rows).await.0).unwrap()
    }

    #[tokio::test]
    async fn each_format_writes_the_same_rows() {
        assert_eq!(
            text(SQL, "csv", 9).await,
            "n,quoted,maybe,price\r\n1,\"a,\"\"b\"\"\",,1.50\r\n2,\"\",\"x\ny\",\r\n"
        );
        assert_eq!(
            text(SQL, "json", 9).await,
            "{\"query\":\"q\",\"params\":{\"as_of\":\"1970-01-01T00:00:00.000000Z\"},\"as_of\":{\"root\":null,\"size\":3,\"version\":0},\
             \"columns\":[\"n\",\"quoted\",\"maybe\",\"price\"],\"rows\":[[1,\"a,\\\"b\\\"\",null,\"1.50\"],[2,\"\",\"x\\ny\",null]]}\n"
        );
        assert_eq!(
            text(SQL, "ndjson", 9).await,
            "{\"n\":1,\"quoted\":\"a,\\\"b\\\"\",\"maybe\":null,\"price\":\"1.50\"}\n{\"n\":2,\"quoted\":\"\",\"maybe\":\"x\\ny\",\"price\":null}\n"
        );
        assert_eq!(
            text(SQL, "table", 9).await,
            "n  quoted  maybe  price\n-  ------  -----  -----\n1  a,\"b\"           1.50\n2          x y\n"
        );
        let (bytes, written) = written(SQL, "parquet", 9).await;
        assert_eq!(written, Written { rows: 2, is_truncated: false });
        let reader =
            parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap();
        assert_eq!(reader.build().unwrap().map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 2);
    }

    #[tokio::test]
    async fn an_arrow_stream_has_the_same_rows_and_plain_text() {
        let (bytes, written) = written(SQL, "arrow", 9).await;
        assert_eq!(written.rows, 2);
        let reader = arrow::ipc::reader::StreamReader::try_new(&bytes[..], None).unwrap();
        assert_eq!(*reader.schema().field(1).data_type(), arrow::datatypes::DataType::Utf8);
        let batches: Vec<RecordBatch> = reader.map(|batch| batch.unwrap()).collect();
        let shown: Vec<String> = batches.iter().flat_map(cells_of).collect();
        assert_eq!(shown, ["1 a,\"b\"  1.50", "2  x y "]);
    }

    fn cells_of(batch: &RecordBatch) -> Vec<String> {
        cells(batch).unwrap().into_iter().map(|line| line.join(" ")).collect()
    }

    #[tokio::test]
    async fn an_empty_answer_has_its_columns() {
        let sql = "select seq, event_id from evidence where seq < 0";
        assert_eq!(text(sql, "csv", 9).await, "seq,event_id\r\n");
        assert!(text(sql, "json", 9).await.ends_with("\"columns\":[\"seq\",\"event_id\"],\"rows\":[]}\n"));
        assert_eq!(written(sql, "parquet", 9).await.1.rows, 0);
    }

    #[tokio::test]
    async fn a_truncated_answer_says_so() {
        assert!(text(SQL, "json", 1).await.ends_with("\"1.50\"]],\"truncated\":true}\n"));
        assert_eq!(written(SQL, "csv", 1).await.1, Written { rows: 1, is_truncated: true });
        assert_eq!(written(SQL, "csv", 2).await.1, Written { rows: 2, is_truncated: false });
    }
}
