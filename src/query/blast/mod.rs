//! From a predicate to a blast radius: what picks the bad actions, and the evidence that the two passes are fed.
//!
//! In: a selector over the columns of `events`. Out: the [`Radius`] of the actions that it picks, up to the as-of
//! point of the session. Invariant: the same as [`crate::blast`] gives over all events in memory; a test compares the
//! two. A predicate is a stranger's SQL: it is guarded, capped, and sees one event at a time. It must not write.

mod direct;
mod feed;
mod matching;
mod table;

use std::sync::Arc;

use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;

use super::asof::AsOf;
use super::failure;
use super::provider::EvidenceTable;
use super::views::Views;
use super::window::instant;
use crate::blast::{Radius, Scope, Trace, Traced};
use crate::clock::{Micros, rfc3339};
use crate::error::{Error, Result};
use crate::event::columns::Kind;
use crate::event::{Column, parse};
use crate::store::snapshot::Snapshot;
use direct::Direct;
pub use matching::Matching;
pub use table::NOTES;
pub(super) use table::functions;

/// What picks the bad actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// A condition over the columns of `events`, without sub-query, aggregate or window.
    pub predicate: String,
    /// Events from this instant on.
    pub from: Option<Micros>,
    /// Events before this instant.
    pub to: Option<Micros>,
    /// The environment; events of others are not considered at all.
    pub environment: String,
    /// Steps after which the spread stops; none: never.
    pub depth: Option<u32>,
}

impl Selector {
    /// What `predicate` picks of all time in production, however far it spread.
    pub fn new(predicate: impl Into<String>) -> Self {
        let environment = "production".to_owned();
        Self { predicate: predicate.into(), from: None, to: None, environment, depth: None }
    }

    /// The condition that puts `column` into the window, as SQL that follows another condition; empty without one.
    pub fn window_sql(&self, column: &str) -> String {
        let bound = |sign: &str, at: Option<Micros>| {
            at.map_or_else(String::new, |at| format!(" and {column} {sign} timestamp '{}'", rfc3339(at)))
        };
        bound(">=", self.from) + &bound("<", self.to)
    }
}

/// The instant that `text` means: an RFC 3339 instant, or the first one of a day in UTC.
///
/// # Errors
/// Invalid, with both forms, for any other text.
pub fn read_instant(text: &str) -> Result<Micros> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    parse::instant(&whole).map_err(|reason| {
        Error::invalid(format!("`{text}` is no instant ({reason}); write 2026-03-01 or 2026-03-01T09:00:00Z"))
    })
}

/// The environment that `text` names.
///
/// # Errors
/// Invalid, with all of them, for any other text: no event can be of it.
pub fn read_environment(text: &str) -> Result<String> {
    match Column::Environment.spec().kind {
        Kind::Word(known) if !known.contains(&text) => {
            Err(Error::invalid(format!("environment `{text}` is none of {}", known.join(", "))))
        }
        _ => Ok(text.to_owned()),
    }
}

/// What a selector picked, and what that reached.
#[derive(Debug, Clone)]
pub struct Reached {
    /// The blast radius.
    pub radius: Radius,
    /// Sources of the events that were picked, sorted.
    pub sources: Vec<String>,
}

/// What blast radii are made from: the evidence up to a point, and a planner that knows no table.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) state: Arc<SessionState>,
    pub(super) table: Arc<EvidenceTable>,
    pub(super) views: Arc<Views>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) as_of: AsOf,
}

impl Ground {
    /// The blast radius of what `selector` picks.
    ///
    /// # Errors
    /// A predicate that is none, too many actions, evidence that cannot be read.
    pub(super) async fn radius(self: &Arc<Self>, selector: &Selector) -> Result<Reached> {
        let Direct { actions, sources, first_at } = direct::find(self, selector).await?;
        let Some(first_at) = first_at else { return Ok(Reached { radius: Radius::default(), sources }) };
        let environment = selector.environment.clone();
        let mut scope = Scope { direct: actions, environment, depth: selector.depth, remembered: Vec::new() };
        let start = self.beginning(&scope, &scope.direct, first_at).await?;
        loop {
            let mut needed = self.reach(&scope, start).await?;
            needed.unplaced = self.placed(&scope, std::mem::take(&mut needed.unplaced), start).await?;
            let mut trace = Trace::new(&scope, &needed);
            trace.feed(&self.needed_events(&scope, &needed, start).await?)?;
            match trace.finish() {
                Traced::Radius(radius) => return Ok(Reached { radius: *radius, sources }),
                Traced::Again(actions) => scope.remembered.extend(actions),
            }
        }
    }

    /// The events of actions that `selector` picks.
    ///
    /// # Errors
    /// A predicate that is none, evidence that cannot be read.
    pub(super) async fn matching(self: &Arc<Self>, selector: &Selector) -> Result<Matching> {
        matching::find(self, selector).await
    }

    /// The rows of `plan`, as they come.
    async fn rows(&self, plan: &LogicalPlan) -> Result<SendableRecordBatchStream> {
        let physical = self.state.create_physical_plan(plan).await.map_err(failure::error)?;
        execute_stream(physical, self.state.task_ctx()).map_err(failure::running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_its_first_instant() {
        let day = read_instant("2026-03-01").unwrap();
        assert_eq!(day, read_instant("2026-03-01T00:00:00Z").unwrap());
        for bad in ["", "2026-02-30", "2026-03", "soon", "2026-03-01T09:00:00"] {
            assert!(read_instant(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_environment_is_one_that_events_can_have() {
        assert_eq!(read_environment("shadow").unwrap(), "shadow");
        for bad in ["", "prod", "Production", "production "] {
            assert!(read_environment(bad).unwrap_err().to_string().contains("production, shadow, sandbox"), "{bad}");
        }
    }

    #[test]
    fn a_window_is_half_open() {
        let selector = Selector { from: Some(0), to: Some(1), ..Selector::new("true") };
        let sql = " and at >= timestamp '1970-01-01T00:00:00.000000Z' and at < timestamp '1970-01-01T00:00:00.000001Z'";
        assert_eq!(selector.window_sql("at"), sql);
        assert_eq!(Selector::new("true").window_sql("at"), "");
    }
}
