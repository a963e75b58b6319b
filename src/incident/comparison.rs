//! What the bad actions of an incident are compared with: the actions of the time around them.
//!
//! In: an engine, a scope. Out: the ids of its direct and derived actions, the period of the comparison, the workflows.
//! Invariants: the period begins 28 days before the first direct action was proposed and ends with the last one, and
//! a wider window of the selector widens it, so that every direct action lies in it; what came with the incident can
//! be told from what was there before. Actions of production alone are folded, hence compared.

use std::collections::BTreeSet;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, TimestampMicrosecondType};
use hashbrown::HashSet;

use super::Scoped;
use crate::clock::{DAY, Micros, rfc3339};
use crate::error::{Error, Result};
use crate::query::answer::Limits;
use crate::query::engine::Engine;

/// The environment whose actions are folded.
pub(super) const PRODUCTION: &str = "production";
/// Days before the first bad action that belong to the comparison: four weeks hold every weekday four times.
pub(super) const DAYS_BEFORE: i64 = 28;
/// What an instant is multiplied by where it and `seq` are one number; see `queries/views/events.sql`.
const ORDER_STEP: i128 = 1_000_000_000_000;

const TIMES: &str = "
    select action_id, workflow, cohort_at, final_decision_at, last_executed_at, has_execution from actions";

/// Instants from the first on, and before the second.
pub(super) type Span = (Micros, Micros);

/// The bad actions of an incident, and the time and the workflows that they are compared in.
#[derive(Debug)]
pub(super) struct Comparison<'a> {
    direct: HashSet<&'a str>,
    derived: HashSet<&'a str>,
    /// When actions that are compared were proposed.
    pub(super) period: Span,
    /// When actions that are compared, and all direct and derived ones, were proposed.
    pub(super) reach: Span,
    /// From the first proposal of a direct action to its last decision or execution.
    pub(super) course: Span,
    /// The last execution of a direct or derived action.
    pub(super) last_executed_at: Option<Micros>,
    /// The workflows of the direct actions; none stands for actions without one.
    pub(super) workflows: BTreeSet<Option<String>>,
    /// Whether an execution of every direct action is known: then they are compared with executed ones, since what
    /// was never executed could not have become bad.
    pub(super) is_of_executed: bool,
}

/// What an action is to an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The selector picks it.
    Direct,
    /// It read what a bad action wrote.
    Derived,
    /// Nothing is known against it.
    Other,
}

impl<'a> Comparison<'a> {
    /// The comparison for `scoped`; none where nothing is bad, or nothing that is folded.
    ///
    /// # Errors
    /// When the query fails.
    pub(super) async fn of(engine: &Engine, scoped: &'a Scoped) -> Result<Option<Self>> {
        let selector = &scoped.selector;
        if selector.environment != PRODUCTION {
            return Ok(None);
        }
        let mut comparison = Self::unplaced(scoped);
        let (mut direct, mut all): (Option<Span>, Option<Span>) = (None, None);
        each(engine, TIMES, |batch| comparison.place(batch, (&mut direct, &mut all))).await?;
        let (Some(direct), Some(all)) = (direct, all) else { return Ok(None) };
        let before = direct.0.saturating_sub(DAYS_BEFORE * DAY);
        comparison.period = (
            selector.from.map_or(before, |from| from.min(before)),
            selector.to.map_or(direct.1, |to| to.max(direct.1)),
        );
        comparison.reach = (comparison.period.0.min(all.0), comparison.period.1.max(all.1));
        comparison.course = (direct.0, comparison.course.1.max(direct.1));
        Ok(Some(comparison))
    }

    fn unplaced(scoped: &'a Scoped) -> Self {
        let ids = |is_direct: bool| -> HashSet<&'a str> {
            let actions = scoped.radius.actions.iter().filter(|action| action.parent.is_none() == is_direct);
            actions.map(|action| action.action_id.as_str()).collect()
        };
        Self {
            direct: ids(true),
            derived: ids(false),
            period: (0, 0),
            reach: (0, 0),
            course: (Micros::MAX, Micros::MIN),
            last_executed_at: None,
            workflows: BTreeSet::new(),
            is_of_executed: true,
        }
    }

    /// Takes in the bad actions among rows of [`TIMES`].
    fn place(&mut self, batch: &RecordBatch, (direct, all): (&mut Option<Span>, &mut Option<Span>)) -> Result<()> {
        let (ids, workflows) = (texts(batch, 0)?, texts(batch, 1)?);
        let (proposed, decided, executed) = (instants(batch, 2)?, instants(batch, 3)?, instants(batch, 4)?);
        let has_execution = flags(batch, 5)?;
        for row in 0..batch.num_rows() {
            let part = self.part(text_at(&ids, row).unwrap_or_default());
            let Some(proposed_at) = instant_at(&proposed, row).filter(|_| part != Part::Other) else { continue };
            let executed_at = instant_at(&executed, row);
            self.last_executed_at = self.last_executed_at.max(executed_at);
            widen(all, proposed_at);
            if part == Part::Direct {
                widen(direct, proposed_at);
                let last = [executed_at, instant_at(&decided, row)].into_iter().flatten().max();
                self.course.1 = self.course.1.max(last.unwrap_or(proposed_at).saturating_add(1));
                self.is_of_executed &= flag_at(&has_execution, row);
                let workflow = text_at(&workflows, row);
                if !self.workflows.iter().any(|known| known.as_deref() == workflow) {
                    self.workflows.insert(workflow.map(str::to_owned));
                }
            }
        }
        Ok(())
    }

    /// What the action `id` is to the incident.
    pub(super) fn part(&self, id: &str) -> Part {
        if self.direct.contains(id) {
            Part::Direct
        } else if self.derived.contains(id) {
            Part::Derived
        } else {
            Part::Other
        }
    }
}

fn widen(span: &mut Option<Span>, at: Micros) {
    let (first, end) = span.unwrap_or((at, at));
    *span = Some((first.min(at), end.max(at.saturating_add(1))));
}

/// The condition that puts `column` into `span`, as SQL.
pub(super) fn within(column: &str, (from, to): Span) -> String {
    format!("{column} >= timestamp '{}' and {column} < timestamp '{}'", rfc3339(from), rfc3339(to))
}

/// Whether `span` holds `at`.
pub(super) fn holds(span: Span, at: Micros) -> bool {
    span.0 <= at && at < span.1
}

/// Reads all rows of the answer of `sql` as they come.
///
/// # Errors
/// When the query fails, or `read` refuses rows.
pub(super) async fn each(engine: &Engine, sql: &str, mut read: impl FnMut(&RecordBatch) -> Result<()>) -> Result<()> {
    let mut rows = engine.sql_stream(sql, Limits { rows: usize::MAX, ..Limits::default() }).await?;
    while let Some(batch) = rows.next().await? {
        read(&batch)?;
    }
    Ok(())
}

/// A column that is not what the query promises.
pub(super) fn unreadable() -> Error {
    Error::internal("a column of an incident's actions has another type")
}

/// A column of text.
pub(super) fn texts(batch: &RecordBatch, column: usize) -> Result<StringViewArray> {
    as_texts(batch.column(column))
}

/// A column as text.
pub(super) fn as_texts(column: &ArrayRef) -> Result<StringViewArray> {
    let column = cast(column, &DataType::Utf8View).map_err(|e| unreadable().because(e))?;
    column.as_string_view_opt().cloned().ok_or_else(unreadable)
}

/// A column of instants.
pub(super) fn instants(batch: &RecordBatch, column: usize) -> Result<TimestampMicrosecondArray> {
    batch.column(column).as_primitive_opt::<TimestampMicrosecondType>().cloned().ok_or_else(unreadable)
}

/// A column of yes and no.
pub(super) fn flags(batch: &RecordBatch, column: usize) -> Result<BooleanArray> {
    batch.column(column).as_boolean_opt().cloned().ok_or_else(unreadable)
}

/// A column of places in the order of time, as the `seq` that is a part of each.
pub(super) fn places(batch: &RecordBatch, column: usize) -> Result<Vec<i64>> {
    let orders = batch.column(column).as_primitive_opt::<Decimal128Type>().ok_or_else(unreadable)?;
    Ok(orders.values().iter().map(|order| order.rem_euclid(ORDER_STEP) as i64).collect())
}

/// The text of a row; none where it is null.
pub(super) fn text_at(column: &StringViewArray, row: usize) -> Option<&str> {
    column.is_valid(row).then(|| column.value(row))
}

/// The instant of a row; none where it is null.
pub(super) fn instant_at(column: &TimestampMicrosecondArray, row: usize) -> Option<Micros> {
    column.is_valid(row).then(|| column.value(row))
}

/// Whether a row says yes.
pub(super) fn flag_at(column: &BooleanArray, row: usize) -> bool {
    column.is_valid(row) && column.value(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_holds_its_first_instant_and_what_widened_it() {
        let mut span = None;
        for at in [5, 3, 9] {
            widen(&mut span, at);
        }
        assert_eq!(span, Some((3, 10)));
        assert!(holds((3, 10), 3) && holds((3, 10), 9) && !holds((3, 10), 10));
    }
}
