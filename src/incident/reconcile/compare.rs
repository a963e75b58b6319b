//! The comparison: every write of both sides is judged once, and what is left over is a finding.
//!
//! In: the writes of both sides, whose identities are agents', a span of time, a tolerance. Out: counts and findings.
//! Invariants: of each side, the writes that count are exactly the sum of what became of them; a pair counts on both
//! sides, also where one of it lies just outside of the span. Pure: no I/O, no clock.

use std::collections::BTreeMap;

use hashbrown::HashSet;
use serde::Serialize;

use super::cell::How;
use super::judge::{Fate, Judged};
use super::writes::{Agents, Outcome, Writer, Writes};
use crate::clock::Micros;

/// By what the two sides are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Whose writes are those of agents.
    pub agents: Agents,
    /// Writes from this instant on are judged,
    pub from: Micros,
    /// those before this one.
    pub to: Micros,
    /// How far the two instants of one write may lie apart, microseconds.
    pub tolerance: Micros,
}

impl Rules {
    /// Whether a write of this instant is judged.
    pub fn holds(&self, at: Micros) -> bool {
        (self.from..self.to).contains(&at)
    }
}

/// What became of the rows of the history; the parts of `writes` add up to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct HistoryCounts {
    /// Rows that count.
    pub writes: u64,
    /// Logged with the same value.
    pub matched: u64,
    /// Logged, and one side has no value.
    pub matched_without_value: u64,
    /// Logged with another value.
    pub wrong_value: u64,
    /// Written by an agent and not logged.
    pub unlogged: u64,
    /// Written by somebody else and not logged.
    pub other_writers: u64,
}

/// What became of the writes of the evidence; the parts of `writes` add up to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct EvidenceCounts {
    /// Writes that count.
    pub writes: u64,
    /// Landed with the same value.
    pub matched: u64,
    /// Landed, and one side has no value.
    pub matched_without_value: u64,
    /// Landed with another value.
    pub wrong_value: u64,
    /// Part of the creation of a record, which the history shows as one row without fields.
    pub landed_with_record: u64,
    /// Found the value that they left, and left no row.
    pub no_change: u64,
    /// Succeeded as the log says, and left no row.
    pub not_landed: u64,
    /// Partial or unknown as the log says, and left no row.
    pub not_landed_open: u64,
}

/// Records of the writes that count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RecordCounts {
    /// On both sides.
    pub both: u64,
    /// In the history only.
    pub only_history: u64,
    /// In the evidence only.
    pub only_evidence: u64,
}

/// A place where a value is not the one that was left there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainBreak {
    /// Who found another value.
    pub side: Side,
    /// Which write of that side.
    pub write: usize,
    /// The value that the history says stood, by number.
    pub stood: u32,
    /// The row of the history that says so: the one before, or the one that a write of the evidence is paired with.
    pub row: Option<usize>,
}

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The history.
    History,
    /// The evidence.
    Evidence,
}

/// What the comparison found; writes are named by their place on their side.
#[derive(Default)]
pub struct Compared {
    pub(super) writes: Writes,
    /// Rows of the history.
    pub history: HistoryCounts,
    /// Writes of the evidence.
    pub evidence: EvidenceCounts,
    /// Those of `evidence.writes` that lie just outside of the span.
    pub evidence_outside: u64,
    /// Their records.
    pub records: RecordCounts,
    /// Rows of the history that count and are by agents,
    pub agents_writes: u64,
    /// and how many of them by each identity.
    pub agents: BTreeMap<String, u64>,
    /// Writes of the evidence that count and are by agents.
    pub agents_logged: u64,
    /// Of an agent's writes by the log, those that the history has of somebody else, by that identity.
    pub other_identities: BTreeMap<String, u64>,
    /// Rows by agents that nobody logged.
    pub unlogged: Vec<usize>,
    /// Writes that left no row, each with the number of the value that stood in its cell then.
    pub not_landed: Vec<(usize, u32)>,
    /// Rows and the writes that say otherwise.
    pub wrong_values: Vec<(usize, usize)>,
    /// Values that are not what was left.
    pub chain_breaks: Vec<ChainBreak>,
}

impl Compared {
    /// Compares the two sides.
    pub fn of(mut writes: Writes, rules: &Rules) -> Self {
        writes.sort();
        writes.name_agents(&rules.agents);
        let judged = Judged::of(&writes, rules);
        let agents = rules.agents.identities().iter().map(|id| (id.clone(), 0)).collect();
        let mut compared = Self { agents, ..Self::default() };
        compared.count_history(&writes, &judged, rules);
        compared.count_evidence(&writes, &judged, rules);
        compared.records = records(&writes, &judged, rules);
        compared.chain_breaks = judged.breaks;
        compared.writes = writes;
        compared.sort();
        compared
    }

    fn count_history(&mut self, writes: &Writes, judged: &Judged, rules: &Rules) {
        for (place, row) in writes.history.iter().enumerate() {
            if !judged.counts_history(writes, place, rules) {
                continue;
            }
            let counts = &mut self.history;
            counts.writes += 1;
            match judged.of_history[place] {
                Fate::Pair(How::Value, _) => counts.matched += 1,
                Fate::Pair(How::NoValue, _) => counts.matched_without_value += 1,
                Fate::Pair(How::Wrong, write) => {
                    counts.wrong_value += 1;
                    self.wrong_values.push((place, write as usize));
                }
                Fate::Alone | Fate::WithRecord(_) if row.writer == Writer::Agent => {
                    counts.unlogged += 1;
                    self.unlogged.push(place);
                }
                Fate::Alone | Fate::WithRecord(_) => counts.other_writers += 1,
            }
            self.agents_writes += u64::from(row.writer == Writer::Agent);
            let Some(actor) = writes.text(row.actor) else { continue };
            if row.writer == Writer::Agent {
                *self.agents.entry(actor.to_owned()).or_default() += 1;
            } else if let Fate::Pair(How::Value | How::NoValue, write) = judged.of_history[place]
                && writes.evidence[write as usize].writer == Writer::Agent
            {
                *self.other_identities.entry(actor.to_owned()).or_default() += 1;
            }
        }
    }

    fn count_evidence(&mut self, writes: &Writes, judged: &Judged, rules: &Rules) {
        for (place, write) in writes.evidence.iter().enumerate() {
            if !judged.counts_evidence(writes, place, rules) {
                continue;
            }
            let counts = &mut self.evidence;
            counts.writes += 1;
            self.evidence_outside += u64::from(!rules.holds(write.at));
            self.agents_logged += u64::from(write.writer == Writer::Agent);
            match judged.of_evidence[place] {
                Fate::Pair(How::Value, _) => counts.matched += 1,
                Fate::Pair(How::NoValue, _) => counts.matched_without_value += 1,
                Fate::Pair(How::Wrong, _) => counts.wrong_value += 1,
                Fate::WithRecord(_) => counts.landed_with_record += 1,
                Fate::Alone if !write.is_changing() => counts.no_change += 1,
                Fate::Alone => {
                    match write.outcome {
                        Outcome::Succeeded => counts.not_landed += 1,
                        Outcome::Partial | Outcome::Unknown => counts.not_landed_open += 1,
                    }
                    self.not_landed.push((place, judged.stood[place]));
                }
            }
        }
    }

    /// Findings in order of time.
    fn sort(&mut self) {
        let (history, evidence) = (&self.writes.history, &self.writes.evidence);
        self.unlogged.sort_by_key(|row| (history[*row].at, history[*row].number));
        self.not_landed.sort_by_key(|(write, _)| (evidence[*write].at, evidence[*write].number));
        self.wrong_values.sort_by_key(|(_, write)| (evidence[*write].at, evidence[*write].number));
        let write = |found: &ChainBreak| match found.side {
            Side::History => &history[found.write],
            Side::Evidence => &evidence[found.write],
        };
        self.chain_breaks.sort_by_key(|found| (write(found).at, found.side, write(found).number));
    }

    /// Findings of all kinds.
    pub fn findings(&self) -> u64 {
        let lists = [self.unlogged.len(), self.not_landed.len(), self.wrong_values.len(), self.chain_breaks.len()];
        lists.into_iter().map(|length| length as u64).sum()
    }
}

fn records(writes: &Writes, judged: &Judged, rules: &Rules) -> RecordCounts {
    let rows = writes.history.iter().enumerate().filter(|(place, _)| judged.counts_history(writes, *place, rules));
    let told = writes.evidence.iter().enumerate().filter(|(place, _)| judged.counts_evidence(writes, *place, rules));
    let history: HashSet<[u32; 3]> = rows.map(|(_, row)| row.record()).collect();
    let evidence: HashSet<[u32; 3]> = told.map(|(_, write)| write.record()).collect();
    let both = history.intersection(&evidence).count();
    RecordCounts {
        both: both as u64,
        only_history: (history.len() - both) as u64,
        only_evidence: (evidence.len() - both) as u64,
    }
}
