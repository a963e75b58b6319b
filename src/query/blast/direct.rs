//! The events that match a predicate and a window; what actions have one of them are direct.
//!
//! In: a selector. Out: a plan of the events that it picks. Invariant: the predicate becomes an expression over the
//! columns of `events` and is never pasted into SQL, so that no text can reach another table or leave its place; it is
//! held to the bounds of a stranger's query.

use std::ops::ControlFlow;

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::provider_as_source;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, ident, lit};
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, ExprWithAlias, Value, visit_expressions_mut};

use super::{Ground, Selector, instant};
use crate::clock::Micros;
use crate::error::{Error, ErrorKind, Result};
use crate::query::types::{ParamValue, ValueType};
use crate::query::{capped, condition, failure, growth};

/// The name by which a predicate may qualify its columns.
const EVENTS: &str = "events";
/// The one column of the view `events` that the evidence lacks, as `queries/views/events.sql` has it.
const EVENT_ORDER: &str = "cast(cast(occurred_at as bigint) as decimal(38, 0)) * 1000000000000 + seq";

/// Which events a condition is asked of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// Those of actions.
    Actions,
    /// Those of actions, and others too where the condition has a value for every event: telling them apart would read
    /// a column of ids.
    ActionsAtLeast,
}

/// Reads `text` as far as that goes without planning it.
///
/// # Errors
/// When it is no condition, or is past a bound.
pub(super) fn check(text: &str) -> Result<ExprWithAlias> {
    let named = |e: Error| Error::new(e.kind(), format!("predicate: {}", e.message()));
    if text.trim().is_empty() {
        return Err(named(Error::invalid("it is empty; write a condition over the columns of events")));
    }
    condition::parse(text).map_err(named)
}

/// The rows of `plan`, which holds a stranger's condition.
pub(super) async fn guarded(ground: &Ground, plan: LogicalPlan) -> Result<SendableRecordBatchStream> {
    growth::check(&plan)?;
    let plan = capped::cap(plan).map_err(failure::error)?;
    ground.rows(&plan).await
}

/// The events that `condition` and window pick, of those that `of` says.
pub(super) fn picked(
    ground: &Ground,
    selector: &Selector,
    mut condition: ExprWithAlias,
    of: Of,
) -> Result<LogicalPlanBuilder> {
    fill(&mut condition.expr, ground.as_of.at);
    let events = events(ground)?;
    let named = |e| {
        let e = failure::error(e);
        let kind = if e.kind() == ErrorKind::Internal { ErrorKind::Invalid } else { e.kind() };
        Error::new(kind, format!("predicate: {}", e.message()))
    };
    let condition = ground.state.create_logical_expr_from_sql_expr(condition, events.schema()).map_err(named)?;
    check_scalar(&condition)?;
    let mut here = ident("environment").eq(lit(selector.environment.as_str()));
    if of == Of::Actions || !is_total(&condition, events.schema()) {
        here = here.and(ident("action_id").is_not_null());
    }
    if let Some(from) = selector.from {
        here = here.and(ident("occurred_at").gt_eq(instant(from)));
    }
    if let Some(to) = selector.to {
        here = here.and(ident("occurred_at").lt(instant(to)));
    }
    events.filter(here).map_err(failure::error)?.filter(condition).map_err(named)
}

/// The view `events`, made without one.
fn events(ground: &Ground) -> Result<LogicalPlanBuilder> {
    let source = provider_as_source(ground.table.clone());
    let scan = LogicalPlanBuilder::scan(EVENTS, source, None).map_err(failure::error)?;
    let order = ground.state.create_logical_expr(EVENT_ORDER, scan.schema()).map_err(failure::error)?;
    let mut columns: Vec<Expr> = scan.schema().columns().into_iter().map(Expr::Column).collect();
    columns.push(order.alias("event_order"));
    scan.project(columns).and_then(|events| events.alias(EVENTS)).map_err(failure::error)
}

/// Puts the as-of instant in the place of `$as_of`, the only parameter that passes the guard.
fn fill(condition: &mut SqlExpr, at: Micros) {
    let _ = visit_expressions_mut(condition, |expr| {
        if let SqlExpr::Value(value) = expr
            && matches!(value.value, Value::Placeholder(_))
        {
            *expr = ValueType::Timestamp.literal(&ParamValue::Timestamp(at));
        }
        ControlFlow::<()>::Continue(())
    });
}

/// Refuses what says something about more than one event, or about the same one now this and now that.
fn check_scalar(condition: &Expr) -> Result<()> {
    let mut refusal = Ok(());
    let walked = condition.apply(|node| {
        let alone = "is an aggregate or makes rows; a predicate is judged for each event alone";
        let (name, why) = match node {
            Expr::AggregateFunction(call) => (call.func.name(), alone),
            Expr::WindowFunction(call) => (call.fun.name(), alone),
            Expr::Unnest(_) => ("unnest", alone),
            Expr::ScalarFunction(call) if node.is_volatile_node() => (
                call.func.name(),
                "gives another value each time; a predicate picks the same events whenever it is asked",
            ),
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        refusal = Err(Error::invalid(format!("predicate: `{name}` {why}")));
        Ok(TreeNodeRecursion::Stop)
    });
    walked.map_err(failure::error)?;
    refusal
}

/// Whether `condition` cannot fail, whatever an event holds: it only compares columns with what is alike.
fn is_total(condition: &Expr, schema: &DFSchema) -> bool {
    let mut is_total = true;
    let walked = condition.apply(|node| {
        is_total = match node {
            Expr::Column(_) | Expr::Literal(..) | Expr::Not(_) | Expr::IsNull(_) | Expr::IsNotNull(_) => true,
            Expr::BinaryExpr(both) => match both.op {
                Operator::And | Operator::Or => true,
                Operator::Eq | Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => {
                    are_alike([&*both.left, &*both.right], schema)
                }
                _ => false,
            },
            Expr::InList(list) => are_alike(std::iter::once(&*list.expr).chain(&list.list), schema),
            _ => false,
        };
        Ok(if is_total { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    walked.is_ok() && is_total
}

/// Whether no value has to be read as another type in order to compare these.
fn are_alike<'e>(compared: impl IntoIterator<Item = &'e Expr>, schema: &DFSchema) -> bool {
    let mut types = compared.into_iter().map(|expr| expr.get_type(schema).ok());
    let Some(Some(first)) = types.next() else { return false };
    types.all(|other| other.is_some_and(|other| other == first || first.is_string() && other.is_string()))
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::col;

    use super::*;
    use crate::query::provider::evidence_schema;

    #[test]
    fn only_what_cannot_fail_is_asked_of_events_without_an_action() {
        let schema = DFSchema::try_from(evidence_schema()).unwrap();
        let named = |name: &str| col(name).eq(lit("x"));
        for total in [
            named("actor_id").and(named("rule_version").or(col("seq").gt_eq(lit(5i64)))),
            col("action_id").in_list(vec![lit("a"), lit("b")], false),
            !col("subject_id").is_null(),
            lit(true),
        ] {
            assert!(is_total(&total, &schema), "{total}");
        }
        for partial in [
            col("new_value").eq(lit(5i64)),
            datafusion::logical_expr::cast(col("new_value"), arrow::datatypes::DataType::Int64).gt(lit(1i64)),
            (lit(1i64) / col("seq")).eq(lit(1i64)),
            named("actor_id").and(col("seq").in_list(vec![lit("1")], false)),
        ] {
            assert!(!is_total(&partial, &schema), "{partial}");
        }
    }
}
