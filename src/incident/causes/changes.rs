//! The configuration change before an incident began.
//!
//! In: the changes that the log holds. Out: for a value of the bad actions the last change before the first of them
//! that concerns it. Invariant: a change that names the value goes before one that merely concerns its workflow. That
//! it came before makes it no cause: a person judges that.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::clock::{HOUR, Micros, rfc3339};
use crate::error::Result;
use crate::incident::record::{instant, seq, words};
use crate::query::catalogue::Catalogue;
use crate::query::engine::Engine;
use crate::query::objects::{Row, rows};
use crate::query::params::Params;

/// The first instant that a question of a period may begin with.
const BEGINNING: &str = "0001-01-01T00:00:00Z";

/// A change of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// The event.
    pub seq: i64,
    /// When it took effect.
    pub at: Micros,
    /// Who made it.
    pub by: Option<String>,
    /// What was changed: `policy`, `prompt_version` and so on.
    pub what: Option<String>,
    /// The workflow; none for all.
    pub workflow: Option<String>,
    /// The value before; of a policy its version.
    pub from: Option<String>,
    /// The value since.
    pub to: Option<String>,
}

/// A value of bad actions, and when it was first bad.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) dimension: &'a str,
    pub(super) value: &'a str,
    pub(super) first_bad_at: Micros,
}

impl Changed {
    fn of(row: &Row) -> Self {
        Self {
            seq: seq(row),
            at: instant(row, "effective_at").unwrap_or_default(),
            by: words(row, "applied_by"),
            what: words(row, "kind"),
            workflow: words(row, "workflow"),
            from: words(row, "from_version"),
            to: words(row, "to_version"),
        }
    }

    /// Whether it brought the value `value` of the kind `dimension`.
    pub fn names(&self, dimension: &str, value: &str) -> bool {
        let kind = if self.what.as_deref() == Some("policy") { Some("policy_version") } else { self.what.as_deref() };
        kind == Some(dimension) && self.to.as_deref() == Some(value)
    }

    /// As JSON, with the hours from it to `first_bad_at`.
    pub fn to_json(&self, first_bad_at: Micros) -> Value {
        json!({
            "seq": self.seq, "at": rfc3339(self.at), "by": self.by, "what": self.what, "workflow": self.workflow,
            "from": self.from, "to": self.to, "hours_before": (first_bad_at - self.at) as f64 / HOUR as f64,
        })
    }
}

/// The changes made, or in effect, before `end`; in the order in which they took effect.
///
/// # Errors
/// When the query fails.
pub(super) async fn before(engine: &Engine, end: Micros) -> Result<Vec<Changed>> {
    let period = [("period_start", BEGINNING.to_owned()), ("period_end", rfc3339(end))];
    let params: Params = period.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let answer = engine.run(Catalogue::shipped()?.get("changes")?, &params).await?;
    let mut changes: Vec<Changed> = rows(&answer)?.iter().map(Changed::of).collect();
    changes.sort_by_key(|change| (change.at, change.seq));
    Ok(changes)
}

/// The last of `changes` until the value was first bad: one that names it, else one that concerns its workflow, which
/// is one of `workflows` unless the value says it.
pub(super) fn last(changes: &[Changed], asked: Asked<'_>, workflows: &BTreeSet<Option<String>>) -> Option<Changed> {
    let Asked { dimension, value, first_bad_at } = asked;
    let before = || changes.iter().rev().filter(|change| change.at <= first_bad_at);
    let is_about = |change: &&Changed| match change.workflow.as_deref() {
        None => true,
        Some(workflow) if dimension == "workflow" => workflow == value,
        Some(workflow) => workflows.iter().any(|own| own.as_deref() == Some(workflow)),
    };
    before().find(|change| change.names(dimension, value)).or_else(|| before().find(is_about)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(at: Micros, what: &str, workflow: Option<&str>, to: &str) -> Changed {
        let text = |text: &str| Some(text.to_owned());
        Changed {
            seq: at,
            at,
            what: text(what),
            workflow: workflow.map(str::to_owned),
            to: text(to),
            ..Changed::default()
        }
    }

    #[test]
    fn a_change_that_names_the_value_goes_before_a_later_one_of_its_workflow() {
        let changes = [
            change(1, "policy", None, "p2"),
            change(2, "rule_version", Some("w"), "r2"),
            change(3, "model_version", Some("w"), "m2"),
            change(4, "model_version", Some("other"), "m2"),
            change(9, "rule_version", Some("w"), "r2"),
        ];
        let own = BTreeSet::from([Some("w".to_owned())]);
        let found = |dimension, value, first_bad_at| {
            last(&changes, Asked { dimension, value, first_bad_at }, &own).map(|change| change.seq)
        };
        assert_eq!(found("rule_version", "r2", 5), Some(2));
        assert_eq!(found("rule_version", "r3", 5), Some(3));
        assert_eq!(found("rule_version", "r2", 1), Some(1), "a change for all workflows concerns each");
        assert_eq!(found("workflow", "other", 5), Some(4));
        assert_eq!(found("policy_version", "p2", 5), Some(1));
        assert_eq!(found("agent", "a", 0), None);
    }
}
