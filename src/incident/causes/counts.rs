//! How often each value stands among the bad actions and among all that they are compared with.
//!
//! In: the actions of the period, as they come. Out: for each kind of value the counts of its values. Invariant: the
//! counts are exact, whatever was left out. A first reading finds the values that are frequent among the bad actions,
//! a second one counts these alone, so that memory is in proportion to them and not to the log; a value that more than
//! one in [`VALUES`] bad actions has is never missed (Misra and Gries 1982).

use std::collections::BTreeSet;

use arrow::array::{Array, AsArray, BooleanArray, ListArray, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::Int64Type;
use hashbrown::HashMap;
use roaring::RoaringTreemap;

use crate::blast::Record;
use crate::clock::Micros;
use crate::error::Result;
use crate::incident::comparison::{
    Comparison, PRODUCTION, Part, Span, as_texts, each, flag_at, flags, instant_at, instants, places, text_at, texts,
    unreadable, within,
};
use crate::query::engine::Engine;

/// Kinds of values and what gives them for an action, the likelier causes first.
const COLUMNS: [(&str, &str); 21] = [
    ("prompt_version", "prompt_version"),
    ("rule_version", "rule_version"),
    ("model_version", "model_version"),
    ("policy_version", "policy_version"),
    ("agent", "proposed_by"),
    ("executed_by", "executed_by"),
    ("approver", "final_decision_reviewer"),
    ("trigger", "trigger"),
    ("workflow", "workflow"),
    ("run_id", "run_id"),
    ("batch_id", "batch_id"),
    ("permission_area", "permission_area"),
    ("permission_level", "cast(permission_level as varchar)"),
    ("policy_outcome", "policy_outcome"),
    ("reversibility", "reversibility"),
    ("system", "system"),
    ("record_type", "record_type"),
    ("field", "field"),
    ("operation", "operation"),
    ("issue_type", "issue_type"),
    ("segment", "segment"),
];
/// The kind of the records that an action read.
const SOURCE_RECORD: usize = COLUMNS.len();
/// The kind of the source that sent the proposal of an action.
const SOURCE: usize = SOURCE_RECORD + 1;
/// Columns that come before those of [`COLUMNS`].
const FIRST: usize = 5;
/// Values of one kind that are counted.
const VALUES: usize = 10_000;

/// The name of a kind of value.
pub(super) fn name(kind: usize) -> &'static str {
    match kind {
        SOURCE_RECORD => "source_record",
        SOURCE => "source",
        _ => COLUMNS.get(kind).map_or("", |(name, _)| *name),
    }
}

/// What gives a kind of value for a row of the view `actions`; none where no column does.
pub(super) fn expression(kind: usize) -> Option<&'static str> {
    COLUMNS.get(kind).map(|(_, expression)| *expression)
}

/// How often one value is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Bad actions with it.
    pub(super) bad: u64,
    /// All actions with it, the bad ones too.
    pub(super) all: u64,
    /// When the first bad action with it was proposed.
    pub(super) first_bad_at: Option<Micros>,
}

impl Tally {
    fn add(&mut self, is_bad: bool, at: Micros) {
        self.all += 1;
        if is_bad {
            self.bad += 1;
            self.first_bad_at = Some(self.first_bad_at.map_or(at, |first| first.min(at)));
        }
    }
}

/// The values of one kind that are frequent so far.
#[derive(Debug, Clone, Default)]
struct Frequent(HashMap<String, u64>);

impl Frequent {
    fn add(&mut self, value: &str) {
        if let Some(seen) = self.0.get_mut(value) {
            *seen += 1;
        } else if self.0.len() < VALUES {
            self.0.insert(value.to_owned(), 1);
        } else {
            // One of each is taken away: what is left of a value is how much more often it came than chance allows.
            self.0.retain(|_, seen| {
                *seen -= 1;
                *seen > 0
            });
        }
    }
}

/// The counts of a comparison.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Bad actions.
    pub(super) bad: u64,
    /// All actions.
    pub(super) all: u64,
    /// By kind, then value.
    tallies: Vec<HashMap<String, Tally>>,
    /// The proposals of bad actions, and of all.
    proposals: (RoaringTreemap, RoaringTreemap),
}

impl Counts {
    /// Counts the actions of `comparison`.
    ///
    /// # Errors
    /// When a query fails.
    pub(super) async fn of(engine: &Engine, comparison: &Comparison<'_>) -> Result<Self> {
        let sql = actions_sql(comparison.period);
        let mut frequent = vec![Frequent::default(); SOURCE];
        each(engine, &sql, |batch| {
            let page = Page::read(batch)?;
            for row in (0..batch.num_rows()).filter(|row| comparison.part(page.id(*row)) == Part::Direct) {
                page.values(row, |kind, value| frequent[kind].add(value));
            }
            Ok(())
        })
        .await?;
        let unseen =
            |known: Frequent| known.0.into_keys().map(|value| (value, Tally::default())).collect::<HashMap<_, _>>();
        let tallies = frequent.into_iter().map(unseen);
        let mut counts = Self { tallies: tallies.collect(), ..Self::default() };
        each(engine, &sql, |batch| counts.add(&Page::read(batch)?, comparison)).await?;
        counts.count_sources(engine, comparison.period).await?;
        Ok(counts)
    }

    fn add(&mut self, page: &Page, comparison: &Comparison<'_>) -> Result<()> {
        for row in 0..page.ids.len() {
            if comparison.is_of_executed && !flag_at(&page.has_execution, row) {
                continue;
            }
            let is_bad = comparison.part(page.id(row)) == Part::Direct;
            let at = instant_at(&page.proposed_at, row).unwrap_or_default();
            self.all += 1;
            self.bad += u64::from(is_bad);
            if let Ok(seq) = u64::try_from(page.proposal(row)) {
                self.proposals.1.insert(seq);
                if is_bad {
                    self.proposals.0.insert(seq);
                }
            }
            page.values(row, |kind, value| {
                if let Some(tally) = self.tallies[kind].get_mut(value) {
                    tally.add(is_bad, at);
                }
            });
        }
        Ok(())
    }

    /// Counts the sources of the proposals that were counted.
    async fn count_sources(&mut self, engine: &Engine, period: Span) -> Result<()> {
        let sql = format!(
            "select source, seq, occurred_at from events where environment = '{PRODUCTION}' \
             and action_id is not null and {}",
            within("occurred_at", period)
        );
        let mut sources: HashMap<String, Tally> = HashMap::new();
        let (bad, all) = &self.proposals;
        each(engine, &sql, |batch| {
            let (names, at) = (texts(batch, 0)?, instants(batch, 2)?);
            let seqs = batch.column(1).as_primitive_opt::<Int64Type>().ok_or_else(unreadable)?;
            for row in 0..batch.num_rows() {
                let (Some(source), Ok(seq)) = (text_at(&names, row), u64::try_from(seqs.value(row))) else { continue };
                if !all.contains(seq) {
                    continue;
                }
                if let Some(tally) = sources.get_mut(source) {
                    tally.add(bad.contains(seq), instant_at(&at, row).unwrap_or_default());
                } else if sources.len() < VALUES {
                    let mut tally = Tally::default();
                    tally.add(bad.contains(seq), instant_at(&at, row).unwrap_or_default());
                    sources.insert(source.to_owned(), tally);
                }
            }
            Ok(())
        })
        .await?;
        self.tallies.push(sources);
        Ok(())
    }

    /// The values that some bad action has: kind, value, counts.
    pub(super) fn values(self) -> Vec<(usize, String, Tally)> {
        let of_kind = |(kind, values): (usize, HashMap<String, Tally>)| {
            values.into_iter().map(move |(value, tally)| (kind, value, tally))
        };
        self.tallies.into_iter().enumerate().flat_map(of_kind).filter(|(_, _, tally)| tally.bad > 0).collect()
    }
}

fn actions_sql(period: Span) -> String {
    let columns: Vec<String> = COLUMNS.iter().map(|(name, from)| format!("{from} as {name}")).collect();
    let columns = columns.join(", ");
    let is_then = within("cohort_at", period);
    format!(
        "select action_id, cohort_at, has_execution, proposal_order, inputs, {columns} from actions where {is_then}"
    )
}

/// Some actions.
struct Page {
    ids: StringViewArray,
    proposed_at: TimestampMicrosecondArray,
    has_execution: BooleanArray,
    /// Places of the proposals in the ledger.
    proposals: Vec<i64>,
    inputs: ListArray,
    /// System, type and id of all inputs.
    read: [StringViewArray; 3],
    columns: Vec<StringViewArray>,
}

impl Page {
    fn read(batch: &RecordBatch) -> Result<Self> {
        let inputs = batch.column(4).as_list_opt::<i32>().ok_or_else(unreadable)?.clone();
        let cells = inputs.values().as_struct_opt().ok_or_else(unreadable)?;
        let part = |name: &str| cells.column_by_name(name).ok_or_else(unreadable).and_then(as_texts);
        let read = [part("system")?, part("record_type")?, part("record_id")?];
        Ok(Self {
            ids: texts(batch, 0)?,
            proposed_at: instants(batch, 1)?,
            has_execution: flags(batch, 2)?,
            proposals: places(batch, 3)?,
            read,
            columns: (FIRST..FIRST + COLUMNS.len()).map(|column| texts(batch, column)).collect::<Result<_>>()?,
            inputs,
        })
    }

    fn id(&self, row: usize) -> &str {
        text_at(&self.ids, row).unwrap_or_default()
    }

    fn proposal(&self, row: usize) -> i64 {
        self.proposals[row]
    }

    /// Gives kind and value of all that a row has, each value once.
    fn values(&self, row: usize, mut take: impl FnMut(usize, &str)) {
        for (kind, column) in self.columns.iter().enumerate() {
            if let Some(value) = text_at(column, row) {
                take(kind, value);
            }
        }
        self.records(row).iter().for_each(|record| take(SOURCE_RECORD, record));
    }

    /// Keys of the records that a row read.
    fn records(&self, row: usize) -> BTreeSet<String> {
        if self.inputs.is_null(row) {
            return BTreeSet::new();
        }
        let offsets = self.inputs.value_offsets();
        let [systems, types, ids] = &self.read;
        let part = |column: &StringViewArray, at: usize| text_at(column, at).unwrap_or_default().to_owned();
        let record =
            |at: usize| Record { system: part(systems, at), record_type: part(types, at), record_id: part(ids, at) };
        let cells = offsets[row] as usize..offsets[row + 1] as usize;
        cells.filter(|at| ids.is_valid(*at)).map(|at| record(at).key()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frequent_value_survives_however_many_others_there_are() {
        let mut frequent = Frequent::default();
        for i in 0..3 * VALUES {
            frequent.add(&i.to_string());
            if i % 3 == 0 {
                frequent.add("often");
            }
        }
        assert!(frequent.0.contains_key("often") && frequent.0.len() <= VALUES);
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = (0..=SOURCE).map(name).collect();
        assert_eq!((names.len(), name(SOURCE + 1)), (SOURCE + 1, ""));
        assert_eq!((expression(4), expression(SOURCE)), (Some("proposed_by"), None));
    }

    #[test]
    fn the_first_bad_action_of_a_value_is_the_earliest() {
        let mut tally = Tally::default();
        [(true, 9), (false, 1), (true, 4)].into_iter().for_each(|(is_bad, at)| tally.add(is_bad, at));
        assert_eq!(tally, Tally { bad: 2, all: 3, first_bad_at: Some(4) });
    }
}
