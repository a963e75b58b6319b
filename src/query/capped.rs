//! Functions that make long values, with a bound on what they may make.
//!
//! In: the logical plan of a stranger's query. Out: the same plan, in which every function and operator that
//! can make its result longer than its arguments refuses to make more than [`CAP_BYTES`] for one batch. A value
//! that stands beside many rows is shorter still: a constant, and in a plan that multiplies rows every value that
//! was made and every list or text that was collected. Invariant: no single call allocates much more than that,
//! whatever its arguments; DataFusion does not count such memory. Functions whose growth cannot be told
//! beforehand are not there at all, nor are those that give another value each time.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::{cast, concat, is_null, nullif, or};
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, Result, plan_err};
use datafusion::functions::string::concat as concat_function;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, ColumnarValue, Expr, LogicalPlan, Operator, Projection, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility, Window,
};

use super::growth::COLLECTING;
use crate::error::Error;
use crate::limits::SQL_BYTES;

/// Bytes that one call may make for one batch.
pub const CAP_BYTES: u64 = 32 * 1024 * 1024;
/// Bytes that the made values of one batch of a plan may take together.
pub const PLAN_BYTES: u64 = 1024 * 1024 * 1024;
/// Rows of one batch.
const BATCH_ROWS: u64 = 8 * 1024;
/// Rows of one partition of a window, which stand in memory together.
const WINDOW_ROWS: u64 = 1024 * 1024;
/// Bytes of an entry of a list beside its text.
const ENTRY_BYTES: u64 = 16;

/// Scalar functions that strangers' SQL does not have: their results grow with a number or a column that no
/// bound can be taken from, they compare each character with each, or they tell where files lie or what the
/// program is made of.
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
    "version",
];

/// Functions whose second argument names a type.
const TYPED: [&str; 2] = ["arrow_cast", "arrow_try_cast"];

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
    /// The first argument, a list, with the third in the place of any entry.
    Entry,
    /// Two characters for each byte of the first argument.
    Encode,
    /// A date and time for every two characters of the second argument.
    Format,
    /// The first with the third at any place, and itself wherever the third refers to a match.
    Pattern,
}

const CAPPED: &[(&str, Growth)] = &[
    ("array_append", Growth::Sum),
    ("array_concat", Growth::Sum),
    ("array_prepend", Growth::Sum),
    ("array_replace", Growth::Entry),
    ("array_replace_all", Growth::Entry),
    ("array_replace_n", Growth::Entry),
    ("array_union", Growth::Sum),
    ("concat", Growth::Sum),
    ("concat_ws", Growth::Sum),
    ("encode", Growth::Encode),
    ("lpad", Growth::Pad),
    ("make_array", Growth::Sum),
    ("overlay", Growth::Sum),
    ("regexp_replace", Growth::Pattern),
    ("repeat", Growth::Repeat),
    ("replace", Growth::Replace),
    ("rpad", Growth::Pad),
    ("to_char", Growth::Format),
];

/// `plan` with every growing call capped.
///
/// # Errors
/// When it calls a function of [`WITHHELD`], or one that gives another value each time.
pub fn cap(plan: LogicalPlan) -> Result<LogicalPlan> {
    let bounds = Bounds::of(&plan)?;
    let capped = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        let node = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let capped = expr.transform_up(|expr| cap_call(expr, bounds))?;
            Ok(capped.update_data(|expr| name.restore(expr)))
        })?;
        node.transform_data(|node| cap_collected(node, bounds))
    });
    let capped = capped?;
    if capped.transformed { capped.data.recompute_schema() } else { Ok(capped.data) }
}

/// How long values may be in one plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Bounds {
    /// Bytes that one call may make for one batch.
    call_bytes: u64,
    /// Bytes of one value made or collected; few where it may come to stand beside many rows.
    value_bytes: u64,
    /// Bytes of one value made of constants alone, which stands beside every row.
    constant_bytes: u64,
}

impl Bounds {
    fn of(plan: &LogicalPlan) -> Result<Self> {
        use LogicalPlan as P;
        let (mut rows, mut calls, mut columns) = (1u64, 1u64, 1u64);
        plan.apply_with_subqueries(|node| {
            rows = rows.max(match node {
                P::Join(_) | P::Unnest(_) | P::Subquery(_) => BATCH_ROWS,
                P::Window(window) if gives_texts(window) => WINDOW_ROWS,
                _ => 1,
            });
            let copied = node.schema().fields().iter().filter(|field| is_copied(field.data_type())).count();
            columns = columns.max(copied as u64);
            for expr in node.expressions() {
                expr.apply(|part| {
                    calls += u64::from(grows(part));
                    // A sub-query of one value is joined to every row.
                    rows = rows.max(if matches!(part, Expr::ScalarSubquery(_)) { BATCH_ROWS } else { 1 });
                    Ok(TreeNodeRecursion::Continue)
                })?;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        let call_bytes = CAP_BYTES.min(PLAN_BYTES / calls);
        Ok(Self {
            call_bytes,
            value_bytes: call_bytes.min(PLAN_BYTES / rows / columns),
            constant_bytes: (PLAN_BYTES / BATCH_ROWS / columns.max(calls)).min(SQL_BYTES as u64),
        })
    }
}

/// Whether `window` puts texts or lists of other rows beside a row.
fn gives_texts(window: &Window) -> bool {
    let made = window.schema.fields().iter().rev().take(window.window_expr.len());
    made.map(|field| field.data_type()).any(|made| made.is_string() || made.is_nested())
}

/// Whether values of this type are written out again for every row that they are joined to; views are shared.
fn is_copied(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8) || data_type.is_nested()
}

fn grows(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(call) => CAPPED.iter().any(|(capped, _)| *capped == call.func.name()),
        Expr::BinaryExpr(binary) => binary.op == Operator::StringConcat,
        _ => false,
    }
}

/// `node` with its collected lists and texts held to what one value may be.
fn cap_collected(node: LogicalPlan, bounds: Bounds) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Aggregate(aggregate) = &node else { return Ok(Transformed::no(node)) };
    let first = aggregate.schema.fields().len().saturating_sub(aggregate.aggr_expr.len());
    let is_collected: Vec<bool> = aggregate.aggr_expr.iter().map(collects).collect();
    if !is_collected.contains(&true) {
        return Ok(Transformed::no(node));
    }
    let collected = ScalarUDF::new_from_impl(Collected { signature: Signature::any(1, Volatility::Immutable), bounds });
    let fields = aggregate.schema.iter().enumerate();
    let exprs = fields.filter(|(_, (_, field))| field.name() != Aggregate::INTERNAL_GROUPING_ID);
    let exprs = exprs.map(|(index, (relation, field))| {
        let column = Expr::Column(Column::new(relation.cloned(), field.name()));
        let position = index.checked_sub(first).and_then(|position| is_collected.get(position));
        if position == Some(&true) {
            collected.call(vec![column]).alias_qualified(relation.cloned(), field.name())
        } else {
            column
        }
    });
    let exprs: Vec<Expr> = exprs.collect();
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(node))?)))
}

fn collects(expr: &Expr) -> bool {
    let is_collecting =
        |e: &Expr| Ok(matches!(e, Expr::AggregateFunction(call) if COLLECTING.contains(&call.func.name())));
    expr.exists(is_collecting).unwrap_or(true)
}

fn cap_call(expr: Expr, bounds: Bounds) -> Result<Transformed<Expr>> {
    match expr {
        Expr::ScalarFunction(call) => {
            let name = call.func.name();
            if WITHHELD.contains(&name) {
                return plan_err!("function `{name}` is not available here");
            }
            if call.func.signature().volatility == Volatility::Volatile {
                return plan_err!(
                    "function `{name}` gives another value each time, and an answer must be the same whenever it is asked; \
                     for a sample there is review_ticket('seed', event_id)"
                );
            }
            if TYPED.contains(&name) && names_fixed_size(&call) {
                return plan_err!("`{name}` takes the name of a type without a fixed size here");
            }
            let Some((_, growth)) = CAPPED.iter().find(|(capped, _)| *capped == name) else {
                return Ok(Transformed::no(Expr::ScalarFunction(call)));
            };
            if call.func.inner().downcast_ref::<Capped>().is_some() {
                return Ok(Transformed::no(Expr::ScalarFunction(call)));
            }
            let func = Arc::new(ScalarUDF::new_from_impl(Capped { inner: call.func, growth: *growth, bounds }));
            Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args: call.args })))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
            let inner = Arc::new(ScalarUDF::new_from_impl(TextConcat::new()));
            let func = Arc::new(ScalarUDF::new_from_impl(Capped { inner, growth: Growth::Sum, bounds }));
            Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args: vec![*left, *right] })))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Whether the type that `call` names takes memory by a number in its name, or is not named plainly.
fn names_fixed_size(call: &ScalarFunction) -> bool {
    let named = call.args.get(1).and_then(|arg| match arg {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    });
    named.is_none_or(|name| name.to_ascii_lowercase().contains("fixedsize"))
}

/// `inner`, refusing to make more, or a longer value, than `bounds` allow.
///
/// It does not pass on simplification: that would put the bare function in its place again.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Capped {
    inner: Arc<ScalarUDF>,
    growth: Growth,
    bounds: Bounds,
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
        Some(ScalarUDF::new_from_impl(Self { inner, growth: self.growth, bounds: self.bounds }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let most = if is_constant { self.bounds.constant_bytes } else { self.bounds.value_bytes };
        let made = self.made(args)?;
        let values = match &made {
            ColumnarValue::Array(values) => values.clone(),
            ColumnarValue::Scalar(value) => value.to_array()?,
        };
        if longest(&values, most) > most { too_long(self.name(), most) } else { Ok(made) }
    }
}

/// How many of the first rows stay within `most` bytes together.
fn rows_within(bounds: &[u64], most: u64) -> usize {
    let mut sum = 0u64;
    bounds
        .iter()
        .take_while(|bound| {
            sum = sum.saturating_add(**bound);
            sum <= most
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

fn too_long<T>(name: &str, bytes: u64) -> Result<T> {
    let mib = bytes / (1024 * 1024);
    let bound = if mib > 0 { format!("{mib} MiB") } else { format!("{} KiB", bytes.div_ceil(1024)) };
    let message = format!("`{name}` would make more than {bound} at once; make shorter values");
    Err(DataFusionError::External(Box::new(Error::limit(message))))
}

impl Capped {
    /// What the call makes, a few rows at a time where it might be too much.
    fn made(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let most = self.bounds.call_bytes;
        let bounds = self.most_by_row(&args)?;
        if bounds.iter().fold(0u64, |sum, bound| sum.saturating_add(*bound)) <= most {
            return self.inner.invoke_with_args(args);
        }
        let mut parts = Vec::new();
        let mut made = 0u64;
        let mut from = 0;
        while from < bounds.len() {
            let rows = rows_within(&bounds[from..], most);
            if rows == 0 {
                return too_long(self.name(), most);
            }
            let part = self.inner.invoke_with_args(slice(&args, from, rows))?.into_array(rows)?;
            made = made.saturating_add(part.to_data().get_slice_memory_size()? as u64);
            if made > most {
                return too_long(self.name(), most);
            }
            parts.push(part);
            from += rows;
        }
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        Ok(ColumnarValue::Array(concat(&parts)?))
    }

    /// The most that each row can become; one entry when all arguments are constants.
    fn most_by_row(&self, args: &ScalarFunctionArgs) -> Result<Vec<u64>> {
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
            Growth::Entry => {
                let entry = lengths.get(2).map_or(0, |l| written_out(&l.values.slice(l.at(row), 1)));
                lengths.first().map_or(0, |l| l.entries(row)).saturating_mul(entry).saturating_add(of(0, row))
            }
            Growth::Encode => of(0, row).saturating_mul(2),
            // `%c` alone gives 24 characters, `%+` gives 35.
            Growth::Format => of(1, row).saturating_mul(18),
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
        match self.values.data_type() {
            DataType::Binary => self.values.as_binary::<i32>().value_length(self.at(row)) as u64,
            DataType::LargeBinary => self.values.as_binary::<i64>().value_length(self.at(row)) as u64,
            DataType::BinaryView => self.values.as_binary_view().value(self.at(row)).len() as u64,
            // Nested entries count as what a row of views takes.
            _ => self.entries(row).saturating_mul(64),
        }
    }

    fn entries(&self, row: usize) -> u64 {
        match self.values.data_type() {
            DataType::List(_) => self.values.as_list::<i32>().value_length(self.at(row)) as u64,
            DataType::LargeList(_) => self.values.as_list::<i64>().value_length(self.at(row)) as u64,
            _ => 1,
        }
    }

    fn number(&self, row: usize) -> u64 {
        let number = self.numbers.as_ref().filter(|n| n.is_valid(self.at(row))).map_or(0, |n| n.value(self.at(row)));
        u64::try_from(number).unwrap_or(0)
    }

    fn references(&self, row: usize) -> u64 {
        self.text(row).map_or(0, |text| text.bytes().filter(|b| *b == b'\\' || *b == b'$').count() as u64)
    }
}

/// Bytes of the longest of `values`, or of all of them when together they are no more than `most`.
fn longest(values: &ArrayRef, most: u64) -> u64 {
    let of = |row: usize| written_out(&values.slice(row, 1));
    let all = written_out(values);
    if all <= most { all } else { (0..values.len()).map(of).max().unwrap_or(0) }
}

/// Bytes of all `values` when nothing is shared between them.
fn written_out(values: &ArrayRef) -> u64 {
    match values.data_type() {
        DataType::Utf8 => text_bytes(values.as_string::<i32>().iter()),
        DataType::LargeUtf8 => text_bytes(values.as_string::<i64>().iter()),
        DataType::Utf8View => text_bytes(values.as_string_view().iter()),
        DataType::List(_) => values.as_list::<i32>().iter().flatten().map(|list| entries_out(&list)).sum(),
        DataType::LargeList(_) => values.as_list::<i64>().iter().flatten().map(|list| entries_out(&list)).sum(),
        DataType::Struct(_) => values.as_struct().columns().iter().map(entries_out).sum(),
        _ => values.len() as u64 * ENTRY_BYTES,
    }
}

fn text_bytes<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> u64 {
    texts.flatten().map(|text| text.len() as u64).sum()
}

fn entries_out(entries: &ArrayRef) -> u64 {
    let own = if entries.data_type().is_string() { entries.len() as u64 * ENTRY_BYTES } else { 0 };
    own + written_out(entries)
}

/// Passes on what was collected, refusing a longer value than `bounds` allow.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Collected {
    signature: Signature,
    bounds: Bounds,
}

impl ScalarUDFImpl for Collected {
    fn name(&self) -> &str {
        "collected"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [own] => Ok(own.clone()),
            _ => plan_err!("`collected` takes one value"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let [values] = args.args.as_slice() else { return plan_err!("`collected` takes one value") };
        let values = values.to_array(rows)?;
        let most = self.bounds.value_bytes;
        if longest(&values, most) > most {
            return too_long(&COLLECTING.join("` or `"), most);
        }
        Ok(ColumnarValue::Array(values))
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
