//! SQL functions that are computed row by row, each described by an entry of a table.
//!
//! In: what a function is called, takes and gives, and how one row is computed. Out: functions for the engine.
//! Invariant: a null argument gives null; a list may hold nulls, which the function itself judges. An argument
//! of another type is refused when the query is planned, before any content is read.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListArray, StringViewArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Float64Type, Int64Type};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::FunctionNote;

/// A function that gives one value per row.
#[derive(Debug, Clone, Copy)]
pub struct RowFunction {
    /// In words; what stands before the bracket of the call is the function's name.
    pub note: FunctionNote,
    /// Its arguments in order.
    pub takes: &'static [Takes],
    /// Its result, and how it is computed.
    pub gives: Gives,
}

/// What an argument is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// A whole number; of another number the fraction is cut off.
    Int,
    /// A number.
    Float,
    /// Text.
    Text,
    /// A list of whole numbers.
    Ints,
    /// A list of numbers.
    Floats,
    /// A list of true and false.
    Bools,
    /// A list of marks: text, or anything with a text form.
    Marks,
    /// A list of lists of whole numbers.
    IntLists,
    /// A list of lists of numbers.
    FloatLists,
}

/// The type of a value or of a struct's field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// int64
    Int,
    /// float64
    Float,
    /// boolean
    Bool,
}

/// The names and types of a struct's fields.
pub type Columns = &'static [(&'static str, Kind)];

/// A value of a struct's field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell {
    /// Of kind `Int`.
    Int(Option<i64>),
    /// Of kind `Float`.
    Float(Option<f64>),
    /// Of kind `Bool`.
    Bool(Option<bool>),
}

/// What a function gives, with the computation of one row; `None` is null.
#[derive(Debug, Clone, Copy)]
pub enum Gives {
    /// int64
    Int(fn(&Row<'_>) -> Option<i64>),
    /// float64
    Float(fn(&Row<'_>) -> Option<f64>),
    /// boolean
    Bool(fn(&Row<'_>) -> Option<bool>),
    /// text
    Text(fn(&Row<'_>) -> Option<String>),
    /// list of float64
    Floats(fn(&Row<'_>) -> Option<Vec<Option<f64>>>),
    /// struct
    Record(Columns, fn(&Row<'_>) -> Option<Vec<Cell>>),
    /// list of structs
    Records(Columns, fn(&Row<'_>) -> Option<Vec<Vec<Cell>>>),
}

/// The arguments of one row, none of them null.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    columns: &'a [ArrayRef],
    index: usize,
}

impl Row<'_> {
    /// The argument at `place`, an `Int`.
    pub fn int(&self, place: usize) -> i64 {
        self.columns[place].as_primitive::<Int64Type>().value(self.index)
    }

    /// The argument at `place`, a `Float`.
    pub fn float(&self, place: usize) -> f64 {
        self.columns[place].as_primitive::<Float64Type>().value(self.index)
    }

    /// The argument at `place`, a `Text`.
    pub fn text(&self, place: usize) -> &str {
        self.columns[place].as_string_view().value(self.index)
    }

    /// The argument at `place`, of `Ints`.
    pub fn ints(&self, place: usize) -> Vec<Option<i64>> {
        self.list(place).as_primitive::<Int64Type>().iter().collect()
    }

    /// The argument at `place`, of `Floats`.
    pub fn floats(&self, place: usize) -> Vec<Option<f64>> {
        self.list(place).as_primitive::<Float64Type>().iter().collect()
    }

    /// The argument at `place`, of `Bools`.
    pub fn bools(&self, place: usize) -> Vec<Option<bool>> {
        self.list(place).as_boolean().iter().collect()
    }

    /// The argument at `place`, of `Marks`.
    pub fn marks(&self, place: usize) -> Vec<Option<String>> {
        self.list(place).as_string_view().iter().map(|mark| mark.map(str::to_owned)).collect()
    }

    /// The argument at `place`, of `IntLists`; a null inside is `None`.
    pub fn int_lists(&self, place: usize) -> Vec<Option<Vec<Option<i64>>>> {
        let lists = self.list(place);
        let inner = lists.as_list::<i32>().iter();
        inner.map(|list| Some(list?.as_primitive::<Int64Type>().iter().collect())).collect()
    }

    /// The argument at `place`, of `FloatLists`; a null inside is `None`.
    pub fn float_lists(&self, place: usize) -> Vec<Option<Vec<Option<f64>>>> {
        let lists = self.list(place);
        let inner = lists.as_list::<i32>().iter();
        inner.map(|list| Some(list?.as_primitive::<Float64Type>().iter().collect())).collect()
    }

    fn list(&self, place: usize) -> ArrayRef {
        self.columns[place].as_list::<i32>().value(self.index)
    }
}

impl RowFunction {
    /// The name it is called by.
    pub fn name(&self) -> &'static str {
        self.note.call.split('(').next().expect("a text has a first part")
    }

    /// The function as the engine registers it.
    pub fn udf(&'static self) -> ScalarUDF {
        let signature = Signature::any(self.takes.len(), Volatility::Immutable);
        ScalarUDF::new_from_impl(Udf { function: self, signature })
    }
}

#[derive(Debug)]
struct Udf {
    function: &'static RowFunction,
    signature: Signature,
}

impl PartialEq for Udf {
    fn eq(&self, other: &Self) -> bool {
        self.function.name() == other.function.name()
    }
}

impl Eq for Udf {}

impl Hash for Udf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name().hash(state);
    }
}

impl ScalarUDFImpl for Udf {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        let misfit = self.function.takes.iter().zip(given).position(|(takes, given)| !takes.fits(given));
        match misfit {
            None => Ok(self.function.gives.data_type()),
            Some(place) => Err(DataFusionError::Plan(format!(
                "`{}`: argument {} is of type {}, expected {}",
                self.function.note.call,
                place + 1,
                given[place],
                self.function.takes[place].data_type()
            ))),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let given = ColumnarValue::values_to_arrays(&args.args)?;
        let mut columns = Vec::with_capacity(given.len());
        for (array, takes) in given.iter().zip(self.function.takes) {
            columns.push(cast(array, &takes.data_type())?);
        }
        Ok(ColumnarValue::Array(self.function.gives.compute(&columns)?))
    }
}

impl Takes {
    /// The type that an argument is cast to.
    fn data_type(self) -> DataType {
        match self {
            Self::Int => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Text => DataType::Utf8View,
            Self::Ints => list_of(DataType::Int64),
            Self::Floats => list_of(DataType::Float64),
            Self::Bools => list_of(DataType::Boolean),
            Self::Marks => list_of(DataType::Utf8View),
            Self::IntLists => list_of(list_of(DataType::Int64)),
            Self::FloatLists => list_of(list_of(DataType::Float64)),
        }
    }

    /// Whether an argument of type `given` can be read as this without a cast that could fail.
    fn fits(self, given: &DataType) -> bool {
        let fits_inside = |inner: Self| element(given).is_some_and(|element| inner.fits(element));
        given.is_null()
            || match self {
                Self::Int | Self::Float => given.is_numeric(),
                Self::Text => matches!(given, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
                Self::Ints | Self::Floats => fits_inside(Self::Float),
                Self::Bools => element(given).is_some_and(|element| element.is_null() || *element == DataType::Boolean),
                Self::Marks => element(given).is_some_and(|element| !element.is_nested()),
                Self::IntLists | Self::FloatLists => fits_inside(Self::Floats),
            }
    }
}

/// The type of a list's elements.
fn element(given: &DataType) -> Option<&DataType> {
    match given {
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            Some(field.data_type())
        }
        _ => None,
    }
}

fn item(inner: DataType) -> Arc<Field> {
    Arc::new(Field::new("item", inner, true))
}

fn list_of(inner: DataType) -> DataType {
    DataType::List(item(inner))
}

fn fields(columns: Columns) -> Fields {
    columns.iter().map(|(name, kind)| Field::new(*name, kind.data_type(), true)).collect()
}

impl Kind {
    fn data_type(self) -> DataType {
        match self {
            Self::Int => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Bool => DataType::Boolean,
        }
    }

    /// The `cells`, all of this kind, as a column.
    fn column(self, cells: impl Iterator<Item = Option<Cell>>) -> ArrayRef {
        match self {
            Self::Int => {
                Arc::new(cells.map(|cell| if let Cell::Int(v) = cell? { v } else { None }).collect::<Int64Array>())
            }
            Self::Float => {
                Arc::new(cells.map(|cell| if let Cell::Float(v) = cell? { v } else { None }).collect::<Float64Array>())
            }
            Self::Bool => {
                Arc::new(cells.map(|cell| if let Cell::Bool(v) = cell? { v } else { None }).collect::<BooleanArray>())
            }
        }
    }
}

impl Gives {
    fn data_type(&self) -> DataType {
        match *self {
            Self::Int(_) => DataType::Int64,
            Self::Float(_) => DataType::Float64,
            Self::Bool(_) => DataType::Boolean,
            Self::Text(_) => DataType::Utf8View,
            Self::Floats(_) => list_of(DataType::Float64),
            Self::Record(columns, _) => DataType::Struct(fields(columns)),
            Self::Records(columns, _) => list_of(DataType::Struct(fields(columns))),
        }
    }

    fn compute(&self, columns: &[ArrayRef]) -> Result<ArrayRef> {
        let rows = rows(columns);
        let column: ArrayRef = match *self {
            Self::Int(row) => Arc::new(rows.map(|r| row(&r?)).collect::<Int64Array>()),
            Self::Float(row) => Arc::new(rows.map(|r| row(&r?)).collect::<Float64Array>()),
            Self::Bool(row) => Arc::new(rows.map(|r| row(&r?)).collect::<BooleanArray>()),
            Self::Text(row) => Arc::new(rows.map(|r| row(&r?)).collect::<StringViewArray>()),
            Self::Floats(row) => Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(rows.map(|r| row(&r?)))),
            Self::Record(columns, row) => Arc::new(structs(columns, &rows.map(|r| row(&r?)).collect::<Vec<_>>())?),
            Self::Records(columns, row) => Arc::new(lists(columns, rows.map(|r| row(&r?)).collect())?),
        };
        Ok(column)
    }
}

/// One entry per row; `None` where an argument is null.
fn rows(columns: &[ArrayRef]) -> impl Iterator<Item = Option<Row<'_>>> {
    let length = columns.first().map_or(0, |column| column.len());
    (0..length).map(move |index| {
        let has_null = columns.iter().any(|column| column.is_null(index));
        (!has_null).then_some(Row { columns, index })
    })
}

fn structs(columns: Columns, records: &[Option<Vec<Cell>>]) -> Result<StructArray> {
    let column = |(place, (_, kind)): (usize, &(&'static str, Kind))| {
        kind.column(records.iter().map(|record| Some(record.as_ref()?[place])))
    };
    let arrays = columns.iter().enumerate().map(column).collect();
    let valid: Vec<bool> = records.iter().map(Option::is_some).collect();
    Ok(StructArray::try_new(fields(columns), arrays, Some(NullBuffer::from(valid)))?)
}

fn lists(columns: Columns, rows: Vec<Option<Vec<Vec<Cell>>>>) -> Result<ListArray> {
    let valid: Vec<bool> = rows.iter().map(Option::is_some).collect();
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| row.as_ref().map_or(0, Vec::len)));
    let records: Vec<Option<Vec<Cell>>> = rows.into_iter().flatten().flatten().map(Some).collect();
    let entries = structs(columns, &records)?;
    let item = item(DataType::Struct(fields(columns)));
    Ok(ListArray::try_new(item, offsets, Arc::new(entries), Some(NullBuffer::from(valid)))?)
}
