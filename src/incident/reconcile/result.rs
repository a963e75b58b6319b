//! The result of a reconciliation: whether everything is accounted for, what is not, and what that rests on.
//!
//! In: the comparison, and what was left out of it. Out: yes or no, findings as rows, words of doubt, JSON and CSV.
//! Invariants: it says yes only where something was compared and nothing was left unread; counts are of all findings,
//! also where a document lists the first of them. It must not decide anything anew.

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::compare::{ChainBreak, Compared, Rules, Side};
use super::evidence::LeftOut;
use super::history::Read;
use super::writes::{Agents, Write};
use crate::clock::{Micros, SECOND, rfc3339};
use crate::error::{Error, Result};
use crate::limits::RECONCILED_LISTED;
use crate::query::output::quoted;

/// Names that a sentence repeats at most.
const NAMED: usize = 5;

/// A list of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Rows of the history by agents that nobody logged.
    Unlogged,
    /// Writes of the evidence that left no row.
    NotLanded,
    /// Rows that hold another value than was logged.
    WrongValues,
    /// Values that are not what was left there.
    ChainBreaks,
}

impl List {
    /// All of them, gravest first.
    pub const ALL: [Self; 4] = [Self::Unlogged, Self::NotLanded, Self::WrongValues, Self::ChainBreaks];

    /// Its name in JSON and as a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unlogged => "unlogged",
            Self::NotLanded => "not_landed",
            Self::WrongValues => "wrong_values",
            Self::ChainBreaks => "chain_breaks",
        }
    }

    /// The columns of its rows.
    #[rustfmt::skip]
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Unlogged => &[
                "occurred_at", "system", "record_type", "record_id", "field", "operation", "actor_id", "old_value",
                "new_value", "file", "line",
            ],
            Self::NotLanded => &[
                "occurred_at", "system", "record_type", "record_id", "field", "operation", "actor_id", "old_value",
                "new_value", "outcome", "history_value", "seq", "action_id",
            ],
            Self::WrongValues => &[
                "occurred_at", "system", "record_type", "record_id", "field", "operation", "actor_id", "old_value",
                "new_value", "history_value", "history_at", "history_actor_id", "seq", "action_id", "file", "line",
            ],
            Self::ChainBreaks => &[
                "occurred_at", "system", "record_type", "record_id", "field", "operation", "actor_id", "old_value",
                "new_value", "history_value", "history_at", "side", "seq", "action_id", "file", "line",
                "history_file", "history_line",
            ],
        }
    }
}

/// A history compared with the evidence.
pub struct Reconciliation {
    /// What became of the writes of both sides.
    pub compared: Compared,
    /// By what they were compared.
    pub rules: Rules,
    /// The environment of the evidence.
    pub environment: String,
    /// How the rows of the history were read.
    pub read: Read,
    /// Why the first rows do not decode.
    pub reasons: Vec<String>,
    /// What of the evidence the history cannot show.
    pub left_out: LeftOut,
    /// Events that count.
    pub size: i64,
    /// Version of the folded table.
    pub table_version: i64,
    /// Root of the ledger over these events, where its tiles reach as far.
    pub root: Option<String>,
}

impl Reconciliation {
    /// Whether the two sides agree, as far as they are comparable: no finding, and nothing that may hide one.
    pub fn is_reconciled(&self) -> bool {
        self.compared.findings() == 0 && self.gaps().is_empty()
    }

    /// Rows of the history that lie outside of the span.
    pub fn history_outside(&self) -> u64 {
        let Read { rows, refused, duplicates, not_writes, without_record } = self.read;
        rows - refused - duplicates - not_writes - without_record - self.compared.history.writes
    }

    /// What keeps anybody from saying that all is well, in words; none where it can be said.
    pub fn gaps(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        let writes = self.compared.history.writes;
        if self.read.refused > 0 {
            gaps.push(format!("{} rows of the history do not decode, and may be writes", self.read.refused));
        }
        if writes == 0 {
            let what =
                if self.read.rows == 0 { "the history has no row" } else { "the history has no write to compare" };
            gaps.push(what.to_owned());
        }
        // The history may know agents by other names than the log; a person who names one that is idle is believed.
        let is_agent_missed = matches!(self.rules.agents, Agents::Known(_)) || self.compared.agents_logged > 0;
        if writes > 0 && self.compared.agents_writes == 0 && is_agent_missed {
            let what =
                "no identity of an agent wrote in the history; name those that agents have there with --agent ID";
            gaps.push(what.to_owned());
        }
        gaps
    }

    /// What the answer should not be leant on for, in words.
    pub fn doubts(&self) -> Vec<String> {
        let compared = &self.compared;
        let mut doubts = Vec::new();
        let silent: Vec<&str> = compared.agents.iter().filter(|(_, n)| **n == 0).map(|(id, _)| id.as_str()).collect();
        if matches!(self.rules.agents, Agents::Named(_)) && !silent.is_empty() {
            doubts.push(format!("{} wrote nothing in the history; is it spelled so there?", silent.join(", ")));
        }
        let others: u64 = compared.other_identities.values().sum();
        if others > 0 {
            doubts.push(format!(
                "{others} writes that agents logged are in the history as those of {}; name what agents write under \
                 with --agent ID",
                named(&compared.other_identities)
            ));
        }
        if compared.evidence.writes == 0 && self.left_out.other_fields == 0 && self.left_out.other_types > 0 {
            doubts.push(format!(
                "the evidence has no write to a type of the history; it has {}. A mapping makes names equal",
                named(&self.left_out.types)
            ));
        }
        if compared.history.matched_without_value > 0 {
            let pairs = compared.history.matched_without_value;
            doubts.push(format!("{pairs} pairs agree in cell and time only, for one side has no value"));
        }
        if compared.records.only_evidence > 0 && !compared.not_landed.is_empty() {
            let records = compared.records.only_evidence;
            doubts.push(format!("{records} records of the evidence are not in the history; does it hold all records?"));
        }
        doubts
    }

    /// Number of findings of `list`.
    pub fn findings(&self, list: List) -> usize {
        match list {
            List::Unlogged => self.compared.unlogged.len(),
            List::NotLanded => self.compared.not_landed.len(),
            List::WrongValues => self.compared.wrong_values.len(),
            List::ChainBreaks => self.compared.chain_breaks.len(),
        }
    }

    /// The rows of `list` in its order, each with its values in the order of [`List::columns`].
    pub fn rows(&self, list: List) -> impl Iterator<Item = Vec<Value>> {
        (0..self.findings(list)).map(move |number| match list {
            List::Unlogged => {
                let row = &self.compared.writes.history[self.compared.unlogged[number]];
                [self.told(row), self.in_file(row)].concat()
            }
            List::NotLanded => {
                let (place, stood) = self.compared.not_landed[number];
                let write = &self.compared.writes.evidence[place];
                [self.told(write), vec![Value::from(write.outcome.name()), self.text(stood)], self.in_ledger(write)]
                    .concat()
            }
            List::WrongValues => {
                let (row, write) = self.compared.wrong_values[number];
                let (row, write) = (&self.compared.writes.history[row], &self.compared.writes.evidence[write]);
                let other = vec![self.text(row.new), instant(row.at), self.text(row.actor)];
                [self.told(write), other, self.in_ledger(write), self.in_file(row)].concat()
            }
            List::ChainBreaks => self.chain_break(&self.compared.chain_breaks[number]),
        })
    }

    fn chain_break(&self, found: &ChainBreak) -> Vec<Value> {
        let nothing = || vec![Value::Null, Value::Null];
        let row = found.row.map(|row| &self.compared.writes.history[row]);
        let (write, side, places) = match found.side {
            Side::History => {
                let write = &self.compared.writes.history[found.write];
                (write, "history", [nothing(), self.in_file(write)].concat())
            }
            Side::Evidence => {
                let write = &self.compared.writes.evidence[found.write];
                (write, "evidence", [self.in_ledger(write), nothing()].concat())
            }
        };
        let stood = vec![self.text(found.stood), row.map_or(Value::Null, |row| instant(row.at)), Value::from(side)];
        [self.told(write), stood, places, row.map_or_else(nothing, |row| self.in_file(row))].concat()
    }

    /// The columns that all lists begin with.
    fn told(&self, write: &Write) -> Vec<Value> {
        let cell = write.cell.map(|part| self.text(part));
        let rest = [write.actor, write.old, write.new].map(|number| self.text(number));
        std::iter::once(instant(write.at)).chain(cell).chain(rest).collect()
    }

    fn in_file(&self, row: &Write) -> Vec<Value> {
        vec![self.text(row.origin), Value::from(row.number)]
    }

    fn in_ledger(&self, write: &Write) -> Vec<Value> {
        vec![Value::from(write.number), self.text(write.origin)]
    }

    fn text(&self, number: u32) -> Value {
        self.compared.writes.text(number).into()
    }

    /// Writes `list` as CSV with a header line: null is nothing at all, the empty text a pair of quotes.
    ///
    /// # Errors
    /// When `out` cannot be written to.
    pub fn write_csv(&self, list: List, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(out, "{}", list.columns().join(","))?;
        for row in self.rows(list) {
            let cells = row.iter().map(|value| match value {
                Value::Null => String::new(),
                Value::String(text) => quoted(text),
                other => other.to_string(),
            });
            writeln!(out, "{}", cells.collect::<Vec<_>>().join(","))?;
        }
        out.flush()
    }

    /// The whole as JSON; of each list the first [`RECONCILED_LISTED`].
    ///
    /// # Errors
    /// Never for a reconciliation.
    pub fn to_json(&self) -> Result<Value> {
        let compared = &self.compared;
        let mut history = object(&self.read)?;
        history.insert("outside_span".to_owned(), self.history_outside().into());
        history.extend(object(&compared.history)?);
        let mut evidence = object(&self.left_out)?;
        evidence.extend(object(&compared.evidence)?);
        evidence.insert("types_left_out".to_owned(), json!(self.left_out.types));
        evidence.insert("fields_left_out".to_owned(), json!(self.left_out.fields));
        let records = object(&compared.records)?;
        let agents = compared.agents.iter().map(|(id, writes)| json!({"actor_id": id, "writes": writes}));
        let is_span = self.rules.from < self.rules.to;
        let end = |at: Micros| if is_span { instant(at) } else { Value::Null };
        let mut whole = json!({
            "is_reconciled": self.is_reconciled(),
            "as_of": {"size": self.size, "version": self.table_version, "root": self.root},
            "environment": self.environment,
            "from": end(self.rules.from),
            "to": end(self.rules.to),
            "tolerance_seconds": self.rules.tolerance / SECOND,
            "agents": agents.collect::<Vec<_>>(),
            "are_agents_named": matches!(self.rules.agents, Agents::Named(_)),
            "agents_writes": compared.agents_writes,
            "agents_logged": compared.agents_logged,
            "other_identities": compared.other_identities,
            "history": history,
            "evidence": evidence,
            "records": records,
            "gaps": self.gaps(),
            "doubts": self.doubts(),
            "reasons": self.reasons,
        });
        for list in List::ALL {
            let as_object = |row: Vec<Value>| -> Map<String, Value> {
                list.columns().iter().map(|column| (*column).to_owned()).zip(row).collect()
            };
            whole[list.name()] = self.rows(list).take(RECONCILED_LISTED).map(as_object).map(Value::Object).collect();
        }
        whole["is_truncated"] = List::ALL.iter().any(|list| self.findings(*list) > RECONCILED_LISTED).into();
        Ok(whole)
    }
}

fn object(part: &impl Serialize) -> Result<Map<String, Value>> {
    match serde_json::to_value(part) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(Error::internal("a part of a reconciliation is no JSON object")),
    }
}

fn instant(at: Micros) -> Value {
    rfc3339(at).into()
}

/// The most frequent of `names`, each with its number.
fn named(names: &BTreeMap<String, u64>) -> String {
    let mut sorted: Vec<(&String, &u64)> = names.iter().collect();
    sorted.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
    let rest = if sorted.len() > NAMED { " and others" } else { "" };
    let first = sorted.into_iter().take(NAMED).map(|(name, n)| format!("{name} ({n})"));
    first.collect::<Vec<_>>().join(", ") + rest
}
