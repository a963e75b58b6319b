//! The cells that an incident reached, by their state, each with what to do about it; and why a record is in the set.
//!
//! In: an incident. Out: the first cells of every state, the recovery plan in numbers, where to take all of it. Or the
//! events of one record from the first bad write to here. Invariant: cells and remedies are of one scope, as of now; a
//! list that is cut says so. Nothing is executed.

use std::collections::BTreeMap;

use axum::extract::{Path, Query};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::layout::parts::missing;
use super::super::layout::{
    self, Page, Place, actions, code, counted, escape, heading, link, pairs, section, table, time,
};
use super::super::work::{Done, Inside, Shown, inside, up_to, with};
use super::super::{action, record as record_page};
use super::{address, sight_of};
use crate::blast::{Cell, Plan, PlanRow, Record, Remedy, State};
use crate::error::Result;
use crate::incident::plan::{remedies, to_csv};
use crate::incident::{Scoped, record, scope, why};
use crate::query::engine::Engine;
use crate::report::document::Kind;
use crate::report::format;
use crate::report::withheld::{Sight, WITHHELD};
use crate::server::cache::step;
use crate::server::caller::{Caller, Read};
use crate::server::problem::Reply;
use crate::server::state::Tenant;

/// Cells of one state on the page; the API has all.
const SHOWN: usize = 200;

/// The states in the order in which somebody looks at them.
const STATES: [(State, &str); 8] = [
    (State::StillWrong, "Still wrong"),
    (State::Irreversible, "Irreversible"),
    (State::Deleted, "Deleted"),
    (State::Unknown, "Unknown"),
    (State::Overwritten, "Overwritten"),
    (State::Restored, "Restored"),
    (State::NoEffect, "Without effect"),
    (State::NotApplied, "Not applied"),
];

/// What of an incident's cells is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    /// The key of a record, to be told why it is in the set.
    record: String,
}

/// The cells of an incident, or why a record is among them.
pub(super) async fn cells(caller: Caller, Path(id): Path<String>, Query(Asked { record }): Query<Asked>) -> Reply {
    let (title, sight) = (format!("Cells of incident {id}"), sight_of(&caller));
    let (none, key, asked) = (Done::default(), format!("cells:{sight:?}:{id}:{record}"), (id.clone(), record.clone()));
    let shown = Shown { key, title: &title, done: &none };
    let made = inside(&caller, shown, move |tenant, engine| async move {
        let (id, record) = &asked;
        contents(&tenant, &engine, (id.as_str(), record.as_str(), sight)).await
    });
    let markup = match made.await? {
        Inside::Ready(markup) => markup,
        Inside::Wait(response) => return Ok(response),
    };
    let extra = json!({"incident_id": id, "record": Some(&record).filter(|record| !record.is_empty())});
    caller.reads(Read { what: "/incidents/{id}/cells", subject: None, extra }).await?;
    let own = address(&id);
    let back = match record.is_empty() {
        true => link(&own, "Back to the incident"),
        false => link(&format!("{own}/cells"), "Back to the cells"),
    };
    let api = format!("/v1{own}");
    let ways = actions(&[
        back,
        link(&format!("{api}/plan"), "The whole plan (JSON)"),
        link(&format!("{api}/scope"), "The whole scope (JSON)"),
    ]);
    let body =
        format!("{}{ways}{markup}", heading(&title, "What was reached, what stands there now, what to do about it."));
    Ok(layout::render(&Page { title: &title, here: Place::Incidents, caller: &caller, body }))
}

async fn contents(tenant: &Tenant, engine: &Engine, (id, key, sight): (&str, &str, Sight)) -> Result<String> {
    step("finding what the bad actions reached");
    let incident = record::one(engine, id).await?;
    let scoped = scope(tenant.store(), engine, incident.picking()?).await?;
    if !key.is_empty() {
        let chains = why(engine, &scoped, key).await?;
        let chains: String = chains.iter().map(|chain| told(chain, sight)).collect();
        return Ok(chains + &up_to(engine));
    }
    let plan = Plan::of(&scoped.radius);
    let planned = planned(&scoped.radius.cells, &plan.rows);
    let states: String = STATES.iter().map(|state| of_state(&planned, *state, (id, sight))).collect();
    let files = match sight {
        Sight::Shown => updates(&plan, id),
        Sight::Withheld => String::new(),
    };
    Ok(format!("{}{files}{states}{}", in_numbers(&scoped, &plan), up_to(engine)))
}

/// The plan in numbers, and how to apply and to check it.
fn in_numbers(scoped: &Scoped, plan: &Plan) -> String {
    let counts = remedies(plan);
    let row = |(remedy, what): (Remedy, &str)| {
        let n = counts.get(&remedy).copied().unwrap_or(0);
        (n > 0).then(|| vec![escape(remedy.name()), format::count(n), escape(what)])
    };
    let rows: Vec<Vec<String>> = REMEDIES.into_iter().filter_map(row).collect();
    let columns = [("To do", Kind::Text), ("Cells", Kind::Count), ("What it means", Kind::Text)];
    let facts = pairs(&[
        ("Cells", format!("{} {}", escape(scoped.certainty()), format::count(plan.rows.len() as u64))),
        ("Plan SHA-256", code(&plan.plan_sha256)),
        ("Affected records SHA-256", code(&scoped.radius.affected_sha256())),
    ]);
    let note = "<p class=\"note\">The plan is carried out by the business system's own change path, newest write \
                first. Events that roll back name its SHA-256 in <code>rollback_ref</code>; check a plan before it is \
                applied: <code>probity incident plan --check plan.json</code>.</p>\n";
    let table = table("", &columns, &rows, "There is nothing to recover.");
    section("plan", "Recovery plan", &format!("{table}{facts}{note}"))
}

/// The bulk updates that restore what can be restored, one a type of record and set of fields.
fn updates(plan: &Plan, id: &str) -> String {
    let api = format!("/v1{}/plan", address(id));
    let file = |name: String| format!("<li>{}</li>\n", link(&with(&api, "file", &name), &name));
    let files: String = to_csv(plan).into_keys().map(file).collect();
    match files.is_empty() {
        true => String::new(),
        false => format!(
            "<p class=\"text\">Bulk updates (CSV) that write the old values back:</p>\n\
             <ul class=\"list\">\n{files}</ul>\n"
        ),
    }
}

const REMEDIES: [(Remedy, &str); 6] = [
    (Remedy::Restore, "write the old value back: the bad one stands, the old one is known"),
    (Remedy::Review, "let a person look: somebody wrote since, or wrote without logging"),
    (Remedy::Recreate, "create the record again"),
    (Remedy::Compensate, "make good what has left the house or cannot be undone"),
    (Remedy::Verify, "find out first what stands there, or what stood there"),
    (Remedy::None, "nothing"),
];

/// A cell, with what to do about it.
type Planned<'a> = (&'a Cell, &'a PlanRow);

/// The rows of a plan, each with its cell. A plan has a row for every cell, but in an order of its own: the newest bad
/// write first, which is the order to work in.
fn planned<'a>(cells: &'a [Cell], rows: &'a [PlanRow]) -> Vec<Planned<'a>> {
    let key = |record: &'a Record, field: &'a Option<String>| (record, field.as_deref());
    let known: BTreeMap<_, _> = cells.iter().map(|cell| (key(&cell.record, &cell.field), cell)).collect();
    let found = |row: &'a PlanRow| known.get(&key(&row.record, &row.field)).map(|cell| (*cell, row));
    rows.iter().filter_map(found).collect()
}

fn of_state(planned: &[Planned<'_>], (state, title): (State, &str), (id, sight): (&str, Sight)) -> String {
    let all: Vec<&Planned<'_>> = planned.iter().filter(|(cell, _)| cell.state == state).collect();
    if all.is_empty() {
        return String::new();
    }
    let columns = [
        ("Record", Kind::Code),
        ("Field", Kind::Text),
        ("Before", Kind::Text),
        ("Bad value", Kind::Text),
        ("Now", Kind::Text),
        ("Written by", Kind::Text),
        ("To do", Kind::Text),
        ("Doubts", Kind::Text),
        ("Steps", Kind::Count),
    ];
    let rows: Vec<Vec<String>> = all.iter().take(SHOWN).map(|(cell, row)| line(cell, row, (id, sight))).collect();
    let mut body = table("", &columns, &rows, "");
    if all.len() > SHOWN {
        let (shown, of) = (format::count(SHOWN as u64), format::count(all.len() as u64));
        body.push_str(&format!("<p class=\"note\">The first {shown} of {of}; the JSON has all.</p>\n"));
    }
    section(
        &format!("state-{}", state.name()),
        &format!("{title}: {}", counted(all.len() as u64, "cell", "cells")),
        &body,
    )
}

fn line(cell: &Cell, row: &PlanRow, (id, sight): (&str, Sight)) -> Vec<String> {
    let value = |value: &Option<String>| match (value, sight) {
        (None, _) => missing(),
        (Some(_), Sight::Withheld) => format!("<span class=\"missing\">{WITHHELD}</span>"),
        (Some(text), Sight::Shown) => shown(text),
    };
    let key = cell.record.key();
    let why = with(&format!("{}/cells", address(id)), "record", &key);
    let record = record_page::link_to(&cell.record.system, &cell.record.record_type, &cell.record.record_id);
    vec![
        format!("{record}<br>\n{}", link(&why, "why")),
        cell.field.as_deref().map_or_else(|| "whole record".to_owned(), escape),
        value(&cell.old_value),
        value(&cell.bad_value),
        value(&cell.current_value),
        cell.current_actor.as_deref().map(escape).unwrap_or_default(),
        escape(row.remedy.name()),
        escape(&cell.flags.names().join(", ").replace('_', " ")),
        cell.depth.to_string(),
    ]
}

/// A value as it is, the empty one in words.
fn shown(text: &str) -> String {
    if text.is_empty() { "<span class=\"missing\">empty</span>".to_owned() } else { escape(text) }
}

/// One chain: how a cell came into the set.
fn told(chain: &Value, sight: Sight) -> String {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let event = |step: &Value| {
        let seq = step.get("seq").and_then(Value::as_u64).unwrap_or_default();
        let part = |name: &str| text(&step["event"], name);
        let role = match text(step, "role").as_str() {
            "read" => "read",
            "attempt" => "tried to write",
            _ => "wrote",
        };
        let by = Some(part("actor_id"))
            .filter(|by| !by.is_empty())
            .map_or_else(String::new, |by| format!(" by {}", escape(&by)));
        let what = record_page::link_to(&part("system"), &part("record_type"), &part("record_id"));
        let (field, action) = (escape(&part("field")), action::link_to(&text(step, "action_id")));
        let change = match (sight, step["event"].get("old_value"), step["event"].get("new_value")) {
            (Sight::Shown, Some(old), Some(new)) if !(old.is_null() && new.is_null()) => {
                let value = |value: &Value| value.as_str().map_or_else(missing, shown);
                format!("<p class=\"change\">{} → {}</p>\n", value(old), value(new))
            }
            _ => String::new(),
        };
        format!(
            "<li><p class=\"at\">{}{by}, {}</p>\n<p>{action} {role} {what} {field}</p>\n{change}</li>\n",
            time(&part("occurred_at")),
            link(&format!("/v1/events/{seq}"), &format!("event {seq}"))
        )
    };
    let steps = chain.get("steps").and_then(Value::as_array).into_iter().flatten();
    let steps: String = steps.map(event).collect();
    let field = Some(text(chain, "field")).filter(|field| !field.is_empty());
    let title = field.map_or_else(|| text(chain, "record"), |field| format!("{}, {field}", text(chain, "record")));
    format!("<h2>{}</h2>\n<ol class=\"timeline\">\n{steps}</ol>\n", escape(&title))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blast::Radius;
    use crate::blast::testing::{record, written};

    fn cell(id: &str, state: State, at: i64) -> Cell {
        let part = |text: &str| Some(text.to_owned());
        Cell {
            field: part("owner"),
            old_value: part("right"),
            bad_value: part("wrong"),
            current_value: part("wrong"),
            current_seq: Some(at),
            ..written(record("crm", "lead", id), state, (at, at))
        }
    }

    #[test]
    fn every_cell_stands_beside_its_own_remedy_whatever_was_written_last() {
        // Cells come in the order of their records, a plan in that of the writes: here one against the other.
        let cells = vec![cell("1", State::StillWrong, 1), cell("2", State::Restored, 2), cell("3", State::Deleted, 3)];
        let radius = Radius { cells, ..Radius::default() };
        let plan = Plan::of(&radius);
        let planned = planned(&radius.cells, &plan.rows);
        let told: Vec<(&str, Remedy)> =
            planned.iter().map(|(cell, row)| (cell.record.record_id.as_str(), row.remedy)).collect();
        assert_eq!(told, [("3", Remedy::Recreate), ("2", Remedy::None), ("1", Remedy::Restore)]);
        let html = of_state(&planned, (State::StillWrong, "Still wrong"), ("inc-1", Sight::Shown));
        assert!(html.contains(">restore<") && !html.contains(">none<"), "{html}");
    }
}
