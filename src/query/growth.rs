//! How large a plan gets when its columns are written out, and operators whose memory nobody counts.
//!
//! In: the logical plan of a stranger's query. Out: a refusal when pushing expressions through its levels
//! could make them grow without bound: `a + a as b`, then `b + b as c`, doubles at each level; and when a number
//! in the text alone says how much memory is taken. Invariant: a plan that passes has no column larger than
//! [`COLUMN_NODES`]. It runs nothing.

use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::error::{Error, Result};

/// Nodes of the expression of one column when all that it is made of is written out.
pub const COLUMN_NODES: u64 = 50_000;

/// Aggregates that keep every value: over a window they keep as many again for every row, uncounted.
pub(super) const COLLECTING: [&str; 2] = ["array_agg", "string_agg"];

/// Aggregates that take a number of centroids, and the place of their first argument that may be it.
const CENTROIDS: [(&str, usize); 2] = [("approx_percentile_cont", 2), ("approx_percentile_cont_with_weight", 3)];
/// Centroids that one aggregate may keep for each group; memory for them is taken before the first row.
pub const CENTROIDS_KEPT: u64 = 1_000;

/// Checks `plan`.
///
/// # Errors
/// When a column is larger than [`COLUMN_NODES`], a collecting aggregate runs over a window, or a type of fixed
/// size or more than [`CENTROIDS_KEPT`] centroids are asked for.
pub fn check(plan: &LogicalPlan) -> Result<()> {
    sizes(plan).map(|_| ())
}

/// The size of each output column of `plan`.
fn sizes(plan: &LogicalPlan) -> Result<Vec<u64>> {
    let inputs: Vec<(&LogicalPlan, Vec<u64>)> =
        plan.inputs().into_iter().map(|input| Ok((input, sizes(input)?))).collect::<Result<_>>()?;
    for expr in plan.expressions() {
        check_expr(&expr)?;
        bounded(size(&expr, &inputs)?)?;
    }
    let columns = plan.schema().fields().len();
    let exprs: Vec<Expr> = match plan {
        LogicalPlan::Projection(projection) => projection.expr.clone(),
        LogicalPlan::Aggregate(aggregate) => {
            // Groups are pushed down as they are, results of aggregates are not.
            let mut sizes = aggregate.group_expr.iter().map(|e| size(e, &inputs)).collect::<Result<Vec<_>>>()?;
            sizes.resize(columns, 1);
            return Ok(sizes);
        }
        _ => {
            let all: Vec<u64> = inputs.iter().flat_map(|(_, sizes)| sizes.iter().copied()).collect();
            let largest = all.iter().copied().max().unwrap_or(1);
            return Ok(if all.len() == columns { all } else { vec![largest; columns] });
        }
    };
    exprs.iter().map(|expr| bounded(size(expr, &inputs)?)).collect()
}

fn bounded(size: u64) -> Result<u64> {
    if size > COLUMN_NODES {
        let message = format!(
            "a column of the SQL has more than {COLUMN_NODES} parts once written out; compute it in fewer steps"
        );
        return Err(Error::limit(message));
    }
    Ok(size)
}

fn size(expr: &Expr, inputs: &[(&LogicalPlan, Vec<u64>)]) -> Result<u64> {
    let mut total = 0u64;
    let mut refusal = None;
    let walked = expr.apply(|node| {
        total = total.saturating_add(match node {
            Expr::Column(column) => of_column(column, inputs),
            _ => 1,
        });
        let sub = match node {
            Expr::ScalarSubquery(sub) => Some(&sub.subquery),
            Expr::Exists(exists) => Some(&exists.subquery.subquery),
            Expr::InSubquery(list) => Some(&list.subquery.subquery),
            Expr::SetComparison(comparison) => Some(&comparison.subquery.subquery),
            _ => None,
        };
        if let Some(Err(err)) = sub.map(|plan| check(plan)) {
            refusal = Some(err);
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.map_err(super::failure::error)?;
    refusal.map_or(Ok(total), Err)
}

fn of_column(column: &Column, inputs: &[(&LogicalPlan, Vec<u64>)]) -> u64 {
    let found = inputs.iter().find_map(|(input, sizes)| {
        let index = input.schema().maybe_index_of_column(column)?;
        sizes.get(index).copied()
    });
    found.unwrap_or(1)
}

fn check_expr(expr: &Expr) -> Result<()> {
    let mut refusal = Ok(());
    let walked = expr.apply(|node| {
        refusal = check_node(node);
        Ok(if refusal.is_ok() { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    walked.map_err(super::failure::error)?;
    refusal
}

/// Checks `node` of an expression without what is below it.
fn check_node(node: &Expr) -> Result<()> {
    match node {
        Expr::WindowFunction(window) if COLLECTING.contains(&window.fun.name()) => {
            let name = window.fun.name();
            Err(Error::invalid(format!("{name} cannot run over a window; group by instead")))
        }
        Expr::WindowFunction(window) => check_centroids(window.fun.name(), &window.params.args),
        Expr::AggregateFunction(call) => check_centroids(call.func.name(), &call.params.args),
        Expr::Cast(cast) => check_type(cast.field.data_type()),
        Expr::TryCast(cast) => check_type(cast.field.data_type()),
        _ => Ok(()),
    }
}

fn check_centroids(name: &str, args: &[Expr]) -> Result<()> {
    let place = CENTROIDS.iter().find(|(known, _)| *known == name).map(|(_, place)| *place);
    let Some(asked) = place.and_then(|place| args.get(place)) else { return Ok(()) };
    let number = match asked {
        Expr::Literal(value, _) => value.to_string().parse().ok(),
        _ => None,
    };
    if number.is_some_and(|number: u64| number <= CENTROIDS_KEPT) {
        return Ok(());
    }
    let most = CENTROIDS_KEPT;
    Err(Error::limit(format!("{name} keeps 1 to {most} centroids; write that number as it is, or leave it out")))
}

/// A value of a type of fixed size takes all of it, even when it is null.
fn check_type(wanted: &DataType) -> Result<()> {
    if wanted.to_string().contains("FixedSize") {
        return Err(Error::limit("a cast to a list of a fixed size is not possible here; write the type as int[]"));
    }
    Ok(())
}
