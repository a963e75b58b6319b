//! Reconciliation: the field history of a system of record beside the evidence of who writes to it.
//!
//! In: a history through a mapping, a store with an engine, whose identities are agents'. Out: what agents wrote and
//! nobody logged, what was logged and never landed, values that differ, and values that are not what was left there.
//! Invariants: each write is used once, and the counts of both sides add up. It reads only: nothing of the history is
//! stored, and no finding is a statement in the ledger.
//!
//! ```text
//! rows ─ mapping ─ History ─┐
//!                           ├─ Writes ─ by cell: CellPairs, Chain ─ Judged ─ Compared ─ Reconciliation
//! events ─ SQL ─ evidence ──┘
//! ```
//!
//! # How two writes are one
//!
//! They go to the same cell and lie within the tolerance. Of all pairings by new value one with the most pairs is
//! taken (`pairs`); what is left is paired where one side has no value, and then where the values differ. Names and
//! values are compared exactly, as text: a mapping is where a type, a field or a form of values is made equal.
//!
//! # What is compared
//!
//! - Of the history, its writes in the span: from its first to its last row, or as a person says that it reaches.
//! - Of the evidence, the applied writes of one environment in that span to types and fields that the history has rows
//!   of. The rest is counted: a history cannot show a field that is not tracked, nor time that was not exported.
//! - Records that only one side has are compared: a write to a record that the history lacks has not landed, unless
//!   the export holds some records only, which nobody but who made it can know.
//! - The cell of a whole record is taken apart by operation: a logged message is no trace of a deletion.
//! - A write that found the value that it left leaves no row in most systems; without one it is counted, no finding.
//! - An agent that logs the creation of a record field by field is matched with the one row that the history has of it.
//! - A person's write with another value is never taken for an agent's that went wrong.

mod cell;
mod chain;
mod compare;
mod evidence;
mod history;
mod judge;
mod pairs;
mod result;
mod writes;

use std::collections::BTreeSet;

pub use compare::{ChainBreak, Compared, EvidenceCounts, HistoryCounts, RecordCounts, Rules, Side};
pub use evidence::LeftOut;
pub use history::{History, Read};
pub use result::{List, Reconciliation};
pub use writes::{Agents, Coverage, Told, Writer, Writes};

use crate::clock::{HOUR, Micros, SECOND};
use crate::error::{Error, Result};
use crate::limits::RECONCILED_TOLERANCE_HOURS;
use crate::query::engine::Engine;
use crate::store::Store;
use evidence::Span;

/// Microseconds of one minute.
const MINUTE: Micros = 60 * SECOND;

/// What a person asks of a reconciliation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Identities of agents in the history, and no others; none: those that the evidence and the history know.
    pub agents: BTreeSet<String>,
    /// From when on the history is complete; none: from its first row on.
    pub from: Option<Micros>,
    /// Until when the history is complete; none: to its last row.
    pub to: Option<Micros>,
    /// How far the two instants of one write may lie apart, microseconds.
    pub tolerance: Micros,
    /// The environment of the evidence; events of others are passed over.
    pub environment: String,
}

impl Default for Asked {
    /// Five minutes in production. A log tells of a write when the call came back, a system of record when it was
    /// committed, often in whole seconds, and queues lie between the two; clocks may differ by as much as Kerberos lets
    /// them (RFC 4120, section 8.2: 5 minutes). An agent mostly comes back to a field later than that.
    fn default() -> Self {
        let environment = "production".to_owned();
        Self { agents: BTreeSet::new(), from: None, to: None, tolerance: 5 * MINUTE, environment }
    }
}

/// The tolerance that `text` means: a whole number of seconds, minutes or hours, `90s`, `5m`, `2h`.
///
/// # Errors
/// Invalid for any other text; Limit for more than [`RECONCILED_TOLERANCE_HOURS`].
pub fn read_tolerance(text: &str) -> Result<Micros> {
    let units = [('s', SECOND), ('m', MINUTE), ('h', HOUR)];
    let read = units.into_iter().find_map(|(unit, micros)| {
        let number = text.strip_suffix(unit)?;
        let is_whole = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        if is_whole { number.parse::<i64>().ok()?.checked_mul(micros) } else { None }
    });
    let tolerance =
        read.ok_or_else(|| Error::invalid(format!("`{text}` is no tolerance; write a whole number as 90s, 5m or 2h")))?;
    if tolerance > RECONCILED_TOLERANCE_HOURS * HOUR {
        return Err(Error::limit(format!(
            "a tolerance of {text} pairs writes that have nothing to do with each other; the limit is \
             {RECONCILED_TOLERANCE_HOURS}h"
        )));
    }
    Ok(tolerance)
}

/// Compares `history` with the evidence.
///
/// # Errors
/// When nobody says who is an agent, a bound is met, or the evidence cannot be read.
pub async fn reconcile(store: &Store, engine: &Engine, history: History, asked: &Asked) -> Result<Reconciliation> {
    let History { mut writes, read, reasons, .. } = history;
    let Asked { tolerance, environment, .. } = asked;
    let agents = agents(engine, &writes, asked).await?;
    let span = writes.span();
    let from = asked.from.or(span.map(|(first, _)| first)).unwrap_or_default();
    let to = asked.to.or(span.map(|(_, last)| last + 1)).unwrap_or_default().max(from);
    let span = Span { environment, from, to, tolerance: *tolerance };
    let mut left_out = evidence::read(engine, &mut writes, &span).await?;
    let rules = Rules { agents, from, to, tolerance: *tolerance };
    let compared = Compared::of(writes, &rules);
    left_out.outside_span = left_out.outside_span.saturating_sub(compared.evidence_outside);
    let size = engine.as_of().size;
    Ok(Reconciliation {
        compared,
        rules,
        environment: environment.clone(),
        read,
        reasons,
        left_out,
        size,
        table_version: engine.version(),
        root: store.root_at(size).await?,
    })
}

/// Whose writes are agents'.
async fn agents(engine: &Engine, writes: &Writes, asked: &Asked) -> Result<Agents> {
    if !asked.agents.is_empty() {
        return Ok(Agents::Named(asked.agents.clone()));
    }
    let mut known = evidence::identities(engine, &asked.environment).await?;
    let called_agents = || writes.history.iter().filter(|write| write.writer == Writer::Agent);
    known.extend(called_agents().filter_map(|write| writes.text(write.actor)).map(str::to_owned));
    if known.is_empty() && called_agents().next().is_none() {
        return Err(Error::invalid(
            "neither the evidence nor the history says who is an agent; name the identities under which agents write \
             in the history with --agent ID",
        ));
    }
    Ok(Agents::Known(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tolerance_has_a_unit_and_a_bound() {
        for (text, tolerance) in [("0s", 0), ("90s", 90 * SECOND), ("5m", 300 * SECOND), ("24h", 24 * HOUR)] {
            assert_eq!(read_tolerance(text).unwrap(), tolerance, "{text}");
        }
        for text in ["", "5", "m", "-5m", "1.5h", "5 m", "+5m", "25h", "9999999999999999999h", "5d", "٥m"] {
            assert!(read_tolerance(text).is_err(), "{text}");
        }
    }
}
