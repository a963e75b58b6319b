//! The evidence beside a history: which writes it tells of, and who its agents are.
//!
//! In: an engine, the history's names of types and fields, a span of time. Out: the writes that the history can show,
//! and counts of those that it cannot. Invariant: every applied write of the environment is one or the other. Applied
//! is what it is for a blast radius: `action.executed` or `action.rolled_back` that succeeded, in part or perhaps, and
//! `record.corrected` unless its outcome says otherwise; what a write leaves out of its target is taken from earlier
//! events of its action.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use hashbrown::HashMap;
use serde::Serialize;

use super::history::told;
use super::writes::{Coverage, Told, Writes};
use crate::blast::names::{FIELD, RECORD_ID, RECORD_TYPE, SYSTEM};
use crate::blast::view::target;
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::event::{Column, Rows};
use crate::limits::RECONCILED_WRITES;
use crate::query::answer::{AnswerStream, Limits};
use crate::query::engine::Engine;
use crate::query::objects::{count, literal, rows, text};

/// The events that wrote, as SQL.
const APPLIED: &str = "(event_type in ('action.executed', 'action.rolled_back') and outcome in ('succeeded', \
    'partial', 'unknown') or event_type = 'record.corrected' and (outcome is null or outcome in ('succeeded', \
    'partial', 'unknown')))";
/// What of a write may stand on an earlier event of its action.
const EARLIER: [&str; 5] = ["system", "record_type", "record_id", "field", "operation"];
/// Identities of agents that are looked for without being named.
const IDENTITIES: usize = 10_000;
/// Names of types and fields that are told one by one.
const NAMED: usize = 50;

/// Where writes are looked for.
pub struct Span<'a> {
    /// The environment; events of others are passed over.
    pub environment: &'a str,
    /// From this instant on,
    pub from: Micros,
    /// and before this one.
    pub to: Micros,
    /// How far around that a write may lie that belongs to a row of the history, microseconds.
    pub tolerance: Micros,
}

/// Applied writes of the environment that the history cannot show; with those that are compared they add up to all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Outside of the span.
    pub outside_span: u64,
    /// To types that the history has no row of.
    pub other_types: u64,
    /// To fields that the history has no row of, or operations on whole records.
    pub other_fields: u64,
    /// Without a record.
    pub without_record: u64,
    /// The first types of `other_types`, each with its writes.
    #[serde(skip)]
    pub types: BTreeMap<String, u64>,
    /// The first fields of `other_fields`, each with its writes.
    #[serde(skip)]
    pub fields: BTreeMap<String, u64>,
}

/// Adds to `writes` what the evidence tells of in `span`; gives what the history cannot show.
///
/// # Errors
/// A bound that is met, evidence that cannot be read.
pub async fn read(engine: &Engine, writes: &mut Writes, span: &Span<'_>) -> Result<LeftOut> {
    let environment = literal(span.environment);
    let within = |from: Micros, to: Micros| {
        let (from, to) = (instant(from), instant(to));
        format!("(occurred_at >= {from} and occurred_at < {to})")
    };
    let here = format!("environment = {environment} and {APPLIED}");
    let outside = format!("select count(*) as n from events where {here} and not {}", within(span.from, span.to));
    let answer = rows(&engine.sql(&outside, Limits::default()).await?)?;
    let outside_span = answer.first().and_then(|row| count(row, "n"));
    let outside_span = outside_span.ok_or_else(|| Error::internal("a count of writes gives no number"))?;
    let mut left_out = LeftOut { outside_span, ..LeftOut::default() };
    if span.from >= span.to {
        return Ok(left_out);
    }
    let near = format!("{here} and {}", within(span.from - span.tolerance, span.to + span.tolerance));
    let earlier = earlier(engine, &environment, &near).await?;
    let sql = format!(
        "select seq, event_type, occurred_at, action_id, actor_kind, actor_id, system, record_type, record_id, field, \
         operation, old_value, new_value, outcome from events where {near}"
    );
    let mut answer = stream(engine, &sql).await?;
    while let Some(batch) = answer.next().await? {
        take(&batch, &earlier, writes, (span, &mut left_out))?;
    }
    Ok(left_out)
}

fn take(
    batch: &RecordBatch,
    earlier: &HashMap<i64, Earlier>,
    writes: &mut Writes,
    (span, left_out): (&Span<'_>, &mut LeftOut),
) -> Result<()> {
    let rows = Rows::new(batch)?;
    for row in 0..rows.len() {
        let (Some(told), Some(seq)) = (told(&rows, row), rows.long(Column::Seq, row)) else {
            return Err(Error::internal("a write of the evidence lacks its kind, instant or `seq`"));
        };
        let mut told = Told { origin: rows.text(Column::ActionId, row), number: seq, ..told };
        if let Some(earlier) = earlier.get(&seq) {
            earlier.complete(&mut told, rows.text(Column::EventType, row));
        }
        let is_inside = (span.from..span.to).contains(&told.at);
        match writes.coverage(&told) {
            _ if told.target[RECORD_ID].is_none() => left_out.without_record += u64::from(is_inside),
            Coverage::Field => writes.add_evidence(&told)?,
            _ if !is_inside => {}
            Coverage::OtherField => left_out.add_field(&told),
            Coverage::OtherType => left_out.add_type(&told),
        }
    }
    Ok(())
}

impl LeftOut {
    fn add_type(&mut self, told: &Told<'_>) {
        self.other_types += 1;
        add(&mut self.types, type_name(told));
    }

    fn add_field(&mut self, told: &Told<'_>) {
        self.other_fields += 1;
        let name = match (told.target[FIELD], told.operation) {
            (Some(field), _) => format!("{}/{field}", type_name(told)),
            (None, operation) => format!("{} ({})", type_name(told), operation.unwrap_or("whole record")),
        };
        add(&mut self.fields, name);
    }
}

fn type_name(told: &Told<'_>) -> String {
    let part = |part: usize| told.target[part].unwrap_or_default();
    format!("{}/{}", part(SYSTEM), part(RECORD_TYPE))
}

fn add(names: &mut BTreeMap<String, u64>, name: String) {
    if names.len() < NAMED || names.contains_key(&name) {
        *names.entry(name).or_default() += 1;
    }
}

/// What earlier events of its action say of a write that does not say it itself.
#[derive(Debug, Default)]
struct Earlier {
    target: [Option<String>; 4],
    operation: Option<String>,
    old_value: Option<String>,
}

impl Earlier {
    fn complete<'a>(&'a self, told: &mut Told<'a>, event_type: Option<&str>) {
        for (part, earlier) in told.target.iter_mut().zip(&self.target) {
            *part = part.or(earlier.as_deref());
        }
        told.operation = told.operation.or(self.operation.as_deref());
        // A roll-back that does not say what it left restores what was captured before it.
        if event_type == Some("action.rolled_back") {
            told.new_value = told.new_value.or(self.old_value.as_deref());
        }
    }
}

/// What earlier events say of the writes that `near` picks and that lack something, by `seq`.
async fn earlier(engine: &Engine, environment: &str, near: &str) -> Result<HashMap<i64, Earlier>> {
    let last = |column: &str| {
        format!("first_value(e.{column} order by e.event_order desc) filter (where e.{column} is not null) as {column}")
    };
    let sql = format!(
        "with lacking as (select seq, event_order, action_id from events where {near} and action_id is not null \
         and (system is null or record_type is null or record_id is null or field is null \
         or event_type = 'action.rolled_back' and new_value is null)) \
         select l.seq, {}, first_value(e.old_value order by e.event_order desc) filter (where e.old_value is not null \
         and e.event_type <> 'action.rolled_back') as old_value \
         from lacking as l inner join events as e on e.action_id = l.action_id and e.event_order < l.event_order \
         where e.environment = {environment} group by l.seq",
        EARLIER.map(last).join(", ")
    );
    let mut answer = stream(engine, &sql).await?;
    let mut found = HashMap::new();
    while let Some(batch) = answer.next().await? {
        let rows = Rows::new(&batch)?;
        for row in 0..rows.len() {
            let owned = |column: Column| rows.text(column, row).map(str::to_owned);
            let earlier = Earlier {
                target: target(&rows, row).map(|part| part.map(str::to_owned)),
                operation: owned(Column::Operation),
                old_value: owned(Column::OldValue),
            };
            found.extend(rows.long(Column::Seq, row).map(|seq| (seq, earlier)));
        }
        if found.len() > RECONCILED_WRITES {
            return Err(Error::limit(format!(
                "more than {RECONCILED_WRITES} writes of the evidence do not name their cell; take less time with \
                 --from and --to"
            )));
        }
    }
    Ok(found)
}

/// The identities of the agents in the evidence of `environment`.
///
/// # Errors
/// Limit, when there are too many to look for.
pub async fn identities(engine: &Engine, environment: &str) -> Result<BTreeSet<String>> {
    let sql = format!(
        "select distinct actor_id from events where environment = {} and actor_kind = 'agent' and actor_id is not null",
        literal(environment)
    );
    let answer = engine.sql(&sql, Limits { rows: IDENTITIES, ..Limits::default() }).await?;
    if answer.is_truncated {
        return Err(Error::limit(format!(
            "the evidence has more than {IDENTITIES} identities of agents; name those to look for with --agent ID"
        )));
    }
    Ok(rows(&answer)?.iter().map(|row| text(row, "actor_id").to_owned()).collect())
}

async fn stream(engine: &Engine, sql: &str) -> Result<AnswerStream> {
    engine.sql_stream(sql, Limits { rows: usize::MAX, ..Limits::default() }).await
}

/// An instant as SQL: a literal of a timestamp holds three centuries only.
fn instant(at: Micros) -> String {
    format!("arrow_cast({at}, 'Timestamp(Microsecond, Some(\"UTC\"))')")
}
