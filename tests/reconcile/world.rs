//! Small worlds told twice, by a history and by a log, and what a slow look at them gives.

use std::collections::{BTreeMap, BTreeSet};

use probity::clock::{HOUR, Micros};
use probity::incident::reconcile::{Agents, Compared, LeftOut, List, Read, Reconciliation, Rules, Told, Writes};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::support::MINUTE;

pub const TOLERANCE: Micros = 3 * MINUTE;

/// A write as one side tells it; its number is its place there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub at: Micros,
    pub record: &'static str,
    pub old: Option<String>,
    pub new: Option<String>,
    pub actor: &'static str,
    pub outcome: &'static str,
}

#[derive(Debug, Clone, Default)]
pub struct World {
    pub history: Vec<Fact>,
    pub evidence: Vec<Fact>,
}

/// What may happen in a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Few values that come again and again, all of them captured, all by agents.
    Values,
    /// Values and instants that tell the writes apart.
    Distinct,
    /// Values that are missing, persons, doubtful outcomes, writes that change nothing.
    Anything,
}

impl Fact {
    fn told<'a>(&'a self, origin: &'a str, number: usize) -> Told<'a> {
        Told {
            at: self.at,
            target: [Some("crm"), Some("lead"), Some(self.record), Some("owner")],
            operation: Some("update"),
            old_value: self.old.as_deref(),
            new_value: self.new.as_deref(),
            actor_id: Some(self.actor),
            actor_kind: Some(if self.actor == "bot" { "agent" } else { "human" }),
            outcome: Some(self.outcome),
            origin: Some(origin),
            number: number as i64,
        }
    }

    pub fn is_near(&self, other: &Fact) -> bool {
        self.record == other.record && (self.at - other.at).abs() <= TOLERANCE
    }
}

/// Compares both sides of `world`, whose log is read in the order of `order`.
pub fn compared(world: &World, order: &[usize]) -> Reconciliation {
    let mut writes = Writes::default();
    for (number, fact) in world.history.iter().enumerate() {
        writes.add_history(&fact.told("h.csv", number)).unwrap();
    }
    for number in order {
        writes.add_evidence(&world.evidence[*number].told("action", *number)).unwrap();
    }
    let agents = Agents::Named(BTreeSet::from(["bot".to_owned()]));
    let rules = Rules { agents, from: -HOUR, to: 24 * HOUR, tolerance: TOLERANCE };
    Reconciliation {
        compared: Compared::of(writes, &rules),
        rules,
        environment: "production".to_owned(),
        read: Read { rows: world.history.len() as u64, ..Read::default() },
        reasons: Vec::new(),
        left_out: LeftOut::default(),
        size: 0,
        table_version: 0,
        root: None,
    }
}

/// The numbers in `column` of `list`, in its order; those that are missing are passed over.
pub fn numbers(found: &Reconciliation, list: List, column: &str) -> Vec<usize> {
    let place = list.columns().iter().position(|name| *name == column).unwrap();
    found.rows(list).filter_map(|row| row[place].as_u64()).map(|number| number as usize).collect()
}

fn pick<T: Clone>(rng: &mut StdRng, from: &[T]) -> T {
    from[rng.random_range(0..from.len())].clone()
}

/// Makes writes up, and lets either side tell most of them, more or less as they were.
pub fn world(sort: Sort, seed: u64) -> World {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::default();
    let mut left: BTreeMap<&'static str, String> = BTreeMap::new();
    for number in 0..rng.random_range(1..14) {
        let record = pick(&mut rng, &["1", "1", "2"]);
        let value = |rng: &mut StdRng| match sort {
            Sort::Distinct => format!("{number}-{}", rng.random_range(0..1_000_000)),
            Sort::Values | Sort::Anything => pick(rng, &["x", "y", "z"]).to_owned(),
        };
        let mut new = value(&mut rng);
        let old = match left.get(record) {
            Some(old) if rng.random_bool(0.8) => old.clone(),
            _ => value(&mut rng),
        };
        while sort == Sort::Values && new == old {
            new = value(&mut rng);
        }
        left.insert(record, new.clone());
        let minute = if sort == Sort::Distinct { number * 10 } else { rng.random_range(0..15) };
        let at = minute * MINUTE;
        let fact = Fact { at, record, old: Some(old), new: Some(new), actor: "bot", outcome: "succeeded" };
        let told = |rng: &mut StdRng| {
            let mut fact = Fact { at: at + rng.random_range(0..=3) * MINUTE / 2, ..fact.clone() };
            if rng.random_bool(0.1) && sort != Sort::Values {
                fact.new = Some(value(rng));
            }
            if sort == Sort::Anything {
                loosen(rng, &mut fact);
            }
            rng.random_bool(0.8).then_some(fact)
        };
        world.history.extend(told(&mut rng));
        world.evidence.extend(told(&mut rng));
    }
    world.history.shuffle(&mut rng);
    world.evidence.shuffle(&mut rng);
    world
}

fn loosen(rng: &mut StdRng, fact: &mut Fact) {
    fact.actor = pick(rng, &["bot", "bot", "bot", "ann"]);
    fact.outcome = pick(rng, &["succeeded", "succeeded", "partial", "unknown"]);
    if rng.random_bool(0.2) {
        fact.old = fact.new.clone();
    }
    if rng.random_bool(0.2) {
        fact.old = None;
    }
    if rng.random_bool(0.2) {
        fact.new = None;
    }
}

/// The most pairs that any pairing by record and new value has: augmenting paths (Berge 1957), which know no order.
pub fn most_pairs(world: &World) -> usize {
    let is_one = |row: &Fact, write: &Fact| row.is_near(write) && row.new == write.new;
    let mut row_of: Vec<Option<usize>> = vec![None; world.evidence.len()];
    let rows = 0..world.history.len();
    rows.filter(|row| augment(world, &is_one, (*row, &mut row_of), &mut BTreeSet::new())).count()
}

fn augment(
    world: &World,
    is_one: &dyn Fn(&Fact, &Fact) -> bool,
    (row, row_of): (usize, &mut Vec<Option<usize>>),
    seen: &mut BTreeSet<usize>,
) -> bool {
    for write in 0..world.evidence.len() {
        if is_one(&world.history[row], &world.evidence[write]) && seen.insert(write) {
            let is_free = match row_of[write] {
                None => true,
                Some(other) => augment(world, is_one, (other, &mut *row_of), seen),
            };
            if is_free {
                row_of[write] = Some(row);
                return true;
            }
        }
    }
    false
}

/// Of a world whose instants differ, the rows of one record in order of time, each with what it found.
fn chain<'a>(world: &'a World, record: &str) -> Vec<(usize, &'a Fact, Option<&'a str>)> {
    let mut rows: Vec<(usize, &Fact)> = world.history.iter().enumerate().filter(|(_, f)| f.record == record).collect();
    rows.sort_by_key(|(_, fact)| fact.at);
    let before = std::iter::once(None).chain(rows.iter().map(|(_, fact)| fact.new.as_deref()));
    let found = before.zip(&rows).map(|(before, (_, fact))| fact.old.as_deref().or(before));
    let found: Vec<Option<&str>> = found.collect();
    rows.iter().zip(found).map(|((number, fact), found)| (*number, *fact, found)).collect()
}

/// Of a world of distinct writes, the rows that break their chain, and the writes of the log that contradict it.
pub fn broken(world: &World) -> (BTreeSet<usize>, BTreeSet<usize>) {
    let (mut rows, mut writes) = (BTreeSet::new(), BTreeSet::new());
    for record in ["1", "2"] {
        let chain = chain(world, record);
        for two in chain.windows(2) {
            let (before, (number, row, _)) = (two[0].1, two[1]);
            if before.new != row.old {
                rows.insert(number);
            }
        }
        let Some((_, _, first)) = chain.first() else { continue };
        for (number, write) in world.evidence.iter().enumerate().filter(|(_, write)| write.record == record) {
            let paired = chain.iter().find(|(_, row, _)| row.is_near(write)).map(|(_, _, found)| *found);
            let last = chain.iter().rev().find(|(_, row, _)| row.at <= write.at).map(|(_, row, _)| row.new.as_deref());
            if paired.or(last).unwrap_or(*first) != write.old.as_deref() {
                writes.insert(number);
            }
        }
    }
    (rows, writes)
}
