//! Properties of whole simulations, and the planted counts against a slow blast radius over the emitted drafts.

use std::collections::{HashMap, HashSet};

use super::*;
use crate::event::parse;

fn plan(events: u64, seed: u64) -> Plan {
    Plan { events, seed, ..Plan::default() }
}

fn drafts(simulation: &mut Simulation) -> Vec<Draft<'static>> {
    std::iter::from_fn(|| simulation.next_event()).collect()
}

fn bytes(plan: Plan) -> Vec<u8> {
    let mut out = Vec::new();
    drafts(&mut Simulation::new(plan)).iter().for_each(|draft| write_ndjson(draft, &mut out));
    out
}

fn at(draft: &Draft<'_>) -> Micros {
    match draft.cell(Column::OccurredAt) {
        Cell::Instant(at) => *at,
        other => panic!("occurred_at is {other:?}"),
    }
}

fn in_order(simulation: &mut Simulation) -> Vec<Draft<'static>> {
    let mut events = drafts(simulation);
    events.sort_by_key(at);
    events.retain(|e| e.text(Column::Environment).is_none());
    events
}

type Key = [String; 4];

fn cell_of(draft: &Draft<'_>) -> Key {
    [Column::System, Column::RecordType, Column::RecordId, Column::Field]
        .map(|c| draft.text(c).unwrap_or_default().to_owned())
}

#[test]
fn the_same_plan_gives_the_same_bytes_and_another_seed_gives_others() {
    let one = bytes(plan(3_000, 1));
    assert!(one == bytes(plan(3_000, 1)));
    assert!(one != bytes(plan(3_000, 2)));
    assert_eq!(one.iter().filter(|c| **c == b'\n').count(), 3_000);
}

#[test]
fn every_number_of_events_is_met_exactly() {
    for events in [0, 1, 2, 17, 999, 1_000, 20_000] {
        for months in [1, 24] {
            let mut simulation = Simulation::new(Plan { months, ..plan(events, events) });
            assert_eq!(drafts(&mut simulation).len() as u64, events, "{events} events in {months} months");
            assert!(simulation.next_event().is_none());
        }
    }
}

#[test]
fn every_event_is_accepted_and_none_is_a_duplicate() {
    let mut simulation = Simulation::new(plan(60_000, 4));
    let mut ids = HashSet::new();
    let mut numbers: HashMap<String, Vec<i64>> = HashMap::new();
    let mut instants = HashSet::new();
    for mut draft in drafts(&mut simulation) {
        assert!(at(&draft) < UNTIL && instants.insert(at(&draft)));
        assert!(ids.insert(draft.text(Column::EventId).unwrap().to_owned()));
        let Cell::Integer(number) = draft.cell(Column::SourceSeq) else { panic!("no source_seq") };
        numbers.entry(draft.text(Column::Source).unwrap().to_owned()).or_default().push(*number);
        draft.check(UNTIL).unwrap();
    }
    for (source, mut of_source) in numbers {
        of_source.sort_unstable();
        let gaps = of_source.windows(2).filter(|w| w[1] != w[0] + 1).count();
        assert!(gaps <= 5, "{source} has {gaps} gaps");
    }
}

#[test]
fn events_fill_the_planned_time() {
    let mut simulation = Simulation::new(plan(20_000, 9));
    let start = start_of(&simulation.plan);
    let times: Vec<Micros> = drafts(&mut simulation).iter().map(at).collect();
    let halfway = times.iter().filter(|t| **t < start + (UNTIL - start) / 2).count();
    assert!((8_500..10_000).contains(&halfway), "{halfway} of 20,000 in the first half");
    assert!(times.iter().max().unwrap() > &(UNTIL - 2 * DAY));
}

#[test]
fn old_values_chain_but_for_the_unlogged_writes() {
    let mut simulation = Simulation::new(plan(200_000, 5));
    let mut values: HashMap<Key, Option<String>> = HashMap::new();
    let (mut breaks, mut links) = (0, 0);
    for event in in_order(&mut simulation) {
        let outcome = event.text(Column::Outcome).unwrap_or("succeeded");
        let is_write = matches!(
            event.text(Column::EventType),
            Some("action.executed" | "action.rolled_back" | "record.corrected")
        );
        if !is_write || !matches!(outcome, "succeeded" | "partial" | "unknown") {
            continue;
        }
        let new = event.text(Column::NewValue).map(str::to_owned).filter(|_| outcome == "succeeded");
        if let Some(Some(previous)) = values.insert(cell_of(&event), new) {
            links += 1;
            breaks += u64::from(Some(previous.as_str()) != event.text(Column::OldValue));
        }
    }
    assert!(links > 10_000 && breaks > 0);
    assert!(breaks <= simulation.unlogged_writes(), "{breaks} of {links}");
}

/// An incident's counts, computed again from the drafts: direct actions, records and writes, readers over one step
/// and over any, derived writes, corrections and roll-backs.
fn blast_radius(events: &[Draft<'static>], planted: &Planted) -> [u64; 8] {
    let (from, to) = (parse::instant(&planted.from).unwrap(), parse::instant(&planted.to).unwrap());
    let picks = |e: &Draft<'_>| {
        (from..to).contains(&at(e))
            && planted.predicate.split(" and ").all(|term| {
                let (column, value) = term.split_once(" = ").unwrap();
                e.text(Column::named(column).unwrap()) == Some(value.trim_matches('\''))
            })
    };
    let id = |e: &Draft<'_>| e.text(Column::ActionId).map(str::to_owned);
    let direct: Vec<&Draft<'_>> = events.iter().filter(|e| picks(e)).collect();
    let mut depths: HashMap<String, u32> = direct.iter().filter_map(|e| Some((id(e)?, 0))).collect();
    let records: HashSet<_> = direct.iter().map(|e| cell_of(e)[..3].to_vec()).collect();
    let mut tainted: HashMap<Key, u32> = HashMap::new();
    let mut counts = [depths.len() as u64, records.len() as u64, 0, 0, 0, 0, 0, 0];
    for event in events {
        let event_type = event.text(Column::EventType).unwrap();
        let action = id(event);
        if let (Cell::Inputs(inputs), Some(action)) = (event.cell(Column::Inputs), &action) {
            let key = |i: &crate::event::draft::Input| {
                [&i.system, &i.record_type, &i.record_id, &i.field].map(|t| t.clone().unwrap())
            };
            if let Some(depth) = inputs.iter().filter_map(|i| tainted.get(&key(i))).min()
                && !depths.contains_key(action)
            {
                depths.insert(action.clone(), depth + 1);
                counts[3] += u64::from(*depth == 0);
                counts[4] += 1;
            }
        }
        let depth = action.as_ref().and_then(|a| depths.get(a)).copied();
        let outcome = event.text(Column::Outcome).unwrap_or("succeeded");
        let is_applied = matches!(outcome, "succeeded" | "partial" | "unknown");
        match (event_type, depth) {
            ("action.executed", Some(depth)) if is_applied => {
                counts[if depth == 0 { 2 } else { 5 }] += 1;
                tainted.insert(cell_of(event), depth);
            }
            ("action.rolled_back", _) if outcome == "succeeded" => {
                counts[7] += u64::from(depth.is_some());
                tainted.remove(&cell_of(event));
            }
            ("record.corrected", _) => counts[6] += u64::from(tainted.remove(&cell_of(event)).is_some()),
            ("action.executed", None) if outcome == "succeeded" => drop(tainted.remove(&cell_of(event))),
            _ => {}
        }
    }
    counts
}

#[test]
fn planted_counts_are_those_of_the_emitted_events() {
    for (events, incidents) in [(5_000, 1), (20_000, 4), (300_000, 4)] {
        let mut simulation = Simulation::new(plan(events, 6));
        let drafts = in_order(&mut simulation);
        let planted = simulation.planted();
        assert_eq!(planted.len(), incidents, "in {events} events");
        for p in &planted {
            let counted = [
                p.direct_actions,
                p.direct_records,
                p.direct_writes,
                p.readers_one_hop,
                p.readers,
                p.derived_writes,
                p.corrected_later,
                p.rolled_back_later,
            ];
            assert_eq!(blast_radius(&drafts, p), counted, "{} in {events} events", p.name);
        }
    }
}
