//! A part of the log that the first pass goes through: its touches, and which of its numbers are of interest.
//!
//! In: touches, the names of interest. Out: the rows that may matter, and what they say in the pass's own numbers.
//! Invariant: a row that is passed over is one whose action is of no interest, that writes to no record id of interest
//! and reads none. It must not judge what a row does.

use std::ops::Range;
use std::sync::Arc;

use super::keys::{Key, Numbers};
use super::names::{NONE, RECORD_ID, STRANGE};
use super::touches::Touches;

/// What the pass looks for besides the actions of interest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch {
    /// The environment of the events.
    pub(super) environment: u8,
    /// Whether writes can matter.
    pub(super) writes: bool,
    /// Whether reads can.
    pub(super) reads: bool,
}

/// A part in progress.
pub(super) struct Part {
    /// What the caller calls it.
    pub(super) number: u32,
    /// Its rows.
    pub(super) touches: Arc<Touches>,
    /// Rows with this `seq` or a later one do not count; none where all do.
    before: Option<i64>,
    /// By number of an action in `touches`: its number in the pass, or [`NONE`].
    actions: Vec<u32>,
    /// By number of a name in `touches`: its number in the pass, or [`STRANGE`].
    names: Vec<u32>,
    /// By place: whether its record id is of interest, or left out.
    is_hot: Vec<bool>,
    /// The first of the reading rows that was not passed yet.
    reader: usize,
}

impl Part {
    /// A part of which the events with a `seq` below `before` count.
    pub(super) fn new((number, touches, before): (u32, Arc<Touches>, i64), actions: &Numbers, names: &Numbers) -> Self {
        let is_cut = touches.seqs.iter().any(|seq| *seq >= before);
        let actions = actions.of_all(&touches.action_keys, NONE);
        let names = names.of_all(&touches.name_keys, STRANGE);
        let is_of_interest = |id: u32| id == NONE || names[id as usize] != STRANGE;
        let is_hot = touches.places.iter().map(|place| is_of_interest(place[RECORD_ID])).collect();
        Self { number, touches, before: is_cut.then_some(before), actions, names, is_hot, reader: 0 }
    }

    /// An action is of interest from now on.
    pub(super) fn learn_action(&mut self, key: &Key, number: u32) {
        if let Ok(own) = self.touches.action_keys.binary_search(key) {
            self.actions[own] = number;
        }
    }

    /// A name is of interest from now on.
    pub(super) fn learn_name(&mut self, key: &Key, number: u32) {
        if let Ok(own) = self.touches.name_keys.binary_search(key) {
            self.names[own] = number;
            self.is_hot[self.touches.places_of_id(own as u32)].fill(true);
        }
    }

    /// The next of `rows` that may matter; later calls are for later rows.
    pub(super) fn next(&mut self, rows: Range<usize>, watch: Watch) -> Option<usize> {
        for row in rows {
            let mark = self.touches.mark(row);
            let is_here = mark.environment() == watch.environment
                && self.before.is_none_or(|before| self.touches.seqs[row] < before);
            if is_here
                && (self.action(row).is_some()
                    || watch.writes && mark.is_change() && self.may_write(row)
                    || watch.reads && mark.has_reads() && self.may_read(row))
            {
                return Some(row);
            }
        }
        None
    }

    fn may_write(&self, row: usize) -> bool {
        self.is_hot.get(self.touches.targets[row] as usize).copied().unwrap_or(true)
    }

    fn may_read(&mut self, row: usize) -> bool {
        let range = self.reads(row);
        self.touches.reads[range].iter().any(|place| self.is_hot[*place as usize])
    }

    /// The number of the action of `row`, if it is of interest.
    pub(super) fn action(&self, row: usize) -> Option<u32> {
        self.actions.get(self.touches.actions[row] as usize).copied().filter(|action| *action != NONE)
    }

    /// Where the places stand that `row` reads; later calls are for this row or later ones.
    pub(super) fn reads(&mut self, row: usize) -> Range<usize> {
        let Touches { readers, ends, .. } = &*self.touches;
        while readers.get(self.reader).is_some_and(|reader| (*reader as usize) < row) {
            self.reader += 1;
        }
        if readers.get(self.reader).copied() != Some(row as u32) {
            return 0..0;
        }
        let start = self.reader.checked_sub(1).map_or(0, |before| ends[before] as usize);
        start..ends[self.reader] as usize
    }

    /// `place` in the numbers of the pass: [`NONE`] for what is left out, [`STRANGE`] for what is of no interest.
    pub(super) fn known(&self, place: &[u32; 4]) -> [u32; 4] {
        place.map(|name| if name == NONE { NONE } else { self.names[name as usize] })
    }
}
