//! Decoding: records of any input become rows that are fit to store, or refusals.
//!
//! In: framed JSON records, or batches that a mapping yielded. Out: [`Incoming`] batches of bounded size that
//! remember the place and the raw bytes of every row. Invariant: every record that went in is a row or a
//! refusal, once.

use std::borrow::Cow;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use sha2::{Digest, Sha256};

use super::frame::{Record, Records};
use crate::clock::{Clock, rfc3339};
use crate::error::{Error, Result};
use crate::event::batch::{bytes_of, null_column, with_own_text};
use crate::event::columns::{Kind, Role, SUPPLIED, supplied_schema};
use crate::event::{BatchBuilder, Cell, Column, Draft, Reason, jcs, json};
use crate::ledger::hash::hex;
use crate::limits::{BATCH_BYTES, BATCH_EVENTS, QUARANTINE_RAW_BYTES};
use crate::store::quarantine::{Raw, Refusal, Refused};

/// Name of the column with the 1-based row of the source that a mapped row comes from.
pub const ROW_COLUMN: &str = "_row";
/// Name of the column with the file that a mapped row comes from.
pub const FILE_COLUMN: &str = "_file";
/// Column of a JSON source with the record as it came.
pub const JSON_COLUMN: &str = "_json";

/// Decoded records of one batch.
#[derive(Debug)]
pub struct Incoming {
    /// Rows of the supplied schema.
    pub rows: RecordBatch,
    /// Where each row came from.
    pub origins: Vec<Origin>,
    raw: RawRows,
    /// Records that did not decode.
    pub refused: Vec<Refused>,
    /// Bytes of input consumed up to here, for progress.
    pub consumed: u64,
}

/// Where a row came from.
#[derive(Debug, Clone)]
pub struct Origin {
    file: Arc<str>,
    line: u64,
}

impl Origin {
    /// The file, as refusals name it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line in it, 1-based.
    pub fn line(&self) -> u64 {
        self.line
    }
}

#[derive(Debug)]
enum RawRows {
    Bytes(Vec<u8>, Vec<Range<usize>>),
    Mapped(RecordBatch, Vec<usize>),
    /// Those of several batches, each with its first row here.
    Joined(Vec<(usize, RawRows)>),
}

impl RawRows {
    fn of(&self, row: usize) -> Cow<'_, [u8]> {
        match self {
            Self::Bytes(bytes, ranges) => Cow::Borrowed(&bytes[ranges[row].clone()]),
            Self::Mapped(batch, at) => Cow::Owned(row_as_json(batch, at[row])),
            Self::Joined(parts) => {
                let (first, part) = &parts[parts.partition_point(|(first, _)| *first <= row) - 1];
                part.of(row - first)
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Bytes(bytes, _) => bytes.len(),
            Self::Mapped(batch, _) => bytes_of(batch),
            Self::Joined(parts) => parts.iter().map(|(_, part)| part.bytes()).sum(),
        }
    }
}

impl Incoming {
    /// A batch of nothing but refusals.
    pub fn only_refused(refused: Vec<Refused>) -> Self {
        let rows = RecordBatch::new_empty(supplied_schema());
        Self { rows, origins: Vec::new(), raw: RawRows::Bytes(Vec::new(), Vec::new()), refused, consumed: 0 }
    }

    /// Where a row came from, `file:line`.
    pub fn place(&self, row: usize) -> String {
        format!("{}:{}", self.origins[row].file, self.origins[row].line)
    }

    /// The raw bytes of a row: the input record, or the mapped row as JSON.
    fn raw(&self, row: usize) -> Cow<'_, [u8]> {
        self.raw.of(row)
    }

    /// Bytes that the raw records take in memory.
    pub fn raw_bytes(&self) -> usize {
        self.raw.bytes()
    }

    /// The batches one after the other as one. Its texts lie close together: each of many small batches reserves more
    /// than it fills.
    ///
    /// # Errors
    /// When they are not of one schema.
    pub fn concat(batches: Vec<Self>) -> Result<Self> {
        let broken = |e: arrow::error::ArrowError| Error::internal("cannot join batches of events").because(e);
        let rows = concat_batches(&supplied_schema(), batches.iter().map(|batch| &batch.rows)).map_err(broken)?;
        let own = |column: &ArrayRef| match column.null_count() == column.len() {
            true => null_column(column.data_type(), column.len()),
            false => with_own_text(column),
        };
        let columns = rows.columns().iter().map(own).collect();
        let rows = RecordBatch::try_new(rows.schema(), columns).map_err(broken)?;
        let (mut origins, mut parts, mut refused, mut consumed) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for batch in batches {
            if !batch.origins.is_empty() {
                parts.push((origins.len(), batch.raw));
            }
            origins.extend(batch.origins);
            refused.extend(batch.refused);
            consumed += batch.consumed;
        }
        Ok(Self { rows, origins, raw: RawRows::Joined(parts), refused, consumed })
    }

    /// The refusal of a decoded row, for a conflict.
    pub fn refuse(
        &self,
        row: usize,
        refusal: Refusal,
        reason: impl Into<String>,
        source: &str,
        day: String,
    ) -> Refused {
        let origin = &self.origins[row];
        let mut refused = refused(&self.raw(row), origin, reason.into());
        refused.refusal = refusal;
        refused.source = Some(source.to_owned());
        refused.day = Some(day);
        refused
    }
}

fn refused(raw: &[u8], origin: &Origin, reason: Reason) -> Refused {
    Refused {
        refusal: Refusal::Rejected,
        reason,
        file: origin.file.to_string(),
        line: origin.line,
        raw_bytes: raw.len() as u64,
        raw_sha256: hex(&Sha256::digest(raw)),
        raw: Raw::of(&raw[..raw.len().min(QUARANTINE_RAW_BYTES)]),
        source: None,
        day: None,
    }
}

/// Decodes JSON records from one reader.
pub struct JsonDecoder<R> {
    records: Records<R>,
    file: Arc<str>,
    clock: Clock,
    /// A failure met while a batch was gathered: told after the batch.
    failure: Option<Error>,
    /// Bytes and rows that a batch is expected to hold, as the one before did.
    expected: (usize, usize),
    /// Empty between batches; it knows how large the last one was.
    builder: BatchBuilder,
}

impl<R: Read> JsonDecoder<R> {
    /// Decodes what `reader` gives; `file` names it in refusals.
    pub fn new(reader: R, file: &str, clock: Clock) -> Self {
        Self::of_records(Records::new(reader), file, clock)
    }

    /// As [`JsonDecoder::new`], of records that are cut already.
    pub fn of_records(records: Records<R>, file: &str, clock: Clock) -> Self {
        Self { records, file: file.into(), clock, failure: None, expected: (0, 0), builder: BatchBuilder::default() }
    }

    /// The next batch; none at the end.
    ///
    /// # Errors
    /// When the reader fails.
    pub fn next_batch(&mut self) -> Result<Option<Incoming>> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let (bytes, rows) = self.expected;
        let (mut raw, mut ranges) = (Vec::with_capacity(bytes), Vec::with_capacity(rows));
        let (builder, origins) = (std::mem::take(&mut self.builder), Vec::with_capacity(rows));
        let mut gathered = Gathered { builder, origins, refused: Vec::new(), refused_bytes: 0 };
        let now = self.clock.now();
        while gathered.len() < BATCH_EVENTS && raw.len() < BATCH_BYTES && gathered.refused_bytes < BATCH_BYTES as u64 {
            let record = match self.records.next_record() {
                Ok(record) => record,
                Err(e) => {
                    self.failure = Some(Error::unavailable(format!("cannot read {}", self.file)).because(e));
                    break;
                }
            };
            match record {
                None => break,
                Some(Record::Whole { bytes, line }) => {
                    let origin = Origin { file: self.file.clone(), line };
                    if gathered.take(json::decode(bytes), bytes, origin, now) {
                        ranges.push(raw.len()..raw.len() + bytes.len());
                        raw.extend_from_slice(bytes);
                    }
                }
                Some(Record::TooLong { head, total, sha256, line }) => {
                    let origin = Origin { file: self.file.clone(), line };
                    let reason = format!("the record has {total} bytes, the limit is {}", crate::limits::RECORD_BYTES);
                    let mut entry = refused(head, &origin, reason);
                    (entry.raw_bytes, entry.raw_sha256) = (total, hex(&sha256));
                    gathered.refuse(entry, head.len());
                }
            }
        }
        if gathered.len() == 0
            && let Some(failure) = self.failure.take()
        {
            return Err(failure);
        }
        let consumed = self.records.bytes_read();
        // The next batch is about as large: growing step by step would copy it several times.
        self.expected = (raw.len() + raw.len() / 8, ranges.len() + ranges.len() / 8);
        let found = (gathered.len() > 0).then(|| gathered.builder.finish());
        self.builder = gathered.builder;
        Ok(found.map(|rows| Incoming {
            rows,
            origins: gathered.origins,
            raw: RawRows::Bytes(raw, ranges),
            refused: gathered.refused,
            consumed,
        }))
    }
}

/// The next batch of events made by this program; `taken` counts those before it. None at the end.
pub fn take_drafts(
    drafts: &mut dyn Iterator<Item = Draft<'static>>,
    name: &Arc<str>,
    taken: &mut u64,
    clock: &Clock,
) -> Option<Incoming> {
    let now = clock.now();
    let mut gathered = Gathered::default();
    while gathered.len() < BATCH_EVENTS
        && let Some(draft) = drafts.next()
    {
        *taken += 1;
        // Nobody sent it: there are no raw bytes to keep of what is refused.
        gathered.take(Ok(draft), b"", Origin { file: name.clone(), line: *taken }, now);
    }
    let (rows, origins, refused) = gathered.finish()?;
    let at = (0..rows.num_rows()).collect();
    Some(Incoming { raw: RawRows::Mapped(rows.clone(), at), rows, origins, refused, consumed: *taken })
}

/// Decodes one batch of mapped rows: columns by name, [`ROW_COLUMN`] and [`FILE_COLUMN`] say where from.
///
/// # Errors
/// When the mapping yields a column that no event has, or one of a type that cannot be read.
pub fn decode_mapped(batch: RecordBatch, fallback_file: &str, clock: &Clock) -> Result<Option<Incoming>> {
    let columns = MappedColumns::of(&batch)?;
    let now = clock.now();
    let mut gathered = Gathered::default();
    let mut at = Vec::with_capacity(batch.num_rows());
    let mut last_file: Arc<str> = fallback_file.into();
    for row in 0..batch.num_rows() {
        let (file, line) = columns.place(row);
        if let Some(file) = file
            && *file != *last_file
        {
            last_file = file.into();
        }
        let origin = Origin { file: last_file.clone(), line: line.unwrap_or(row as u64 + 1) };
        let draft = columns.draft(row);
        let raw = if draft.is_err() { row_as_json(&batch, row) } else { Vec::new() };
        let accepted = match draft {
            // The raw form is made only for a row that is refused.
            Ok(mut draft) => match draft.check(now) {
                Ok(()) => gathered.accept(&draft, origin),
                Err(reason) => {
                    let raw = row_as_json(&batch, row);
                    gathered.refuse_draft(&draft, refused(&raw, &origin, reason), raw.len())
                }
            },
            Err(reason) => {
                gathered.refuse(refused(&raw, &origin, reason), raw.len());
                false
            }
        };
        if accepted {
            at.push(row);
        }
    }
    let consumed = columns.place(batch.num_rows().saturating_sub(1)).1.unwrap_or(0);
    Ok(gathered.finish().map(|(rows, origins, refused)| Incoming {
        rows,
        origins,
        raw: RawRows::Mapped(batch, at),
        refused,
        consumed,
    }))
}

/// Rows and refusals gathered for a batch.
#[derive(Default)]
struct Gathered {
    builder: BatchBuilder,
    origins: Vec<Origin>,
    refused: Vec<Refused>,
    refused_bytes: u64,
}

impl Gathered {
    fn len(&self) -> usize {
        self.origins.len() + self.refused.len()
    }

    /// Takes what was decoded; true when it became a row.
    fn take(&mut self, decoded: std::result::Result<Draft<'_>, Reason>, raw: &[u8], origin: Origin, now: i64) -> bool {
        match decoded {
            Ok(mut draft) => match draft.check(now) {
                Ok(()) => self.accept(&draft, origin),
                Err(reason) => self.refuse_draft(&draft, refused(raw, &origin, reason), raw.len()),
            },
            Err(reason) => {
                self.refuse(refused(raw, &origin, reason), raw.len());
                false
            }
        }
    }

    fn accept(&mut self, draft: &Draft<'_>, origin: Origin) -> bool {
        self.builder.append(draft);
        self.origins.push(origin);
        true
    }

    fn refuse_draft(&mut self, draft: &Draft<'_>, mut entry: Refused, bytes: usize) -> bool {
        entry.source = draft.text(Column::Source).map(str::to_owned);
        if let Cell::Instant(at) = draft.cell(Column::OccurredAt) {
            entry.day = Some(rfc3339(*at)[..10].to_owned());
        }
        self.refuse(entry, bytes);
        false
    }

    fn refuse(&mut self, entry: Refused, bytes: usize) {
        self.refused_bytes += bytes as u64;
        self.refused.push(entry);
    }

    fn finish(mut self) -> Option<(RecordBatch, Vec<Origin>, Vec<Refused>)> {
        (self.len() > 0).then(|| (self.builder.finish(), self.origins, self.refused))
    }
}

/// The columns of a mapped batch, cast to what a draft reads.
struct MappedColumns {
    values: Vec<(Column, ArrayRef)>,
    row: Option<ArrayRef>,
    file: Option<ArrayRef>,
}

impl MappedColumns {
    fn of(batch: &RecordBatch) -> Result<Self> {
        let mut columns = Self { values: Vec::new(), row: None, file: None };
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let name = field.name().as_str();
            let cast = |to: &DataType| {
                arrow::compute::cast(array, to).map_err(|e| {
                    Error::invalid(format!(
                        "the mapping's column `{name}` has type {}, which cannot be read",
                        field.data_type()
                    ))
                    .because(e)
                })
            };
            match (name, Column::named(name)) {
                (ROW_COLUMN, _) => columns.row = Some(cast(&DataType::Int64)?),
                (FILE_COLUMN, _) => columns.file = Some(cast(&DataType::Utf8View)?),
                (_, Some(column)) if (column as usize) < SUPPLIED && column.spec().role != Role::Assigned => {
                    let to = mapped_type(column, field.data_type())?;
                    columns.values.push((column, cast(&to)?));
                }
                _ => {
                    return Err(Error::invalid(format!(
                        "the mapping yields a column `{name}` that no event has; rename it or put it into `extra`"
                    )));
                }
            }
        }
        Ok(columns)
    }

    fn place(&self, row: usize) -> (Option<&str>, Option<u64>) {
        let line =
            self.row.as_ref().map(|a| a.as_primitive::<Int64Type>()).filter(|a| row < a.len() && a.is_valid(row));
        let file = self.file.as_ref().map(|a| a.as_string_view()).filter(|a| row < a.len() && a.is_valid(row));
        (file.map(|a| a.value(row)), line.map(|a| a.value(row) as u64))
    }

    fn draft(&self, row: usize) -> std::result::Result<Draft<'_>, Reason> {
        let mut draft = Draft::default();
        for (column, array) in &self.values {
            if array.is_null(row) {
                continue;
            }
            match array.data_type() {
                DataType::Timestamp(..) => {
                    draft.set(*column, Cell::Instant(array.as_primitive::<TimestampMicrosecondType>().value(row)));
                }
                DataType::List(_) => read_list(&mut draft, *column, &array.as_list::<i32>().value(row))?,
                _ => read_text(&mut draft, *column, array.as_string_view().value(row))?,
            }
        }
        Ok(draft)
    }
}

/// What a column of a mapping is cast to before it is read.
fn mapped_type(column: Column, from: &DataType) -> Result<DataType> {
    Ok(match (column.spec().kind, from) {
        (Kind::Instant, DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64) => {
            return Err(Error::invalid(format!(
                "the mapping's column `{}` has no time zone; state it, e.g. {} at time zone 'UTC'",
                column.name(),
                column.name()
            )));
        }
        (Kind::Instant, DataType::Timestamp(..)) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        (Kind::Inputs, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)) => match from {
            DataType::List(_) => from.clone(),
            _ => return Err(Error::invalid("the mapping's column `inputs` must be a list of structs or JSON text")),
        },
        _ => DataType::Utf8View,
    })
}

fn read_list(draft: &mut Draft<'_>, column: Column, entries: &ArrayRef) -> std::result::Result<(), Reason> {
    let batch = entries.as_struct_opt().map(RecordBatch::from).ok_or("`inputs` is no list of structs")?;
    if column != Column::Inputs {
        return Err(format!("`{}` is no list", column.name()));
    }
    let texts: Vec<String> =
        (0..batch.num_rows()).map(|i| String::from_utf8_lossy(&row_as_json(&batch, i)).into_owned()).collect();
    let inputs = json::read_inputs(&format!("[{}]", texts.join(",")))?;
    draft.set(column, if inputs.is_empty() { Cell::Absent } else { Cell::Inputs(inputs) });
    Ok(())
}

fn read_text<'a>(draft: &mut Draft<'a>, column: Column, text: &'a str) -> std::result::Result<(), Reason> {
    match column {
        Column::Inputs if text.is_empty() => Ok(()),
        Column::Inputs => {
            let inputs = json::read_inputs(text)?;
            draft.set(column, if inputs.is_empty() { Cell::Absent } else { Cell::Inputs(inputs) });
            Ok(())
        }
        Column::Extra if text.is_empty() => Ok(()),
        Column::Extra => {
            let members = jcs::members(text).map_err(|_| "`extra` is no JSON object")?;
            let extra =
                jcs::canonical_object(members, jcs::Numbers::AsGiven).map_err(|why| format!("`extra` {why}"))?;
            if extra != "{}" {
                draft.set_text(column, extra);
            }
            Ok(())
        }
        _ => draft.read(column, Cow::Borrowed(text)),
    }
}

/// One row as a JSON object, nulls left out.
fn row_as_json(batch: &RecordBatch, row: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = arrow::json::LineDelimitedWriter::new(&mut out);
    let written = writer.write(&batch.slice(row, 1)).and_then(|()| writer.finish());
    drop(writer);
    match written {
        Ok(()) => {
            out.truncate(out.trim_ascii_end().len());
            out
        }
        Err(e) => format!("{{\"unprintable\":\"{e}\"}}").into_bytes(),
    }
}
