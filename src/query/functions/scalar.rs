//! A SQL function as a row of a table: name, types, and what it does with whole columns.
//!
//! In: columns of the same length. Out: one column of that length. Invariant: functions are pure; two of the
//! same name are the same function.

use std::hash::{Hash, Hasher};

use arrow::array::{ArrayRef, AsArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

/// A function over columns.
#[derive(Debug, Clone)]
pub struct Scalar {
    /// Its name in SQL.
    pub name: &'static str,
    /// What it takes.
    pub signature: Signature,
    /// What it gives.
    pub returns: DataType,
    /// What it does.
    pub run: fn(&[ArrayRef]) -> Result<ArrayRef>,
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Scalar {}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Scalar {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let column = (self.run)(&arrays)?;
        // Without arguments there is one value for all rows.
        Ok(match args.args.as_slice() {
            [] => ColumnarValue::Scalar(ScalarValue::try_from_array(&column, 0)?),
            _ => ColumnarValue::Array(column),
        })
    }
}

/// The signature of exactly these types.
pub fn takes(types: Vec<DataType>) -> Signature {
    Signature::exact(types, Volatility::Immutable)
}

/// The signature of `count` texts of any layout.
pub fn takes_texts(count: usize) -> Signature {
    Signature::new(TypeSignature::String(count), Volatility::Immutable)
}

/// A column of text of any layout, as views.
///
/// # Errors
/// When it is no text.
pub fn texts(column: &ArrayRef) -> Result<StringViewArray> {
    Ok(cast(column, &DataType::Utf8View)?.as_string_view().clone())
}
