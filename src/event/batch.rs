//! Events as Arrow: building batches from drafts, and reading single rows of a batch by type.
//!
//! In: checked drafts. Out: record batches of [`supplied_schema`] and, with a place in the ledger, of
//! [`stored_schema`]. Invariant: the row that was hashed is the row that is stored; the canonical form is
//! computed from these arrays and from nothing else.

use std::sync::{Arc, LazyLock, Mutex};

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Decimal128Array, Decimal128Builder, Float64Array, Float64Builder, Int8Array,
    Int8Builder, Int32Array, Int32Builder, Int64Array, Int64Builder, ListArray, ListBuilder, RecordBatch,
    StringViewArray, StringViewBuilder, StructArray, StructBuilder, TimestampMicrosecondArray,
    TimestampMicrosecondBuilder, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, FieldRef};
use hashbrown::HashMap;

use super::columns::{
    COLUMNS, Column, ColumnSpec, Kind, SEALED, SUPPLIED, input_element, input_fields, stored_schema, supplied_schema,
};
use super::draft::{Cell, Draft, Input};
use crate::clock::{Clock, DAY, Micros, civil};
use crate::error::{Error, Result};
use crate::limits::BATCH_EVENTS;

/// Gathers drafts into one record batch of [`supplied_schema`].
///
/// An absent cell costs nothing: nulls are filled in when the next value of the column comes, or at the end.
pub struct BatchBuilder {
    columns: Vec<ColumnBuilder>,
    /// Rows that each column has so far.
    filled: [usize; SUPPLIED],
    len: usize,
    /// Rows that a batch is expected to have, as the one before had.
    expected: usize,
}

enum ColumnBuilder {
    Text(StringViewBuilder),
    Instant(TimestampMicrosecondBuilder),
    Int64(Int64Builder),
    Int32(Int32Builder),
    Int8(Int8Builder),
    Amount(Decimal128Builder),
    Ratio(Float64Builder),
    Inputs(ListBuilder<StructBuilder>),
}

impl Default for BatchBuilder {
    fn default() -> Self {
        let columns = COLUMNS[..SUPPLIED].iter().map(|c| ColumnBuilder::new(c.kind)).collect();
        Self { columns, filled: [0; SUPPLIED], len: 0, expected: 0 }
    }
}

impl BatchBuilder {
    /// Appends one checked draft.
    pub fn append(&mut self, draft: &Draft<'_>) {
        for (column, cell) in draft.cells().iter().enumerate() {
            if *cell != Cell::Absent {
                let builder = &mut self.columns[column];
                if self.filled[column] == 0 {
                    builder.reserve(self.expected);
                }
                builder.append_nulls(self.len - self.filled[column]);
                builder.append(cell);
                self.filled[column] = self.len + 1;
            }
        }
        self.len += 1;
    }

    /// Events gathered so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is gathered.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The batch; the builder is empty again.
    pub fn finish(&mut self) -> RecordBatch {
        let len = std::mem::take(&mut self.len);
        self.expected = len;
        let schema = supplied_schema();
        let columns = self.columns.iter_mut().zip(&mut self.filled).zip(schema.fields());
        let array =
            |((builder, filled), field): ((&mut ColumnBuilder, &mut usize), &FieldRef)| match std::mem::take(filled) {
                0 => null_column(field.data_type(), len),
                filled => {
                    builder.append_nulls(len - filled);
                    builder.finish()
                }
            };
        let arrays = columns.map(array).collect();
        RecordBatch::try_new(supplied_schema(), arrays).expect("the builders follow the schema")
    }
}

impl ColumnBuilder {
    /// An empty builder. It reserves nothing: most columns of a small batch stay empty, and an event that comes alone
    /// would wait for memory that a thousand of them fill.
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Text | Kind::Id | Kind::Key | Kind::Word(_) | Kind::Bytes => {
                Self::Text(StringViewBuilder::with_capacity(0))
            }
            Kind::Instant => Self::Instant(TimestampMicrosecondBuilder::with_capacity(0).with_timezone("UTC")),
            Kind::Int64 => Self::Int64(Int64Builder::with_capacity(0)),
            Kind::Int32 => Self::Int32(Int32Builder::with_capacity(0)),
            Kind::Int8 => Self::Int8(Int8Builder::with_capacity(0)),
            Kind::Amount => {
                let builder = Decimal128Builder::with_capacity(0).with_precision_and_scale(18, 2);
                Self::Amount(builder.expect("18 and 2 are valid"))
            }
            Kind::Ratio => Self::Ratio(Float64Builder::with_capacity(0)),
            Kind::Inputs => {
                let entry = StructBuilder::from_fields(input_fields(), 0);
                Self::Inputs(ListBuilder::with_capacity(entry, 0).with_field(Arc::new(input_element())))
            }
        }
    }

    fn append(&mut self, cell: &Cell<'_>) {
        match (self, cell) {
            (Self::Text(b), Cell::Text(v)) => b.append_value(v),
            (Self::Text(b), _) => b.append_null(),
            (Self::Instant(b), Cell::Instant(v)) => b.append_value(*v),
            (Self::Instant(b), _) => b.append_null(),
            (Self::Int64(b), Cell::Integer(v)) => b.append_value(*v),
            (Self::Int64(b), _) => b.append_null(),
            (Self::Int32(b), Cell::Integer(v)) => b.append_option(i32::try_from(*v).ok()),
            (Self::Int32(b), _) => b.append_null(),
            (Self::Int8(b), Cell::Integer(v)) => b.append_option(i8::try_from(*v).ok()),
            (Self::Int8(b), _) => b.append_null(),
            (Self::Amount(b), Cell::Amount(v)) => b.append_value(i128::from(*v)),
            (Self::Amount(b), _) => b.append_null(),
            (Self::Ratio(b), Cell::Ratio(v)) => b.append_value(*v),
            (Self::Ratio(b), _) => b.append_null(),
            (Self::Inputs(b), Cell::Inputs(v)) => append_inputs(b, v),
            (Self::Inputs(b), _) => b.append_null(),
        }
    }

    /// Makes room for `rows` rows in an empty builder: growing by doubling would copy each column several times.
    fn reserve(&mut self, rows: usize) {
        match self {
            Self::Text(b) if rows > 0 => *b = StringViewBuilder::with_capacity(rows),
            Self::Instant(b) if rows > 0 => *b = TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC"),
            _ => {}
        }
    }

    fn append_nulls(&mut self, count: usize) {
        match self {
            Self::Text(b) => (0..count).for_each(|_| b.append_null()),
            Self::Instant(b) => b.append_nulls(count),
            Self::Int64(b) => b.append_nulls(count),
            Self::Int32(b) => b.append_nulls(count),
            Self::Int8(b) => b.append_nulls(count),
            Self::Amount(b) => b.append_nulls(count),
            Self::Ratio(b) => b.append_nulls(count),
            Self::Inputs(b) => (0..count).for_each(|_| b.append_null()),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(b) => Arc::new(b.finish()),
            Self::Instant(b) => Arc::new(b.finish()),
            Self::Int64(b) => Arc::new(b.finish()),
            Self::Int32(b) => Arc::new(b.finish()),
            Self::Int8(b) => Arc::new(b.finish()),
            Self::Amount(b) => Arc::new(b.finish()),
            Self::Ratio(b) => Arc::new(b.finish()),
            Self::Inputs(b) => Arc::new(b.finish()),
        }
    }
}

/// A column of `len` nulls. Those of batches share their memory: an event sets half of the columns at most.
pub fn null_column(data_type: &DataType, len: usize) -> ArrayRef {
    static SHARED: LazyLock<Mutex<HashMap<DataType, ArrayRef>>> = LazyLock::new(Mutex::default);
    if len > BATCH_EVENTS {
        return new_null_array(data_type, len);
    }
    let mut shared = SHARED.lock().unwrap_or_else(|e| e.into_inner());
    let column = shared.entry(data_type.clone()).or_insert_with(|| new_null_array(data_type, BATCH_EVENTS));
    column.slice(0, len)
}

/// `column` without the text of rows that are not in it: a view keeps alive, and counts, all that it was cut from.
pub fn with_own_text(column: &ArrayRef) -> ArrayRef {
    match column.as_string_view_opt() {
        Some(text) => Arc::new(text.gc()),
        None => column.clone(),
    }
}

/// Bytes of memory that the values of `batch` take; columns without a value share theirs.
pub fn bytes_of(batch: &RecordBatch) -> usize {
    let used = batch.columns().iter().filter(|column| column.null_count() < column.len());
    used.map(|column| column.get_array_memory_size()).sum()
}

fn append_inputs(builder: &mut ListBuilder<StructBuilder>, inputs: &[Input]) {
    for input in inputs {
        let entry = builder.values();
        let parts = [&input.system, &input.record_type, &input.record_id, &input.field];
        for (i, part) in parts.into_iter().enumerate() {
            let field = entry.field_builder::<StringViewBuilder>(i).expect("four text fields");
            field.append_option(part.as_deref());
        }
        entry.append(true);
    }
    builder.append(true);
}

/// The month of `at` in UTC, `YYYY-MM`: the partition of its event.
pub fn month_of(at: Micros) -> String {
    let (year, month, _) = civil(at.div_euclid(DAY));
    format!("{year:04}-{month:02}")
}

/// Names of months, the last one remembered: events that follow each other are mostly of one month.
#[derive(Debug, Default)]
pub struct Months {
    /// Instants that `name` stands for.
    span: std::ops::Range<Micros>,
    name: String,
}

impl Months {
    /// The month of `at`, as [`month_of`] gives it.
    pub fn name(&mut self, at: Micros) -> &str {
        if !self.span.contains(&at) {
            let day = at.div_euclid(DAY);
            let (year, month, of_month) = civil(day);
            let first = day - of_month + 1;
            // 28 days on is the same month or the first days of the next one, whatever the month.
            let length = (28..=31).find(|n| civil(first + n).1 != month).unwrap_or(28);
            self.span = first * DAY..(first + length) * DAY;
            self.name = format!("{year:04}-{month:02}");
        }
        &self.name
    }
}

/// Bytes of a salt.
const SALT_BYTES: usize = 16;

/// Gives every row of `supplied` its place: `seq` from `first_seq` on, `recorded_at`, a salt where a sealed
/// column is set, and the month. Out: the same rows in [`stored_schema`].
///
/// # Errors
/// When `supplied` has another schema.
pub fn assign(supplied: &RecordBatch, first_seq: i64, recorded_at: Micros, clock: &Clock) -> Result<RecordBatch> {
    let len = supplied.num_rows();
    let rows = Rows::new(supplied)?;
    let mut arrays: Vec<ArrayRef> = supplied.columns().to_vec();
    arrays.push(Arc::new(Int64Array::from_iter_values(first_seq..first_seq + len as i64)));
    arrays.push(Arc::new(TimestampMicrosecondArray::from_value(recorded_at, len).with_timezone("UTC")));
    let is_sealed: Vec<bool> = (0..len).map(|row| SEALED.iter().any(|(column, _)| rows.is_set(*column, row))).collect();
    // Drawn at once: asking the system event by event takes longer than hashing them.
    let mut random = vec![0u8; SALT_BYTES * is_sealed.iter().filter(|sealed| **sealed).count()];
    clock.fill(&mut random);
    let mut drawn = random.chunks_exact(SALT_BYTES);
    let salts: BinaryArray = is_sealed.iter().map(|sealed| if *sealed { drawn.next() } else { None }).collect();
    let (mut months, mut names) = (StringViewBuilder::new(), Months::default());
    for row in 0..len {
        months.append_value(names.name(rows.instant(Column::OccurredAt, row).unwrap_or_default()));
    }
    arrays.push(Arc::new(salts));
    arrays.push(Arc::new(months.finish()));
    for spec in &COLUMNS[arrays.len()..] {
        arrays.push(null_column(stored_schema().field(spec.column as usize).data_type(), len));
    }
    RecordBatch::try_new(stored_schema(), arrays)
        .map_err(|e| Error::internal("decoded events do not follow the stored schema").because(e))
}

/// Typed access to the rows of a batch; columns that the batch lacks read as absent.
pub struct Rows<'a> {
    columns: Vec<Cells<'a>>,
    len: usize,
}

/// A column of a batch.
struct Cells<'a> {
    values: Values<'a>,
    nulls: Option<&'a NullBuffer>,
}

#[derive(Clone, Copy)]
enum Values<'a> {
    Missing,
    Text(&'a StringViewArray),
    Instant(&'a TimestampMicrosecondArray),
    Int64(&'a Int64Array),
    Int32(&'a Int32Array),
    Int8(&'a Int8Array),
    Amount(&'a Decimal128Array),
    Ratio(&'a Float64Array),
    Bytes(&'a BinaryArray),
    Inputs(&'a ListArray, &'a StructArray),
}

/// The value of one column in one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Text of any kind.
    Text(&'a str),
    /// Microseconds.
    Instant(Micros),
    /// int64, written as a decimal string.
    Long(i64),
    /// int32 or int8, written as a number.
    Short(i32),
    /// Hundredths.
    Amount(i128),
    /// 0..1.
    Ratio(f64),
    /// Salt.
    Bytes(&'a [u8]),
    /// What was read.
    Inputs(Inputs<'a>),
}

/// What was read for one event: some entries of four parallel columns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Inputs<'a> {
    entries: &'a StructArray,
    from: u32,
    to: u32,
}

impl<'a> Inputs<'a> {
    /// system, record_type, record_id and field of all entries of the batch; those of this event are [`range`].
    ///
    /// [`range`]: Self::range
    pub fn parts(&self) -> [&'a StringViewArray; 4] {
        std::array::from_fn(|part| self.entries.column(part).as_string_view())
    }

    /// Which entries are this event's.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.from as usize..self.to as usize
    }
}

impl<'a> Rows<'a> {
    /// Views `batch`, whose columns are found by name.
    ///
    /// # Errors
    /// When a column has another type than [`COLUMNS`] says.
    pub fn new(batch: &'a RecordBatch) -> Result<Self> {
        let column = |spec: &ColumnSpec| {
            let position = spec.column as usize;
            let is_in_place = batch.schema_ref().fields().get(position).is_some_and(|f| f.name() == spec.name);
            if is_in_place { Some(batch.column(position)) } else { batch.column_by_name(spec.name) }
        };
        let columns = COLUMNS.iter().map(|spec| match column(spec) {
            Some(array) => Cells::new(spec.kind, array).ok_or_else(|| {
                Error::internal(format!(
                    "column `{}` has type {}, unlike the evidence schema",
                    spec.name,
                    array.data_type()
                ))
            }),
            None => Ok(Cells { values: Values::Missing, nulls: None }),
        });
        Ok(Self { columns: columns.collect::<Result<_>>()?, len: batch.num_rows() })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether any row sets `column`.
    pub fn is_used(&self, column: Column) -> bool {
        let Cells { values, nulls } = &self.columns[column as usize];
        !matches!(values, Values::Missing) && nulls.is_none_or(|nulls| nulls.null_count() < self.len)
    }

    /// The value of `column` in `row`, if any.
    #[inline]
    pub fn value(&self, column: Column, row: usize) -> Option<Value<'a>> {
        self.columns[column as usize].get(row)
    }

    /// Whether `column` is set in `row`.
    pub fn is_set(&self, column: Column, row: usize) -> bool {
        self.columns[column as usize].is_set(row)
    }

    /// Text of `column` in `row`.
    pub fn text(&self, column: Column, row: usize) -> Option<&'a str> {
        match self.value(column, row) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Instant of `column` in `row`.
    pub fn instant(&self, column: Column, row: usize) -> Option<Micros> {
        match self.value(column, row) {
            Some(Value::Instant(at)) => Some(at),
            _ => None,
        }
    }

    /// int64 of `column` in `row`.
    pub fn long(&self, column: Column, row: usize) -> Option<i64> {
        match self.value(column, row) {
            Some(Value::Long(n)) => Some(n),
            _ => None,
        }
    }

    /// The salt of `row`.
    pub fn salt(&self, row: usize) -> Option<&'a [u8]> {
        match self.value(Column::Salt, row) {
            Some(Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// Whether the event of `row` equals `other`'s `other_row` in every supplied column. A sealed value that
    /// was erased from `other` since counts as equal: the resend of an erased event must store nothing.
    pub fn same_content(&self, row: usize, other: &Rows<'_>, other_row: usize) -> bool {
        let is_erased = |column: Column| {
            let digest = SEALED.iter().find(|(value, _)| *value == column).map(|(_, digest)| *digest);
            digest.is_some_and(|d| other.is_set(d, other_row) && !other.is_set(column, other_row))
        };
        COLUMNS[..SUPPLIED]
            .iter()
            .map(|spec| spec.column)
            .all(|column| is_erased(column) || same(self.value(column, row), other.value(column, other_row)))
    }
}

fn same(a: Option<Value<'_>>, b: Option<Value<'_>>) -> bool {
    match (a, b) {
        (Some(Value::Inputs(a)), Some(Value::Inputs(b))) => {
            let text = |parts: &[&StringViewArray; 4], part: usize, entry: usize| {
                parts[part].is_valid(entry).then(|| parts[part].value(entry).to_owned())
            };
            let (left, right) = (a.parts(), b.parts());
            a.range().len() == b.range().len()
                && a.range().zip(b.range()).all(|(i, j)| (0..4).all(|p| text(&left, p, i) == text(&right, p, j)))
        }
        (Some(Value::Inputs(_)), _) | (_, Some(Value::Inputs(_))) => false,
        (a, b) => a == b,
    }
}

impl<'a> Cells<'a> {
    fn new(kind: Kind, array: &'a ArrayRef) -> Option<Self> {
        let values = match kind {
            Kind::Text | Kind::Id | Kind::Key | Kind::Word(_) => Values::Text(array.as_string_view_opt()?),
            Kind::Instant => Values::Instant(array.as_primitive_opt()?),
            Kind::Int64 => Values::Int64(array.as_primitive_opt()?),
            Kind::Int32 => Values::Int32(array.as_primitive_opt()?),
            Kind::Int8 => Values::Int8(array.as_primitive_opt()?),
            Kind::Amount => Values::Amount(array.as_primitive_opt()?),
            Kind::Ratio => Values::Ratio(array.as_primitive_opt()?),
            Kind::Bytes => Values::Bytes(array.as_binary_opt()?),
            Kind::Inputs => {
                let list: &ListArray = array.as_list_opt()?;
                let entries: &StructArray = list.values().as_struct_opt()?;
                let is_text = |i: usize| entries.columns().get(i).is_some_and(|c| c.as_string_view_opt().is_some());
                if !(0..4).all(is_text) {
                    return None;
                }
                Values::Inputs(list, entries)
            }
        };
        Some(Self { values, nulls: array.nulls() })
    }

    fn is_set(&self, row: usize) -> bool {
        match (&self.values, self.nulls) {
            (Values::Missing, _) => false,
            (_, None) => true,
            (_, Some(nulls)) => nulls.is_valid(row),
        }
    }

    fn get(&self, row: usize) -> Option<Value<'a>> {
        // Most cells of a row are empty.
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            return None;
        }
        Some(match self.values {
            Values::Missing => return None,
            Values::Text(a) => Value::Text(a.value(row)),
            Values::Instant(a) => Value::Instant(a.value(row)),
            Values::Int64(a) => Value::Long(a.value(row)),
            Values::Int32(a) => Value::Short(a.value(row)),
            Values::Int8(a) => Value::Short(i32::from(a.value(row))),
            Values::Amount(a) => Value::Amount(a.value(row)),
            Values::Ratio(a) => Value::Ratio(a.value(row)),
            Values::Bytes(a) => Value::Bytes(a.value(row)),
            Values::Inputs(list, entries) => {
                let offsets = list.value_offsets();
                Value::Inputs(Inputs { entries, from: offsets[row] as u32, to: offsets[row + 1] as u32 })
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::json;

    fn batch(texts: &[&str]) -> RecordBatch {
        let mut builder = BatchBuilder::default();
        for text in texts {
            builder.append(&json::decode(text.as_bytes()).unwrap());
        }
        builder.finish()
    }

    #[test]
    fn a_salt_is_drawn_only_where_something_is_sealed() {
        let supplied = batch(&[
            r#"{"old_value":"","occurred_at":"2026-03-31T23:59:59Z"}"#,
            r#"{"field":"f","occurred_at":"0001-01-01T00:00:00Z"}"#,
        ]);
        let stored = assign(&supplied, 41, 7, &Clock::fixed(7)).unwrap();
        let rows = Rows::new(&stored).unwrap();
        assert_eq!(rows.salt(0).map(<[u8]>::len), Some(16));
        assert_eq!(rows.salt(1), None);
        assert_eq!((rows.long(Column::Seq, 0), rows.long(Column::Seq, 1)), (Some(41), Some(42)));
        assert_eq!(rows.text(Column::OccurredMonth, 0), Some("2026-03"));
        assert_eq!(rows.text(Column::OccurredMonth, 1), Some("0001-01"));
    }

    #[test]
    fn content_is_compared_in_every_supplied_column() {
        let inputs = r#""inputs":[{"system":"a","record_type":"b","record_id":"c"}]"#;
        let texts = [
            format!(r#"{{"event_id":"1",{inputs},"amount":1.5}}"#),
            format!(r#"{{"amount":"1.50","event_id":"1",{inputs}}}"#),
            format!(r#"{{"event_id":"1",{inputs}}}"#),
            r#"{"event_id":"1","amount":1.5}"#.to_owned(),
            format!(r#"{{"event_id":"1",{},"amount":1.5}}"#, inputs.replace("\"c\"", "\"d\"")),
        ];
        let all = batch(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let rows = Rows::new(&all).unwrap();
        assert!(rows.same_content(0, &rows, 1));
        for (other, text) in texts.iter().enumerate().skip(2) {
            assert!(!rows.same_content(0, &rows, other), "{text}");
        }
    }
}
