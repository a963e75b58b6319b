//! Small worlds in which everything collides, and what their events look like when they are stored.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use probity::clock::{Clock, rfc3339};
use probity::event::batch::{BatchBuilder, assign};
use probity::event::{Column, Rows, json};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value};

use crate::support::{MINUTE, T0};

pub type Word = Option<&'static str>;

/// One event of a small world; its `seq` is its place in the log.
#[derive(Debug, Clone, Default)]
pub struct Fact {
    pub seq: i64,
    /// Minutes before the log was recorded.
    pub before: i64,
    pub event_type: &'static str,
    pub environment: &'static str,
    pub action: Word,
    /// System, type, id, field.
    pub target: [Word; 4],
    pub inputs: Vec<[Word; 4]>,
    pub outcome: Word,
    pub old: Word,
    pub new: Word,
    pub operation: Word,
    pub reversibility: Word,
    pub level: Option<i32>,
    pub amount: Option<i64>,
    pub currency: Word,
    pub actor: Word,
    pub subject: Word,
    pub segment: Word,
    pub decision: Word,
    pub reviewer: Word,
}

/// A log and what is asked of it.
#[derive(Debug, Clone)]
pub struct World {
    pub facts: Vec<Fact>,
    pub direct: Vec<&'static str>,
    pub environment: &'static str,
    pub depth: Option<u32>,
}

/// The event as a source would send it.
pub fn json_of(fact: &Fact) -> String {
    let mut map = Map::new();
    let [system, record_type, record_id, field] = fact.target;
    for (name, word) in [
        ("source", Some("world")),
        ("workflow", Some("w")),
        ("event_type", Some(fact.event_type)),
        ("environment", Some(fact.environment)),
        ("action_id", fact.action),
        ("system", system),
        ("record_type", record_type),
        ("record_id", record_id),
        ("field", field),
        ("outcome", fact.outcome),
        ("old_value", fact.old),
        ("new_value", fact.new),
        ("operation", fact.operation),
        ("reversibility", fact.reversibility),
        ("currency", fact.currency),
        ("actor_id", fact.actor),
        ("subject_id", fact.subject),
        ("segment", fact.segment),
        ("decision", fact.decision),
        ("reviewer", fact.reviewer),
    ] {
        if let Some(word) = word {
            map.insert(name.into(), word.into());
        }
    }
    map.insert("event_id".into(), format!("e{}", fact.seq).into());
    map.insert("occurred_at".into(), rfc3339(T0 - fact.before * MINUTE).into());
    let inputs = fact.inputs.iter().map(|input| {
        let names = ["system", "record_type", "record_id", "field"];
        let parts =
            names.into_iter().zip(input).filter_map(|(name, part)| Some((name.to_owned(), Value::from((*part)?))));
        Value::Object(parts.collect())
    });
    map.insert("inputs".into(), Value::Array(inputs.collect()));
    if let Some(level) = fact.level {
        map.insert("permission_level".into(), level.into());
    }
    if let Some(amount) = fact.amount {
        map.insert("amount".into(), format!("{}.{:02}", amount / 100, amount % 100).into());
    }
    Value::Object(map).to_string()
}

/// The stored events of a log, in (`occurred_at`, `seq`) order.
pub fn stored(facts: &[Fact]) -> RecordBatch {
    let mut builder = BatchBuilder::default();
    for fact in facts {
        let text = json_of(fact);
        let mut draft = json::decode(text.as_bytes()).unwrap();
        draft.check(T0).unwrap();
        builder.append(&draft);
    }
    sorted(&assign(&builder.finish(), 0, T0, &Clock::fixed(T0)).unwrap())
}

pub fn sorted(events: &RecordBatch) -> RecordBatch {
    let rows = Rows::new(events).unwrap();
    let mut order: Vec<u32> = (0..events.num_rows() as u32).collect();
    order.sort_by_key(|row| {
        let row = *row as usize;
        (rows.instant(Column::OccurredAt, row), rows.long(Column::Seq, row))
    });
    taken(events, order)
}

pub fn taken(events: &RecordBatch, rows: Vec<u32>) -> RecordBatch {
    take_record_batch(events, &UInt32Array::from(rows)).unwrap()
}

fn pick<T: Copy>(rng: &mut StdRng, from: &[T]) -> T {
    from[rng.random_range(0..from.len())]
}

/// One of `from`, in `share` of the cases.
fn maybe<T: Copy>(rng: &mut StdRng, share: f64, from: &[T]) -> Option<T> {
    if rng.random_bool(share) { Some(pick(rng, from)) } else { None }
}

const TYPES: [&str; 12] = [
    "action.executed",
    "action.executed",
    "action.executed",
    "action.executed",
    "action.proposed",
    "action.proposed",
    "action.evaluated",
    "action.decided",
    "action.rolled_back",
    "record.corrected",
    "record.reviewed",
    "data.accessed",
];
const ACTIONS: [&str; 6] = ["a0", "a1", "a2", "a3", "a4", "a5"];
const OUTCOMES: [&str; 10] = [
    "succeeded",
    "succeeded",
    "succeeded",
    "succeeded",
    "succeeded",
    "partial",
    "unknown",
    "failed",
    "skipped",
    "denied",
];
const VALUES: [&str; 4] = ["", "x", "y", "z"];

/// How often a part of a target is set, by world: complete, sparse, hardly ever on executions.
const SHARES: [f64; 3] = [0.97, 0.75, 0.4];

fn target(rng: &mut StdRng, share: f64) -> [Word; 4] {
    [
        maybe(rng, share.max(0.9), &["crm", "crm", "crm", "e/p%"]),
        maybe(rng, share.max(0.9), &["lead", "lead", "lead", "deal"]),
        maybe(rng, share, &["1", "1", "2", "3"]),
        maybe(rng, share * 0.85, &["f", "f", "g"]),
    ]
}

fn fact(rng: &mut StdRng, i: usize, share: f64) -> Fact {
    let event_type = pick(rng, &TYPES);
    let is_record = event_type.starts_with("record.");
    let is_undoing = matches!(event_type, "action.executed" | "action.rolled_back");
    let mut target = target(rng, if is_undoing { share } else { share.max(0.7) });
    if is_record {
        target = [target[0].or(Some("crm")), target[1].or(Some("lead")), target[2].or(Some("1")), target[3]];
    }
    let outcome = if is_undoing { Some(pick(rng, &OUTCOMES)) } else { maybe(rng, 0.2, &OUTCOMES) };
    let inputs = if rng.random_bool(0.35) { rng.random_range(1..3) } else { 0 };
    let inputs = (0..inputs).map(|_| {
        let [system, record_type, id, field] = self::target(rng, 0.9);
        [system.or(Some("crm")), record_type.or(Some("lead")), id.or(Some("2")), field]
    });
    let inputs = inputs.collect();
    let action = if event_type.starts_with("action.") { Some(pick(rng, &ACTIONS)) } else { maybe(rng, 0.3, &ACTIONS) };
    Fact {
        seq: 0,
        before: 40 - i as i64 / 2 + rng.random_range(-3..=3) + if rng.random_bool(0.04) { 2_000 } else { 0 },
        event_type,
        environment: pick(rng, &["production", "production", "production", "production", "production", "shadow"]),
        action,
        target,
        inputs,
        outcome,
        old: maybe(rng, 0.7, &VALUES),
        new: maybe(rng, 0.7, &VALUES),
        operation: maybe(rng, 0.4, &["update", "update", "delete", "merge", "send"]),
        reversibility: maybe(rng, 0.3, &["reversible", "reversible", "reversible", "compensable", "irreversible"]),
        level: maybe(rng, 0.3, &[1, 3, 4, 5]),
        amount: maybe(rng, 0.3, &[100, 1_250, 5]),
        currency: maybe(rng, 0.3, &["EUR", "USD"]),
        actor: maybe(rng, 0.8, &["ann", "bob"]),
        subject: maybe(rng, 0.3, &["s1", "s2", "s3"]),
        segment: maybe(rng, 0.3, &["small", "large"]),
        decision: maybe(rng, 0.3, &["approved", "approved_with_changes", "rejected"]),
        reviewer: maybe(rng, 0.3, &["rev1", "rev2"]),
    }
}

pub fn world(seed: u64) -> World {
    let mut rng = StdRng::seed_from_u64(seed);
    let (length, share) = (rng.random_range(1..45), pick(&mut rng, &SHARES));
    let facts = (0..length).map(|i| fact(&mut rng, i, share)).collect();
    let direct = if rng.random_bool(0.7) { vec!["a0"] } else { vec!["a0", "a3"] };
    let environment = if rng.random_bool(0.95) { "production" } else { "shadow" };
    let depth = maybe(&mut rng, 0.25, &[0, 1, 2]);
    numbered(World { facts, direct, environment, depth })
}

/// Gives every event its `seq`.
pub fn numbered(mut world: World) -> World {
    for (seq, fact) in world.facts.iter_mut().enumerate() {
        fact.seq = seq as i64;
    }
    world
}

pub fn in_order(world: &World) -> String {
    let mut facts: Vec<&Fact> = world.facts.iter().collect();
    facts.sort_by_key(|f| (-f.before, f.seq));
    let said = |text: String| text.replace("Some(", "(").replace("None", "-");
    let line = |f: &&Fact| {
        let input = |i: &[Word; 4]| said(format!("{i:?}"));
        let inputs: Vec<String> = f.inputs.iter().map(input).collect();
        let what = format!("{:?} at {:?} {:?} -> {:?} outcome {:?}", f.action, f.target, f.old, f.new, f.outcome);
        let how = format!("{:?} {:?} level {:?} by {:?}", f.operation, f.reversibility, f.level, f.actor);
        let (before, kind, environment) = (f.before, f.event_type, f.environment);
        format!("  seq {} T-{before} {kind} {environment} {} {} reads {inputs:?}\n", f.seq, said(what), said(how))
    };
    facts.iter().map(line).collect()
}
