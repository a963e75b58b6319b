//! Functions that make long values, with a bound on what they may make.
//!
//! In: the logical plan of a stranger's query. Out: the same plan, in which every function and operator that
//! can make its result longer than its arguments refuses to make more than [`CAP_BYTES`] for one batch.
//! Invariant: no single call allocates much more than that, whatever its arguments; DataFusion does not count
//! such memory. Functions whose growth cannot be told beforehand are not there at all.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::{cast, concat, is_null, nullif, or};
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::functions::string::concat as concat_function;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, LogicalPlan, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};

use crate::error::Error;

/// Bytes that one call may make for one batch.
pub const CAP_BYTES: u64 = 32 * 1024 * 1024;

/// Scalar functions that strangers' SQL does not have: their results grow with a number or a column that no
/// bound can be taken from, they compare each character with each, or they tell where files lie.
pub const WITHHELD: &[&str] = &[
    "array_repeat",
    "array_resize",
    "array_to_string",
    "file_row_index",
    "generate_series",
    "input_file_name",
    "levenshtein",
    "range",
    "string_to_array",
];

/// What a call makes at most, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Growth {
    /// The sum of its arguments.
    Sum,
    /// The first argument so many times as the second says.
    Repeat,
    /// As many characters as the second argument says.
    Pad,
    /// The first argument with each match of the second replaced by the third.
    Replace,
    /// The first with the third at any place, and itself wherever the third refers to a match.
    Pattern,
}

const CAPPED: &[(&str, Growth)] = &[
    ("array_append", Growth::Sum),
    ("array_concat", Growth::Sum),
    ("array_prepend", Growth::Sum),
    ("concat", Growth::Sum),
    ("concat_ws", Growth::Sum),
    ("lpad", Growth::Pad),
    ("make_array", Growth::Sum),
    ("overlay", Growth::Sum),
    ("regexp_replace", Growth::Pattern),
    ("repeat", Growth::Repeat),
    ("replace", Growth::Replace),
    ("rpad", Growth::Pad),
];

/// `plan` with every growing call capped.
///
/// # Errors
/// When it calls a function of [`WITHHELD`].
pub fn cap(plan: LogicalPlan) -> Result<LogicalPlan> {
    let capped = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(cap_call)?.update_data(|expr| name.restore(expr)))
        })
    });
    let capped = capped?;
    if capped.transformed { capped.data.recompute_schema() } else { Ok(capped.data) }
}

fn cap_call(expr: Expr) -> Result<Transformed<Expr>> {
    match expr {
        Expr::ScalarFunction(call) => {
            let name = call.func.name();
            if WITHHELD.contains(&name) {
                return plan_err!("function `{name}` is not available here");
            }
            let Some((_, growth)) = CAPPED.iter().find(|(capped, _)| *capped == name) else {
                return Ok(Transformed::no(Expr::ScalarFunction(call)));
            };
            if call.func.inner().downcast_ref::<Capped>().is_some() {
                return Ok(Transformed::no(Expr::ScalarFunction(call)));
            }
            let func = Arc::new(ScalarUDF::new_from_impl(Capped { inner: call.func, growth: *growth }));
            Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args: call.args })))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
            let inner = Arc::new(ScalarUDF::new_from_impl(TextConcat::new()));
            let func = Arc::new(ScalarUDF::new_from_impl(Capped { inner, growth: Growth::Sum }));
            Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args: vec![*left, *right] })))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// `inner`, refusing to make more than [`CAP_BYTES`].
///
/// It does not pass on simplification: that would put the bare function in its place again.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Capped {
    inner: Arc<ScalarUDF>,
    growth: Growth,
}

impl ScalarUDFImpl for Capped {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let inner = Arc::new(self.inner.inner().with_updated_config(config)?);
        Some(ScalarUDF::new_from_impl(Self { inner, growth: self.growth }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let bounds = self.bounds(&args)?;
        if bounds.iter().fold(0u64, |sum, bound| sum.saturating_add(*bound)) <= CAP_BYTES {
            return self.inner.invoke_with_args(args);
        }
        let mut parts = Vec::new();
        let mut made = 0u64;
        let mut from = 0;
        while from < bounds.len() {
            let rows = rows_within(&bounds[from..]);
            if rows == 0 {
                return self.too_long();
            }
            let part = self.inner.invoke_with_args(slice(&args, from, rows))?.into_array(rows)?;
            made = made.saturating_add(part.to_data().get_slice_memory_size()? as u64);
            if made > CAP_BYTES {
                return self.too_long();
            }
            parts.push(part);
            from += rows;
        }
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        Ok(ColumnarValue::Array(concat(&parts)?))
    }
}

/// How many of the first rows stay within [`CAP_BYTES`] together.
fn rows_within(bounds: &[u64]) -> usize {
    let mut sum = 0u64;
    bounds
        .iter()
        .take_while(|bound| {
            sum = sum.saturating_add(**bound);
            sum <= CAP_BYTES
        })
        .count()
}

fn slice(args: &ScalarFunctionArgs, from: usize, rows: usize) -> ScalarFunctionArgs {
    let part = |arg: &ColumnarValue| match arg {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(from, rows)),
        scalar => scalar.clone(),
    };
    ScalarFunctionArgs { args: args.args.iter().map(part).collect(), number_rows: rows, ..args.clone() }
}

impl Capped {
    fn too_long<T>(&self) -> Result<T> {
        let mib = CAP_BYTES / (1024 * 1024);
        let message = format!("`{}` would make more than {mib} MiB at once; make shorter values", self.name());
        Err(DataFusionError::External(Box::new(Error::limit(message))))
    }

    /// The most that each row can become; one entry when all arguments are constants.
    fn bounds(&self, args: &ScalarFunctionArgs) -> Result<Vec<u64>> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let lengths = args.args.iter().map(|arg| Lengths::new(arg, rows)).collect::<Result<Vec<_>>>()?;
        let of = |arg: usize, row: usize| lengths.get(arg).map_or(0, |l| l.bytes(row));
        let bound = |row: usize| match self.growth {
            Growth::Sum => lengths.iter().fold(0u64, |sum, l| sum.saturating_add(l.bytes(row))).saturating_mul(
                // The separator of concat_ws stands between any two.
                if self.name() == "concat_ws" { lengths.len() as u64 } else { 1 },
            ),
            Growth::Repeat => of(0, row).saturating_mul(lengths.get(1).map_or(0, |l| l.number(row))),
            Growth::Pad => lengths.get(1).map_or(0, |l| l.number(row)).saturating_mul(4),
            Growth::Replace => {
                of(0, row).saturating_mul(of(2, row).div_ceil(of(1, row).max(1)).max(1)).saturating_add(of(2, row))
            }
            Growth::Pattern => {
                let references = lengths.get(2).map_or(0, |l| l.references(row));
                let each = of(2, row).saturating_add(references.saturating_mul(of(0, row)));
                of(0, row).saturating_add(1).saturating_mul(each.saturating_add(1))
            }
        };
        Ok((0..rows).map(bound).collect())
    }
}

/// How long the values of one argument are.
struct Lengths {
    values: ArrayRef,
    numbers: Option<Int64Array>,
    is_constant: bool,
}

impl Lengths {
    fn new(arg: &ColumnarValue, rows: usize) -> Result<Self> {
        let is_constant = matches!(arg, ColumnarValue::Scalar(_));
        let values = arg.to_array(if is_constant { 1 } else { rows })?;
        let numbers = values.data_type().is_integer().then(|| cast(&values, &DataType::Int64)).transpose()?;
        let numbers = numbers.map(|n| n.as_primitive::<Int64Type>().clone());
        // Text of any kind is measured as views.
        let values = if values.data_type().is_string() { cast(&values, &DataType::Utf8View)? } else { values };
        Ok(Self { values, numbers, is_constant })
    }

    fn at(&self, row: usize) -> usize {
        if self.is_constant { 0 } else { row }
    }

    fn text(&self, row: usize) -> Option<&str> {
        let row = self.at(row);
        let text = self.values.as_string_view_opt()?;
        text.is_valid(row).then(|| text.value(row))
    }

    fn bytes(&self, row: usize) -> u64 {
        if self.values.as_string_view_opt().is_some() {
            return self.text(row).map_or(0, |text| text.len() as u64);
        }
        let entries = match self.values.data_type() {
            DataType::List(_) => self.values.as_list::<i32>().value_length(self.at(row)) as u64,
            DataType::LargeList(_) => self.values.as_list::<i64>().value_length(self.at(row)) as u64,
            _ => 1,
        };
        // Nested entries count as what a row of views takes.
        entries.saturating_mul(64)
    }

    fn number(&self, row: usize) -> u64 {
        let number = self.numbers.as_ref().filter(|n| n.is_valid(self.at(row))).map_or(0, |n| n.value(self.at(row)));
        u64::try_from(number).unwrap_or(0)
    }

    fn references(&self, row: usize) -> u64 {
        self.text(row).map_or(0, |text| text.bytes().filter(|b| *b == b'\\' || *b == b'$').count() as u64)
    }
}

/// The operator `||`: as `concat`, but null with a null.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TextConcat {
    signature: Signature,
}

impl TextConcat {
    fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for TextConcat {
    fn name(&self) -> &str {
        "text_concat"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        types
            .iter()
            .map(|t| match t {
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Ok(t.clone()),
                t if t.is_nested() => plan_err!("|| joins texts; for lists there is array_concat"),
                _ => Ok(DataType::Utf8),
            })
            .collect()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        concat_function().return_type(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let [left, right] = args.args.as_slice() else { return plan_err!("|| takes two texts") };
        let is_any_null = or(&is_null(&left.to_array(rows)?)?, &is_null(&right.to_array(rows)?)?)?;
        let joined = concat_function().invoke_with_args(args)?.into_array(rows)?;
        Ok(ColumnarValue::Array(nullif(&joined, &is_any_null).map_err(DataFusionError::from)?))
    }
}
