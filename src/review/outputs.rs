//! The outputs of a candidate: what a review judges, picked from the evidence by conditions.
//!
//! In: conditions over the columns of `events`, as closely guarded as those of an incident; a session over the prefix
//! of the ledger that a plan names. Out: one output an action, as a frame. An action is picked by any of its events; it
//! is called by the leaf hash of its `action.proposed`, else of its first event, and that event alone says its stratum
//! and its weight. Invariant: conditions and prefix decide, so that one plan has one frame for ever, unless what it
//! reads was erased or retired since. It writes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, TimestampMicrosecondType};
use hashbrown::{HashMap, HashSet};

use super::frame::{Frame, Item};
use super::ground::Ground;
use super::leaf::Source;
use super::record::quoted;
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::event::columns::{COLUMNS, Kind, Role};
use crate::event::{Column, Leaf};
use crate::ledger::hash::hex;
use crate::limits::REVIEW_ITEMS;
use crate::query::answer::Limits;
use crate::query::blast::Selector;
use crate::query::engine::Engine;

/// The condition that narrows nothing.
pub const EVERYTHING: &str = "true";
/// Where outputs may come from: what ran beside the work, or the work itself.
pub const ENVIRONMENTS: [&str; 2] = ["shadow", "production"];
/// The stratum of a frame that has one.
pub const WHOLE: &str = "all";
/// The stratum of outputs whose event does not say one.
const UNSAID: &str = "(none)";

/// What picks the outputs of a review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pick {
    /// A condition that picks everything the candidate versions did.
    pub candidate: String,
    /// A condition that narrows it to what is judged; [`EVERYTHING`] narrows nothing.
    pub predicate: String,
    /// The environment that they are of.
    pub environment: String,
    /// The column whose values are the strata; none for one stratum.
    pub stratum_by: Option<Column>,
    /// Whether the amount of an output is its weight.
    pub is_weighted: bool,
}

/// An output of the candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The event that it is called by.
    pub seq: i64,
    /// Its action.
    pub action_id: Box<str>,
}

/// What was picked.
#[derive(Debug, Clone)]
pub struct Picked {
    /// The outputs as items.
    pub frame: Frame,
    /// The outputs by their places in the frame.
    pub outputs: Vec<Output>,
    /// Outputs of the candidate that the predicate leaves out.
    pub left_out: u64,
    /// What the outputs say of their workflow.
    pub workflows: BTreeSet<Option<String>>,
    /// What they say of their permission area.
    pub areas: BTreeSet<Option<String>>,
}

/// The column that strata are made by.
///
/// # Errors
/// Invalid when there is no such column, or its values are no groups or may be erased.
pub fn stratum_column(name: &str) -> Result<Column> {
    let column = Column::named(name).filter(|column| is_grouping(*column));
    column.ok_or_else(|| {
        let known = COLUMNS.iter().map(|spec| spec.column).filter(|column| is_grouping(*column)).map(Column::name);
        let known: Vec<&str> = known.collect();
        Error::invalid(format!("`{name}` is no column that strata can be made by; those are {}", known.join(", ")))
    })
}

fn is_grouping(column: Column) -> bool {
    let spec = column.spec();
    spec.role == Role::Open && matches!(spec.kind, Kind::Text | Kind::Word(_) | Kind::Int8)
}

/// The outputs that `pick` picks, as of `engine`.
///
/// # Errors
/// A condition that is none, no output at all, a bound that is met, amounts that cannot be weights.
pub async fn outputs(ground: Ground<'_>, engine: &Engine, pick: &Pick, source: Source) -> Result<Picked> {
    if !ENVIRONMENTS.contains(&pick.environment.as_str()) {
        return Err(Error::invalid(format!(
            "outputs of `{}` prove nothing about the work; judge those of {}",
            pick.environment,
            ENVIRONMENTS.join(" or ")
        )));
    }
    let candidates = actions_of(engine, &pick.candidate, &pick.environment).await?;
    let all = candidates.len();
    let judged: HashMap<Box<str>, Option<Found>> = match pick.predicate.trim() {
        EVERYTHING => candidates.into_iter().map(|id| (id, None)).collect(),
        predicate => {
            let wanted = actions_of(engine, predicate, &pick.environment).await?;
            candidates.into_iter().filter(|id| wanted.contains(id)).map(|id| (id, None)).collect()
        }
    };
    let left_out = (all - judged.len()) as u64;
    let mut reading = Reading { judged, names: Names::default() };
    reading.read(engine, pick).await?;
    reading.picked(ground, pick, source).await.map(|picked| Picked { left_out, ..picked })
}

/// The actions of which an event matches.
async fn actions_of(engine: &Engine, predicate: &str, environment: &str) -> Result<HashSet<Box<str>>> {
    let selector = Selector { environment: environment.to_owned(), ..Selector::new(predicate) };
    let matching = engine.matching(&selector).await?;
    let environment = quoted(environment);
    let sql = format!("select seq, action_id from events where environment = {environment} and action_id is not null");
    let mut rows = engine.sql_stream(&sql, all_rows()).await?;
    let mut actions: HashSet<Box<str>> = HashSet::new();
    while let Some(batch) = rows.next().await? {
        let (seqs, ids) = (longs(&batch, 0)?, texts(&batch, 1)?);
        for (seq, id) in seqs.into_iter().zip(ids.iter()) {
            if let Some(id) = id
                && matching.contains(seq)
            {
                actions.get_or_insert_with(id, |id| id.into());
            }
        }
        if actions.len() > REVIEW_ITEMS {
            return Err(Error::limit(format!(
                "the condition picks more than {REVIEW_ITEMS} outputs; narrow it, or review them in parts"
            )));
        }
    }
    Ok(actions)
}

fn all_rows() -> Limits {
    Limits { rows: usize::MAX, ..Limits::default() }
}

/// What an event says of its output.
#[derive(Debug, Clone)]
struct Found {
    is_proposal: bool,
    at: Micros,
    seq: i64,
    amount: Option<i128>,
    /// Numbers of texts, as this and the next three.
    stratum: u32,
    currency: u32,
    workflow: u32,
    area: u32,
}

impl Found {
    /// Whether an output is called by this event rather than by `other`.
    fn is_before(&self, other: &Self) -> bool {
        let rank = |found: &Self| (!found.is_proposal, found.at, found.seq);
        rank(self) < rank(other)
    }
}

/// The outputs while their events are read.
struct Reading {
    judged: HashMap<Box<str>, Option<Found>>,
    names: Names,
}

impl Reading {
    /// Reads the events of the judged actions.
    async fn read(&mut self, engine: &Engine, pick: &Pick) -> Result<()> {
        let stratum = pick.stratum_by.map_or("null", Column::name);
        let environment = quoted(&pick.environment);
        let sql = format!(
            "select seq, occurred_at, event_type = 'action.proposed' as is_proposal, amount, action_id, \
             cast({stratum} as varchar) as stratum, currency, workflow, permission_area from events \
             where environment = {environment} and action_id is not null"
        );
        let mut rows = engine.sql_stream(&sql, all_rows()).await?;
        while let Some(batch) = rows.next().await? {
            self.add(&batch)?;
        }
        Ok(())
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let wrong = || Error::internal("a column of outputs has another type");
        let (seqs, ids) = (longs(batch, 0)?, texts(batch, 4)?);
        let at = batch.column(1).as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(wrong)?;
        let is_proposal = batch.column(2).as_boolean_opt().ok_or_else(wrong)?;
        let amounts = batch.column(3).as_primitive_opt::<Decimal128Type>().ok_or_else(wrong)?;
        let words = [5, 6, 7, 8].map(|column| texts(batch, column));
        let [strata, currencies, workflows, areas] = words;
        let (strata, currencies, workflows, areas) = (strata?, currencies?, workflows?, areas?);
        for (row, id) in ids.iter().enumerate() {
            let Some(id) = id else { continue };
            let Some(known) = self.judged.get_mut(id) else { continue };
            let mut found = Found {
                is_proposal: is_proposal.is_valid(row) && is_proposal.value(row),
                at: at.value(row),
                seq: seqs[row],
                amount: amounts.is_valid(row).then(|| amounts.value(row)),
                stratum: 0,
                currency: 0,
                workflow: 0,
                area: 0,
            };
            if known.as_ref().is_none_or(|known| found.is_before(known)) {
                let mut number =
                    |texts: &StringViewArray| self.names.number(texts.is_valid(row).then(|| texts.value(row)));
                (found.stratum, found.currency) = (number(&strata), number(&currencies));
                (found.workflow, found.area) = (number(&workflows), number(&areas));
                *known = Some(found);
            }
        }
        Ok(())
    }

    /// The outputs with their leaf hashes; what is left out is not known here.
    async fn picked(self, ground: Ground<'_>, pick: &Pick, source: Source) -> Result<Picked> {
        let Self { judged, names } = self;
        let mut found: Vec<(Box<str>, Found)> =
            judged.into_iter().filter_map(|(id, found)| Some((id, found?))).collect();
        if pick.is_weighted {
            check_amounts(&found)?;
        }
        found.sort_unstable_by_key(|(_, found)| found.seq);
        let seqs: Vec<i64> = found.iter().map(|(_, found)| found.seq).collect();
        let leaves = ground.leaves(&seqs, source).await?;
        let said = |number: fn(&Found) -> u32| -> BTreeSet<Option<String>> {
            let numbers: BTreeSet<u32> = found.iter().map(|(_, found)| number(found)).collect();
            numbers.into_iter().map(|number| names.text(number).map(str::to_owned)).collect()
        };
        let (workflows, areas) = (said(|found| found.workflow), said(|found| found.area));
        let mut named: Vec<(Leaf, Box<str>, Found)> =
            leaves.into_iter().zip(found).map(|(leaf, (id, found))| (leaf, id, found)).collect();
        // The order of the hashes is that of their hexadecimal digits: places in the frame are places here.
        named.sort_unstable_by_key(|named| named.0);
        let item = |(leaf, _, found): &(Leaf, Box<str>, Found)| Item {
            id: hex(leaf),
            stratum: match pick.stratum_by {
                Some(_) => names.text(found.stratum).unwrap_or(UNSAID).to_owned(),
                None => WHOLE.to_owned(),
            },
            weight: pick.is_weighted.then(|| weight(found)),
        };
        let frame = Frame::new(named.iter().map(item))?;
        let outputs = named.into_iter().map(|(_, action_id, found)| Output { seq: found.seq, action_id }).collect();
        Ok(Picked { frame, outputs, left_out: 0, workflows, areas })
    }
}

/// The value at stake: that of a refund is as large as that of a charge.
fn weight(found: &Found) -> u64 {
    u64::try_from(found.amount.unwrap_or(0).unsigned_abs()).unwrap_or(u64::MAX)
}

/// Refuses amounts that cannot be added to a value at stake.
fn check_amounts(found: &[(Box<str>, Found)]) -> Result<()> {
    let missing = found.iter().filter(|(_, found)| found.amount.is_none()).count();
    if missing > 0 {
        return Err(Error::invalid(format!(
            "{missing} of {} outputs name no amount and would never be drawn by value; narrow them with --where \
             \"amount is not null\", and review the others apart",
            found.len()
        )));
    }
    let currencies: BTreeSet<u32> = found.iter().map(|(_, found)| found.currency).collect();
    if currencies.len() > 1 {
        return Err(Error::invalid(format!(
            "the outputs are in {} currencies, which cannot be added; narrow them to one, e.g. --where \"currency = \
             'EUR'\"",
            currencies.len()
        )));
    }
    Ok(())
}

/// Texts by number: there are few of them, and many outputs that say them.
#[derive(Debug, Default)]
struct Names {
    numbers: HashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
}

/// The number of what is not said.
const NOTHING: u32 = u32::MAX;

impl Names {
    fn number(&mut self, text: Option<&str>) -> u32 {
        let Some(text) = text else { return NOTHING };
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let (number, text): (u32, Arc<str>) = (self.texts.len() as u32, text.into());
        self.texts.push(text.clone());
        self.numbers.insert(text, number);
        number
    }

    fn text(&self, number: u32) -> Option<&str> {
        self.texts.get(number as usize).map(|text| &**text)
    }
}

fn longs(batch: &RecordBatch, column: usize) -> Result<Vec<i64>> {
    let numbers = batch.column(column).as_primitive_opt::<Int64Type>();
    let numbers = numbers.ok_or_else(|| Error::internal("the places of events have another type"))?;
    Ok(numbers.values().to_vec())
}

fn texts(batch: &RecordBatch, column: usize) -> Result<StringViewArray> {
    let texts = cast(batch.column(column), &DataType::Utf8View)
        .map_err(|e| Error::internal("a text of outputs has another type").because(e))?;
    Ok(texts.as_string_view().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(is_proposal: bool, at: Micros, seq: i64) -> Found {
        Found { is_proposal, at, seq, amount: None, stratum: 0, currency: 0, workflow: 0, area: 0 }
    }

    #[test]
    fn an_output_is_called_by_its_first_proposal_else_by_its_first_event() {
        assert!(found(true, 9, 9).is_before(&found(false, 1, 1)));
        assert!(found(true, 1, 5).is_before(&found(true, 2, 4)) && found(false, 1, 4).is_before(&found(false, 1, 5)));
        assert!(!found(false, 1, 1).is_before(&found(true, 9, 9)));
    }

    #[test]
    fn strata_are_made_by_columns_that_nobody_erases() {
        assert_eq!(stratum_column("segment").unwrap(), Column::Segment);
        assert_eq!(stratum_column("permission_level").unwrap(), Column::PermissionLevel);
        for name in ["new_value", "subject_id", "amount", "seq", "nothing", ""] {
            let refused = stratum_column(name).unwrap_err().to_string();
            assert!(refused.contains("segment") && !refused.contains("new_value,"), "{name}: {refused}");
        }
    }

    #[test]
    fn amounts_that_cannot_be_added_are_refused() {
        let with = |amount: Option<i128>, currency: u32| {
            (Box::<str>::from("a"), Found { amount, currency, ..found(true, 0, 0) })
        };
        assert!(check_amounts(&[with(Some(5), 1), with(Some(-7), 1)]).is_ok());
        assert_eq!(weight(&with(Some(-7), 1).1), 7);
        assert!(check_amounts(&[with(Some(5), 1), with(None, 1)]).unwrap_err().to_string().contains("1 of 2"));
        assert!(check_amounts(&[with(Some(5), 1), with(Some(5), 2)]).unwrap_err().to_string().contains("currencies"));
    }
}
