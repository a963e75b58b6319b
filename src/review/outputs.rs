//! The outputs of a candidate: what a review judges, picked from the evidence by conditions.
//!
//! In: conditions over the columns of `events`, as closely guarded as those of an incident; a session over the prefix
//! of the ledger that a plan names. Out: one output an action, as a frame. An action is picked by any of its events; it
//! is called by the leaf hash of its `action.proposed`, else of its first event, and that event alone says its stratum
//! and its weight. Invariant: conditions and prefix decide, so that one plan has one frame for ever, unless what it
//! reads was erased or retired since. It writes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, PrimitiveArray, RecordBatch, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, TimestampMicrosecondType};
use hashbrown::HashMap;

use super::frame::{Frame, LeafItem};
use super::ground::Ground;
use super::leaf::Source;
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::event::columns::{COLUMNS, Kind, Role};
use crate::event::{Column, Leaf};
use crate::limits::REVIEW_ITEMS;
use crate::query::answer::Limits;
use crate::query::blast::{Matching, Selector};
use crate::query::engine::Engine;
use crate::query::objects::literal;

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
    let mut reading = Reading::new(engine, pick).await?;
    let rest = reading.read(engine, pick, Pass::Candidates).await?;
    if rest > 0 {
        // Whatever else happened to them: one of these events may be the one that they are called by.
        reading.read(engine, pick, Pass::Rest).await?;
    }
    let left_out = reading.narrow();
    reading.picked(ground, pick, source).await.map(|picked| Picked { left_out, ..picked })
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
    /// Hundredths.
    amount: Option<i64>,
    /// Numbers of texts, as this and the next three.
    stratum: u32,
    currency: u32,
    workflow: u32,
    area: u32,
}

/// An output is called by the event of the least rank.
type Rank = (bool, Micros, i64);

impl Found {
    fn rank(&self) -> Rank {
        (!self.is_proposal, self.at, self.seq)
    }
}

/// An output while its events are read.
#[derive(Debug)]
struct Candidate {
    action_id: Box<str>,
    /// Whether it is judged: one of its events matches the predicate.
    is_judged: bool,
    found: Found,
}

/// Which events are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Those that make an action one of the candidate's.
    Candidates,
    /// The others of these actions.
    Rest,
}

/// The outputs while their events are read.
struct Reading {
    /// The events that the candidate is picked by.
    candidate: Matching,
    /// Those that narrow it; none where nothing does.
    predicate: Option<Matching>,
    numbers: HashMap<Box<str>, u32>,
    /// By their numbers.
    candidates: Vec<Candidate>,
    names: Names,
}

/// One batch of events, by columns.
struct Events {
    seqs: Vec<i64>,
    at: PrimitiveArray<TimestampMicrosecondType>,
    is_proposal: BooleanArray,
    amounts: PrimitiveArray<Decimal128Type>,
    actions: StringViewArray,
    /// Stratum, currency, workflow, area.
    words: [StringViewArray; 4],
}

impl Events {
    /// The columns of [`events_sql`].
    fn new(batch: &RecordBatch) -> Result<Self> {
        let wrong = || Error::internal("a column of outputs has another type");
        Ok(Self {
            seqs: longs(batch, 0)?,
            at: batch.column(1).as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(wrong)?.clone(),
            is_proposal: batch.column(2).as_boolean_opt().ok_or_else(wrong)?.clone(),
            amounts: batch.column(3).as_primitive_opt::<Decimal128Type>().ok_or_else(wrong)?.clone(),
            actions: texts(batch, 4)?,
            words: [texts(batch, 5)?, texts(batch, 6)?, texts(batch, 7)?, texts(batch, 8)?],
        })
    }

    /// What the event of `row` says, its texts by the numbers of `names`.
    fn found(&self, row: usize, names: &mut Names) -> Found {
        let mut number = |texts: &StringViewArray| names.number(texts.is_valid(row).then(|| texts.value(row)));
        let [stratum, currency, workflow, area] = self.words.each_ref().map(&mut number);
        // Eighteen digits fit.
        let amount = self.amounts.is_valid(row).then(|| i64::try_from(self.amounts.value(row)).ok()).flatten();
        let (is_no_proposal, at, seq) = self.rank(row);
        Found { is_proposal: !is_no_proposal, at, seq, amount, stratum, currency, workflow, area }
    }

    fn rank(&self, row: usize) -> Rank {
        let is_proposal = self.is_proposal.is_valid(row) && self.is_proposal.value(row);
        (!is_proposal, self.at.value(row), self.seqs[row])
    }
}

/// The events of `environment` that `condition` picks.
async fn matching(engine: &Engine, condition: &str, environment: &str) -> Result<Matching> {
    let selector = Selector { environment: environment.to_owned(), ..Selector::new(condition) };
    engine.matching(&selector).await
}

/// What is read of the events of actions.
fn events_sql(pick: &Pick) -> String {
    let (stratum, environment) = (pick.stratum_by.map_or("null", Column::name), literal(&pick.environment));
    format!(
        "select seq, occurred_at, event_type = 'action.proposed' as is_proposal, amount, action_id, \
         cast({stratum} as varchar) as stratum, currency, workflow, permission_area from events \
         where environment = {environment} and action_id is not null"
    )
}

impl Reading {
    /// Looks up which events match the conditions of `pick`.
    async fn new(engine: &Engine, pick: &Pick) -> Result<Self> {
        let candidate = matching(engine, &pick.candidate, &pick.environment).await?;
        let predicate = match pick.predicate.trim() {
            EVERYTHING => None,
            predicate => Some(matching(engine, predicate, &pick.environment).await?),
        };
        Ok(Self { candidate, predicate, numbers: HashMap::new(), candidates: Vec::new(), names: Names::default() })
    }

    /// Reads the events of `pass`; gives the number of those that are not of it.
    async fn read(&mut self, engine: &Engine, pick: &Pick, pass: Pass) -> Result<usize> {
        let mut rows = engine.sql_stream(&events_sql(pick), all_rows()).await?;
        let mut passed_over = 0;
        while let Some(batch) = rows.next().await? {
            passed_over += self.add(&Events::new(&batch)?, pass);
            if self.candidates.len() > REVIEW_ITEMS {
                return Err(Error::limit(format!(
                    "the condition picks more than {REVIEW_ITEMS} outputs; narrow it, or review them in parts"
                )));
            }
        }
        Ok(passed_over)
    }

    /// Adds the events of `pass`; gives the number of the others.
    fn add(&mut self, events: &Events, pass: Pass) -> usize {
        let mut passed_over = 0;
        for (row, id) in events.actions.iter().enumerate() {
            let Some(id) = id else { continue };
            let seq = events.seqs[row];
            if self.candidate.contains(seq) != (pass == Pass::Candidates) {
                passed_over += 1;
                continue;
            }
            let is_judged = self.predicate.as_ref().is_none_or(|predicate| predicate.contains(seq));
            match self.numbers.get(id).copied() {
                Some(number) => {
                    let known = &mut self.candidates[number as usize];
                    known.is_judged |= is_judged;
                    if events.rank(row) < known.found.rank() {
                        known.found = events.found(row, &mut self.names);
                    }
                }
                None if pass == Pass::Candidates => {
                    self.numbers.insert(id.into(), self.candidates.len() as u32);
                    let found = events.found(row, &mut self.names);
                    self.candidates.push(Candidate { action_id: Box::default(), is_judged, found });
                }
                None => {}
            }
        }
        passed_over
    }

    /// Keeps what is judged, under the ids of its actions; gives the number of the others.
    fn narrow(&mut self) -> u64 {
        for (id, number) in self.numbers.drain() {
            self.candidates[number as usize].action_id = id;
        }
        let all = self.candidates.len();
        self.candidates.retain(|candidate| candidate.is_judged);
        (all - self.candidates.len()) as u64
    }

    /// The outputs with their leaf hashes; what is left out is not known here.
    async fn picked(self, ground: Ground<'_>, pick: &Pick, source: Source) -> Result<Picked> {
        let Self { mut candidates, names, .. } = self;
        if pick.is_weighted {
            check_amounts(&candidates)?;
        }
        // Events come nearly in order, a file or a partition after the other: runs that this sort finds.
        candidates.sort_by_key(|candidate| candidate.found.seq);
        let seqs: Vec<i64> = candidates.iter().map(|candidate| candidate.found.seq).collect();
        let leaves = ground.leaves(&seqs, source).await?;
        let said = |number: fn(&Found) -> u32| -> BTreeSet<Option<String>> {
            let numbers: BTreeSet<u32> = candidates.iter().map(|candidate| number(&candidate.found)).collect();
            numbers.into_iter().map(|number| names.text(number).map(str::to_owned)).collect()
        };
        let (workflows, areas) = (said(|found| found.workflow), said(|found| found.area));
        let order = in_order(&leaves);
        let item = |place: &u32| {
            let found = &candidates[*place as usize].found;
            let weight = pick.is_weighted.then(|| weight(found));
            LeafItem { leaf: leaves[*place as usize], stratum: found.stratum, weight }
        };
        let items: Vec<LeafItem> = order.iter().map(item).collect();
        let stratum = |number: u32| match pick.stratum_by {
            Some(_) => names.text(number).unwrap_or(UNSAID),
            None => WHOLE,
        };
        // The order of the hashes is that of their hexadecimal digits: places in the frame are places here.
        let frame = Frame::of_leaves(&items, stratum)?;
        let output = |place: u32| {
            let candidate = &mut candidates[place as usize];
            Output { seq: candidate.found.seq, action_id: std::mem::take(&mut candidate.action_id) }
        };
        let outputs = order.into_iter().map(output).collect();
        Ok(Picked { frame, outputs, left_out: 0, workflows, areas })
    }
}

/// The places of `leaves` in the order of the hashes.
fn in_order(leaves: &[Leaf]) -> Vec<u32> {
    let head = |leaf: &Leaf| leaf.iter().take(8).fold(0_u64, |head, byte| head << 8 | u64::from(*byte));
    // By their beginnings, which lie beside the places; two that are alike are rare.
    let mut order: Vec<(u64, u32)> = leaves.iter().map(head).zip(0..).collect();
    order.sort_unstable_by(|(a, left), (b, right)| {
        a.cmp(b).then_with(|| leaves[*left as usize].cmp(&leaves[*right as usize]))
    });
    order.into_iter().map(|(_, place)| place).collect()
}

/// The value at stake: that of a refund is as large as that of a charge.
fn weight(found: &Found) -> u64 {
    found.amount.unwrap_or(0).unsigned_abs()
}

/// Refuses amounts that cannot be added to a value at stake.
fn check_amounts(candidates: &[Candidate]) -> Result<()> {
    let missing = candidates.iter().filter(|candidate| candidate.found.amount.is_none()).count();
    if missing > 0 {
        return Err(Error::invalid(format!(
            "{missing} of {} outputs name no amount and would never be drawn by value; narrow them, where \
             \"amount is not null\", and review the others apart",
            candidates.len()
        )));
    }
    let currencies: BTreeSet<u32> = candidates.iter().map(|candidate| candidate.found.currency).collect();
    if currencies.len() > 1 {
        return Err(Error::invalid(format!(
            "the outputs are in {} currencies, which cannot be added; narrow them to one, e.g. where \"currency = 'EUR'\"",
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
        let is_before = |a: Found, b: Found| a.rank() < b.rank();
        assert!(is_before(found(true, 9, 9), found(false, 1, 1)));
        assert!(is_before(found(true, 1, 5), found(true, 2, 4)) && is_before(found(false, 1, 4), found(false, 1, 5)));
        assert!(!is_before(found(false, 1, 1), found(true, 9, 9)));
    }

    #[test]
    fn places_are_in_the_order_of_the_whole_hashes() {
        let leaf = |head: u8, last: u8| {
            let mut leaf = [head; 32];
            leaf[31] = last;
            leaf
        };
        assert_eq!(in_order(&[leaf(2, 9), leaf(1, 7), leaf(2, 3), leaf(0, 8)]), [3, 1, 2, 0]);
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
        let with = |amount: Option<i64>, currency: u32| {
            let found = Found { amount, currency, ..found(true, 0, 0) };
            Candidate { action_id: "a".into(), is_judged: true, found }
        };
        assert!(check_amounts(&[with(Some(5), 1), with(Some(-7), 1)]).is_ok());
        assert_eq!(weight(&with(Some(-7), 1).found), 7);
        assert!(check_amounts(&[with(Some(5), 1), with(None, 1)]).unwrap_err().to_string().contains("1 of 2"));
        assert!(check_amounts(&[with(Some(5), 1), with(Some(5), 2)]).unwrap_err().to_string().contains("currencies"));
    }
}
