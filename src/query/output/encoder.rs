//! Batches of an answer become bytes, one after the other.
//!
//! In: the columns of an answer, what stands before its rows, its batches, how it ended. Out: bytes, whenever somebody
//! takes them. Invariant: what was taken and what is taken next are one document of the format; nothing is held back
//! but the row group that a Parquet file needs as a whole. No I/O.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use arrow::ipc::writer::StreamWriter;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};

use super::super::answer::AnswerStream;
use super::super::judgement::Judgement;
use super::super::rows;
use super::{Format, Preamble, names, quoted};
use crate::error::{Error, Result};

/// Rows of a row group of an answer: bounds what a file that is being written holds in memory.
const ROW_GROUP_ROWS: usize = 64 * 1024;

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    judgement: Option<Judgement>,
    is_truncated: bool,
}

impl Ending {
    /// How `answer` ended; true once its [`next`](AnswerStream::next) has given `None`.
    pub fn of(answer: &AnswerStream) -> Self {
        Self { judgement: answer.judgement(), is_truncated: answer.is_truncated() }
    }
}

/// Bytes that a writer leaves for whoever takes them.
#[derive(Debug, Clone, Default)]
struct Taken(Arc<Mutex<Vec<u8>>>);

impl Taken {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Taken {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What each format remembers between two batches.
enum Form {
    Csv,
    Json {
        is_first: bool,
    },
    /// The names as JSON, in column order.
    Ndjson {
        keys: Vec<String>,
    },
    Parquet(Box<ArrowWriter<Taken>>),
    Arrow(Box<StreamWriter<Taken>>),
}

/// Turns the batches of one answer into bytes.
pub struct Encoder {
    form: Form,
    out: Taken,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encoder")
    }
}

impl Encoder {
    /// Begins an answer with the columns of `schema`.
    ///
    /// # Errors
    /// Invalid for the table, which needs all rows at once; when a column has a type that the format lacks.
    pub fn new(format: Format, schema: SchemaRef, preamble: &Preamble<'_>) -> Result<Self> {
        let mut out = Taken::default();
        let form = match format {
            Format::Table => return Err(Error::invalid("a table is written as a whole; ask for csv or json")),
            Format::Csv => {
                let head: Vec<String> = names(&schema).into_iter().map(quoted).collect();
                put(&mut out, &format!("{}\r\n", head.join(",")))?;
                Form::Csv
            }
            Format::Json => {
                put(&mut out, &head(&schema, preamble)?)?;
                Form::Json { is_first: true }
            }
            Format::Ndjson => {
                Form::Ndjson { keys: names(&schema).into_iter().map(|name| Value::from(name).to_string()).collect() }
            }
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(Default::default()))
                    .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
                    .build();
                let writer = ArrowWriter::try_new(out.clone(), schema, Some(properties)).map_err(no_parquet)?;
                Form::Parquet(Box::new(writer))
            }
            Format::Arrow => {
                let writer = StreamWriter::try_new(out.clone(), &plain_schema(&schema)).map_err(no_arrow)?;
                Form::Arrow(Box::new(writer))
            }
        };
        Ok(Self { form, out })
    }

    /// Writes the next rows.
    ///
    /// # Errors
    /// When a value has no form in the format.
    pub fn batch(&mut self, batch: &RecordBatch) -> Result<()> {
        match &mut self.form {
            Form::Csv => {
                for row in 0..batch.num_rows() {
                    put(&mut self.out, &csv_line(batch, row)?)?;
                }
            }
            Form::Json { is_first } => {
                for row in 0..batch.num_rows() {
                    let comma = if std::mem::take(is_first) { "" } else { "," };
                    put(&mut self.out, &format!("{comma}{}", Value::Array(rows::row(batch, row)?)))?;
                }
            }
            Form::Ndjson { keys } => {
                for row in 0..batch.num_rows() {
                    // In column order, which an object of parsed JSON would not keep.
                    let pairs = keys.iter().zip(rows::row(batch, row)?).map(|(key, value)| format!("{key}:{value}"));
                    put(&mut self.out, &format!("{{{}}}\n", pairs.collect::<Vec<_>>().join(",")))?;
                }
            }
            Form::Parquet(writer) => writer.write(batch).map_err(no_parquet)?,
            Form::Arrow(writer) => writer.write(&plain(batch)?).map_err(no_arrow)?,
        }
        Ok(())
    }

    /// Writes what stands behind the rows.
    ///
    /// # Errors
    /// When the end cannot be written, or was written before.
    pub fn end(&mut self, ending: Ending) -> Result<()> {
        match &mut self.form {
            Form::Csv | Form::Ndjson { .. } => Ok(()),
            Form::Json { .. } => put(&mut self.out, &tail(ending)),
            Form::Parquet(writer) => writer.finish().map(drop).map_err(no_parquet),
            Form::Arrow(writer) => writer.finish().map_err(no_arrow),
        }
    }

    /// The bytes that came since they were taken last.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut *self.out.bytes())
    }
}

fn put(out: &mut Taken, text: &str) -> Result<()> {
    out.write_all(text.as_bytes()).map_err(|e| Error::internal("cannot write into memory").because(e))
}

fn no_parquet(cause: parquet::errors::ParquetError) -> Error {
    Error::unavailable("cannot write the answer as Parquet").because(cause)
}

fn no_arrow(cause: arrow::error::ArrowError) -> Error {
    Error::unavailable("cannot write the answer as Arrow").because(cause)
}

fn head(schema: &SchemaRef, preamble: &Preamble<'_>) -> Result<String> {
    let as_of = json!({"size": preamble.size, "version": preamble.version, "root": preamble.root});
    let params = serde_json::to_value(preamble.params.values())
        .map_err(|e| Error::internal("parameters have no JSON form").because(e))?;
    Ok(format!(
        "{{\"query\":{},\"params\":{params},\"as_of\":{as_of},\"columns\":{},\"rows\":[",
        Value::from(preamble.query),
        json!(names(schema)),
    ))
}

fn tail(ending: Ending) -> String {
    let mut text = "]".to_owned();
    if let Some(judgement) = ending.judgement {
        let Judgement { population, violations, untestable } = judgement;
        let result = judgement.verdict().word();
        let control =
            json!({"result": result, "population": population, "violations": violations, "untestable": untestable});
        text.push_str(&format!(",\"control\":{control}"));
    }
    text.push_str(if ending.is_truncated { ",\"truncated\":true}\n" } else { "}\n" });
    text
}

fn csv_line(batch: &RecordBatch, row: usize) -> Result<String> {
    let cells = batch.columns().iter().map(|column| {
        // Null is nothing at all, the empty text is a pair of quotes.
        if column.is_null(row) { Ok(String::new()) } else { rows::text(column, row).map(|text| quoted(&text)) }
    });
    Ok(format!("{}\r\n", cells.collect::<Result<Vec<_>>>()?.join(",")))
}

/// `batch` with plain text in place of views: not every reader of Arrow knows them.
fn plain(batch: &RecordBatch) -> Result<RecordBatch> {
    let schema = plain_schema(&batch.schema());
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| arrow::compute::cast(column, field.data_type()));
    let columns = columns.collect::<std::result::Result<Vec<_>, _>>().map_err(no_arrow)?;
    RecordBatch::try_new(Arc::new(schema), columns).map_err(no_arrow)
}

fn plain_schema(schema: &SchemaRef) -> Schema {
    Schema::new(plain_fields(schema.fields()))
}

fn plain_fields(fields: &Fields) -> Fields {
    fields.iter().map(plain_field).collect()
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(element) => DataType::List(plain_field(element)),
        DataType::LargeList(element) => DataType::LargeList(plain_field(element)),
        DataType::Struct(fields) => DataType::Struct(plain_fields(fields)),
        other => other.clone(),
    };
    Arc::new(Field::new(field.name(), data_type, field.is_nullable()))
}
