//! Blast radius: the two passes against an independent version written from the specification.
//!
//! Small worlds in which everything collides: few actions, records and fields, ties in time, late arrivals, targets
//! that stand on an earlier event. `PROBITY_SEED` fixes the log; a log that fails is printed, cut down to the events
//! that it takes.

mod oracle;
mod touches;
pub mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use probity::blast::{
    Asked, Builder, Cell, Key, Needed, Plan, REACH_COLUMNS, Radius, Reach, Record, Remedy, Role, Scope, State, Trace,
    Traced,
};
use probity::clock::Clock;
use probity::event::batch::{BatchBuilder, assign};
use probity::event::{Column, Rows, parse};
use probity::simulate::{self, Planted, Simulation, UNTIL};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::oracle::Oracle;
use self::world::{Fact, Word, World, in_order, numbered, sorted, stored, taken, world};

fn picked(events: &RecordBatch, is_picked: impl Fn(&Rows<'_>, usize) -> bool) -> RecordBatch {
    let rows = Rows::new(events).unwrap();
    let picked = (0..rows.len()).filter(|row| is_picked(&rows, *row)).map(|row| row as u32).collect();
    taken(events, picked)
}

/// `events` cut at random.
fn pieces(rng: &mut StdRng, events: &RecordBatch) -> Vec<RecordBatch> {
    let (mut pieces, mut from) = (Vec::new(), 0);
    while from < events.num_rows() {
        let length = rng.random_range(1..=events.num_rows() - from);
        pieces.push(events.slice(from, length));
        from += length;
    }
    pieces
}

/// How much the first pass is fed, and the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Feed {
    /// No first pass; the second one sees everything.
    All,
    /// The first pass sees everything, the second what is needed.
    Needed,
    /// Both see as little as they may.
    Least,
}

const FEEDS: [Feed; 3] = [Feed::All, Feed::Needed, Feed::Least];

fn scope_of(world: &World) -> Scope {
    let direct = world.direct.iter().map(|id| (*id).to_owned()).collect();
    Scope { environment: world.environment.to_owned(), depth: world.depth, ..Scope::new(direct) }
}

fn radius(scope: Scope, events: &RecordBatch, feed: Feed, rng: &mut StdRng) -> Radius {
    let mut scope = scope;
    for _ in 0..=events.num_rows() {
        let needed = match feed {
            Feed::All => Needed::default(),
            Feed::Needed => reach(&scope, events, rng),
            Feed::Least => reach(&scope, &least(&scope, events), rng),
        };
        let mut trace = Trace::new(&scope, &needed);
        let fed = if feed == Feed::All { events.clone() } else { needed_of(&needed, events, feed) };
        for piece in pieces(rng, &fed) {
            trace.feed(&piece).unwrap();
        }
        match trace.finish() {
            Traced::Radius(radius) => return *radius,
            Traced::Again(actions) => {
                assert!(actions.iter().all(|id| !scope.remembered.contains(id)), "{actions:?} again");
                scope.remembered.extend(actions);
            }
        }
    }
    panic!("the two passes never agree")
}

/// A first pass over no more columns than it asks for.
fn reach(scope: &Scope, events: &RecordBatch, rng: &mut StdRng) -> Needed {
    let mut reach = Reach::new(scope);
    let columns: Vec<usize> = REACH_COLUMNS.map(|column| column as usize).to_vec();
    for piece in pieces(rng, &events.project(&columns).unwrap()) {
        reach.feed(&piece).unwrap();
    }
    reach.finish()
}

/// From the first event of a direct action on, and the earlier events of what has to be remembered.
fn least(scope: &Scope, events: &RecordBatch) -> RecordBatch {
    let rows = Rows::new(events).unwrap();
    let is_of =
        |ids: &[String], row: usize| rows.text(Column::ActionId, row).is_some_and(|id| ids.iter().any(|i| i == id));
    let is_here = |row: usize| rows.text(Column::Environment, row) == Some(scope.environment.as_str());
    let first = (0..rows.len()).find(|row| is_here(*row) && is_of(&scope.direct, *row)).unwrap_or(rows.len());
    picked(events, |_, row| is_here(row) && (row >= first || is_of(&scope.remembered, row)))
}

fn needed_of(needed: &Needed, events: &RecordBatch, feed: Feed) -> RecordBatch {
    let rows = Rows::new(events).unwrap();
    let ids: Vec<Option<&str>> = (0..rows.len()).map(|row| rows.text(Column::ActionId, row)).collect();
    let names_a_record =
        |id: &str| (0..rows.len()).any(|row| ids[row] == Some(id) && rows.is_set(Column::RecordId, row));
    let is_needed = |id: &str| {
        let is_in = |list: &[Key]| list.binary_search(&Key::of(id)).is_ok();
        is_in(&needed.actions) || is_in(&needed.unplaced) && (feed != Feed::Least || names_a_record(id))
    };
    picked(events, |rows, row| {
        ids[row].is_some_and(is_needed) || needed.seqs.binary_search(&rows.long(Column::Seq, row).unwrap()).is_ok()
    })
}

type Answer = BTreeMap<String, String>;

fn cell_name(cell: &Cell) -> String {
    let Record { system, record_type, record_id } = &cell.record;
    format!("{system}|{record_type}|{record_id}|{:?}", cell.field)
}

fn in_words(radius: &Radius) -> Answer {
    let mut words = Answer::new();
    let flat = |values: &[String]| values.join(" ");
    for cell in &radius.cells {
        let why: Vec<String> =
            radius.why(cell).iter().map(|step| format!("{} {}", role(step.role), step.seq)).collect();
        let line = format!(
            "{} depth {} parent {:?} why {why:?} bad {:?} to {:?} old {:?} bad {:?} now {:?} by {:?} of {:?} flags {:?}",
            cell.state.name(),
            cell.depth,
            cell.parent_seq,
            cell.first_bad_seq,
            cell.last_bad_seq,
            cell.old_value,
            cell.bad_value,
            cell.current_value,
            cell.current_seq,
            cell.current_actor,
            cell.flags.names(),
        );
        words.insert(format!("cell {}", cell_name(cell)), line);
    }
    for e in &radius.exposed {
        let Record { system, record_type, record_id } = &e.record;
        words.insert(format!("exposed {system}|{record_type}|{record_id}"), format!("{} from {}", e.seq, e.parent_seq));
    }
    for a in &radius.actions {
        let parent = a.parent.as_ref().map(|p| (p.write_seq, p.read_seq));
        let line = format!("depth {} parent {parent:?} writes {} external {}", a.depth, a.bad_writes, a.is_external);
        words.insert(format!("action {}", a.action_id), line);
    }
    for a in &radius.amounts {
        words.insert(format!("amount {:?}", a.currency), format!("{} {} {}", a.actions, a.total, a.applied));
    }
    let counts =
        [radius.direct_actions, radius.derived_actions, u64::from(radius.max_depth), radius.cells.len() as u64];
    words.insert("counts".into(), format!("{counts:?}"));
    words.insert("external".into(), radius.external().count().to_string());
    let states = radius.states();
    assert_eq!(states.values().sum::<u64>(), radius.cells.len() as u64, "the states add up to the cells");
    let states: Vec<String> = states.iter().map(|(state, n)| format!("{} {n}", state.name())).collect();
    words.insert("states".into(), flat(&states));
    words.insert("sha256".into(), radius.affected_sha256());
    let people = &radius.people;
    let people = [&people.subjects, &people.approvers, &people.segments].map(|names| flat(names));
    words.insert("people".into(), format!("{people:?}"));
    let u = &radius.uncertainty;
    let uncertain = [u.unknown_outcomes, u.partial_outcomes, u.late_events, u.uncertain_cells];
    words.insert("uncertainty".into(), format!("{uncertain:?}"));
    words
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Write => "write",
        Role::Read => "read",
        Role::Attempt => "attempt",
    }
}

/// What differs between the engine and the specification, if anything.
fn difference(world: &World, seed: u64) -> Option<String> {
    let events = stored(&world.facts);
    let expected = Oracle::new(world).answer();
    for feed in FEEDS {
        let mut rng = StdRng::seed_from_u64(seed);
        let answer = in_words(&radius(scope_of(world), &events, feed, &mut rng));
        if answer != expected {
            let keys: BTreeSet<&String> = answer.keys().chain(expected.keys()).collect();
            let differing = keys.into_iter().filter(|key| answer.get(*key) != expected.get(*key));
            let lines = differing.map(|key| {
                let show = |side: &Answer| side.get(key).map_or("nothing".to_owned(), Clone::clone);
                format!("{key}\n   engine: {}\n   oracle: {}\n", show(&answer), show(&expected))
            });
            return Some(format!("fed {feed:?}:\n{}", lines.collect::<String>()));
        }
    }
    None
}

/// The world without every event that the difference does not need.
fn shrunk(world: World, seed: u64) -> World {
    let mut world = world;
    let mut at = 0;
    while at < world.facts.len() {
        let mut smaller = world.clone();
        smaller.facts.remove(at);
        let smaller = numbered(smaller);
        if difference(&smaller, seed).is_some() {
            (world, at) = (smaller, 0);
        } else {
            at += 1;
        }
    }
    world
}

fn check(world: World, seed: u64) {
    if difference(&world, seed).is_some() {
        let small = shrunk(world, seed);
        let found = difference(&small, seed).unwrap();
        let (direct, depth, environment) = (&small.direct, small.depth, small.environment);
        panic!(
            "direct {direct:?}, depth {depth:?}, {environment}:\n{}{found}replay: PROBITY_SEED={seed} cargo test -- \
             the_two_passes_give_what_the_specification_says",
            in_order(&small)
        );
    }
}

fn seeds(count: u64) -> std::ops::Range<u64> {
    let fixed = std::env::var("PROBITY_SEED").ok().and_then(|text| text.parse().ok());
    fixed.map_or(0..count, |seed: u64| seed..seed + 1)
}

#[test]
fn the_two_passes_give_what_the_specification_says() {
    for seed in seeds(3_000) {
        check(world(seed), seed);
    }
}

/// The first pass over a log that is dealt out to parts which overlap, as late arrivals deal it to data files.
fn reach_in_parts(scope: &Scope, events: &RecordBatch, rng: &mut StdRng) -> Needed {
    let keys = |ids: &[String]| -> Vec<Key> { ids.iter().map(|id| Key::of(id)).collect() };
    let (direct, remembered) = (keys(&scope.direct), keys(&scope.remembered));
    let (environment, depth) = (scope.environment.as_str(), scope.depth);
    let mut reach = Reach::of(&Asked { direct: &direct, remembered: &remembered, environment, depth });
    let parts: Vec<u32> = (0..events.num_rows()).map(|_| rng.random_range(0..3)).collect();
    let opened = |reach: &mut Reach, part: u32| {
        let rows = (0..).zip(&parts).filter(|(_, of)| **of == part).map(|(row, _)| row).collect();
        let mut builder = Builder::default();
        builder.add(&taken(events, rows)).unwrap();
        reach.open(part, Arc::new(builder.finish()), i64::MAX);
    };
    let mut next: [Option<usize>; 3] = [None; 3];
    for part in &parts {
        // A part is opened no earlier than it has to be: names of interest are met before and behind.
        let row = *next[*part as usize].get_or_insert_with(|| {
            opened(&mut reach, *part);
            0
        });
        reach.pass(*part, row..row + 1);
        next[*part as usize] = Some(row + 1);
    }
    (0..3).for_each(|part| reach.close(part));
    reach.finish()
}

#[test]
fn parts_that_overlap_give_what_the_whole_log_gives() {
    for seed in seeds(1_000) {
        let world = world(seed);
        let (events, mut rng) = (stored(&world.facts), StdRng::seed_from_u64(seed));
        let mut scope = scope_of(&world);
        // As in a second round.
        scope.remembered.extend(rng.random_bool(0.3).then(|| "a1".to_owned()));
        let (whole, parts) = (reach(&scope, &events, &mut rng), reach_in_parts(&scope, &events, &mut rng));
        let found = |needed: &Needed| (needed.actions.clone(), needed.unplaced.clone(), needed.seqs.clone());
        assert_eq!(found(&parts), found(&whole), "PROBITY_SEED={seed}");
        assert_eq!(parts.rows.len(), whole.rows.len(), "PROBITY_SEED={seed}");
    }
}

#[test]
fn random_worlds_reach_every_state_and_every_hazard() {
    let (mut states, mut flags, mut rounds) = (BTreeSet::new(), BTreeSet::new(), 0);
    let (mut deepest, mut exposed, mut unplaced) = (0, 0, 0);
    for seed in 0..3_000 {
        let world = world(seed);
        let events = stored(&world.facts);
        let mut rng = StdRng::seed_from_u64(seed);
        let scope = scope_of(&world);
        let needed = reach(&scope, &least(&scope, &events), &mut rng);
        let mut trace = Trace::new(&scope, &needed);
        trace.feed(&needed_of(&needed, &events, Feed::Needed)).unwrap();
        unplaced += needed.unplaced.len();
        match trace.finish() {
            Traced::Again(_) => rounds += 1,
            Traced::Radius(radius) => {
                states.extend(radius.cells.iter().map(|cell| cell.state));
                flags.extend(radius.cells.iter().flat_map(|cell| cell.flags.names()));
                deepest = deepest.max(radius.max_depth);
                exposed += radius.exposed.len();
            }
        }
    }
    assert_eq!(states.len(), State::ALL.len(), "{states:?}");
    assert_eq!(flags.len(), 3, "{flags:?}");
    assert!(rounds > 0 && deepest >= 2 && exposed > 0 && unplaced > 0, "{rounds} {deepest} {exposed} {unplaced}");
}

/// An event of the action `action` on the field `f` of record 1.
fn on(event_type: &'static str, action: &'static str, values: (Word, Word)) -> Fact {
    let is_undoing = matches!(event_type, "action.executed" | "action.rolled_back");
    Fact {
        event_type,
        environment: "production",
        action: Some(action),
        target: [Some("crm"), Some("lead"), Some("1"), Some("f")],
        outcome: is_undoing.then_some("succeeded"),
        old: values.0,
        new: values.1,
        ..Fact::default()
    }
}

/// A world of these events, a minute apart, in which `bad` is direct.
fn told(facts: Vec<Fact>) -> World {
    let count = facts.len() as i64;
    let facts = facts.into_iter().enumerate().map(|(i, fact)| Fact { before: count - i as i64, ..fact });
    numbered(World { facts: facts.collect(), direct: vec!["bad"], environment: "production", depth: None })
}

fn radius_of(world: &World) -> Radius {
    check(world.clone(), 0);
    radius(scope_of(world), &stored(&world.facts), Feed::Least, &mut StdRng::seed_from_u64(0))
}

#[test]
fn a_target_from_before_the_first_bad_event_is_found_in_a_second_round() {
    let mut execution = on("action.executed", "reader", (Some("1"), Some("2")));
    let mut reading = on("action.evaluated", "reader", (None, None));
    (execution.target, reading.target) = ([None; 4], [None; 4]);
    reading.inputs = vec![[Some("crm"), Some("lead"), Some("1"), Some("f")]];
    let mut proposal = on("action.proposed", "reader", (None, None));
    proposal.target[2] = Some("2");
    let last = Fact { inputs: vec![proposal.target], ..on("action.proposed", "last", (None, None)) };
    let bad = on("action.executed", "bad", (Some("x"), Some("y")));
    let world = told(vec![proposal, bad, reading, execution, last]);
    let radius = radius_of(&world);
    let why: Vec<i64> = radius.why(&radius.cells[1]).iter().map(|step| step.seq).collect();
    assert_eq!((radius.cells[1].record.record_id.as_str(), why), ("2", vec![1, 2, 3]));
    assert_eq!((radius.derived_actions, radius.max_depth), (2, 2));
}

#[test]
fn a_recovery_plan_undoes_the_newest_write_first_and_grows_stale() {
    let mut second = on("action.executed", "next", (Some("1"), Some("2")));
    second.target[2] = Some("2");
    second.inputs = vec![[Some("crm"), Some("lead"), Some("1"), None]];
    let facts = vec![on("action.executed", "bad", (Some("x"), Some("y"))), second];
    let before = radius_of(&told(facts.clone()));
    let plan = Plan::of(&before);
    let rows: Vec<_> =
        plan.rows.iter().map(|row| (row.record.record_id.as_str(), row.remedy, row.restore_value.as_deref())).collect();
    assert_eq!(rows, [("2", Remedy::Restore, Some("1")), ("1", Remedy::Restore, Some("x"))]);
    assert!(!plan.is_stale(&before) && plan.changed_rows(&before).is_empty());

    let roll_back = on("action.rolled_back", "bad", (Some("y"), None));
    let after = radius_of(&told([facts, vec![roll_back]].concat()));
    assert_eq!(after.cells[0].state, State::Restored, "the old value of the execution, not of the roll-back");
    assert!(plan.is_stale(&after));
    assert_eq!(plan.changed_rows(&after).iter().map(|row| row.record.record_id.as_str()).collect::<Vec<_>>(), ["1"]);
    assert_eq!(Plan::of(&after).rows[1].remedy, Remedy::None);
}

#[test]
fn events_out_of_order_and_missing_columns_are_refused() {
    let events = stored(&told(vec![on("action.executed", "bad", (None, None)); 2]).facts);
    let scope = Scope::new(vec!["bad".to_owned()]);
    let backwards = taken(&events, vec![1, 0]);
    let message = Reach::new(&scope).feed(&backwards).unwrap_err().to_string();
    assert!(message.contains("out of (occurred_at, seq) order"), "{message}");
    let few = events.project(&REACH_COLUMNS.map(|column| column as usize)).unwrap();
    let message = Trace::new(&scope, &Needed::default()).feed(&few).unwrap_err().to_string();
    assert!(message.contains("needs column `recorded_at`"), "{message}");
}

/// Ids of the actions that the predicate of `planted` picks: terms `column = 'text'` joined by `and`.
fn direct_of(planted: &Planted, events: &RecordBatch) -> BTreeSet<String> {
    let rows = Rows::new(events).unwrap();
    let window = parse::instant(&planted.from).unwrap()..parse::instant(&planted.to).unwrap();
    let holds = |term: &str, row: usize| {
        let (column, value) = term.split_once(" = ").unwrap();
        rows.text(Column::named(column).unwrap(), row) == Some(value.trim_matches('\''))
    };
    let is_picked = |row: &usize| {
        rows.text(Column::Environment, *row) == Some(planted.environment)
            && window.contains(&rows.instant(Column::OccurredAt, *row).unwrap())
            && planted.predicate.split(" and ").all(|term| holds(term, *row))
    };
    let picked = (0..rows.len()).filter(is_picked);
    picked.filter_map(|row| rows.text(Column::ActionId, row).map(str::to_owned)).collect()
}

#[test]
fn planted_incidents_are_found_exactly() {
    let mut simulation = Simulation::new(simulate::Plan { events: 20_000, seed: 6, ..simulate::Plan::default() });
    let mut builder = BatchBuilder::default();
    while let Some(mut draft) = simulation.next_event() {
        draft.check(UNTIL).unwrap();
        builder.append(&draft);
    }
    let events = sorted(&assign(&builder.finish(), 0, UNTIL, &Clock::fixed(UNTIL)).unwrap());
    let planted = simulation.planted();
    assert_eq!(planted.len(), 4);
    for incident in &planted {
        let scope = Scope::new(direct_of(incident, &events).into_iter().collect());
        let found = radius(scope, &events, Feed::Least, &mut StdRng::seed_from_u64(1));
        let writes = |is_direct: bool| -> u64 {
            found.actions.iter().filter(|a| (a.depth == 0) == is_direct).map(|a| a.bad_writes).sum()
        };
        let one_hop = found.actions.iter().filter(|a| a.depth == 1).count() as u64;
        let counts = [found.direct_actions, found.derived_actions, one_hop, writes(true), writes(false)];
        let i = incident;
        let known = [i.direct_actions, i.readers, i.readers_one_hop, i.direct_writes, i.derived_writes];
        assert_eq!(counts, known, "{}", incident.name);
    }
}
