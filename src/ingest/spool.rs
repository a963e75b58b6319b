//! The spool: a source file of any shape as a temporary Parquet file that SQL can read many times.
//!
//! In: CSV, Parquet or NDJSON. Out: a file with the source's columns, [`ROW_COLUMN`] (1-based), [`FILE_COLUMN`]
//! and, of JSON, the record as it came in [`JSON_COLUMN`]; and the records that cannot be rows, refused with raw bytes and place. Memory is bounded by
//! one batch. Invariant: one bad record never refuses its neighbours.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::json::reader::infer_json_schema_from_iterator;
use csv_core::ReadRecordResult;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::decode::{FILE_COLUMN, JSON_COLUMN, ROW_COLUMN};
use super::frame::{Record, Records};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{QUARANTINE_RAW_BYTES, RECORD_BYTES};
use crate::store::quarantine::{Raw, Refusal, Refused};

/// Shape of a source file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Comma-separated values with a header line; columns are text, the empty field is null.
    Csv,
    /// The same, separated by tabs.
    Tsv,
    /// Parquet, with its own types.
    Parquet,
    /// One JSON object a line; types are inferred.
    Json,
}

/// A spooled source.
pub struct Spool {
    /// The temporary file; deleted when dropped.
    pub file: NamedTempFile,
    /// Its columns.
    pub schema: SchemaRef,
    /// Records that could not be rows.
    pub refused: Vec<Refused>,
}

const BATCH_ROWS: usize = 8 * 1024;
/// Columns of a CSV file at most.
const CSV_COLUMNS: usize = 4096;

/// Told how many bytes of the source were read.
pub type BytesRead<'a> = &'a dyn Fn(u64);

impl Spool {
    /// Spools what `reader` gives. Parquet is read from a file, so it must be one.
    ///
    /// # Errors
    /// When the source cannot be read at all: no header, no Parquet, columns that contradict each other.
    pub fn read(shape: Shape, name: &str, reader: Box<dyn Read + Send>) -> Result<Self> {
        match shape {
            Shape::Csv => spool_csv(name, reader, b','),
            Shape::Tsv => spool_csv(name, reader, b'\t'),
            Shape::Parquet => spool_parquet(name, reader),
            Shape::Json => spool_json(name, reader),
        }
    }
}

fn refused(name: &str, line: u64, reason: String, head: &[u8], total: u64, sha256: [u8; 32]) -> Refused {
    Refused {
        refusal: Refusal::Rejected,
        reason,
        file: name.to_owned(),
        line,
        raw_bytes: total,
        raw_sha256: crate::ledger::hash::hex(&sha256),
        raw: Raw::of(head),
        source: None,
        day: None,
    }
}

/// Writes batches with the two columns that say where a row came from.
struct SpoolWriter {
    writer: ArrowWriter<File>,
    file: NamedTempFile,
    schema: SchemaRef,
    name: String,
}

impl SpoolWriter {
    fn new(name: &str, columns: &Schema) -> Result<Self> {
        let mut fields = columns.fields().to_vec();
        fields.push(Arc::new(Field::new(ROW_COLUMN, DataType::Int64, false)));
        fields.push(Arc::new(Field::new(FILE_COLUMN, DataType::Utf8, false)));
        let schema = Arc::new(Schema::new(fields));
        let file = NamedTempFile::with_suffix(".parquet").map_err(|e| no_room(name).because(e))?;
        let properties = WriterProperties::builder().set_compression(Compression::LZ4_RAW).build();
        let target = file.reopen().map_err(|e| no_room(name).because(e))?;
        let writer = ArrowWriter::try_new(target, schema.clone(), Some(properties)).map_err(|e| {
            Error::invalid(format!("{name}: its columns cannot be spooled; is a name given twice?")).because(e)
        })?;
        Ok(Self { writer, file, schema, name: name.to_owned() })
    }

    fn write(&mut self, mut columns: Vec<ArrayRef>, rows: Vec<i64>) -> Result<()> {
        let files = StringArray::from_iter_values(std::iter::repeat_n(&self.name, rows.len()));
        columns.push(Arc::new(Int64Array::from(rows)));
        columns.push(Arc::new(files));
        let batch = RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|e| Error::internal(format!("cannot spool {}", self.name)).because(e))?;
        self.writer.write(&batch).map_err(|e| no_room(&self.name).because(e))
    }

    fn finish(self, refused: Vec<Refused>) -> Result<Spool> {
        self.writer.close().map_err(|e| no_room(&self.name).because(e))?;
        Ok(Spool { file: self.file, schema: self.schema, refused })
    }
}

fn no_room(name: &str) -> Error {
    Error::unavailable(format!("cannot spool {name} into the temporary directory {}", std::env::temp_dir().display()))
}

/// One CSV record: its fields, or why it is none, with its raw bytes.
struct CsvRecord {
    /// Unquoted fields, one behind the other; a buffer that is never made anew.
    fields: Vec<u8>,
    ends: Vec<usize>,
    /// Fields found.
    width: usize,
    raw_head: Vec<u8>,
    raw_bytes: u64,
    hash: Sha256,
    line: u64,
    is_too_long: bool,
}

struct CsvRecords<R> {
    reader: BufReader<R>,
    csv: csv_core::Reader,
    line: u64,
}

impl<R: Read> CsvRecords<R> {
    fn new(reader: R, delimiter: u8) -> Self {
        let csv = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        Self { reader: BufReader::with_capacity(1 << 20, reader), csv, line: 1 }
    }

    /// Reads the next record into `record`; false at the end.
    fn next(&mut self, record: &mut CsvRecord) -> std::io::Result<bool> {
        record.begin(self.line);
        let (mut filled, mut ended) = (0, 0);
        loop {
            let input = self.reader.fill_buf()?;
            let is_end = input.is_empty();
            let (result, nin, nout, nends) =
                self.csv.read_record(input, &mut record.fields[filled..], &mut record.ends[ended..]);
            record.take_raw(&input[..nin]);
            self.line += input[..nin].iter().filter(|b| **b == b'\n').count() as u64;
            self.reader.consume(nin);
            (filled, ended) = (filled + nout, ended + nends);
            match result {
                ReadRecordResult::InputEmpty if !is_end => {}
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    record.is_too_long = true;
                    (filled, ended) = (0, 0);
                }
                ReadRecordResult::Record => {
                    record.width = ended;
                    return Ok(true);
                }
                ReadRecordResult::End => return Ok(false),
            }
        }
    }
}

impl CsvRecord {
    fn new() -> Self {
        Self {
            fields: vec![0; RECORD_BYTES],
            ends: vec![0; CSV_COLUMNS],
            width: 0,
            raw_head: Vec::new(),
            raw_bytes: 0,
            hash: Sha256::new(),
            line: 0,
            is_too_long: false,
        }
    }

    fn begin(&mut self, line: u64) {
        self.raw_head.clear();
        (self.line, self.width, self.raw_bytes, self.is_too_long) = (line, 0, 0, false);
        self.hash = Sha256::new();
    }

    fn take_raw(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.raw_bytes += bytes.len() as u64;
        let room = QUARANTINE_RAW_BYTES - self.raw_head.len();
        self.raw_head.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn field(&self, i: usize) -> &[u8] {
        let from = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.fields[from..self.ends[i]]
    }

    /// The fields as text, if the record is a row of `width` columns.
    fn texts(&self, width: usize) -> std::result::Result<Vec<&str>, String> {
        if self.is_too_long || self.raw_bytes > RECORD_BYTES as u64 + 2 {
            return Err(format!("the row has {} bytes, the limit is {RECORD_BYTES}", self.raw_bytes));
        }
        if self.width != width {
            return Err(format!("the row has {} fields, the header names {width}", self.width));
        }
        let text = |i| std::str::from_utf8(self.field(i)).map_err(|_| format!("field {} is not UTF-8", i + 1));
        (0..width).map(text).collect()
    }

    fn refuse(&self, name: &str, reason: String) -> Refused {
        refused(name, self.line, reason, &self.raw_head, self.raw_bytes, self.hash.clone().finalize().into())
    }
}

fn spool_csv(name: &str, reader: Box<dyn Read + Send>, delimiter: u8) -> Result<Spool> {
    let unreadable = |e: std::io::Error| Error::unavailable(format!("cannot read {name}")).because(e);
    let mut records = CsvRecords::new(reader, delimiter);
    let mut record = CsvRecord::new();
    if !records.next(&mut record).map_err(unreadable)? {
        return Err(Error::invalid(format!("{name} is empty; a header line with the columns' names is needed")));
    }
    let header = record
        .texts(record.width)
        .map_err(|why| Error::invalid(format!("{name}: its header line cannot be read: {why}")))?;
    let columns: Vec<Field> =
        header.iter().map(|h| Field::new(h.trim_start_matches('\u{feff}').trim(), DataType::Utf8, true)).collect();
    let width = columns.len();
    let repeated = (1..width).find(|i| columns[..*i].iter().any(|c| c.name() == columns[*i].name()));
    if let Some(column) = repeated {
        return Err(Error::invalid(format!(
            "{name}: its header line names column {} like an earlier one; give each column a name of its own",
            column + 1
        )));
    }
    let mut writer = SpoolWriter::new(name, &Schema::new(columns))?;
    let (mut builders, mut rows, mut bad) = (text_builders(width), Vec::new(), Vec::new());
    let mut row = 0;
    while records.next(&mut record).map_err(unreadable)? {
        row += 1;
        match record.texts(width) {
            Ok(texts) => {
                for (builder, text) in builders.iter_mut().zip(texts) {
                    builder.append_option((!text.is_empty()).then_some(text));
                }
                rows.push(row);
            }
            Err(reason) => bad.push(record.refuse(name, reason)),
        }
        if rows.len() == BATCH_ROWS {
            writer.write(finish_texts(&mut builders), std::mem::take(&mut rows))?;
        }
    }
    writer.write(finish_texts(&mut builders), rows)?;
    writer.finish(bad)
}

fn text_builders(width: usize) -> Vec<StringBuilder> {
    (0..width).map(|_| StringBuilder::new()).collect()
}

fn finish_texts(builders: &mut [StringBuilder]) -> Vec<ArrayRef> {
    builders.iter_mut().map(|b| Arc::new(b.finish()) as ArrayRef).collect()
}

fn spool_parquet(name: &str, mut reader: Box<dyn Read + Send>) -> Result<Spool> {
    let bad = |e: parquet::errors::ParquetError| {
        Error::invalid(format!("{name} is no readable Parquet file; is it cut off?")).because(e)
    };
    // Parquet is read from its end: copy it where it can be sought, as standard input cannot.
    let mut copy = tempfile::tempfile().map_err(|e| no_room(name).because(e))?;
    std::io::copy(&mut reader, &mut copy).map_err(|e| Error::unavailable(format!("cannot read {name}")).because(e))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(copy).map_err(bad)?;
    let mut writer = SpoolWriter::new(name, builder.schema())?;
    let mut row = 0i64;
    for batch in builder.with_batch_size(BATCH_ROWS).build().map_err(bad)? {
        let batch = batch.map_err(|e| Error::invalid(format!("{name} is damaged")).because(e))?;
        let rows = (row + 1..=row + batch.num_rows() as i64).collect();
        row += batch.num_rows() as i64;
        writer.write(batch.columns().to_vec(), rows)?;
    }
    writer.finish(Vec::new())
}

/// Two passes: the first keeps the lines that are JSON objects and infers their columns, the second reads them.
fn spool_json(name: &str, reader: Box<dyn Read + Send>) -> Result<Spool> {
    let unreadable = |e: std::io::Error| Error::unavailable(format!("cannot read {name}")).because(e);
    let mut records = Records::new(reader);
    let (mut bad, mut numbers) = (Vec::new(), Vec::new());
    let mut lines = NamedTempFile::new().map_err(|e| no_room(name).because(e))?;
    let mut row = 0i64;
    while let Some(record) = records.next_record().map_err(unreadable)? {
        row += 1;
        match record {
            Record::Whole { bytes, line } => match as_object(bytes) {
                Ok(()) => {
                    let line_of_text: Vec<u8> =
                        bytes.iter().map(|b| if *b == b'\n' { b' ' } else { *b }).chain([b'\n']).collect();
                    std::io::Write::write_all(&mut lines, &line_of_text).map_err(|e| no_room(name).because(e))?;
                    numbers.push(row);
                }
                Err(reason) => {
                    bad.push(refused(name, line, reason, bytes, bytes.len() as u64, Sha256::digest(bytes).into()));
                }
            },
            Record::TooLong { head, total, sha256, line } => {
                bad.push(refused(
                    name,
                    line,
                    format!("the record has {total} bytes, the limit is {RECORD_BYTES}"),
                    head,
                    total,
                    sha256,
                ));
            }
        }
    }
    read_json_lines(name, &lines, &numbers, bad)
}

fn as_object(bytes: &[u8]) -> std::result::Result<(), String> {
    match serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(bytes) {
        Ok(_) => Ok(()),
        Err(e) => Err(format!("is no JSON object: {}", crate::event::jcs::json_reason(&e))),
    }
}

/// Reads lines that are objects with the types that fit all of them; where none do, every key as text.
fn read_json_lines(name: &str, lines: &NamedTempFile, numbers: &[i64], bad: Vec<Refused>) -> Result<Spool> {
    match read_typed(name, lines, numbers) {
        Ok(writer) => writer.finish(bad),
        Err(e) if e.kind() == ErrorKind::Invalid => read_as_text(name, lines, numbers)?.finish(bad),
        Err(e) => Err(e),
    }
}

/// The spooled lines from the first one on; every reader has a position of its own.
fn from_start(name: &str, lines: &NamedTempFile) -> Result<BufReader<File>> {
    Ok(BufReader::new(lines.reopen().map_err(|e| no_room(name).because(e))?))
}

fn read_typed(name: &str, lines: &NamedTempFile, numbers: &[i64]) -> Result<SpoolWriter> {
    let contradicts =
        |e: arrow::error::ArrowError| Error::invalid(format!("{name}: its lines have no common types")).because(e);
    let values = from_start(name, lines)?.lines().map(|line| {
        let line = line.map_err(arrow::error::ArrowError::from)?;
        serde_json::from_str::<serde_json::Value>(&line).map_err(|e| arrow::error::ArrowError::JsonError(e.to_string()))
    });
    let schema = Arc::new(infer_json_schema_from_iterator(values).map_err(contradicts)?);
    let mut writer = SpoolWriter::new(name, &with_text(schema.fields().to_vec()))?;
    let reader = arrow::json::ReaderBuilder::new(schema).with_batch_size(BATCH_ROWS);
    let mut texts = from_start(name, lines)?.lines();
    let mut from = 0;
    for batch in reader.build(from_start(name, lines)?).map_err(contradicts)? {
        let batch = batch.map_err(contradicts)?;
        let rows = numbers[from..from + batch.num_rows()].to_vec();
        from += batch.num_rows();
        let texts: Vec<String> =
            texts.by_ref().take(rows.len()).collect::<std::io::Result<_>>().map_err(|e| no_room(name).because(e))?;
        let texts = StringArray::from(texts);
        let columns = batch.columns().iter().cloned().chain([Arc::new(texts) as ArrayRef]).collect();
        writer.write(columns, rows)?;
    }
    Ok(writer)
}

/// `fields` and the column with the record as it came.
fn with_text(mut fields: Vec<Arc<Field>>) -> Schema {
    fields.push(Arc::new(Field::new(JSON_COLUMN, DataType::Utf8, false)));
    Schema::new(fields)
}

/// Every key of every line as a text column: strings as they are, anything else as its JSON.
fn read_as_text(name: &str, lines: &NamedTempFile, numbers: &[i64]) -> Result<SpoolWriter> {
    let object = |line: &str| -> Result<serde_json::Map<String, serde_json::Value>> {
        serde_json::from_str(line).map_err(|e| Error::internal("a spooled line cannot be read back").because(e))
    };
    let mut keys = std::collections::BTreeSet::new();
    for line in from_start(name, lines)?.lines() {
        keys.extend(object(&line.map_err(|e| no_room(name).because(e))?)?.into_iter().map(|(key, _)| key));
    }
    let fields = keys.iter().map(|key| Arc::new(Field::new(key, DataType::Utf8, true))).collect();
    let mut writer = SpoolWriter::new(name, &with_text(fields))?;
    let (mut builders, mut rows) = (text_builders(keys.len() + 1), Vec::new());
    for (line, number) in from_start(name, lines)?.lines().zip(numbers) {
        let line = line.map_err(|e| no_room(name).because(e))?;
        let mut object = object(&line)?;
        for (builder, key) in builders.iter_mut().zip(&keys) {
            match object.remove(key) {
                None | Some(serde_json::Value::Null) => builder.append_null(),
                Some(serde_json::Value::String(text)) => builder.append_value(text),
                Some(other) => builder.append_value(other.to_string()),
            }
        }
        builders[keys.len()].append_value(&line);
        rows.push(*number);
        if rows.len() == BATCH_ROWS {
            writer.write(finish_texts(&mut builders), std::mem::take(&mut rows))?;
        }
    }
    writer.write(finish_texts(&mut builders), rows)?;
    Ok(writer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(shape: Shape, bytes: &[u8]) -> Result<(Vec<RecordBatch>, Vec<Refused>)> {
        let spool = Spool::read(shape, "in", Box::new(std::io::Cursor::new(bytes.to_vec())))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(spool.file.reopen().unwrap()).unwrap().build().unwrap();
        Ok((reader.map(|b| b.unwrap()).collect(), spool.refused))
    }

    fn printed(batches: &[RecordBatch]) -> String {
        arrow::util::pretty::pretty_format_batches(batches).unwrap().to_string()
    }

    #[test]
    fn csv_rows_keep_their_numbers_beside_refused_ones() {
        let long = "x".repeat(RECORD_BYTES + 1);
        let text = format!("\u{feff}a,b\n1,\"x\ny\"\n1,2,3\n,{long}\n\"\",z\n");
        let (batches, bad) = spool(Shape::Csv, text.as_bytes()).unwrap();
        let table = printed(&batches);
        assert!(table.contains("| 1 | x ") && table.contains("|   | z | 4    | in"), "{table}");
        let reasons: Vec<_> = bad.iter().map(|r| (r.line, r.reason.as_str())).collect();
        assert_eq!(reasons[0], (4, "the row has 3 fields, the header names 2"));
        assert!(reasons[1].1.contains("the limit is 65536"), "{reasons:?}");
        let (_, bad) = spool(Shape::Csv, b"a\n\xff\n").unwrap();
        assert_eq!(bad[0].reason, "field 1 is not UTF-8");
        assert!(spool(Shape::Csv, b"").is_err());
    }

    #[test]
    fn json_lines_become_columns_with_inferred_types() {
        let (batches, bad) = spool(Shape::Json, b"{\"a\":1,\"o\":{\"x\":\"y\"}}\nnot json\n{\"a\":2}\n").unwrap();
        assert_eq!(batches[0].num_rows(), 2);
        assert!(printed(&batches).contains("{x: y}"));
        assert_eq!((bad.len(), bad[0].line), (1, 2));
    }

    #[test]
    fn lines_without_common_types_become_text() {
        let lines = b"{\"id\":1,\"o\":{\"x\":[1]}}\n{\"id\":\"two\",\"o\":\"y\"}\n{\"id\":null}\n";
        let (batches, bad) = spool(Shape::Json, lines).unwrap();
        let table = printed(&batches);
        assert!(
            bad.is_empty() && table.contains("| 1   | {\"x\":[1]} | {\"id\":1,") && table.contains("| two | y"),
            "{table}"
        );
    }

    #[test]
    fn a_header_that_repeats_a_name_is_refused() {
        let message = spool(Shape::Csv, b"id,x,id\n1,2,3\n").err().unwrap().to_string();
        assert!(message.contains("column 3"), "{message}");
    }

    #[test]
    fn a_truncated_parquet_file_is_an_error_and_not_a_crash() {
        let (batches, _) = spool(Shape::Csv, b"a,b\n1,2\n").unwrap();
        let mut file = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut file, batches[0].schema(), None).unwrap();
        writer.write(&batches[0]).unwrap();
        writer.close().unwrap();
        for cut in [0, 4, file.len() / 2, file.len() - 1] {
            assert!(spool(Shape::Parquet, &file[..cut]).is_err(), "{cut}");
        }
    }
}
