//! Touches: which action wrote and read which cells, in numbers.
//!
//! In: events in (`occurred_at`, `seq`) order. Out: one row for each event, in the same order, and dictionaries of the
//! actions, names and places that the rows speak of. Invariants: a row says all that the first pass of a blast radius
//! asks of its event, and where that event stands; no value is in it, sealed or not. Numbers count within one of these
//! only; across them names go by [`Key`].
//!
//! ```text
//! row      at, seq · marks: kind, effect, environment, reads, late · action → key · target → place
//! reading  row → places, for the rows that have inputs
//! place    system, record type, record id, field → names → key
//! ```
//!
//! A pass over them compares numbers instead of eleven columns of text. Dictionaries ascend, so that a name of interest
//! is looked up once for each of them, and all places of a record id lie together.

mod build;

use std::ops::Range;

use super::keys::Key;
use super::names::{NONE, RECORD_ID};
use super::view::{Effect, Kind};
use crate::clock::Micros;
use crate::event::Column;
use crate::event::columns::Kind as Holds;
pub use build::{Builder, TOUCH_COLUMNS};

/// The number of an environment that no event can have.
pub(crate) const NO_ENVIRONMENT: u8 = 0;

/// The number of an environment, from 1 on.
pub(crate) fn environment_number(name: Option<&str>) -> u8 {
    let Holds::Word(known) = Column::Environment.spec().kind else { return NO_ENVIRONMENT };
    let place = name.and_then(|name| known.iter().position(|word| *word == name));
    place.map_or(NO_ENVIRONMENT, |place| place as u8 + 1)
}

/// What can be said of an event in eight bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mark(pub(crate) u8);

const KIND_BITS: u8 = 0b11;
const EFFECT_SHIFT: u8 = 2;
const ENVIRONMENT_SHIFT: u8 = 4;
const READS: u8 = 1 << 6;
const LATE: u8 = 1 << 7;

impl Mark {
    fn new(kind: Kind, effect: Effect, environment: u8) -> Self {
        let kind = match kind {
            Kind::Other => 0,
            Kind::Executed => 1,
            Kind::RolledBack => 2,
            Kind::Corrected => 3,
        };
        let effect = match effect {
            Effect::Nothing => 0,
            Effect::Doubtful => 1,
            Effect::Full => 2,
        };
        Self(kind | effect << EFFECT_SHIFT | environment << ENVIRONMENT_SHIFT)
    }

    pub(crate) fn kind(self) -> Kind {
        match self.0 & KIND_BITS {
            1 => Kind::Executed,
            2 => Kind::RolledBack,
            3 => Kind::Corrected,
            _ => Kind::Other,
        }
    }

    pub(crate) fn effect(self) -> Effect {
        match self.0 >> EFFECT_SHIFT & 0b11 {
            2 => Effect::Full,
            1 => Effect::Doubtful,
            _ => Effect::Nothing,
        }
    }

    pub(crate) fn environment(self) -> u8 {
        self.0 >> ENVIRONMENT_SHIFT & 0b11
    }

    /// Whether the event is a write that may have changed something.
    pub(crate) fn is_change(self) -> bool {
        self.0 & KIND_BITS != 0 && self.0 >> EFFECT_SHIFT & 0b11 != 0
    }

    /// Whether the event has inputs.
    pub(crate) fn has_reads(self) -> bool {
        self.0 & READS != 0
    }
}

/// The touches of some events.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Touches {
    /// When, ascending with `seqs`.
    pub(crate) at: Vec<Micros>,
    pub(crate) seqs: Vec<i64>,
    pub(crate) marks: Vec<u8>,
    /// Number of the action; [`NONE`] without one.
    pub(crate) actions: Vec<u32>,
    /// Number of the place; [`NONE`] where the event names no part of one.
    pub(crate) targets: Vec<u32>,
    /// Rows with inputs, ascending,
    pub(crate) readers: Vec<u32>,
    /// the end of each one's places in `reads`,
    pub(crate) ends: Vec<u32>,
    /// and the places.
    pub(crate) reads: Vec<u32>,
    /// Ascending.
    pub(crate) action_keys: Vec<Key>,
    /// Ascending.
    pub(crate) name_keys: Vec<Key>,
    /// Numbers of names, [`NONE`] for what is not said; by record id first.
    pub(crate) places: Vec<[u32; 4]>,
}

/// In which order places stand.
pub(crate) fn order_of(place: &[u32; 4]) -> [u32; 4] {
    let [system, record_type, id, field] = *place;
    [id, system, record_type, field]
}

/// How many of `keys`, which ascend, are before `key`; found in steps that double, since mostly these are few.
fn before(keys: &[Key], key: &Key) -> usize {
    let mut end = 1;
    while end < keys.len() && keys[end] < *key {
        end *= 2;
    }
    let start = end / 2;
    start + keys[start..end.min(keys.len())].partition_point(|own| own < key)
}

impl Touches {
    /// Number of events.
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// Bytes of memory that they take, about.
    pub fn bytes(&self) -> usize {
        let (names, numbers) =
            (self.action_keys.len() + self.name_keys.len(), self.readers.len() * 2 + self.reads.len());
        self.len() * 25 + names * Key::BYTES + numbers * 4 + self.places.len() * 16
    }

    /// Instant and `seq` of the event in `row`.
    pub fn moment(&self, row: usize) -> (Micros, i64) {
        (self.at[row], self.seqs[row])
    }

    /// The first row from `from` on that is not before `moment`.
    pub fn row_at(&self, from: usize, moment: (Micros, i64)) -> usize {
        // Steps that double: where many of these overlap, the next one's turn comes soon.
        let (mut low, mut step) = (from, 1);
        while low + step < self.len() && self.moment(low + step) < moment {
            low += step;
            step *= 2;
        }
        let (mut low, mut high) = (low, (low + step).min(self.len()));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.moment(middle) < moment { low = middle + 1 } else { high = middle }
        }
        low
    }

    pub(crate) fn mark(&self, row: usize) -> Mark {
        Mark(self.marks[row])
    }

    /// The key of the action of `row`.
    pub fn action(&self, row: usize) -> Option<Key> {
        self.action_keys.get(self.actions[row] as usize).copied()
    }

    /// The place that the event of `row` itself names, in names.
    pub(crate) fn target(&self, row: usize) -> [u32; 4] {
        self.places.get(self.targets[row] as usize).copied().unwrap_or([NONE; 4])
    }

    /// The places that belong to the record id `name`.
    pub(crate) fn places_of_id(&self, name: u32) -> Range<usize> {
        let first = self.places.partition_point(|place| place[RECORD_ID] < name);
        first..first + self.places[first..].partition_point(|place| place[RECORD_ID] == name)
    }

    /// Whether an event belongs to one of `actions`, which ascend.
    pub fn tells_of(&self, actions: &[Key]) -> bool {
        self.wanted(actions).is_some()
    }

    /// The rows of those of `actions`, which ascend.
    pub fn rows_of(&self, actions: &[Key]) -> Vec<u32> {
        let Some(is_wanted) = self.wanted(actions) else { return Vec::new() };
        let rows = (0..).zip(&self.actions);
        rows.filter(|(_, action)| is_wanted.get(**action as usize) == Some(&true)).map(|(row, _)| row).collect()
    }

    /// By number of an action, whether it is among `actions`; none where no action is.
    fn wanted(&self, actions: &[Key]) -> Option<Vec<bool>> {
        let mut is_wanted: Option<Vec<bool>> = None;
        let mut want =
            |number: usize| is_wanted.get_or_insert_with(|| vec![false; self.action_keys.len()])[number] = true;
        let is_fewer = actions.len() < self.action_keys.len();
        let (few, many) = if is_fewer { (actions, &*self.action_keys) } else { (&*self.action_keys, actions) };
        let mut place = 0;
        for (number, key) in few.iter().enumerate() {
            place += before(&many[place..], key);
            if many.get(place) == Some(key) {
                want(if is_fewer { place } else { number });
            }
        }
        is_wanted
    }

    /// Whether every number stands for something and what has to ascend does.
    pub fn is_sound(&self) -> bool {
        let rows = self.len();
        let is_below = |numbers: &[u32], end: usize| numbers.iter().all(|n| *n == NONE || (*n as usize) < end);
        let are_all = |numbers: &[u32], end: usize| numbers.iter().all(|n| (*n as usize) < end);
        let columns = [self.seqs.len(), self.marks.len(), self.actions.len(), self.targets.len()];
        columns.iter().all(|length| *length == rows)
            && (1..rows).all(|row| self.moment(row - 1) < self.moment(row))
            && is_below(&self.actions, self.action_keys.len())
            && is_below(&self.targets, self.places.len())
            && are_all(&self.readers, rows)
            && self.readers.is_sorted_by(|a, b| a < b)
            && self.readers.len() == self.ends.len()
            && self.ends.is_sorted()
            && self.ends.last().map_or(0, |end| *end as usize) == self.reads.len()
            && are_all(&self.reads, self.places.len())
            && self.action_keys.is_sorted_by(|a, b| a < b)
            && self.name_keys.is_sorted_by(|a, b| a < b)
            && self.places.iter().all(|place| is_below(place, self.name_keys.len()))
            && self.places.is_sorted_by(|a, b| order_of(a) < order_of(b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_bits_hold_every_environment() {
        let Holds::Word(known) = Column::Environment.spec().kind else { panic!("environments are words") };
        let numbers: Vec<u8> = known.iter().map(|name| environment_number(Some(name))).collect();
        assert_eq!(numbers, [1, 2, 3]);
        assert_eq!((environment_number(None), environment_number(Some("elsewhere"))), (0, 0));
    }

    #[test]
    fn a_mark_gives_back_what_it_was_made_of() {
        for kind in [Kind::Executed, Kind::RolledBack, Kind::Corrected, Kind::Other] {
            for effect in [Effect::Full, Effect::Doubtful, Effect::Nothing] {
                for environment in 0..=3 {
                    let mark = Mark(Mark::new(kind, effect, environment).0 | LATE);
                    assert_eq!((mark.kind(), mark.effect(), mark.environment()), (kind, effect, environment));
                    assert_eq!(mark.is_change(), kind != Kind::Other && effect != Effect::Nothing);
                    assert!(!mark.has_reads());
                }
            }
        }
    }

    #[test]
    fn the_rows_of_few_and_of_many_actions_are_found() {
        let keys = |numbers: std::ops::Range<u32>| -> Vec<Key> {
            let mut keys: Vec<Key> = numbers.map(|n| Key::of(&n.to_string())).collect();
            keys.sort_unstable();
            keys
        };
        let own = keys(0..50);
        let rows = Touches { at: vec![0; 51], actions: (0..50).chain([NONE]).collect(), ..Touches::default() };
        let touches = Touches { action_keys: own.clone(), ..rows };
        for sought in [keys(0..0), keys(7..8), keys(60..61), keys(40..60), keys(0..50), keys(30..500), keys(50..500)] {
            let expected: Vec<u32> = (0..50).filter(|n| sought.binary_search(&own[*n as usize]).is_ok()).collect();
            assert_eq!((touches.tells_of(&sought), touches.rows_of(&sought)), (!expected.is_empty(), expected));
        }
        assert!(!Touches::default().tells_of(&own));
    }

    #[test]
    fn the_row_of_a_moment_is_found_from_any_row_on() {
        let at: Vec<Micros> = (0..200).map(|n| n / 3).collect();
        let touches = Touches { seqs: (0..200).collect(), at, ..Touches::default() };
        for from in [0, 1, 17, 150, 199] {
            for moment in [(0, 0), (5, 16), (5, -1), (66, 198), (66, 500), (1_000, 0)] {
                let expected = (from..200).find(|row| touches.moment(*row) >= moment).unwrap_or(200);
                assert_eq!(touches.row_at(from, moment), expected, "{from} {moment:?}");
            }
        }
    }
}
