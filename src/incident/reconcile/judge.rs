//! What became of each write: whether the other side has it, and what of it contradicts the history.
//!
//! In: the writes of both sides in the order of cell and time. Out: a fate for each, and breaks of the chain.
//! Invariant: cells are judged one by one and know nothing of each other, but for the creation of a record, which many
//! systems show as one row without fields and an agent may log field by field. It counts nothing.

use std::ops::Range;

use hashbrown::HashMap;

use super::cell::{CellPairs, How, Partner};
use super::chain::Chain;
use super::compare::{ChainBreak, Rules, Side};
use super::writes::{CellKey, OPERATION, Write, Writes};
use crate::blast::names::{FIELD, NONE};

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The other side has none like it.
    Alone,
    /// It is the write at this place of the other side.
    Pair(How, u32),
    /// It belongs to the creation of its record, whose row, at this place, is paired with another write.
    WithRecord(u32),
}

/// What became of all writes.
pub struct Judged {
    /// Of each row of the history.
    pub of_history: Vec<Fate>,
    /// Of each write of the evidence.
    pub of_evidence: Vec<Fate>,
    /// Of each write of the evidence that has no row, the value that stood in its cell then.
    pub stood: Vec<u32>,
    /// Values that are not what was left.
    pub breaks: Vec<ChainBreak>,
}

impl Judged {
    /// Judges `writes`, which are in order.
    pub fn of(writes: &Writes, rules: &Rules) -> Self {
        let (history, evidence) = (&writes.history, &writes.evidence);
        let mut judged = Self {
            of_history: vec![Fate::Alone; history.len()],
            of_evidence: vec![Fate::Alone; evidence.len()],
            stood: vec![NONE; evidence.len()],
            breaks: Vec::new(),
        };
        let (mut h, mut e) = (0, 0);
        while let Some(cell) = history.get(h).into_iter().chain(evidence.get(e)).map(|write| write.cell).min() {
            let (h_end, e_end) = (end_of(history, h, cell), end_of(evidence, e, cell));
            judged.judge_cell(writes, rules, (h..h_end, e..e_end));
            (h, e) = (h_end, e_end);
        }
        judged.pair_creations(writes, rules);
        judged
    }

    fn judge_cell(&mut self, writes: &Writes, rules: &Rules, (h, e): (Range<usize>, Range<usize>)) {
        let (rows, told) = (&writes.history[h.clone()], &writes.evidence[e.clone()]);
        let pairs = CellPairs::of(rows, told, rules.tolerance);
        let fate = |partner: &Partner, start: usize| {
            partner.map_or(Fate::Alone, |(how, place)| Fate::Pair(how, (start + place) as u32))
        };
        for (place, partner) in h.clone().zip(&pairs.of_history) {
            self.of_history[place] = fate(partner, e.start);
        }
        for (place, partner) in e.clone().zip(&pairs.of_evidence) {
            self.of_evidence[place] = fate(partner, h.start);
        }
        let chain = Chain::of(rows);
        for (row, before) in chain.breaks().filter(|(row, _)| rules.holds(rows[*row].at)) {
            let (write, stood, row) = (h.start + row, rows[before].new, Some(h.start + before));
            self.breaks.push(ChainBreak { side: Side::History, write, stood, row });
        }
        for (place, (write, partner)) in e.zip(told.iter().zip(&pairs.of_evidence)) {
            let row = partner.map(|(_, row)| row);
            if row.is_none() {
                self.stood[place] = chain.stood_at(write.at);
            }
            // The fields of a record that is being made have no history that could be contradicted.
            let is_made = row.is_none() && write.is_creation;
            if !is_made
                && self.counts_evidence(writes, place, rules)
                && let Some(stood) = chain.contradicts(write, row, rules.tolerance)
            {
                let row = row.or_else(|| chain.last_until(write.at)).map(|row| h.start + row);
                self.breaks.push(ChainBreak { side: Side::Evidence, write: place, stood, row });
            }
        }
    }

    /// Finds the row of the creation of its record for every write of the evidence that made a field of one.
    fn pair_creations(&mut self, writes: &Writes, rules: &Rules) {
        let Some(creation) = writes.creation() else { return };
        let (history, evidence) = (&writes.history, &writes.evidence);
        let mut created: HashMap<[u32; 3], Vec<usize>> = HashMap::new();
        for (place, row) in history.iter().enumerate() {
            if row.cell[FIELD] == NONE && row.cell[OPERATION] == creation {
                created.entry(row.record()).or_default().push(place);
            }
        }
        let is_made = |place: &usize| {
            let write = &evidence[*place];
            write.is_creation && write.cell[FIELD] != NONE && self.of_evidence[*place] == Fate::Alone
        };
        let mut made: Vec<usize> = (0..evidence.len()).filter(is_made).collect();
        made.sort_unstable_by_key(|place| (evidence[*place].at, evidence[*place].number));
        for place in made {
            let apart = |row: &usize| (history[*row].at - evidence[place].at).abs();
            let rows = created.get(&evidence[place].record()).into_iter().flatten().copied();
            let Some(row) = rows.filter(|row| apart(row) <= rules.tolerance).min_by_key(apart) else { continue };
            if self.of_history[row] == Fate::Alone {
                self.of_history[row] = Fate::Pair(How::NoValue, place as u32);
                self.of_evidence[place] = Fate::Pair(How::NoValue, row as u32);
            } else {
                self.of_evidence[place] = Fate::WithRecord(row as u32);
            }
        }
    }

    /// Whether the row of the history at `place` counts: it lies in the span, or its partner does.
    pub fn counts_history(&self, writes: &Writes, place: usize, rules: &Rules) -> bool {
        let is_partner_judged = match self.of_history[place] {
            Fate::Pair(_, write) => rules.holds(writes.evidence[write as usize].at),
            Fate::Alone | Fate::WithRecord(_) => false,
        };
        is_partner_judged || rules.holds(writes.history[place].at)
    }

    /// Whether the write of the evidence at `place` counts: it lies in the span, or its partner does.
    pub fn counts_evidence(&self, writes: &Writes, place: usize, rules: &Rules) -> bool {
        let is_partner_judged = match self.of_evidence[place] {
            Fate::Pair(_, row) | Fate::WithRecord(row) => rules.holds(writes.history[row as usize].at),
            Fate::Alone => false,
        };
        is_partner_judged || rules.holds(writes.evidence[place].at)
    }
}

/// Where the writes to `cell` end that begin at `from`.
fn end_of(writes: &[Write], from: usize, cell: CellKey) -> usize {
    from + writes[from..].iter().take_while(|write| write.cell == cell).count()
}
