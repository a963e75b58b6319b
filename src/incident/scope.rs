//! The scope of an incident: a blast radius, frozen with what it was made from and what is not known for certain.
//!
//! In: a selector. Out: counts, cells, the hash of the affected records, the point of the ledger. Invariant: the same
//! selector over the same point gives the same scope. Whatever may hide further records makes it "at least".

mod document;

use serde_json::{Map, Value, json};

use super::record::selector_as_json;
use crate::blast::{Affected, Cell, Radius, Role, SourceNumbers, State, Summary};
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::query::answer::Limits;
use crate::query::blast::Selector;
use crate::query::engine::Engine;
use crate::query::objects::{count, literal, rows};
use crate::store::Store;
use document::Document;

/// Bytes of the names of sources that a question for gaps holds; past it, all sources are asked about.
const NAMED_BYTES: usize = 8 * 1024;

/// What an incident has reached, as of a point of the ledger.
#[derive(Debug, Clone)]
pub struct Scoped {
    /// What picked the bad actions.
    pub selector: Selector,
    /// What they have reached.
    pub radius: Radius,
    /// Events that count.
    pub size: i64,
    /// Version of the folded table.
    pub table_version: i64,
    /// Root of the ledger over these events, where its tiles reach as far.
    pub root: Option<String>,
    /// Events of the selector's window and environment that were recorded more than a day after they happened.
    pub late_in_window: u64,
    /// Breaks in the numbers that the sources of the direct actions gave to their events of the window.
    pub source_gaps: u64,
}

/// Scopes what `selector` picks.
///
/// # Errors
/// A predicate that is none, a bound that is met, a store that fails.
pub async fn scope(store: &Store, engine: &Engine, selector: &Selector) -> Result<Scoped> {
    let size = engine.as_of().size;
    // What the window says depends on nothing that was reached.
    let (reached, window, root) =
        tokio::try_join!(engine.blast_radius(selector), engine.summary(selector), store.root_at(size))?;
    let source_gaps = gaps(engine, selector, (reached.sources.as_slice(), &window)).await?;
    Ok(Scoped {
        radius: reached.radius,
        size,
        table_version: engine.version(),
        root,
        late_in_window: window.late(&selector.environment),
        source_gaps,
        selector: selector.clone(),
    })
}

/// Gaps between the first and the last number of each source in the window.
async fn gaps(engine: &Engine, selector: &Selector, (sources, window): (&[String], &Summary)) -> Result<u64> {
    let numbers = sources.iter().filter_map(|source| Some((source, window.sources.get(source)?)));
    let broken: Vec<(&String, &SourceNumbers)> = numbers.filter(|(_, numbers)| !numbers.are_unbroken()).collect();
    if broken.is_empty() {
        return Ok(0);
    }
    // Events outside of the window may have what is missing in it.
    let is_all = selector.from.is_none() && selector.to.is_none();
    let all = match is_all {
        true => window.clone(),
        false => engine.summary(&Selector { from: None, to: None, ..selector.clone() }).await?,
    };
    let counted = broken.into_iter().map(|(source, numbers)| all.sources.get(source)?.breaks_within(numbers.span()?));
    match counted.sum::<Option<u64>>() {
        Some(gaps) => Ok(gaps),
        None => queried_gaps(engine, selector, sources).await,
    }
}

/// The same from the events, where a source has more runs of numbers than summaries tell apart.
async fn queried_gaps(engine: &Engine, selector: &Selector, sources: &[String]) -> Result<u64> {
    let names = sources.iter().map(|source| literal(source)).collect::<Vec<_>>().join(", ");
    let named = if names.len() > NAMED_BYTES { "true".to_owned() } else { format!("source in ({names})") };
    let window = selector.window_sql("occurred_at");
    let numbers = format!(
        "select source, min(source_seq) as low, max(source_seq) as high, count(*) as events from evidence \
         where source_seq is not null and event_type not like 'evidence.%' and {named}{window} group by source"
    );
    let runs = format!(
        "select count(*) as n from source_runs as r inner join ({numbers}) as w on w.source = r.source \
         where r.previous_number >= w.low and r.first_number <= w.high"
    );
    number(engine, &runs).await
}

async fn number(engine: &Engine, sql: &str) -> Result<u64> {
    let answer = rows(&engine.sql(sql, Limits::default()).await?)?;
    let number = answer.first().and_then(|row| count(row, "n"));
    number.ok_or_else(|| Error::internal("a count of an incident gives no number"))
}

impl Scoped {
    /// Why the scope may be larger than it is shown, in words; none where it is exact.
    pub fn doubts(&self) -> Vec<String> {
        let uncertainty = &self.radius.uncertainty;
        let all = [
            (self.source_gaps, "gaps in the numbers that sources gave to their events"),
            (self.late_in_window, "events of the window recorded more than a day after they happened"),
            (uncertainty.unknown_outcomes, "bad writes with outcome unknown"),
            (uncertainty.partial_outcomes, "bad writes that were partial"),
            (uncertainty.uncertain_cells, "cells that a doubtful write may have changed since"),
        ];
        let cut = self.cut_at().map(|depth| format!("the spread was followed for {depth} steps only"));
        let counted = all.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
        counted.chain(cut).collect()
    }

    /// The steps that were asked for, where an action stands at the last of them: what read its writes is left out.
    fn cut_at(&self) -> Option<u32> {
        let is_reached = |depth: &u32| self.radius.actions.iter().any(|action| action.depth >= *depth);
        self.selector.depth.filter(is_reached)
    }

    /// Cells in `state`.
    pub fn cells_in(&self, state: State) -> u64 {
        self.radius.cells.iter().filter(|cell| cell.state == state).count() as u64
    }

    /// Cells in which the bad value stands.
    pub fn still_wrong(&self) -> u64 {
        self.cells_in(State::StillWrong)
    }

    /// Cells whose value no write to the cell brings back: deleted, or irreversible.
    pub fn lost(&self) -> u64 {
        self.cells_in(State::Deleted) + self.cells_in(State::Irreversible)
    }

    /// Cells that are not right and could be: still wrong, deleted, or nobody knows.
    pub fn unresolved(&self) -> u64 {
        [State::StillWrong, State::Deleted, State::Unknown].into_iter().map(|state| self.cells_in(state)).sum()
    }

    /// When the first bad write happened.
    pub fn first_bad_at(&self) -> Option<Micros> {
        self.radius.cells.iter().filter_map(|cell| cell.first_bad_at).min()
    }

    /// "exactly" or "at least".
    pub fn certainty(&self) -> &'static str {
        if self.doubts().is_empty() { "exactly" } else { "at least" }
    }

    /// The cells of the record or cell that `key` names: `system/type/id`, or `system/type/id/field`, each part
    /// percent-encoded as in record keys.
    ///
    /// # Errors
    /// NotFound when there is none; Invalid when the key has another shape.
    pub fn cells_of(&self, key: &str) -> Result<Vec<&Cell>> {
        let parts: Vec<&str> = key.split('/').collect();
        let (record, field) = match parts.as_slice() {
            [_, _, _] => (key.to_owned(), None),
            [system, record_type, id, field] => (format!("{system}/{record_type}/{id}"), Some(*field)),
            _ => {
                return Err(Error::invalid(format!(
                    "`{key}` is no record; write system/type/id or system/type/id/field, with %2F for a slash in a part"
                )));
            }
        };
        let is_asked = |cell: &&Cell| {
            cell.record.key() == record && field.is_none_or(|field| encoded(cell.field.as_deref()) == field)
        };
        let cells: Vec<&Cell> = self.radius.cells.iter().filter(is_asked).collect();
        if cells.is_empty() {
            return Err(Error::not_found(format!("`{key}` is not in the set: no bad action wrote to it")));
        }
        Ok(cells)
    }

    /// Why `cell` is in the set, as JSON: its events from the first bad write on.
    pub fn why(&self, cell: &Cell) -> Value {
        let steps = self.radius.why(cell).into_iter().map(|step| {
            let role = match step.role {
                Role::Write => "write",
                Role::Read => "read",
                Role::Attempt => "attempt",
            };
            json!({"seq": step.seq, "role": role, "action_id": self.radius.actions[step.action].action_id})
        });
        json!({"record": cell.record.key(), "field": cell.field, "steps": steps.collect::<Vec<_>>()})
    }

    /// The selector, as JSON: what is needed to make the scope again.
    pub fn basis(&self) -> Value {
        selector_as_json(&self.selector)
    }

    /// The scope without its records and persons, as JSON: what is frozen with an incident.
    pub fn summary(&self) -> Value {
        let radius = &self.radius;
        let states: Map<String, Value> =
            radius.states().into_iter().map(|(state, n)| (state.name().to_owned(), n.into())).collect();
        let uncertainty = &radius.uncertainty;
        let Affected { records, sha256 } = radius.affected();
        json!({
            "selector": self.basis(),
            "as_of": {"size": self.size, "version": self.table_version, "root": self.root},
            "direct_actions": radius.direct_actions,
            "derived_actions": radius.derived_actions,
            "records": records,
            "cells": radius.cells.len(),
            "states": states,
            "exposed_records": radius.exposed.len(),
            "external_effects": radius.external().count(),
            "affected_sha256": sha256,
            "max_depth": radius.max_depth,
            "certainty": self.certainty(),
            "uncertainty": {
                "source_gaps": self.source_gaps,
                "late_in_window": self.late_in_window,
                "unknown_outcomes": uncertainty.unknown_outcomes,
                "partial_outcomes": uncertainty.partial_outcomes,
                "late_events": uncertainty.late_events,
                "uncertain_cells": uncertainty.uncertain_cells,
                "cut_at_depth": self.cut_at(),
            },
            "amounts": radius.amounts,
        })
    }

    /// The scope as JSON; the keys are those of the interface, and more.
    pub fn to_json(&self) -> Value {
        json!(self.document(Map::new()))
    }

    /// The same with `more`, whose keys win; it is written as it goes, never as a whole in memory.
    pub fn document(&self, more: Map<String, Value>) -> Document<'_> {
        Document::new(self, more)
    }
}

/// A field as part of a key; empty for the whole record.
fn encoded(field: Option<&str>) -> String {
    field.unwrap_or_default().replace('%', "%25").replace('/', "%2F").replace('\n', "%0A")
}

#[cfg(test)]
impl Scoped {
    /// The scope of everything that has reached this, for tests.
    pub(crate) fn of(radius: Radius) -> Self {
        Self {
            selector: Selector::new("true"),
            radius,
            size: 0,
            table_version: -1,
            root: None,
            late_in_window: 0,
            source_gaps: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blast::Action;
    use crate::blast::testing::action;
    use crate::clock::{Clock, rfc3339};
    use crate::ingest::{Source, ingest};
    use crate::query::asof::AsOf;
    use crate::query::blast::read_instant;
    use crate::query::runtime::{QueryRuntime, RuntimeLimits};
    use crate::simulate::UNTIL;
    use crate::store::object::Location;

    /// 200 events of each of two sources, one a minute, without some numbers; the one of minute 80 happened much later.
    async fn numbered() -> Store {
        let mut lines = String::new();
        for (source, missing) in [("crm", &[50, 51, 120][..]), ("erp", &[10][..])] {
            for number in (0..200).filter(|number| !missing.contains(number)) {
                let minute = if number == 80 { 1_000 } else { number };
                let event = json!({
                    "event_id": format!("{source}-{number}"), "source": source, "source_seq": number,
                    "event_type": "action.executed", "environment": "production", "outcome": "succeeded", "workflow": "w",
                    "occurred_at": rfc3339(minute_at(minute)), "action_id": format!("{source}-{number}"),
                    "system": "crm", "record_type": "lead", "record_id": "r1", "field": "owner",
                });
                lines.push_str(&format!("{event}\n"));
            }
        }
        let store = Store::create(Location::memory(), "default", Clock::simulated(UNTIL, 8)).await.unwrap();
        let source = Source::Json { name: "numbered".to_owned(), reader: Box::new(std::io::Cursor::new(lines)) };
        let (report, outcome) = ingest(&store, source, &|_, _| {}).await;
        outcome.unwrap();
        assert_eq!(report.counts.accepted, 396);
        store
    }

    fn minute_at(minute: i64) -> Micros {
        read_instant("2026-01-01").unwrap() + minute * 60_000_000
    }

    #[tokio::test]
    async fn gaps_are_those_of_the_whole_log_between_the_numbers_of_the_window() {
        let store = numbered().await;
        let runtime = QueryRuntime::new(&RuntimeLimits { threads: 2, ..RuntimeLimits::default() }).unwrap();
        let sources = ["crm", "erp"].map(str::to_owned);
        for is_folded in [false, true] {
            if is_folded {
                store.fold().await.unwrap();
            }
            let snapshot = store.snapshot().await.unwrap();
            let as_of = AsOf { size: snapshot.size, at: UNTIL };
            let engine = Engine::new(&runtime, &snapshot, as_of).await.unwrap();
            let windows = [(None, None, 3), (Some(0), Some(100), 2), (Some(40), Some(60), 1), (Some(60), Some(110), 0)];
            // From minute 121 on there is 80 as well.
            for (from, to, expected) in windows.into_iter().chain([(Some(121), None, 1)]) {
                let (from, to) = (from.map(minute_at), to.map(minute_at));
                let selector = Selector { from, to, ..Selector::new("true") };
                let window = engine.summary(&selector).await.unwrap();
                let counted = gaps(&engine, &selector, (&sources[..], &window)).await.unwrap();
                let queried = queried_gaps(&engine, &selector, &sources).await.unwrap();
                assert_eq!((counted, queried), (expected, expected), "{selector:?}, folded: {is_folded}");
            }
        }
    }

    #[test]
    fn what_may_hide_records_is_said() {
        let mut scoped = Scoped::of(Radius::default());
        assert_eq!((scoped.certainty(), scoped.doubts().len()), ("exactly", 0));
        scoped.source_gaps = 2;
        assert_eq!(scoped.certainty(), "at least");
        assert_eq!(scoped.doubts(), ["2 gaps in the numbers that sources gave to their events"]);
        scoped.selector.depth = Some(1);
        assert_eq!(scoped.doubts().len(), 1, "the spread ended before");
        let action = |depth: u32| Action { depth, ..action(&depth.to_string()) };
        scoped.radius.actions = vec![action(0), action(1)];
        assert_eq!(scoped.doubts()[1], "the spread was followed for 1 steps only");
        assert!(scoped.cells_of("a/b/c").unwrap_err().to_string().contains("not in the set"));
        assert!(scoped.cells_of("a/b").unwrap_err().to_string().contains("system/type/id"));
    }
}
