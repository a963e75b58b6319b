//! The register as a page, and the form that opens an incident.
//!
//! In: requests. Out: the list with next steps and deadlines; a new incident, or a look at what its condition reaches.
//! Invariant: the list scopes nothing, so that it stays quick; a form that is refused comes back as it was filled in.

use axum::Form;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::layout::{self, Page, Place, escape, heading, link, notice, pairs, section, state, time, worklist};
use super::super::work::{Done, Inside, Shown, inside, see_other, up_to};
use super::facts::Facts;
use super::{address, link_to, next_of, sight_of};
use crate::access::role::May;
use crate::clock::rfc3339;
use crate::error::{Error, ErrorKind, Result};
use crate::incident::brief::Brief;
use crate::incident::record::{self, Record, Standing};
use crate::incident::{Scoped, register, scope};
use crate::query::engine::Engine;
use crate::report::document::{Kind, Tone};
use crate::report::format;
use crate::report::withheld::Sight;
use crate::server::caller::{Caller, Read};
use crate::server::problem::Reply;

/// Open incidents of which the next step and the deadline are looked up, the newest first.
const LOOKED_UP: usize = 50;
/// Closed incidents on the page, the newest first; the API has all.
const CLOSED: usize = 100;

/// The incidents.
pub(super) async fn list(caller: Caller) -> Reply {
    let sight = sight_of(&caller);
    let shown = Shown { key: format!("incidents:{sight:?}"), title: "Incidents", done: &Done::default() };
    let made = inside(&caller, shown, move |_, engine| async move { listed(&engine, sight).await }).await?;
    let markup = match made {
        Inside::Ready(markup) => markup,
        Inside::Wait(response) => return Ok(response),
    };
    caller.reads(Read { what: "/incidents", subject: None, extra: json!({}) }).await?;
    let open = match caller.may(May::Respond) {
        true => "<a class=\"button main\" href=\"/incidents/new\">Open an incident</a>".to_owned(),
        false => String::new(),
    };
    let ways = layout::actions(&[open, link("/v1/incidents", "JSON")]);
    let about = "What went wrong, what is next, and until when.";
    let body = format!("{}{ways}{markup}", heading("Incidents", about));
    Ok(layout::render(&Page { title: "Incidents", here: Place::Incidents, caller: &caller, body }))
}

async fn listed(engine: &Engine, sight: Sight) -> Result<String> {
    let mut records = record::list(engine).await?;
    if sight == Sight::Withheld {
        records.iter_mut().for_each(|record| record.title = None);
    }
    let (closed, open): (Vec<Record>, Vec<Record>) =
        records.into_iter().rev().partition(|record| record.state == Standing::Closed);
    let further = open.len().saturating_sub(LOOKED_UP);
    let mut briefs = Vec::new();
    for record in open.into_iter().take(LOOKED_UP) {
        briefs.push(Brief::of(engine, record).await?);
    }
    // What is due first comes first; the newest of those without a deadline.
    briefs.sort_by_key(|brief| (brief.due_at().is_none(), brief.due_at()));
    let columns = [
        ("Incident", Kind::Code),
        ("Title", Kind::Text),
        ("State", Kind::Text),
        ("Severity", Kind::Text),
        ("Class", Kind::Text),
        ("Owner", Kind::Text),
        ("Workflow", Kind::Text),
        ("Next step", Kind::Text),
        ("Deadline", Kind::Text),
    ];
    let rows: Vec<Vec<String>> = briefs.iter().map(row).collect();
    let mut open = worklist(&columns, &rows, "No incident is open.");
    if further > 0 {
        let words = format!("{} older ones are open too; the JSON has all.", format::count(further as u64));
        open.push_str(&format!("<p class=\"note\">{words}</p>\n"));
    }
    let columns = [
        ("Incident", Kind::Code),
        ("Title", Kind::Text),
        ("Class", Kind::Text),
        ("Opened", Kind::Time),
        ("Closed", Kind::Time),
        ("By", Kind::Text),
        ("Why", Kind::Text),
    ];
    let rows: Vec<Vec<String>> = closed.iter().take(CLOSED).map(closed_row).collect();
    let mut over = worklist(&columns, &rows, "No incident was closed yet.");
    if closed.len() > CLOSED {
        let words = format!("The newest {CLOSED} of {}; the JSON has all.", format::count(closed.len() as u64));
        over.push_str(&format!("<p class=\"note\">{words}</p>\n"));
    }
    Ok(section("open", "Open", &open) + &section("closed", "Closed", &over) + &up_to(engine))
}

fn row(brief: &Brief) -> Vec<String> {
    let record = &brief.record;
    let said = |text: &Option<String>| text.as_deref().map(escape).unwrap_or_default();
    let workflow = match (brief.is_paused, said(&record.workflow)) {
        (Some(true), name) => format!("{name} {}", layout::parts::badge(Tone::Good, "paused")),
        (_, name) if name.is_empty() => name,
        (_, name) => format!("{name} {}", layout::parts::badge(Tone::Watch, "not paused")),
    };
    vec![
        link_to(&record.incident_id),
        said(&record.title),
        state(record.state.name()),
        said(&record.severity),
        said(&record.class).replace('_', " "),
        said(&record.owner),
        workflow,
        next_of(brief),
        deadline(brief),
    ]
}

fn deadline(brief: &Brief) -> String {
    let Some(deadline) = &brief.deadline else { return String::new() };
    let ground = escape(&deadline.article);
    match (deadline.due_at, deadline.has_passed) {
        (None, _) => format!("{} {ground}", layout::parts::badge(Tone::Absent, "not known since when")),
        (Some(due), true) => format!("{} {}, {ground}", layout::parts::badge(Tone::Bad, "passed"), time(&rfc3339(due))),
        (Some(due), false) => format!("{}, {ground}", time(&rfc3339(due))),
    }
}

fn closed_row(record: &Record) -> Vec<String> {
    let said = |text: &Option<String>| text.as_deref().map(escape).unwrap_or_default();
    vec![
        link_to(&record.incident_id),
        said(&record.title),
        said(&record.class).replace('_', " "),
        time(&rfc3339(record.opened_at)),
        record.closed_at.map(|at| time(&rfc3339(at))).unwrap_or_default(),
        said(&record.closed_by),
        said(&record.close_reason),
    ]
}

/// What the form of a new incident is filled in with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Given {
    title: String,
    #[serde(rename = "where")]
    predicate: String,
    workflow: String,
}

/// The form that opens an incident.
pub(super) async fn blank(caller: Caller, Query(given): Query<Given>) -> Reply {
    let Given { title, predicate, workflow } = given;
    let facts = Facts { title, predicate, workflow, ..Facts::default() };
    Ok(page(&caller, &facts, (StatusCode::OK, String::new())))
}

/// The form with `above`, which is markup, over it.
fn page(caller: &Caller, facts: &Facts, (status, above): (StatusCode, String)) -> Response {
    let look = "<p class=\"note\">Its scope is frozen with it, by your name; what it reaches can be looked at first. \
                A pause, roll-backs and notices are noted step by step afterwards.</p>\n\
                <p><button name=\"do\" value=\"look\">Look what the condition reaches</button></p>\n";
    let inside = format!("{}{look}", facts.markup());
    let form = layout::form("/incidents", caller, &inside, "Open the incident");
    let body =
        format!("{}{above}{form}", heading("Open an incident", "What picks the bad actions, and what is known."));
    layout::render_as(status, &Page { title: "Open an incident", here: Place::Incidents, caller, body })
}

/// Opens an incident, or tells what its condition reaches.
pub(super) async fn open(caller: Caller, Form(facts): Form<Facts>) -> Reply {
    caller.check_csrf(&facts.csrf)?;
    let done = if facts.what == "look" { looked(&caller, &facts).await } else { opened(&caller, &facts).await };
    match done {
        Ok(response) => Ok(response),
        Err(e) if e.kind() == ErrorKind::Invalid => Ok(page(&caller, &facts, (StatusCode::BAD_REQUEST, refused(&e)))),
        Err(e) => Err(e.into()),
    }
}

async fn opened(caller: &Caller, facts: &Facts) -> Result<Response> {
    let change = facts.said(&Facts::default())?.opening()?;
    let engine = caller.tenant.engine().await?;
    let stated = register::open(caller.tenant.store(), &engine, &change, &caller.name).await?;
    Ok(see_other(&Done::address(&address(&stated.incident_id), "opened", stated.seq)))
}

/// What the condition reaches, over the form.
async fn looked(caller: &Caller, facts: &Facts) -> Result<Response> {
    let selector = facts.selector()?;
    let engine = caller.tenant.engine().await?;
    // Stated before it is tried: a condition that fails on a row has told of that row.
    let extra = json!({"where": selector.predicate});
    caller.reads(Read { what: "/incidents/new", subject: None, extra }).await?;
    let scoped = scope(caller.tenant.store(), &engine, &selector).await?;
    Ok(page(caller, facts, (StatusCode::OK, reached(&scoped))))
}

fn reached(scoped: &Scoped) -> String {
    if scoped.radius.direct_actions == 0 {
        let words = "<p>The condition picks no action. Look at its window, its environment and its spelling.</p>";
        return notice(Tone::Watch, words);
    }
    let summary = scoped.summary();
    let count = |pointer: &str| summary.pointer(pointer).and_then(Value::as_u64).map(format::count).unwrap_or_default();
    let states = summary["states"].as_object().into_iter().flatten();
    let states: Vec<String> = states
        .filter_map(|(name, n)| Some((name, n.as_u64().filter(|n| *n > 0)?)))
        .map(|(name, n)| format!("{} {}", format::count(n), name.replace('_', " ")))
        .collect();
    let facts = pairs(&[
        ("Records", format!("{} {}", escape(scoped.certainty()), count("/records"))),
        ("Cells", count("/cells")),
        ("Their states", escape(&states.join(", "))),
        ("Actions that it picks", count("/direct_actions")),
        ("Actions that read what they wrote", count("/derived_actions")),
        ("Exposed records", count("/exposed_records")),
        ("External effects", count("/external_effects")),
    ]);
    let doubts: String = scoped.doubts().iter().map(|doubt| format!("<li>{}</li>", escape(doubt))).collect();
    let doubts = match doubts.is_empty() {
        true => String::new(),
        false => format!("<p>Not certain:</p><ul class=\"list\">{doubts}</ul>"),
    };
    let size = format::count(u64::try_from(scoped.size).unwrap_or_default());
    notice(Tone::Plain, &format!("<p>Over {size} events the condition reaches:</p>\n{facts}{doubts}"))
}

/// What is wrong with a form that comes back.
pub(super) fn refused(error: &Error) -> String {
    notice(Tone::Bad, &format!("<p>{}</p>", layout::message(&error.to_string())))
}
