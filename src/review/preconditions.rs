//! What has to hold before a sample may say that a workflow runs again.
//!
//! In: the incident, what it reached, the evidence since, the outputs that are to be judged, the people who judge. Out:
//! one condition each, with the event that shows it. Invariant: a condition holds by an event of the log, never by the
//! word of whoever plans the review; what cannot be told does not hold.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::outputs::Output;
use super::record::words;
use crate::blast::State;
use crate::clock::rfc3339;
use crate::error::{Error, Result};
use crate::incident::record::Record;
use crate::incident::steps::{Mark, OF_AGENTS, Seen};
use crate::incident::{Scoped, scope};
use crate::query::answer::Limits;
use crate::query::engine::Engine;
use crate::query::objects::{count, rows, text};
use crate::store::Store;

/// The step of an incident under which its owner accepts what stays wrong.
const ACCEPTED_UNDER: &str = "roll_back";

/// Something that has to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Its name.
    pub condition: String,
    /// Whether it holds.
    pub is_met: bool,
    /// What was found, in words.
    pub words: String,
    /// The event that shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<i64>,
}

impl Condition {
    fn new(condition: &str, is_met: bool, words: impl Into<String>, seq: Option<i64>) -> Self {
        Self { condition: condition.to_owned(), is_met, words: words.into(), seq }
    }

    /// What was found, with its event.
    pub fn sentence(&self) -> String {
        let event = self.seq.map_or_else(String::new, |seq| format!(" (event {seq})"));
        format!("{}{event}", self.words)
    }
}

/// Who judges what.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The workflow that is to run again.
    pub workflow: &'a str,
    /// The business owner of its area.
    pub owner: &'a str,
    /// Who may mark.
    pub reviewers: &'a [String],
    /// Who made the fix, beside those whom the log names.
    pub authors: &'a [String],
    /// The outputs that are to be judged.
    pub outputs: &'a [Output],
}

/// The conditions of a review that follows `incident`.
///
/// # Errors
/// When a query fails or a bound is met.
pub async fn after(store: &Store, engine: &Engine, incident: &Record, asked: &Asked<'_>) -> Result<Vec<Condition>> {
    let record = Record { workflow: Some(asked.workflow.to_owned()), ..incident.clone() };
    let seen = Seen::of(engine, &record, None).await?;
    let scoped = match &record.selector {
        Some(selector) => Some(scope(store, engine, selector).await?),
        None => None,
    };
    let mut authors = authors(engine, &record).await?;
    authors.extend(asked.authors.iter().map(|name| (name.clone(), None)));
    Ok(vec![
        paused(&seen, asked.workflow),
        frozen(&record),
        residual(&record, scoped.as_ref(), asked.owner),
        guardrail(&seen),
        apart(scoped.as_ref(), asked.outputs),
        independent(scoped.as_ref(), &authors, asked.reviewers),
    ])
}

/// Refuses unless all of `conditions` hold.
///
/// # Errors
/// Invalid, with everything that does not.
pub fn require(conditions: &[Condition]) -> Result<()> {
    let unmet: Vec<String> = unmet(conditions).collect();
    if unmet.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(format!("the review cannot begin: {}", unmet.join("; "))))
}

/// What does not hold, in sentences.
pub fn unmet(conditions: &[Condition]) -> impl Iterator<Item = String> + '_ {
    conditions.iter().filter(|condition| !condition.is_met).map(Condition::sentence)
}

fn told(mark: &Mark) -> String {
    let by = mark.by.as_deref().map_or_else(String::new, |by| format!(" by {by}"));
    format!("at {}{by}", rfc3339(mark.at))
}

fn paused(seen: &Seen, workflow: &str) -> Condition {
    let condition = |is_met, words: String, seq| Condition::new("workflow_paused", is_met, words, seq);
    match (&seen.paused, &seen.resumed) {
        (None, _) => {
            let words =
                format!("no event pauses workflow `{workflow}` since the incident; pause it, and send workflow.paused");
            condition(false, words, None)
        }
        (Some(_), Some(resumed)) => {
            let words = format!("workflow `{workflow}` was resumed {}; pause it again", told(resumed));
            condition(false, words, Some(resumed.seq))
        }
        (Some(paused), None) => {
            condition(true, format!("workflow `{workflow}` is paused, {}", told(paused)), Some(paused.seq))
        }
    }
}

fn frozen(record: &Record) -> Condition {
    let id = &record.incident_id;
    match record.scopes.last() {
        Some(scope) => {
            let words = format!("the scope is frozen, version {} by {}", scope.version, scope.by);
            Condition::new("scope_frozen", true, words, Some(scope.seq))
        }
        None => {
            let way = format!("`probity incident scope --incident {id}` or POST /v1/incidents/{id}/scope");
            let words = format!("the scope of {id} is not frozen; freeze it with {way}");
            Condition::new("scope_frozen", false, words, None)
        }
    }
}

/// Whether what the bad actions left is dealt with, or accepted by the owner after he could know it.
fn residual(record: &Record, scoped: Option<&Scoped>, owner: &str) -> Condition {
    let condition = |is_met, words: String, seq| Condition::new("residual", is_met, words, seq);
    let id = &record.incident_id;
    let Some(scoped) = scoped else {
        let words = format!("nothing says what picks the bad actions of {id}; update it with a condition, its `where`");
        return condition(false, words, None);
    };
    let left = [
        (scoped.still_wrong(), "still wrong"),
        (scoped.lost(), "deleted or irreversible"),
        (scoped.cells_in(State::Unknown), "unknown"),
    ];
    let left: Vec<String> = left
        .into_iter()
        .filter(|(cells, _)| *cells > 0)
        .map(|(cells, what)| format!("{cells} cells are {what}"))
        .collect();
    if left.is_empty() {
        return condition(true, "nothing that the bad actions wrote stands any more".to_owned(), None);
    }
    let (left, frozen) = (left.join(", "), record.scopes.first().map(|scope| scope.seq));
    let accepted = record.notes.iter().rev().find(|note| {
        let is_his = note.by == owner && note.step.as_deref() == Some(ACCEPTED_UNDER) && note.note.is_some();
        is_his && frozen.is_some_and(|frozen| note.seq > frozen)
    });
    match accepted {
        Some(note) => condition(true, format!("{left}; accepted by the owner, {owner}"), Some(note.seq)),
        None => {
            let words = format!(
                "{left}; roll them back, or let the owner, {owner}, accept them by a note to step {ACCEPTED_UNDER} of \
                 {id}, e.g. \"accepted: …\""
            );
            condition(false, words, None)
        }
    }
}

fn guardrail(seen: &Seen) -> Condition {
    match &seen.changed {
        Some(changed) => {
            let what = changed.note.as_deref().unwrap_or("a setting was changed");
            Condition::new("guardrail", true, format!("{what} since, {}", told(changed)), Some(changed.seq))
        }
        None => {
            let words = "no setting was changed since the incident; put the fix in force, and send config.changed";
            Condition::new("guardrail", false, words, None)
        }
    }
}

/// Outputs of the old version prove nothing about the fix.
fn apart(scoped: Option<&Scoped>, outputs: &[Output]) -> Condition {
    let actions = scoped.into_iter().flat_map(|scoped| &scoped.radius.actions);
    let bad: HashSet<&str> =
        actions.filter(|action| action.parent.is_none()).map(|action| action.action_id.as_str()).collect();
    let mixed = outputs.iter().filter(|output| bad.contains(&*output.action_id)).count();
    if mixed == 0 {
        return Condition::new("candidate", true, "no output of the frame is one of the bad actions", None);
    }
    let words = format!(
        "{mixed} outputs of the frame are bad actions of the incident, which prove nothing about the fix; let \
         --candidate pick the new versions alone"
    );
    Condition::new("candidate", false, words, None)
}

fn independent(scoped: Option<&Scoped>, authors: &BTreeMap<String, Option<i64>>, reviewers: &[String]) -> Condition {
    let approvers = scoped.map(|scoped| scoped.radius.people.approvers.as_slice()).unwrap_or_default();
    let involved = |reviewer: &String| match (authors.get(reviewer), approvers.contains(reviewer)) {
        (Some(Some(seq)), _) => Some(format!("{reviewer} made the fix, event {seq}")),
        (Some(None), _) => Some(format!("{reviewer} is named as an author of the fix")),
        (None, true) => Some(format!("{reviewer} approved bad actions")),
        (None, false) => None,
    };
    let involved: Vec<String> = reviewers.iter().filter_map(involved).collect();
    if involved.is_empty() {
        let words = "no reviewer made the fix or approved a bad action";
        return Condition::new("reviewers", true, words, None);
    }
    Condition::new("reviewers", false, format!("{}; name other reviewers", involved.join(", ")), None)
}

/// Who changed a setting of the workflow, or of all workflows, since the incident, with the first of these events.
async fn authors(engine: &Engine, record: &Record) -> Result<BTreeMap<String, Option<i64>>> {
    let sql = format!(
        "select seq, actor_id, workflow from events where event_type = 'config.changed' and environment = 'production' \
         and actor_id is not null and occurred_at >= timestamp '{}' and {OF_AGENTS} order by seq",
        rfc3339(record.since())
    );
    let mut authors = BTreeMap::new();
    for row in &rows(&engine.sql(&sql, Limits::default()).await?)? {
        let is_about = words(row, "workflow").is_none_or(|workflow| Some(workflow) == record.workflow);
        if is_about {
            let seq = count(row, "seq").and_then(|seq| i64::try_from(seq).ok());
            authors.entry(text(row, "actor_id").to_owned()).or_insert(seq);
        }
    }
    Ok(authors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blast::testing::{action, record, written};
    use crate::blast::{Cell, Radius};
    use crate::incident::record::{Frozen, Note};

    fn mark(seq: i64) -> Mark {
        Mark { seq, at: 0, by: Some("bob".to_owned()), note: None }
    }

    #[test]
    fn a_workflow_that_runs_again_or_never_stood_still_is_not_paused() {
        let seen = |paused: Option<i64>, resumed: Option<i64>| Seen {
            paused: paused.map(mark),
            resumed: resumed.map(mark),
            ..Seen::default()
        };
        assert_eq!(paused(&seen(Some(3), None), "w").seq, Some(3));
        assert!(!paused(&seen(None, None), "w").is_met && !paused(&seen(Some(3), Some(4)), "w").is_met);
        assert!(!guardrail(&seen(Some(3), None)).is_met);
        assert!(guardrail(&Seen { changed: Some(mark(5)), ..Seen::default() }).is_met);
    }

    #[test]
    fn only_the_owner_accepts_what_stays_and_only_what_he_could_know() {
        let frozen = |seq: i64| Frozen { version: 1, seq, at: 0, by: "ann".into(), scope: serde_json::Value::Null };
        let note = |seq: i64, by: &str, step: &str| Note {
            step: Some(step.to_owned()),
            note: Some("accepted".to_owned()),
            seq,
            at: 0,
            by: by.to_owned(),
        };
        let record = |notes: Vec<Note>| Record { scopes: vec![frozen(5)], notes, ..Record::default() };
        let scoped = wrong_cell();
        let is_met = |notes: Vec<Note>| residual(&record(notes), Some(&scoped), "olga").is_met;
        assert!(is_met(vec![note(6, "olga", "roll_back")]));
        assert!(!is_met(vec![note(6, "bob", "roll_back")]) && !is_met(vec![note(6, "olga", "pause")]));
        assert!(!is_met(vec![note(4, "olga", "roll_back")]) && !is_met(Vec::new()));
        assert!(!residual(&record(Vec::new()), None, "olga").is_met);
    }

    /// A scope in which one cell is still wrong.
    fn wrong_cell() -> Scoped {
        let cell = Cell { last_action: Some(0), ..written(record("s", "t", "1"), State::StillWrong, (1, 1)) };
        Scoped { size: 9, table_version: 0, ..Scoped::of(Radius { cells: vec![cell], ..Radius::default() }) }
    }

    #[test]
    fn who_made_the_fix_or_approved_the_bad_actions_does_not_judge() {
        let mut scoped = wrong_cell();
        scoped.radius.people.approvers = vec!["cy".to_owned()];
        let authors = BTreeMap::from([("bob".to_owned(), Some(7)), ("dan".to_owned(), None)]);
        let is_met = |names: &[&str]| {
            let reviewers: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            independent(Some(&scoped), &authors, &reviewers).is_met
        };
        assert!(is_met(&["ann", "eve"]));
        assert!(!is_met(&["ann", "bob"]) && !is_met(&["cy"]) && !is_met(&["dan"]));
    }

    #[test]
    fn outputs_of_the_incident_itself_prove_nothing_about_the_fix() {
        let mut scoped = wrong_cell();
        let action = |id: &str, parent| crate::blast::Action { parent, ..action(id) };
        let derived = crate::blast::Parent { write_seq: 1, read_seq: 2, action: 0 };
        scoped.radius.actions = vec![action("a1", None), action("a2", Some(derived))];
        let output = |id: &str| Output { seq: 9, action_id: id.into() };
        assert!(apart(Some(&scoped), &[output("a2"), output("a3")]).is_met);
        let mixed = apart(Some(&scoped), &[output("a1"), output("a3")]);
        assert!(!mixed.is_met && mixed.words.starts_with("1 outputs"), "{}", mixed.words);
    }

    #[test]
    fn everything_that_does_not_hold_is_said_at_once() {
        let conditions = [
            Condition::new("a", true, "fine", None),
            Condition::new("b", false, "not paused", Some(4)),
            Condition::new("c", false, "no fix", None),
        ];
        let error = require(&conditions).unwrap_err().to_string();
        assert!(error.contains("not paused (event 4); no fix") && !error.contains("fine"), "{error}");
        assert!(require(&conditions[..1]).is_ok());
    }
}
