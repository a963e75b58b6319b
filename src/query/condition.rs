//! A condition on one event, as a stranger writes it, and the bounds of every expression.
//!
//! In: SQL text. Out: its syntax tree, or a refusal that says what to change. Invariant: a condition reads one row of one
//! table; it holds no query of its own. It plans and reads nothing.

use std::ops::ControlFlow;

use datafusion::sql::parser::DFParserBuilder;
use datafusion::sql::sqlparser::ast::{Expr, ExprWithAlias, Query, Value, Visit, Visitor};

use super::failure;
use super::guard::{SQL_IN_LIST, Step, check_text, refuse, too_many};
use super::header::AS_OF;
use crate::error::{Error, Result};
use crate::limits::SQL_DEPTH;

/// Parses `text` as one condition on a row of `events`, within the bounds of [`check_text`].
///
/// # Errors
/// Bad syntax, anything behind the condition, a sub-query, a window, a parameter other than `$as_of`.
pub fn parse(text: &str) -> Result<ExprWithAlias> {
    check_text(text)?;
    let parser = DFParserBuilder::new(text).with_recursion_limit(SQL_DEPTH * 4).build();
    let parsed = parser.and_then(|mut parser| parser.parse_into_expr());
    let condition = parsed.map_err(|e| Error::invalid(failure::syntax(&e)))?;
    if condition.alias.is_some() {
        return Err(Error::invalid("a predicate has no name; leave the AS out"));
    }
    match condition.expr.visit(&mut Condition) {
        ControlFlow::Break(refusal) => Err(refusal),
        ControlFlow::Continue(()) => Ok(condition),
    }
}

/// The walk through a condition.
struct Condition;

impl Visitor for Condition {
    type Break = Error;

    fn pre_visit_query(&mut self, _: &Query) -> Step {
        refuse("a predicate has no sub-query: it is judged for each event alone; name the values, e.g. x in ('a', 'b')")
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Step {
        match expr {
            Expr::Function(function) if function.over.is_some() => {
                refuse("a predicate has no window: it is judged for each event alone")
            }
            other => bounded(other),
        }
    }
}

/// Refuses an expression that is past a bound or needs a value that nobody gives.
pub(super) fn bounded(expr: &Expr) -> Step {
    match expr {
        Expr::InList { list, .. } if list.len() > SQL_IN_LIST => {
            ControlFlow::Break(too_many("entries in an IN list", list.len(), SQL_IN_LIST))
        }
        Expr::Value(value) => match &value.value {
            Value::Placeholder(name) if name.trim_start_matches('$') != AS_OF => {
                refuse(format!("parameter {name} has no value here; only $as_of has one"))
            }
            _ => Step::Continue(()),
        },
        _ => Step::Continue(()),
    }
}
