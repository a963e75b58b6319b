//! How touches are made: from events, batch after batch.
//!
//! In: batches with the columns [`TOUCH_COLUMNS`], in (`occurred_at`, `seq`) order. Out: [`Touches`]. Invariant: the
//! same events give the same touches, however they are cut into batches. Texts are numbered as they come; their keys
//! are computed once for each, at the end.

use arrow::array::RecordBatch;
use hashbrown::HashMap;

use super::{LATE, Mark, READS, Touches, environment_number, order_of};
use crate::blast::acts::is_late;
use crate::blast::keys::Key;
use crate::blast::names::{NONE, Target, Texts};
use crate::blast::view::{Effect, Kind, Order, inputs, target};
use crate::error::Result;
use crate::event::{Column, Rows};

/// The columns of events that touches are made from; without `recorded_at` none counts as late.
pub const TOUCH_COLUMNS: [Column; 12] = [
    Column::Seq,
    Column::OccurredAt,
    Column::RecordedAt,
    Column::Environment,
    Column::EventType,
    Column::ActionId,
    Column::System,
    Column::RecordType,
    Column::RecordId,
    Column::Field,
    Column::Inputs,
    Column::Outcome,
];

/// Gathers events.
#[derive(Default)]
pub struct Builder {
    order: Order,
    /// Rows so far, with the numbers of `actions` and `places` below.
    rows: Touches,
    actions: Texts,
    names: Texts,
    places: HashMap<[u32; 4], u32>,
    /// The same by number.
    numbered: Vec<[u32; 4]>,
}

impl Builder {
    /// Takes the next events.
    ///
    /// # Errors
    /// Internal, when a column has another type, or an event is out of order.
    pub fn add(&mut self, events: &RecordBatch) -> Result<()> {
        let rows = Rows::new(events)?;
        for row in 0..rows.len() {
            let (at, seq) = self.order.next(&rows, row)?;
            self.rows.at.push(at);
            self.rows.seqs.push(seq);
            let action = rows.text(Column::ActionId, row).map_or(NONE, |id| self.actions.intern(id));
            self.rows.actions.push(action);
            let place = self.place(&target(&rows, row));
            self.rows.targets.push(place);
            let has_reads = self.add_reads(&rows, row);
            let kind = Kind::of(rows.text(Column::EventType, row));
            let effect = Effect::of(kind, rows.text(Column::Outcome, row));
            let mark = Mark::new(kind, effect, environment_number(rows.text(Column::Environment, row)));
            let more = if has_reads { READS } else { 0 } | if is_late(&rows, row) { LATE } else { 0 };
            self.rows.marks.push(mark.0 | more);
        }
        Ok(())
    }

    /// The touches of all events taken.
    pub fn finish(self) -> Touches {
        let Self { mut rows, actions, names, numbered, .. } = self;
        let action_numbers = renumbered(&actions, &mut rows.action_keys);
        let name_numbers = renumbered(&names, &mut rows.name_keys);
        let new = |numbers: &[u32], old: u32| numbers.get(old as usize).copied().unwrap_or(NONE);
        let places: Vec<[u32; 4]> = numbered.iter().map(|place| place.map(|name| new(&name_numbers, name))).collect();
        let mut order: Vec<u32> = (0..places.len() as u32).collect();
        order.sort_unstable_by_key(|place| order_of(&places[*place as usize]));
        let mut place_numbers = vec![NONE; places.len()];
        for (number, place) in (0..).zip(&order) {
            place_numbers[*place as usize] = number;
        }
        rows.places = order.iter().map(|place| places[*place as usize]).collect();
        rows.actions.iter_mut().for_each(|action| *action = new(&action_numbers, *action));
        rows.targets.iter_mut().chain(&mut rows.reads).for_each(|place| *place = new(&place_numbers, *place));
        rows
    }

    /// The number of a place; [`NONE`] where no part of one is named.
    fn place(&mut self, target: &Target<'_>) -> u32 {
        if target.iter().all(Option::is_none) {
            return NONE;
        }
        let place = target.map(|part| part.map_or(NONE, |name| self.names.intern(name)));
        let next = self.numbered.len() as u32;
        let number = *self.places.entry(place).or_insert(next);
        if number == next {
            self.numbered.push(place);
        }
        number
    }

    /// Takes the inputs of an event; whether it has any. One that names no record is of no record.
    fn add_reads(&mut self, rows: &Rows<'_>, row: usize) -> bool {
        let before = self.rows.reads.len();
        for input in inputs(rows, row) {
            let place = self.place(&input);
            if place != NONE {
                self.rows.reads.push(place);
            }
        }
        let has_reads = self.rows.reads.len() > before;
        if has_reads {
            self.rows.readers.push(self.rows.seqs.len() as u32 - 1);
            self.rows.ends.push(self.rows.reads.len() as u32);
        }
        has_reads
    }
}

/// Puts the keys of `texts` into `keys`, ascending; gives where the key of each one stands.
fn renumbered(texts: &Texts, keys: &mut Vec<Key>) -> Vec<u32> {
    let mut order: Vec<(Key, u32)> = (0..texts.count()).map(|number| (Key::of(texts.get(number)), number)).collect();
    order.sort_unstable();
    let mut places = vec![NONE; order.len()];
    for (place, (key, number)) in (0..).zip(order) {
        keys.push(key);
        places[number as usize] = place;
    }
    places
}
