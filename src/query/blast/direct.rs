//! The direct actions: those with an event that matches a predicate and a window.
//!
//! In: a selector. Out: the ids of the actions that it picks. Invariant: the predicate becomes an expression over the
//! columns of `events` and is never pasted into SQL, so that no text can reach another table or leave its place; it is
//! held to the bounds of a stranger's query.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::provider_as_source;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::functions_aggregate::expr_fn::min;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ident, lit};
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, ExprWithAlias, Value, visit_expressions_mut};
use futures::TryStreamExt;
use hashbrown::HashSet;

use super::{Ground, Selector, instant};
use crate::clock::Micros;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::INCIDENT_ACTIONS;
use crate::query::runtime::QueryRuntime;
use crate::query::types::{ParamValue, ValueType};
use crate::query::{capped, condition, failure, growth};

/// The name by which a predicate may qualify its columns.
const EVENTS: &str = "events";
/// The one column of the view `events` that the evidence lacks, as `queries/views/events.sql` has it.
const EVENT_ORDER: &str = "cast(cast(occurred_at as bigint) as decimal(38, 0)) * 1000000000000 + seq";

/// What a selector picks.
#[derive(Debug, Default)]
pub(super) struct Direct {
    /// Ids of the actions, sorted.
    pub(super) actions: Vec<String>,
    /// Sources of the events, sorted.
    pub(super) sources: Vec<String>,
    /// The earliest of the events; none where nothing was picked.
    pub(super) first_at: Option<Micros>,
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

/// Finds the direct actions of `selector`.
///
/// # Errors
/// A predicate that is none, more actions than [`INCIDENT_ACTIONS`], evidence that cannot be read.
pub(super) async fn find(ground: &Arc<Ground>, selector: &Selector) -> Result<Direct> {
    let condition = check(&selector.predicate)?;
    let (ground, selector) = (ground.clone(), selector.clone());
    let planning = async move { start(&ground, &selector, condition).await };
    // The deepest condition that passes needs more stack than a thread that runs operators has.
    let rows = QueryRuntime::on_deep_stack(tokio::runtime::Handle::current(), planning).await?;
    collect(rows).await
}

/// Actions, sources and their first events among those that `condition` and window pick.
async fn start(ground: &Ground, selector: &Selector, condition: ExprWithAlias) -> Result<SendableRecordBatchStream> {
    let plan = picked(ground, selector, condition)?
        .aggregate([ident("action_id"), ident("source")], [min(ident("occurred_at")).alias("first_at")])
        .and_then(|picked| picked.project([ident("action_id"), ident("source"), ident("first_at")])?.build())
        .map_err(failure::error)?;
    guarded(ground, plan).await
}

/// The rows of `plan`, which holds a stranger's condition.
pub(super) async fn guarded(ground: &Ground, plan: LogicalPlan) -> Result<SendableRecordBatchStream> {
    growth::check(&plan)?;
    let plan = capped::cap(plan).map_err(failure::error)?;
    ground.rows(&plan).await
}

/// The events of actions that `condition` and window pick.
pub(super) fn picked(ground: &Ground, selector: &Selector, mut condition: ExprWithAlias) -> Result<LogicalPlanBuilder> {
    fill(&mut condition.expr, ground.as_of.at);
    let events = events(ground)?;
    let named = |e| {
        let e = failure::error(e);
        let kind = if e.kind() == ErrorKind::Internal { ErrorKind::Invalid } else { e.kind() };
        Error::new(kind, format!("predicate: {}", e.message()))
    };
    let condition = ground.state.create_logical_expr_from_sql_expr(condition, events.schema()).map_err(named)?;
    check_scalar(&condition)?;
    let mut here = ident("environment").eq(lit(selector.environment.as_str())).and(ident("action_id").is_not_null());
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

async fn collect(mut rows: SendableRecordBatchStream) -> Result<Direct> {
    let mut actions: HashSet<String> = HashSet::new();
    let mut sources: BTreeSet<String> = BTreeSet::new();
    let mut first_at: Option<Micros> = None;
    while let Some(batch) = rows.try_next().await.map_err(failure::running)? {
        let texts = |column: usize| {
            let texts = batch.column(column).as_string_view_opt();
            texts.ok_or_else(|| Error::internal("ids of actions have another type"))
        };
        for (action, source) in texts(0)?.iter().zip(texts(1)?) {
            if let Some(action) = action
                && !actions.contains(action)
            {
                actions.insert(action.to_owned());
            }
            if let Some(source) = source
                && !sources.contains(source)
            {
                sources.insert(source.to_owned());
            }
        }
        if actions.len() > INCIDENT_ACTIONS {
            return Err(Error::limit(format!(
                "the predicate picks more than {INCIDENT_ACTIONS} actions; narrow it, or its window"
            )));
        }
        let earliest = arrow::compute::min(batch.column(2).as_primitive::<TimestampMicrosecondType>());
        first_at = first_at.into_iter().chain(earliest).min();
    }
    let mut actions: Vec<String> = actions.into_iter().collect();
    actions.sort_unstable();
    Ok(Direct { actions, sources: sources.into_iter().collect(), first_at })
}
