//! `/incidents`: the register, one incident with its answer, steps, plan and report, and the forms that state things.
//!
//! In: requests of people. Out: pages; for every form an event of the register, by the caller's name. Invariants: what
//! is shown is the account of `incident::account` and the report made of it, computed nowhere else; sealed values reach
//! only who may see them.

mod answer;
mod cells;
mod facts;
mod forms;
mod list;
mod show;
mod state;

use super::layout::{escape, path};
use super::work::{asked, part, shows, takes};
use crate::access::role::May;
use crate::incident::brief::Brief;
use crate::incident::record::Standing;
use crate::incident::steps::{Progress, Step};
use crate::report::withheld::Sight;
use crate::server::caller::Caller;
use crate::server::route::{Param, Route};

const ID: Param = part("id", "the incident");
const ONE: &[Param] = &[ID];
const NEW: &[Param] = &[
    asked("title", "what stands in the form: the title"),
    asked("where", "the condition"),
    asked("workflow", "the workflow"),
];
const CELLS: &[Param] = &[ID, asked("record", "the key of a record: why it is in the set")];

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    let (read, respond) = (Some(May::Read), Some(May::Respond));
    vec![
        Route::get("/incidents", read, list::list)
            .page()
            .about(shows("the incidents, those that are open first, each with its next step and deadline", &[])),
        Route::get("/incidents/new", respond, list::blank).page().about(shows("the form that opens an incident", NEW)),
        Route::post("/incidents", respond, list::open)
            .page()
            .about(takes("opens an incident, or looks first what its condition reaches", &[])),
        Route::get("/incidents/{id}", read, show::show)
            .page()
            .about(shows("an incident: the answer, steps, deadlines, plan and report", ONE)),
        Route::get("/incidents/{id}/cells", read, cells::cells)
            .page()
            .about(shows("the cells that an incident reached, with what to do about each", CELLS)),
        Route::get("/incidents/{id}/change", respond, state::form)
            .page()
            .about(shows("the form that states what has changed of an incident", ONE)),
        Route::post("/incidents/{id}/change", respond, state::change)
            .page()
            .about(takes("states what has changed of an incident", ONE)),
        Route::post("/incidents/{id}/note", respond, state::note)
            .page()
            .about(takes("states that a step is done, or a note", ONE)),
        Route::post("/incidents/{id}/freeze", respond, state::freeze)
            .page()
            .about(takes("scopes an incident anew and freezes the result", ONE)),
        Route::post("/incidents/{id}/guardrail", respond, state::guardrail)
            .page()
            .about(takes("replays a rule as a guardrail and states the result", ONE)),
        Route::post("/incidents/{id}/close", respond, state::close).page().about(takes("closes an incident", ONE)),
    ]
}

/// What the caller may see.
pub(super) fn sight_of(caller: &Caller) -> Sight {
    if caller.sees_sealed { Sight::Shown } else { Sight::Withheld }
}

/// What is next of an open incident. Nothing was scoped for it: what only the scope could tell says so.
pub(super) fn next_of(brief: &Brief) -> String {
    match (brief.record.state, &brief.next) {
        (Standing::Draft, _) => "look at it: a rule opened it".to_owned(),
        (_, Some(Step { title, state: Progress::NotKnown, note: Some(note), .. })) => {
            format!("{} <span class=\"muted\">({})</span>", escape(title), escape(note))
        }
        (_, Some(step)) => escape(step.title),
        (_, None) => "close it".to_owned(),
    }
}

/// Where an incident is shown.
pub(super) fn address(id: &str) -> String {
    path(&["incidents", id])
}

/// A link to the incident `id`.
pub(super) fn link_to(id: &str) -> String {
    format!("<a href=\"{}\"><code class=\"short\">{}</code></a>", escape(&address(id)), escape(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::record::Record;

    #[test]
    fn a_step_that_only_the_scope_could_tell_says_why() {
        let step = |state, note: Option<&str>| Step {
            step: "roll_back",
            title: "roll back",
            state,
            evidence: None,
            is_stated: false,
            note: note.map(str::to_owned),
        };
        let next = |state, next| {
            next_of(&Brief { record: Record { state, ..Record::default() }, next, is_paused: None, deadline: None })
        };
        let unknown = next(Standing::Open, Some(step(Progress::NotKnown, Some("event 9 says <so>"))));
        assert!(unknown.starts_with("roll back ") && unknown.contains("event 9 says &lt;so&gt;"), "{unknown}");
        assert_eq!(next(Standing::Open, Some(step(Progress::Open, Some("2 cells")))), "roll back");
        assert_eq!(next(Standing::Open, None), "close it");
        assert!(next(Standing::Draft, None).starts_with("look at it"));
    }
}
