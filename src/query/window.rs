//! Windows: a question about a period reads what belongs to the period, and nothing else.
//!
//! In: a query whose header names a window, a period, folded actions and reviews. Out: which of them belong to it.
//! `window: actions` means the actions with an event in the period, and those that share a batch with one.
//! `window: reviews` means the reviews of the period, those that share a batch with one, and the actions of that
//! time and of the days for which outcomes count after it. `window: batches` means as many batches before as well as
//! a finding looks back on. A parameter `window_days` widens the period on both sides; `, N months` behind the word
//! lets it begin so many months before `period_end` where no parameter says when. Whether that suffices for a query is
//! what its header claims; a test compares every such query with its answer over everything.

use std::collections::BTreeSet;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::common::ScalarValue;
use datafusion::execution::SessionState;
use datafusion::functions_aggregate::expr_fn::min;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, ident, in_list, lit};
use datafusion::physical_plan::execute_stream;
use futures::TryStreamExt;

use super::failure;
use super::header::{NamedQuery, Window as Of};
use super::params::Bound;
use super::types::ParamValue;
use crate::clock::{DAY, Micros};
use crate::error::Result;

/// The period of a question, half open, and what is read for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Window {
    start: Micros,
    end: Micros,
    of: Of,
    /// How long outcomes count, as the question says.
    maturity: Micros,
}

/// How long after an execution a person's repair undoes it; `queries/views/verdicts.sql` says so.
const UNDONE_WITHIN: Micros = 14 * DAY;
/// How long corrections count unless a question says otherwise.
const USUAL_MATURITY: Micros = 30 * DAY;
/// How far around a period a question looks unless told otherwise; the parameter `window_days` says how far.
const USUAL_AROUND: Micros = 28 * DAY;
const LONGEST_MONTH: Micros = 31 * DAY;
/// Months beyond which a window grows little by [`USUAL_AROUND`].
const MONTHS_WITH_MORE: i64 = 3;
/// Batches of a workflow before those of a period that its findings look back on.
const BATCHES_BEFORE: usize = 3;

impl Window {
    /// The window of `query`, if it has one.
    pub(super) fn of(query: &NamedQuery, bound: &Bound) -> Option<Self> {
        let instant = |name: &str| match bound.get(name) {
            Some((_, ParamValue::Timestamp(at))) => Some(*at),
            _ => None,
        };
        let days = |name: &str| match bound.get(name) {
            Some((_, ParamValue::Int64(days))) => days.checked_mul(DAY),
            _ => Some(0),
        };
        let around = days("window_days")?;
        let period_end = instant("period_end")?;
        let period_start = match query.window_months {
            // A month begins up to a day earlier or later elsewhere than in UTC.
            Some(months) => period_end.checked_sub(months.checked_mul(LONGEST_MONTH)?.checked_add(DAY)?)?,
            None => instant("period_start")?,
        };
        let (start, end) = (period_start.checked_sub(around)?, period_end.checked_add(around)?);
        Some(Self { start, end, of: query.window?, maturity: days("maturity_days")? })
    }

    /// Whether the question reads the same views many times over.
    pub(super) fn looks_back(&self) -> bool {
        self.of == Of::Batches
    }

    /// Whether all that belongs to `other` belongs to this, too.
    pub(super) fn contains(&self, other: &Self) -> bool {
        self.of == other.of && self.start <= other.start && self.end >= other.end && self.maturity >= other.maturity
    }

    /// How long its period is.
    pub(super) fn length(&self) -> Micros {
        self.end - self.start
    }

    /// A window for every question about this period that reads outcomes for no longer than is usual. One of many months
    /// holds what questions about its last month read around it, too.
    pub(super) fn shared(self) -> Self {
        let around = if self.length() > MONTHS_WITH_MORE * LONGEST_MONTH { USUAL_AROUND } else { 0 };
        let (end, maturity) = (self.end.saturating_add(around), self.maturity.max(USUAL_MATURITY));
        Self { of: Of::Batches, end, maturity, ..self }
    }
}

/// What of the evidence belongs to a window.
#[derive(Debug, Clone)]
pub(super) struct Restriction {
    /// For a window of reviews: those that belong to it.
    reviews: Option<Part>,
    actions: Part,
    /// First and last instant at which something that matters to them was repaired; any instant when `None`.
    repairs: Option<(Micros, Micros)>,
    /// For a piece of a window: the window's actions.
    around: Option<Part>,
}

/// Rows that happened in a span or belong to one of some batches.
#[derive(Debug, Clone)]
struct Part {
    start: Micros,
    end: Micros,
    /// What of a row must lie between the two.
    by: By,
    batches: BTreeSet<String>,
    /// First and last instant of them, if there is one.
    reach: Option<(Micros, Micros)>,
    /// How many there are, those counted twice that are in both.
    rows: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// Some of its time.
    Overlap,
    /// Its beginning: parts side by side have no row in common.
    Beginning,
}

/// Columns that say when a row began and ended.
type Times = (&'static str, &'static str);
const OF_ACTION: Times = ("first_event_at", "last_event_at");
const OF_REVIEW: Times = ("reviewed_at", "reviewed_at");

/// `at` as a literal of the type of `occurred_at`.
pub(super) fn instant(at: Micros) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(at), Some("UTC".into())))
}

impl Part {
    /// Looks up which rows of `scan` happened in `start..end`, or share a batch with one that did.
    async fn find(
        state: &SessionState,
        scan: &LogicalPlanBuilder,
        (start, end): (Micros, Micros),
        times: Times,
    ) -> Result<Self> {
        let mut found = Self { start, end, by: By::Overlap, batches: BTreeSet::new(), reach: None, rows: 0 };
        found.widen(state, scan.clone().filter(found.happened(times)), times).await?;
        if !found.batches.is_empty() {
            found.widen(state, scan.clone().filter(found.in_batches()), times).await?;
        }
        Ok(found)
    }

    /// Takes the batches and the reach of the rows that `plan` gives.
    async fn widen(
        &mut self,
        state: &SessionState,
        plan: datafusion::common::Result<LogicalPlanBuilder>,
        (first, last): Times,
    ) -> Result<()> {
        let columns = [ident("batch_id"), ident(first).alias("first"), ident(last).alias("last")];
        let plan = plan.and_then(|plan| plan.project(columns)?.build()).map_err(failure::error)?;
        let physical = state.create_physical_plan(&plan).await.map_err(failure::error)?;
        let mut batches = execute_stream(physical, state.task_ctx()).map_err(failure::running)?;
        while let Some(rows) = batches.try_next().await.map_err(failure::running)? {
            self.rows += rows.num_rows();
            for batch in rows.column(0).as_string_view().iter().flatten() {
                if !self.batches.contains(batch) {
                    self.batches.insert(batch.to_owned());
                }
            }
            let instants = |column: usize| rows.column(column).as_primitive::<TimestampMicrosecondType>();
            let first = arrow::compute::min(instants(1));
            let last = arrow::compute::max(instants(2));
            if let (Some(first), Some(last)) = (first, last) {
                self.reach = Some(self.reach.map_or((first, last), |(from, to)| (from.min(first), to.max(last))));
            }
        }
        Ok(())
    }

    /// Takes in the batches of reviews before those that are here, and whatever shares a batch with them.
    async fn look_back(&mut self, state: &SessionState, reviews: &LogicalPlanBuilder) -> Result<()> {
        let before = batches_before(&batches_of_workflows(state, reviews).await?, &self.batches);
        self.batches.extend(before);
        if !self.batches.is_empty() {
            self.widen(state, reviews.clone().filter(self.in_batches()), OF_REVIEW).await?;
        }
        Ok(())
    }

    fn happened(&self, (first, last): Times) -> Expr {
        let last = match self.by {
            By::Overlap => last,
            By::Beginning => first,
        };
        ident(first).lt(instant(self.end)).and(ident(last).gt_eq(instant(self.start)))
    }

    fn in_batches(&self) -> Expr {
        let text = |batch: &String| lit(ScalarValue::Utf8View(Some(batch.clone())));
        in_list(ident("batch_id"), self.batches.iter().map(text).collect(), false)
    }

    fn holds(&self, times: Times) -> Expr {
        let happened = self.happened(times);
        if self.batches.is_empty() { happened } else { happened.or(self.in_batches()) }
    }
}

/// Batches of each workflow in the order of their first reviews.
async fn batches_of_workflows(state: &SessionState, reviews: &LogicalPlanBuilder) -> Result<Vec<Vec<String>>> {
    let plan = reviews
        .clone()
        .filter(ident("batch_id").is_not_null())
        .and_then(|plan| {
            plan.aggregate([ident("workflow"), ident("batch_id")], [min(ident("event_order")).alias("first")])
        })
        .and_then(|plan| plan.sort([ident("workflow").sort(true, true), ident("first").sort(true, true)]))
        .and_then(|plan| plan.project([ident("workflow"), ident("batch_id")])?.build())
        .map_err(failure::error)?;
    let physical = state.create_physical_plan(&plan).await.map_err(failure::error)?;
    let mut batches = execute_stream(physical, state.task_ctx()).map_err(failure::running)?;
    let mut workflows: Vec<(Option<String>, Vec<String>)> = Vec::new();
    while let Some(rows) = batches.try_next().await.map_err(failure::running)? {
        let (names, ids) = (rows.column(0).as_string_view(), rows.column(1).as_string_view());
        for (workflow, batch) in names.iter().zip(ids.iter().flatten()) {
            match workflows.last_mut() {
                Some((last, batches)) if last.as_deref() == workflow => batches.push(batch.to_owned()),
                _ => workflows.push((workflow.map(str::to_owned), vec![batch.to_owned()])),
            }
        }
    }
    Ok(workflows.into_iter().map(|(_, batches)| batches).collect())
}

/// Of each workflow the batches before the first that is among `known`, and those between.
fn batches_before(workflows: &[Vec<String>], known: &BTreeSet<String>) -> Vec<String> {
    let of_workflow = |batches: &Vec<String>| {
        let first = batches.iter().position(|batch| known.contains(batch))?;
        let last = batches.iter().rposition(|batch| known.contains(batch))?;
        Some(batches[first.saturating_sub(BATCHES_BEFORE)..=last].to_vec())
    };
    workflows.iter().filter_map(of_workflow).flatten().collect()
}

impl Restriction {
    /// Looks up what belongs to `window`, given scans of folded actions and of reviews.
    ///
    /// # Errors
    /// When actions or reviews cannot be read.
    pub(super) async fn find(
        state: &SessionState,
        actions: &LogicalPlanBuilder,
        reviews: &LogicalPlanBuilder,
        window: Window,
    ) -> Result<Self> {
        let period = (window.start, window.end);
        let (reviews, time) = match window.of {
            Of::Actions => (None, period),
            Of::Reviews | Of::Batches => {
                let mut found = Part::find(state, reviews, period, OF_REVIEW).await?;
                if window.of == Of::Batches {
                    found.look_back(state, reviews).await?;
                }
                let reviews = found;
                let (first, last) = reviews.reach.unwrap_or(period);
                let time = (first.min(window.start), last.max(window.end).saturating_add(window.maturity));
                (Some(reviews), time)
            }
        };
        let actions = Part::find(state, actions, time, OF_ACTION).await?;
        let (first, last) = actions.reach.unwrap_or(time);
        let outcome = window.maturity.max(UNDONE_WITHIN);
        let repairs = Some((first.min(time.0), last.max(time.1).saturating_add(outcome)));
        Ok(Self { reviews, actions, repairs, around: None })
    }

    /// Looks up what belongs to the actions whose first event is of `start..end`: they, and their events.
    ///
    /// # Errors
    /// When actions cannot be read.
    pub(super) async fn piece(
        state: &SessionState,
        actions: &LogicalPlanBuilder,
        (start, end): (Micros, Micros),
    ) -> Result<Self> {
        let mut part = Part { start, end, by: By::Beginning, batches: BTreeSet::new(), reach: None, rows: 0 };
        part.widen(state, actions.clone().filter(part.happened(OF_ACTION)), OF_ACTION).await?;
        part.batches.clear();
        Ok(Self { reviews: None, actions: part, repairs: None, around: None })
    }

    /// This piece as a piece of `window`.
    pub(super) fn within(self, window: Self) -> Self {
        Self { reviews: window.reviews, repairs: window.repairs, around: Some(window.actions), ..self }
    }

    /// How many actions there are, at most.
    pub(super) fn actions(&self) -> usize {
        self.actions.rows
    }

    /// First and last instant of the actions, if there are any.
    pub(super) fn reach(&self) -> Option<(Micros, Micros)> {
        self.actions.reach
    }

    /// Whether a repair may matter to what belongs to the window: it comes after it, and soon enough.
    pub(super) fn of_repairs(&self) -> Expr {
        let Some((first, last)) = self.repairs else { return lit(true) };
        ident("repaired_at").gt_eq(instant(first)).and(ident("repaired_at").lt_eq(instant(last)))
    }

    /// Whether a folded action belongs to the window.
    pub(super) fn of_actions(&self) -> Expr {
        let own = self.actions.holds(OF_ACTION);
        self.around.iter().fold(own, |own, around| own.and(around.holds(OF_ACTION)))
    }

    /// Whether an event may be one of those actions'.
    pub(super) fn of_events(&self) -> Expr {
        let Some((first, last)) = self.actions.reach else { return lit(false) };
        ident("occurred_at").gt_eq(instant(first)).and(ident("occurred_at").lt_eq(instant(last)))
    }

    /// Whether a review belongs to the window; none where reviews are not restricted.
    pub(super) fn of_reviews(&self) -> Option<Expr> {
        self.reviews.as_ref().map(|part| part.holds(OF_REVIEW))
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::Catalogue;
    use super::super::params::Params;
    use super::*;

    /// The window that the question `name` about a period shares with others.
    fn shared(name: &str, (start, end): (&str, &str)) -> Window {
        let query = Catalogue::shipped().unwrap().get(name).unwrap();
        let all =
            [("period_start", start), ("period_end", end)].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let params: Params = all.into_iter().filter(|(name, _)| query.param(name).is_some()).collect();
        Window::of(query, &Bound::new(query, &params, 0).unwrap()).unwrap().shared()
    }

    #[test]
    fn the_questions_of_a_month_share_one_window_and_those_of_half_a_year_another() {
        let month = ("2026-08-31T22:00:00Z", "2026-09-30T22:00:00Z");
        let of_month = shared("routing_exception_rate", month);
        for name in ["findings", "approval_coverage", "segment_disparity"] {
            assert_eq!(shared(name, month), of_month, "{name}");
        }
        let of_half_a_year = shared("monthly_routing_exceptions", month);
        let trend = ("2026-03-31T22:00:00Z", "2026-09-30T22:00:00Z");
        for (name, period) in [("trend_rates", trend), ("trend_routing_exceptions", trend), ("change_effects", month)] {
            assert!(of_half_a_year.contains(&shared(name, period)), "{name}");
            assert!(!of_month.contains(&shared(name, period)), "{name}");
        }
        assert!(of_half_a_year.contains(&of_month) && !of_month.contains(&of_half_a_year));
    }
}
