//! What the routes of incidents are about, for those who call them.
//!
//! In: nothing. Out: the parameters, bodies and answers that the OpenAPI document prints. Invariant: a name of a
//! schema is one of `schemas.json`; a test of the document holds this.

use crate::server::api::asking::{CSV, HTML, JSON, NDJSON};
use crate::server::api::received::TAKEN;
use crate::server::api::reports::{AS_OF, FORMAT, WORKING, in_path, may_give};
use crate::server::route::{About, Answer, Body, Param};

const ID: Param = in_path("id", "The incident.");
const WHY: Param = may_give(
    "why",
    "string",
    "Tell as well why this is in the set: `system/type/id` or `system/type/id/field`, each part percent-encoded.",
);

/// An answer of status 200 in JSON.
const fn found(schema: &'static str, note: &'static str) -> Answer {
    Answer { status: 200, types: &[JSON], schema, note }
}

/// A body in JSON.
const fn body(schema: &'static str, note: &'static str) -> Option<Body> {
    Some(Body { types: &[JSON], schema, note })
}

pub(super) const LIST: About = About {
    summary: "All incidents, the oldest first, drafts of rules among them.",
    params: &[AS_OF],
    body: None,
    answers: &[found("Incidents", "What persons and rules stated of each.")],
};

pub(super) const OPEN: About = About {
    summary: "Open an incident: name what picks its bad actions, and freeze what they have reached so far.",
    params: &[],
    body: body("IncidentSaid", "`title` and `selector.where` are needed; `step` and `note` are for later."),
    answers: &[Answer {
        status: 201,
        types: &[JSON],
        schema: "IncidentStated",
        note: "It is open, stated by the event `seq`; version 1 of its scope is frozen.",
    }],
};

pub(super) const REACHED: About = About {
    summary: "What the actions that a predicate picks have reached: records, cells and their states now.",
    params: &[AS_OF, WHY],
    body: body("Selector", "What picks the bad actions, and how far their effect is followed."),
    answers: &[found("Scope", "The scope with every affected cell.")],
};

pub(super) const CHECK: About = About {
    summary: "Whether a recovery plan still holds: compare it with the evidence before it is applied.",
    params: &[AS_OF],
    body: body("Plan", "The plan as GET /v1/incidents/{id}/plan gave it."),
    answers: &[found("PlanVerdict", "A plan with `is_stale` must not be applied; make a new one.")],
};

pub(super) const SHOW: About = About {
    summary: "An incident: what it has reached by now, its causes, its seven steps, clocks and deadlines.",
    params: &[ID, AS_OF],
    body: None,
    answers: &[
        found("Incident", "The account as of `at`, at most 15 minutes ago where nothing happened since."),
        WORKING,
    ],
};

pub(super) const UPDATE: About = About {
    summary: "State what has changed of an incident, or that a step is done. Takes over a draft that a rule opened.",
    params: &[ID],
    body: body(
        "IncidentSaid",
        "What is given is stated, the rest stays. A change of the selector freezes a new scope.",
    ),
    answers: &[found("IncidentStated", "It is stated by the event `seq`.")],
};

pub(super) const CLOSE: About = About {
    summary: "Close an incident. It takes nothing more.",
    params: &[ID],
    body: body("IncidentClosing", "Why, in a line; it stays in the ledger for ever."),
    answers: &[found("IncidentClosed", "It is stated by the event `seq`.")],
};

pub(super) const SCOPE: About = About {
    summary: "What an incident has reached by now, or what a version of its frozen scope says.",
    params: &[
        ID,
        AS_OF,
        WHY,
        may_give(
            "version",
            "int64",
            "The scope as it was frozen in this version, without its cells, instead of as of now.",
        ),
    ],
    body: None,
    answers: &[found("Scope", "The scope; of a frozen version its counts and hashes, and who froze it when.")],
};

pub(super) const FREEZE: About = About {
    summary: "Scope an incident anew, freeze the result, and tell what has changed since the last version.",
    params: &[ID],
    body: None,
    answers: &[Answer {
        status: 201,
        types: &[JSON],
        schema: "Scope",
        note: "The scope without its cells, with `scope_version` and `difference`; stated by the event `seq`.",
    }],
};

pub(super) const PLAN: About = About {
    summary: "The recovery plan of an incident: what to do about each cell, newest write first. Nothing is executed.",
    params: &[
        ID,
        AS_OF,
        FORMAT,
        may_give("file", "string", "One bulk update as CSV, by its name in `files` of the plan."),
    ],
    body: None,
    answers: &[Answer {
        status: 200,
        types: &[JSON, NDJSON, CSV],
        schema: "Plan",
        note: "The plan as JSON, its rows as NDJSON, or one bulk update (id, a column a field) as CSV.",
    }],
};

pub(super) const GUARDRAIL: About = About {
    summary: "Tell which bad actions of an incident a rule or a policy would have stopped, and which others as well.",
    params: &[ID, AS_OF],
    body: body("GuardrailAsked", "The rule or the policy; with `is_stated` the result is stated with the incident."),
    answers: &[found("GuardrailReplayed", "What it stops; stated by the event `seq`, where it was to be.")],
};

pub(super) const REPLAY: About = About {
    summary: "Tell which of the actions that a predicate picks a rule or a policy would have stopped, and which others as \
              well.",
    params: &[AS_OF],
    body: body("GuardrailPicked", "What picks the bad actions, and the rule or the policy."),
    answers: &[found("GuardrailReplayed", "What it stops; nothing of it is stated.")],
};

pub(super) const RECONCILE: About = About {
    summary: "Compare a field history of the system of record with the evidence: what was never logged, never landed, or \
              differs.",
    params: &[
        Param { is_required: true, ..may_give("map", "string", "The shipped mapping that reads the history.") },
        may_give("agent", "string", "An identity under which agents write in the history; may be given several times."),
        may_give("from", "string", "The history is complete from this day or instant on [default: its first row]."),
        may_give("to", "string", "The history is complete until before this day or instant [default: its last row]."),
        may_give("tolerance", "string", "How far two instants of one write may lie apart: 90s, 5m, 2h [default: 5m]."),
        may_give("environment", "string", "Evidence of this environment [default: production]."),
        AS_OF,
        FORMAT,
        may_give("list", "string", "One list as CSV: unlogged, not_landed, wrong_values or chain_breaks."),
    ],
    body: Some(Body {
        types: TAKEN,
        schema: "",
        note: "The history, in a shape that the mapping reads. Nothing of it is stored.",
    }),
    answers: &[Answer {
        status: 200,
        types: &[JSON, CSV],
        schema: "Reconciliation",
        note: "Yes or no in `is_reconciled`, and the findings; 403 for who does not see sealed values.",
    }],
};

pub(super) const REPORT: About = About {
    summary: "The report of an incident, with the controls that list its actions.",
    params: &[ID, AS_OF, FORMAT],
    body: None,
    answers: &[
        Answer {
            status: 200,
            types: &[JSON, HTML],
            schema: "Incident",
            note: "The account with every affected cell as JSON, or a page that stands alone.",
        },
        WORKING,
    ],
};
