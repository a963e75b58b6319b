//! An incident in brief: what a list shows of it.
//!
//! In: its record, an engine. Out: the next step, whether its workflow stands still, the deadline that ends first.
//! Invariant: nothing is scoped, which takes as long as all the rest: whether everything is rolled back is not known
//! here, and the step says so. The account of the incident knows.

use serde_json::{Value, json};

use super::account::policy_of;
use super::clocks::{Deadline, deadlines};
use super::record::{Record, Standing};
use super::steps::{Progress, Seen, Step, steps};
use crate::clock::{Micros, rfc3339};
use crate::error::Result;
use crate::query::engine::Engine;

/// An incident in brief.
#[derive(Debug, Clone)]
pub struct Brief {
    /// What persons stated.
    pub record: Record,
    /// The first step that is not known to be done; none when all are, or it is closed.
    pub next: Option<Step>,
    /// Whether its workflow stands still; none without a pause.
    pub is_paused: Option<bool>,
    /// The deadline that nobody has met yet and that ends first; none when it is closed.
    pub deadline: Option<Deadline>,
}

impl Brief {
    /// `record` in brief, as of `engine`.
    ///
    /// # Errors
    /// When the evidence cannot be read or a bound is met.
    pub async fn of(engine: &Engine, record: Record) -> Result<Self> {
        if record.state == Standing::Closed {
            return Ok(Self { record, next: None, is_paused: None, deadline: None });
        }
        let seen = Seen::of(engine, &record, None).await?;
        let policy = policy_of(engine, &record).await?;
        let due = deadlines(&record, policy.as_ref(), engine.as_of().at);
        Ok(Self {
            next: steps(&record, &seen, None).into_iter().find(|step| step.state != Progress::Done),
            is_paused: seen.paused.as_ref().map(|_| seen.resumed.is_none()),
            deadline: nearest(due),
            record,
        })
    }

    /// When its deadline ends.
    pub fn due_at(&self) -> Option<Micros> {
        self.deadline.as_ref().and_then(|deadline| deadline.due_at)
    }

    /// As JSON, without what was frozen, replayed and noted.
    pub fn to_json(&self) -> Value {
        let record = &self.record;
        json!({
            "incident_id": record.incident_id, "state": record.state.name(), "title": record.title,
            "severity": record.severity, "class": record.class, "owner": record.owner, "workflow": record.workflow,
            "opened_at": rfc3339(record.opened_at), "detected_at": record.detected_at.map(rfc3339),
            "next": self.next.as_ref().map(Step::to_json), "is_paused": self.is_paused,
            "deadline": self.deadline.as_ref().map(Deadline::to_json),
        })
    }
}

/// The open deadline that ends first; one of which nobody knows when it ends comes last.
fn nearest(due: Vec<Deadline>) -> Option<Deadline> {
    let open = due.into_iter().filter(|deadline| deadline.notified_at.is_none());
    open.min_by_key(|deadline| (deadline.due_at.is_none(), deadline.due_at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::HOUR;

    #[test]
    fn the_deadline_that_ends_first_is_told_and_a_met_one_is_not() {
        let record = Record { class: Some("personal_data".into()), aware_at: Some(0), ..Record::default() };
        let law = deadlines(&record, None, 0).remove(0);
        let of = |due_at, notified_at| Deadline { due_at, notified_at, ..law.clone() };
        let first = |due: &[Deadline]| nearest(due.to_vec()).map(|deadline| deadline.due_at);
        assert_eq!(first(&[of(Some(9), None), of(None, None), of(Some(4), None)]), Some(Some(4)));
        assert_eq!(first(&[of(Some(4), Some(3)), of(None, None)]), Some(None));
        assert_eq!(first(&[of(Some(4), Some(3))]), None);
        assert_eq!(law.due_at, Some(72 * HOUR));
    }
}
