//! What happened to each affected cell, and the state that follows.
//!
//! In: bad, clean and doubtful writes in the order of time. Out: a [`History`] per affected cell. Invariant: a history
//! begins with the first event that affected its cell, so that an answer does not depend on how much earlier evidence
//! was read; of all writes only the first and the last ones are kept. It must not know an action's past.

use hashbrown::HashMap;

use super::names::NONE;
use super::radius::State;
use super::view::Effect;
use crate::clock::Micros;

/// An affected cell: its record and its field, by number.
pub type Place = (u32, u32);

/// A write without its value.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// Position among the events; later is greater, the first is 1.
    pub order: u64,
    /// When.
    pub at: Micros,
    /// Which event.
    pub seq: i64,
    /// Whose; [`NONE`] for a correction outside any action.
    pub action: u32,
    /// Who caused the event, by number; [`NONE`] where it does not say.
    pub actor: u32,
    /// How far it reached the cell.
    pub effect: Effect,
    /// Whether it cannot be undone.
    pub is_irreversible: bool,
    /// Whether it deleted the record or merged it away.
    pub is_removal: bool,
}

/// A write and the value that it left, where that was captured.
#[derive(Debug, Clone)]
pub struct Write {
    /// Which.
    pub stamp: Stamp,
    /// The value.
    pub value: Option<Box<str>>,
}

/// What happened to one affected cell.
#[derive(Debug)]
pub struct History {
    /// The cell.
    pub place: Place,
    /// The event that affected it first, of whatever outcome, and its action.
    pub first_attempt: (i64, u32),
    /// The first bad write.
    pub first_bad: Option<Stamp>,
    /// Its own old value.
    pub old_value: Option<Box<str>>,
    /// The last bad write.
    pub last_bad: Option<Write>,
    /// The last clean write.
    pub last_clean: Option<Write>,
    /// Whether every bad write has equal old and new values.
    is_without_effect: bool,
    /// Whether the value of the latest write still stands, as far as the log tells.
    is_settled: bool,
    /// Some write's old value is not what the write before left.
    pub has_break: bool,
    /// Some partial or unknown write is neither bad nor clean.
    pub is_uncertain: bool,
}

impl History {
    fn new(place: Place, first_attempt: (i64, u32)) -> Self {
        Self {
            place,
            first_attempt,
            first_bad: None,
            old_value: None,
            last_bad: None,
            last_clean: None,
            is_without_effect: true,
            is_settled: false,
            has_break: false,
            is_uncertain: false,
        }
    }

    /// The last of the bad and clean writes: it decides what stands now.
    pub fn latest(&self) -> Option<&Write> {
        if self.is_clean_now() { self.last_clean.as_ref() } else { self.last_bad.as_ref().or(self.last_clean.as_ref()) }
    }

    /// Whether a clean write follows the last bad one.
    fn is_clean_now(&self) -> bool {
        match (&self.last_bad, &self.last_clean) {
            (Some(bad), Some(clean)) => clean.stamp.order > bad.stamp.order,
            _ => false,
        }
    }

    /// Compares the old value of a write with what the write before left.
    fn follow(&mut self, old: Option<&str>) {
        let left = self.latest().filter(|_| self.is_settled).and_then(|write| write.value.as_deref());
        self.has_break |= left.is_some() && old.is_some() && left != old;
    }

    fn add_bad(&mut self, write: Write, old: Option<&str>) {
        self.follow(old);
        self.is_without_effect &= old.is_some() && old == write.value.as_deref();
        if self.first_bad.is_none() {
            self.first_bad = Some(write.stamp);
            self.old_value = old.map(Box::from);
        }
        self.is_settled = write.stamp.effect == Effect::Full;
        self.last_bad = Some(write);
    }

    fn add_clean(&mut self, write: Write) {
        self.is_settled = true;
        self.last_clean = Some(write);
    }

    /// The state, by the first rule that holds; `record_clean` is the order of the last clean write to any cell of the
    /// record.
    pub fn state(&self, record_clean: u64) -> State {
        let Some(Write { stamp: bad, .. }) = &self.last_bad else { return State::NotApplied };
        let clean = self.last_clean.as_ref().filter(|_| self.is_clean_now());
        if self.is_without_effect {
            State::NoEffect
        } else if bad.is_irreversible {
            State::Irreversible
        } else if bad.is_removal && record_clean < bad.order {
            State::Deleted
        } else if bad.effect == Effect::Doubtful && clean.is_none() {
            State::Unknown
        } else if let Some(clean) = clean {
            let is_restored = clean.value.is_some() && clean.value == self.old_value;
            if is_restored { State::Restored } else { State::Overwritten }
        } else {
            State::StillWrong
        }
    }
}

/// Cells of a record up to which each of them is looked at; of more of them a table tells.
const FEW_CELLS: usize = 16;

/// A record, with affected cells where a bad action wrote to it.
#[derive(Debug, Default)]
struct Touched {
    /// Field and number of each.
    cells: Vec<(u32, u32)>,
    /// The number by field, where there are many.
    numbers: Option<Box<HashMap<u32, u32>>>,
    /// Order of the last clean write to any cell of the record; 0 before the first.
    last_clean: u64,
}

impl Touched {
    fn cell(&self, field: u32) -> Option<usize> {
        let cell = match &self.numbers {
            Some(numbers) => numbers.get(&field).copied(),
            None => self.cells.iter().find(|(own, _)| *own == field).map(|(_, cell)| *cell),
        };
        cell.map(|cell| cell as usize)
    }

    fn add(&mut self, field: u32, cell: u32) {
        self.cells.push((field, cell));
        if let Some(numbers) = &mut self.numbers {
            numbers.insert(field, cell);
        } else if self.cells.len() > FEW_CELLS {
            self.numbers = Some(Box::new(self.cells.iter().copied().collect()));
        }
    }
}

/// All affected cells.
#[derive(Default)]
pub struct Histories {
    /// In the order in which they were affected.
    pub cells: Vec<History>,
    /// By record, as far as any is affected.
    records: Vec<Touched>,
}

impl Histories {
    /// Whether a record has an affected cell.
    pub fn is_touched(&self, record: u32) -> bool {
        self.touched(record).is_some()
    }

    fn touched(&self, record: u32) -> Option<&Touched> {
        self.records.get(record as usize).filter(|touched| !touched.cells.is_empty())
    }

    fn cell(&self, (record, field): Place) -> Option<usize> {
        self.records.get(record as usize)?.cell(field)
    }

    /// Order of the last clean write to any cell of a record since it was affected; 0 if there is none.
    pub fn record_clean(&self, record: u32) -> u64 {
        self.touched(record).map_or(0, |touched| touched.last_clean)
    }

    /// A bad action wrote to a cell, or tried to.
    pub fn attempt(&mut self, place: Place, seq: i64, action: u32) {
        let (record, field) = place;
        if self.records.len() <= record as usize {
            self.records.resize_with(record as usize + 1, Touched::default);
        }
        let touched = &mut self.records[record as usize];
        if touched.cell(field).is_none() {
            touched.add(field, self.cells.len() as u32);
            self.cells.push(History::new(place, (seq, action)));
        }
    }

    /// A bad write to a cell that is affected.
    pub fn add_bad(&mut self, place: Place, write: Write, old: Option<&str>) {
        if let Some(cell) = self.cell(place) {
            self.cells[cell].add_bad(write, old);
        }
        self.unsettle_around(place);
    }

    /// A clean write; one to the whole record counts for each of its cells, with an unknown value.
    pub fn add_clean(&mut self, (record, field): Place, write: Write, old: Option<&str>) {
        let Some(touched) = self.records.get_mut(record as usize) else { return };
        if touched.cells.is_empty() {
            return;
        }
        touched.last_clean = write.stamp.order;
        if field == NONE {
            for (_, cell) in &touched.cells {
                self.cells[*cell as usize].add_clean(Write { stamp: write.stamp, value: None });
            }
            return;
        }
        if let Some(cell) = touched.cell(field) {
            let history = &mut self.cells[cell];
            history.follow(old);
            history.add_clean(write);
        }
        self.unsettle_around((record, field));
    }

    /// A partial or unknown write that is neither bad nor clean.
    pub fn add_doubtful(&mut self, place: Place, old: Option<&str>) {
        let (record, field) = place;
        if let Some(cell) = self.cell(place) {
            self.cells[cell].follow(old);
        }
        let Some(touched) = self.records.get(record as usize) else { return };
        for (own, cell) in &touched.cells {
            let history = &mut self.cells[*cell as usize];
            if field == NONE || *own == field {
                history.is_uncertain = true;
                history.is_settled = false;
            }
        }
        self.unsettle_around(place);
    }

    /// A write to the whole record may have changed each field, one to a field has changed the whole: what was known
    /// of these is no longer what the next write has to find.
    fn unsettle_around(&mut self, (record, field): Place) {
        if field != NONE {
            if let Some(whole) = self.cell((record, NONE)) {
                self.cells[whole].is_settled = false;
            }
            return;
        }
        for (own, cell) in self.records.get(record as usize).map_or(&[][..], |touched| touched.cells.as_slice()) {
            self.cells[*cell as usize].is_settled &= *own == NONE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_a_record_are_told_apart_however_many_there_are() {
        let mut histories = Histories::default();
        let fields: Vec<u32> = (0..FEW_CELLS as u32 * 3).chain([NONE]).collect();
        for field in fields.iter().chain(&fields) {
            histories.attempt((1, *field), i64::from(*field), 0);
        }
        assert_eq!(histories.cells.len(), fields.len());
        for (number, field) in fields.iter().enumerate() {
            assert_eq!((histories.cell((1, *field)), histories.cells[number].place), (Some(number), (1, *field)));
        }
        assert_eq!((histories.cell((1, 1_000)), histories.cell((0, 1)), histories.cell((7, 1))), (None, None, None));
        assert!(histories.is_touched(1) && !histories.is_touched(0) && !histories.is_touched(7));
    }
}
