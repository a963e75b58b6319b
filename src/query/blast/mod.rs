//! From a predicate to a blast radius: what picks the bad actions, and the evidence that the two passes are fed.
//!
//! In: a selector over the columns of `events`. Out: the [`Radius`] of the actions that it picks, up to the as-of
//! point of the session. Invariant: the same as [`crate::blast`] gives over all events in memory; a test compares the
//! two. A predicate is a stranger's SQL: it is guarded, capped, and sees one event at a time. It must not write.
//!
//! ```text
//! predicate ─ events picked ─ direct actions ─ first pass ─ rows of the few that matter ─ second pass ─ radius
//!   SQL, the columns it names  └──── touches: numbers ───┘   all columns, by place
//! ```
//!
//! Ids and names are read as text of the events that matter only; until then touches stand for them, which lie beside
//! the data files and are made of their columns where they are missing.

mod completeness;
mod direct;
mod log;
mod matching;
mod passes;
mod second;
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
use crate::blast::{Asked, Key, Radius, Traced};
use crate::clock::{Micros, rfc3339};
use crate::error::{Error, Result};
use crate::event::columns::Kind;
use crate::event::{Column, parse};
use crate::store::snapshot::Snapshot;
use direct::Of;
use log::Log;
pub use matching::Matching;
use second::Second;
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
        let nothing = || Reached { radius: Radius::default(), sources: Vec::new() };
        let picked = matching::find(self, selector, Of::ActionsAtLeast).await?;
        if picked.is_empty() {
            return Ok(nothing());
        }
        let log = Arc::new(Log::new(&self.snapshot, self.as_of.size)?);
        let Some(direct) = log.direct(selector, &picked).await? else { return Ok(nothing()) };
        let Selector { environment, depth, .. } = selector;
        let mut remembered: Vec<Key> = Vec::new();
        loop {
            let mut sought = [direct.actions.as_slice(), remembered.as_slice()].concat();
            sought.sort_unstable();
            let start = log.beginning(&sought, direct.first_at).await?;
            let asked = Asked { direct: &direct.actions, remembered: &remembered, environment, depth: *depth };
            let needed = log.reach(&asked, start).await?;
            let mut second = Second::new(&asked, &needed, (&picked, log.size));
            log.trace(&needed, &mut second).await?;
            match second.finish() {
                (Traced::Radius(radius), sources) => return Ok(Reached { radius: *radius, sources }),
                (Traced::Again(actions), _) => remembered.extend(actions.iter().map(|id| Key::of(id))),
            }
        }
    }

    /// The events of actions that `selector` picks.
    ///
    /// # Errors
    /// A predicate that is none, evidence that cannot be read.
    pub(super) async fn matching(self: &Arc<Self>, selector: &Selector) -> Result<Matching> {
        matching::find(self, selector, Of::Actions).await
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
