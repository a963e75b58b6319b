//! Whole numbers that do not wrap: a number that is wrong is worse than an error.
//!
//! In: the logical plan of any query, its types settled. Out: the same plan, in which `+`, `-`, `*` and the sign of
//! whole numbers fail where the result does not fit its type. Invariant: names, types and whether a column can be null
//! stay as they were. DataFusion's own operators wrap without a word; sums are in `query::sums`.

use std::sync::{Arc, LazyLock};

use arrow::array::ArrayRef;
use arrow::compute::kernels::numeric::{add, mul, neg, sub};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_expr_common::datum::apply;

use crate::error::Error;

/// The rule; it belongs behind the one that settles types.
#[derive(Debug)]
pub(super) struct CheckedArithmetic;

impl AnalyzerRule for CheckedArithmetic {
    fn name(&self) -> &str {
        "checked_arithmetic"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(checked_node).data()
    }
}

/// A result that does not fit, in words that repeat no value.
pub(super) fn too_large(what: &str) -> DataFusionError {
    DataFusionError::External(Box::new(Error::invalid(format!(
        "{what} of whole numbers does not fit its type; cast to decimal(38, 0) or double first"
    ))))
}

/// `node` with its own expressions checked.
fn checked_node(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut is_concerned = false;
    node.apply_expressions(|expr| {
        is_concerned |= has_arithmetic(expr)?;
        Ok(if is_concerned { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if !is_concerned {
        return Ok(Transformed::no(node));
    }
    let schema = schema_below(&node)?;
    let names = NamePreserver::new(&node);
    let node = node.map_expressions(|expr| match expr {
        // The parts of grouping sets are columns each.
        Expr::GroupingSet(_) => {
            let names = NamePreserver::new_for_projection();
            expr.map_children(|part| checked_expr(part, &schema, &names))
        }
        expr => checked_expr(expr, &schema, &names),
    })?;
    if node.transformed { node.map_data(LogicalPlan::recompute_schema) } else { Ok(node) }
}

/// The columns that expressions of `node` name.
fn schema_below(node: &LogicalPlan) -> Result<DFSchema> {
    let mut schema = merge_schema(&node.inputs());
    if let LogicalPlan::TableScan(scan) = node {
        schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
    }
    Ok(schema)
}

fn has_arithmetic(expr: &Expr) -> Result<bool> {
    expr.exists(|part| Ok(operation(part).is_some()))
}

/// `expr` with checked operations, under the name that it had.
fn checked_expr(expr: Expr, schema: &DFSchema, names: &NamePreserver) -> Result<Transformed<Expr>> {
    if !has_arithmetic(&expr)? {
        return Ok(Transformed::no(expr));
    }
    let name = names.save(&expr);
    let checked = expr.transform_up(|part| checked_part(part, schema))?;
    Ok(checked.update_data(|expr| name.restore(expr)))
}

fn checked_part(part: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Some(operation) = operation(&part) else { return Ok(Transformed::no(part)) };
    let is_whole = match &part {
        Expr::BinaryExpr(binary) => {
            let (left, right) = (binary.left.get_type(schema)?, binary.right.get_type(schema)?);
            left.is_integer() && left == right
        }
        Expr::Negative(inner) => inner.get_type(schema)?.is_integer(),
        _ => false,
    };
    let args = match part {
        Expr::BinaryExpr(binary) if is_whole => vec![*binary.left, *binary.right],
        Expr::Negative(inner) if is_whole => vec![*inner],
        other => return Ok(Transformed::no(other)),
    };
    Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func: operation.function(), args })))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Negate,
}

/// What `expr` itself does, if that can go past a type.
fn operation(expr: &Expr) -> Option<Operation> {
    match expr {
        Expr::BinaryExpr(binary) => match binary.op {
            Operator::Plus => Some(Operation::Add),
            Operator::Minus => Some(Operation::Subtract),
            Operator::Multiply => Some(Operation::Multiply),
            _ => None,
        },
        Expr::Negative(_) => Some(Operation::Negate),
        _ => None,
    }
}

impl Operation {
    const ALL: [Self; 4] = [Self::Add, Self::Subtract, Self::Multiply, Self::Negate];

    fn function(self) -> Arc<ScalarUDF> {
        static FUNCTIONS: LazyLock<[Arc<ScalarUDF>; 4]> = LazyLock::new(|| {
            Operation::ALL.map(|operation| {
                let args = if operation == Operation::Negate { 1 } else { 2 };
                let signature = Signature::any(args, Volatility::Immutable);
                Arc::new(ScalarUDF::new_from_impl(Checked { operation, signature }))
            })
        });
        FUNCTIONS[self as usize].clone()
    }

    /// What the result is called.
    fn result(self) -> &'static str {
        match self {
            Self::Add => "a sum",
            Self::Subtract => "a difference",
            Self::Multiply => "a product",
            Self::Negate => "the opposite",
        }
    }
}

/// One operation on whole numbers of one type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operation: Operation,
    signature: Signature,
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.operation {
            Operation::Add => "checked_add",
            Operation::Subtract => "checked_subtract",
            Operation::Multiply => "checked_multiply",
            Operation::Negate => "checked_negate",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.first() {
            Some(own) => Ok(own.clone()),
            None => internal_err!("`{}` takes whole numbers", self.name()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let is_nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, is_nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let made = match (self.operation, args.args.as_slice()) {
            (Operation::Add, [left, right]) => apply(left, right, add),
            (Operation::Subtract, [left, right]) => apply(left, right, sub),
            (Operation::Multiply, [left, right]) => apply(left, right, mul),
            (Operation::Negate, [number]) => negated(number),
            _ => return internal_err!("`{}` takes whole numbers", self.name()),
        };
        made.map_err(|cause| match &cause {
            DataFusionError::ArrowError(inner, _) if matches!(inner.as_ref(), ArrowError::ArithmeticOverflow(_)) => {
                too_large(self.operation.result())
            }
            _ => cause,
        })
    }
}

fn negated(number: &ColumnarValue) -> Result<ColumnarValue> {
    let of = |numbers: &ArrayRef| -> Result<ArrayRef> { Ok(neg(numbers.as_ref())?) };
    match number {
        ColumnarValue::Array(numbers) => of(numbers).map(ColumnarValue::Array),
        ColumnarValue::Scalar(number) => {
            let negated = of(&number.to_array()?)?;
            ScalarValue::try_from_array(negated.as_ref(), 0).map(ColumnarValue::Scalar)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::{Answer, Limits};
    use super::super::rows::row;
    use super::super::testing::{engine, random_events, snapshot};
    use crate::error::{ErrorKind, Result};

    async fn asked(sql: &str) -> Result<Answer> {
        engine(&snapshot(&random_events(5, 40), 30, 30).await).await.sql(sql, Limits::default()).await
    }

    #[tokio::test]
    async fn a_result_that_does_not_fit_is_an_error() {
        for sql in [
            "select 9223372036854775807 + 1",
            "select seq + 9223372036854775807 from evidence where seq > 0",
            "select -9223372036854775807 - seq from evidence where seq > 1",
            "select max((seq + 4000000000) * 4000000000) from evidence",
            "select -(-9223372036854775807 - 1)",
            "select -(x - 1) from (select -9223372036854775807 as x from evidence)",
            "select count(*) from evidence group by rollup(seq * 9000000000000000000)",
            "select seq from evidence order by seq * 9000000000000000000",
            "select sum(seq) over (order by seq * 9000000000000000000) from evidence",
            "select count(*) from evidence a join evidence b on a.seq * 9000000000000000000 = b.seq",
            "select count(*) from evidence where seq in (select x * 9000000000000000000 from (select seq as x from evidence))",
            "select case when seq > 1 then seq * 9000000000000000000 else 0 end from evidence",
            "select cast(120 as tinyint) + cast(seq as tinyint) from evidence where seq > 10",
        ] {
            let err = asked(sql).await.expect_err(sql);
            assert_eq!(err.kind(), ErrorKind::Invalid, "{sql}: {err}");
            assert!(err.to_string().contains("does not fit"), "{sql}: {err}");
        }
    }

    #[tokio::test]
    async fn results_that_fit_and_their_names_are_as_ever() {
        for (sql, name, rows) in [
            ("select seq + 1 from evidence where seq = 3", "evidence.seq + Int64(1)", "[4]"),
            ("select 9223372036854775806 + 1 as n", "n", "[9223372036854775807]"),
            ("select -9223372036854775807 - 1 as n", "n", "[-9223372036854775808]"),
            ("select -(-seq) * 2 as n from evidence where seq = 7", "n", "[14]"),
            ("select seq % 2 + 1 as n, count(*) from evidence group by seq % 2 + 1 order by 1 limit 1", "n", "[1,20]"),
            (
                "select max(n) as n from (select seq - 40 as n, 1 as one from evidence group by rollup(seq - 40))",
                "n",
                "[-1]",
            ),
            ("select null + seq as n from evidence limit 1", "n", "[null]"),
        ] {
            let answer = asked(sql).await.unwrap_or_else(|err| panic!("{sql}: {err}"));
            assert_eq!(answer.columns()[0], name, "{sql}");
            let first = row(&answer.batches[0], 0).unwrap();
            assert_eq!(serde_json::to_string(&first).unwrap(), rows, "{sql}");
        }
    }
}
