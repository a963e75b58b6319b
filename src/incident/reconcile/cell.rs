//! The writes of one cell on both sides, and which of them are one write told twice.
//!
//! In: the rows of the history and the writes of the evidence of one cell, each in order of time. Out: for each its
//! partner, and what the two agree in. Invariants: each is used once; a pair that agrees in its value goes before one
//! where a side has none, and that before one where the values differ.

use super::pairs::pair;
use super::writes::{Outcome, Write, Writer};
use crate::blast::names::NONE;
use crate::clock::Micros;

/// What the two sides of a pair agree in, beside cell and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// The new value.
    Value,
    /// Nothing: one side has no new value.
    NoValue,
    /// Nothing: the new values differ.
    Wrong,
}

/// Whose writes may be one write with different values: a person's is never an agent's that went wrong.
const ALIKE: [(Writer, Writer); 7] = [
    (Writer::Agent, Writer::Agent),
    (Writer::Other, Writer::Other),
    (Writer::Unknown, Writer::Unknown),
    (Writer::Agent, Writer::Unknown),
    (Writer::Other, Writer::Unknown),
    (Writer::Unknown, Writer::Agent),
    (Writer::Unknown, Writer::Other),
];

/// A partner: what the two agree in, and its place on the other side.
pub type Partner = Option<(How, usize)>;

/// The writes of one cell, paired.
pub struct CellPairs<'a> {
    history: &'a [Write],
    evidence: &'a [Write],
    tolerance: Micros,
    /// Of each row of the history, its partner in the evidence.
    pub of_history: Vec<Partner>,
    /// Of each write of the evidence, its partner in the history.
    pub of_evidence: Vec<Partner>,
}

impl<'a> CellPairs<'a> {
    /// Pairs what is at most `tolerance` apart.
    pub fn of(history: &'a [Write], evidence: &'a [Write], tolerance: Micros) -> Self {
        let (of_history, of_evidence) = (vec![None; history.len()], vec![None; evidence.len()]);
        let mut cell = Self { history, evidence, tolerance, of_history, of_evidence };
        if history.is_empty() || evidence.is_empty() {
            return cell;
        }
        cell.pair_by_value(Write::is_changing);
        // One that changes nothing may have left a row all the same; but it goes behind those that must have.
        cell.pair_by_value(|write| !write.is_changing());
        cell.pair_all(How::NoValue, |row| row.new == NONE, |write| write.new != NONE && write.is_changing());
        cell.pair_all(How::NoValue, |row| row.new != NONE, |write| write.new == NONE);
        cell.pair_all(How::NoValue, |row| row.new == NONE, |write| write.new == NONE);
        cell.pair_all(How::NoValue, |row| row.new == NONE, |write| !write.is_changing());
        for (row_by, write_by) in ALIKE {
            let is_row = |row: &Write| row.new != NONE && row.writer == row_by;
            let is_write = |write: &Write| write.new != NONE && write.writer == write_by && write.is_changing();
            cell.pair_all(How::Wrong, is_row, is_write);
        }
        cell
    }

    /// Pairs those that left the same value, among the writes of the evidence that `is_write` picks.
    fn pair_by_value(&mut self, is_write: impl Fn(&Write) -> bool) {
        let (history, evidence) = (self.history, self.evidence);
        let mut rows = free(history, &self.of_history, |row| row.new != NONE);
        let mut writes = free(evidence, &self.of_evidence, |write| write.new != NONE && is_write(write));
        // Those with one value stay in order of time.
        rows.sort_by_key(|row| history[*row].new);
        writes.sort_by_key(|write| evidence[*write].new);
        let mut rest = writes.as_slice();
        for rows in rows.chunk_by(|a, b| history[*a].new == history[*b].new) {
            let value = history[rows[0]].new;
            let from = rest.partition_point(|write| evidence[*write].new < value);
            let to = rest.partition_point(|write| evidence[*write].new <= value);
            self.join(How::Value, rows, &rest[from..to]);
            rest = &rest[to..];
        }
    }

    /// Pairs those of both sides that are picked, whatever they left.
    fn pair_all(&mut self, how: How, is_row: impl Fn(&Write) -> bool, is_write: impl Fn(&Write) -> bool) {
        let rows = free(self.history, &self.of_history, is_row);
        if !rows.is_empty() {
            let writes = free(self.evidence, &self.of_evidence, is_write);
            self.join(how, &rows, &writes);
        }
    }

    /// Pairs what lies at `rows` and `writes`, in order of time; all of it may be paired.
    fn join(&mut self, how: How, rows: &[usize], writes: &[usize]) {
        let (history, evidence) = (self.history, self.evidence);
        let row_instants: Vec<Micros> = rows.iter().map(|row| history[*row].at).collect();
        let write_instants: Vec<Micros> = writes.iter().map(|write| evidence[*write].at).collect();
        let against = |i: usize, j: usize| against(&history[rows[i]], &evidence[writes[j]]);
        for (i, j) in pair(&row_instants, &write_instants, self.tolerance, &against) {
            self.of_history[rows[i]] = Some((how, writes[j]));
            self.of_evidence[writes[j]] = Some((how, rows[i]));
        }
    }
}

/// Places of what has no partner yet and is picked.
fn free(writes: &[Write], partners: &[Partner], is_picked: impl Fn(&Write) -> bool) -> Vec<usize> {
    let places = writes.iter().zip(partners).enumerate();
    places.filter(|(_, (write, partner))| partner.is_none() && is_picked(write)).map(|(place, _)| place).collect()
}

/// In how much two writes to one cell differ that may be one: what they found, whose they are, and that the log itself
/// does not claim that its write landed.
fn against(row: &Write, write: &Write) -> i32 {
    let is_other_value = row.old != NONE && write.old != NONE && row.old != write.old;
    let is_other_writer =
        row.writer != Writer::Unknown && write.writer != Writer::Unknown && row.writer != write.writer;
    let is_open = write.outcome != Outcome::Succeeded;
    i32::from(is_other_value) + i32::from(is_other_writer) + i32::from(is_open)
}

#[cfg(test)]
mod tests {
    use super::super::writes::testing::write;
    use super::*;

    /// Partners of the rows of `history`.
    fn partners(history: &[Write], evidence: &[Write]) -> Vec<Partner> {
        let cell = CellPairs::of(history, evidence, 10);
        for (row, partner) in cell.of_history.iter().enumerate() {
            assert!(partner.is_none_or(|(how, write)| cell.of_evidence[write] == Some((how, row))));
        }
        cell.of_history
    }

    #[test]
    fn the_better_agreement_goes_first() {
        let history = [write(1, 0, 7), write(2, 7, 8)];
        assert_eq!(
            partners(&history, &[write(1, 7, 8), write(5, 0, 7)]),
            [Some((How::Value, 1)), Some((How::Value, 0))]
        );
        assert_eq!(
            partners(&history, &[write(2, NONE, NONE), write(3, 7, 8)]),
            [Some((How::NoValue, 0)), Some((How::Value, 1))]
        );
        assert_eq!(
            partners(&history, &[write(3, 0, 9), write(4, 7, 8)]),
            [Some((How::Wrong, 0)), Some((How::Value, 1))]
        );
        assert_eq!(partners(&history, &[write(13, 7, 8)]), [None, None]);
        assert_eq!(partners(&[write(1, NONE, NONE)], &[write(4, 3, 3)]), [Some((How::NoValue, 0))]);
    }

    #[test]
    fn of_equal_values_the_one_that_found_the_same_is_taken() {
        let history = [write(3, 5, 7), write(6, 0, 7)];
        assert_eq!(partners(&history, &[write(3, 0, 7)]), [None, Some((How::Value, 0))]);
        // The log claims that the second one landed, and knows nothing of the first.
        let open = Write { outcome: Outcome::Unknown, ..write(3, 0, 7) };
        assert_eq!(partners(&[write(3, 0, 7)], &[open, write(5, 0, 7)]), [Some((How::Value, 1))]);
    }

    #[test]
    fn what_changes_nothing_takes_no_row_from_what_does() {
        assert_eq!(partners(&[write(3, 0, 7)], &[write(3, 7, 7), write(9, NONE, 7)]), [Some((How::Value, 1))]);
        assert_eq!(partners(&[write(3, 7, 7)], &[write(3, 7, 7)]), [Some((How::Value, 0))]);
        assert_eq!(partners(&[write(3, 0, 8)], &[write(3, 7, 7)]), [None]);
    }

    #[test]
    fn a_persons_write_is_no_write_of_an_agent_gone_wrong() {
        let by_person = Write { writer: Writer::Other, ..write(3, 0, 8) };
        assert_eq!(partners(&[by_person], &[write(3, 0, 7)]), [None]);
        assert_eq!(partners(&[by_person], &[write(3, 0, 8)]), [Some((How::Value, 0))]);
    }
}
