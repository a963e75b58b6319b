//! The chain of a cell's history: what each row found, and where that is not what the row before it left.
//!
//! In: the rows of one cell in order of time. Out: breaks, and the value that stood at an instant. Invariants: rows of
//! one instant are taken in an order that chains, if there is one: exports give whole seconds, and often the newest row
//! first; a value that was not captured breaks nothing. It must not know the evidence.

use super::writes::Write;
use crate::blast::names::NONE;
use crate::clock::Micros;

/// Rows of one instant for which every order is tried; more are taken forwards or backwards.
const TRIED: usize = 6;

/// Rows of one cell, chained.
pub struct Chain<'a> {
    rows: &'a [Write],
    /// Places in order of time.
    order: Vec<usize>,
    /// What each row found, by its place: its old value, else what the row before it left.
    found: Vec<u32>,
}

impl<'a> Chain<'a> {
    /// Chains `rows`, which are of one cell and in order of time.
    pub fn of(rows: &'a [Write]) -> Self {
        let order = in_order(rows);
        let mut found: Vec<u32> = rows.iter().map(|row| row.old).collect();
        let mut left = NONE;
        for place in &order {
            if found[*place] == NONE {
                found[*place] = left;
            }
            left = rows[*place].new;
        }
        Self { rows, order, found }
    }

    /// Rows that found another value than the row before them left, each with the place of that one.
    pub fn breaks(&self) -> impl Iterator<Item = (usize, usize)> {
        let two = self.order.windows(2).map(|two| (two[1], two[0]));
        two.filter(move |(row, before)| !follows(self.rows[*before].new, self.rows[*row].old))
    }

    /// The place of the last row until `at`.
    pub fn last_until(&self, at: Micros) -> Option<usize> {
        let behind = self.order.partition_point(|place| self.rows[*place].at <= at);
        self.order[..behind].last().copied()
    }

    /// The value that stood at `at` once all rows of that instant were written; [`NONE`] where it is not known.
    pub fn stood_at(&self, at: Micros) -> u32 {
        let first = || self.order.first().map_or(NONE, |place| self.found[*place]);
        self.last_until(at).map_or_else(first, |place| self.rows[place].new)
    }

    /// What stood where a write of the evidence says that it found something else; none where the two agree, or one of
    /// them does not say. `row` is the row that the write is paired with; without one, whatever stood within
    /// `tolerance` of the write may be what it found.
    pub fn contradicts(&self, write: &Write, row: Option<usize>, tolerance: Micros) -> Option<u32> {
        if write.old == NONE || self.rows.is_empty() {
            return None;
        }
        if let Some(row) = row {
            return (!follows(self.found[row], write.old)).then_some(self.found[row]);
        }
        let (first, last) = (write.at - tolerance, write.at + tolerance);
        let from = self.order.partition_point(|place| self.rows[*place].at < first);
        let to = self.order.partition_point(|place| self.rows[*place].at <= last);
        let near = self.order[from..to].iter().flat_map(|place| [self.found[*place], self.rows[*place].new]);
        let may_be = near.chain([self.stood_at(first - 1)]).any(|stood| follows(stood, write.old));
        (!may_be).then(|| self.stood_at(write.at))
    }
}

/// Whether a row that found `old` can come behind one that left `left`.
fn follows(left: u32, old: u32) -> bool {
    left == NONE || old == NONE || left == old
}

fn in_order(rows: &[Write]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let (mut from, mut left) = (0, NONE);
    while from < rows.len() {
        let at = rows[from].at;
        let to = from + rows[from..].iter().take_while(|row| row.at == at).count();
        if to - from > 1 {
            arrange(rows, left, &mut order[from..to], rows.get(to).map_or(NONE, |next| next.old));
        }
        left = rows[order[to - 1]].new;
        from = to;
    }
    order
}

/// Puts the rows at `places`, all of one instant, into an order that leads from the value `left` before them to `next`.
fn arrange(rows: &[Write], left: u32, places: &mut [usize], next: u32) {
    if places.len() <= TRIED && (chains(rows, left, places, next) || chains(rows, left, places, NONE)) {
        return;
    }
    let forwards = breaks(rows, left, places);
    places.reverse();
    if breaks(rows, left, places) >= forwards {
        places.reverse();
    }
}

/// Whether some order of `places` chains; then they are in it, else they are as they were.
fn chains(rows: &[Write], left: u32, places: &mut [usize], next: u32) -> bool {
    if places.is_empty() {
        return follows(left, next);
    }
    for i in 0..places.len() {
        let row = &rows[places[i]];
        if follows(left, row.old) {
            places[..=i].rotate_right(1);
            if chains(rows, row.new, &mut places[1..], next) {
                return true;
            }
            places[..=i].rotate_left(1);
        }
    }
    false
}

fn breaks(rows: &[Write], left: u32, places: &[usize]) -> usize {
    let before = std::iter::once(left).chain(places.iter().map(|place| rows[*place].new));
    before.zip(places).filter(|(left, place)| !follows(*left, rows[**place].old)).count()
}

#[cfg(test)]
mod tests {
    use super::super::writes::testing::write;
    use super::*;

    fn rows(told: &[(Micros, u32, u32)]) -> Vec<Write> {
        told.iter().map(|(at, old, new)| write(*at, *old, *new)).collect()
    }

    #[test]
    fn a_row_that_found_something_else_is_a_break() {
        let rows = rows(&[(1, 0, 1), (2, 1, 2), (3, 7, 3), (4, 3, NONE), (5, 9, 4), (6, NONE, 5), (7, 5, 6)]);
        let chain = Chain::of(&rows);
        assert_eq!(chain.breaks().collect::<Vec<_>>(), [(2, 1)]);
        assert_eq!([0, 1, 3, 4, 9].map(|at| chain.stood_at(at)), [0, 1, 3, NONE, 6]);
        assert_eq!(Chain::of(&[]).breaks().count(), 0);
    }

    #[test]
    fn rows_of_one_instant_chain_in_whatever_order_they_are_exported() {
        let orders: [&[(Micros, u32, u32)]; 4] = [
            &[(1, 0, 1), (5, 2, 3), (5, 1, 2), (9, 3, 4)],
            &[(5, 3, 1), (5, 1, 3), (9, 1, 4)],
            &[(0, 9, 1), (5, 1, 2), (5, 1, 3), (5, 3, 1), (9, 2, 4)],
            &[(5, 7, 8), (5, 6, 7), (5, 5, 6), (5, 4, 5), (5, 3, 4), (5, 2, 3), (5, 1, 2)],
        ];
        for told in orders {
            assert_eq!(Chain::of(&rows(told)).breaks().count(), 0, "{told:?}");
        }
        assert_eq!(Chain::of(&rows(&[(1, 0, 1), (5, 2, 3), (5, 8, 2), (9, 3, 4)])).breaks().count(), 1);
    }

    #[test]
    fn a_write_contradicts_what_stood_when_it_was_made() {
        let rows = rows(&[(100, 0, 1), (200, 1, 2)]);
        let chain = Chain::of(&rows);
        assert_eq!(chain.contradicts(&write(199, 1, 2), Some(1), 5), None);
        assert_eq!(chain.contradicts(&write(199, 7, 2), Some(1), 5), Some(1));
        assert_eq!(chain.contradicts(&write(199, NONE, 2), Some(1), 5), None);
        // Without a row, what stood shortly before or after the write may be what it found.
        for (at, old, stood) in [(150, 1, None), (150, 0, Some(1)), (104, 0, None), (198, 2, None), (50, 5, Some(0))] {
            assert_eq!(chain.contradicts(&write(at, old, 9), None, 5), stood, "{at} {old}");
        }
        assert_eq!(Chain::of(&[]).contradicts(&write(1, 1, 2), None, 5), None);
    }
}
