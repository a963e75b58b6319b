//! From numbers back to names: the answer of a second pass.
//!
//! In: a finished [`Trace`]. Out: the [`Radius`]. Invariant: everything is put into an order that depends on names
//! alone. It must not judge: states, depths and causes are taken as they stand.

use std::collections::{BTreeMap, BTreeSet};

use super::acts::Concern;
use super::history::{History, Stamp};
use super::names::NONE;
use super::radius::{Action, Amount, Cell, Exposed, Flags, Hundredths, Parent, People, Radius, Record, Uncertainty};
use super::trace::Trace;

/// Operations whose effect leaves the house.
const EXTERNAL: [&str; 3] = ["send", "refund", "pay"];
/// The permission level of external actions.
const EXTERNAL_LEVEL: i32 = 5;

/// What `trace` found.
pub fn radius(mut trace: Trace) -> Radius {
    let histories = std::mem::take(&mut trace.histories.cells);
    let names = Names::new(&trace);
    let actions: Vec<Action> = names.order.iter().map(|action| names.action(*action)).collect();
    let cells = names.cells(histories);
    let derived = actions.iter().filter(|action| action.parent.is_some());
    Radius {
        direct_actions: actions.iter().filter(|action| action.parent.is_none()).count() as u64,
        derived_actions: derived.clone().count() as u64,
        max_depth: derived.map(|action| action.depth).max().unwrap_or(0),
        exposed: names.exposed(),
        people: names.people(),
        amounts: names.amounts(),
        uncertainty: names.uncertainty(&cells),
        actions,
        cells,
    }
}

/// The bad actions in their order, and the names of everything.
struct Names<'t> {
    trace: &'t Trace,
    /// Bad actions with an event, by depth, then id.
    order: Vec<u32>,
    /// By action, where it stands in that order.
    positions: Vec<usize>,
}

impl<'t> Names<'t> {
    fn new(trace: &'t Trace) -> Self {
        let is_bad = |action: &u32| trace.spread.depth(*action).is_some() && trace.acts[*action as usize].events > 0;
        let mut order: Vec<u32> = (0..trace.acts.len() as u32).filter(is_bad).collect();
        // To look a name up takes longer than to compare two.
        order.sort_by_cached_key(|action| (trace.spread.depth(*action), trace.actions.get(*action)));
        let mut positions = vec![usize::MAX; trace.acts.len()];
        for (position, action) in order.iter().enumerate() {
            positions[*action as usize] = position;
        }
        Self { trace, order, positions }
    }

    fn text(&self, number: u32) -> Option<String> {
        self.trace.records.texts.get_some(number).map(str::to_owned)
    }

    fn record(&self, record: u32) -> Record {
        let [system, record_type, record_id] = self.trace.records.name(record).map(str::to_owned);
        Record { system, record_type, record_id }
    }

    fn action(&self, action: u32) -> Action {
        let act = &self.trace.acts[action as usize];
        let parent = self.trace.spread.cause(action).map(|cause| Parent {
            write_seq: cause.origin.seq,
            read_seq: cause.read_seq,
            action: self.positions[cause.origin.action as usize],
        });
        let (operation, reversibility) = (self.text(act.operation), self.text(act.reversibility));
        let is_external = act.level == Some(EXTERNAL_LEVEL)
            || operation.as_deref().is_some_and(|operation| EXTERNAL.contains(&operation))
            || reversibility.as_deref() == Some("irreversible");
        Action {
            action_id: self.trace.actions.get(action).to_owned(),
            depth: self.trace.spread.depth(action).unwrap_or(0),
            parent,
            bad_writes: act.bad_writes,
            operation,
            permission_level: act.level,
            reversibility,
            is_external,
        }
    }

    fn cells(&self, mut histories: Vec<History>) -> Vec<Cell> {
        let texts = &self.trace.records.texts;
        histories
            .sort_by_cached_key(|history| (self.trace.records.name(history.place.0), texts.get_some(history.place.1)));
        histories.into_iter().map(|history| self.cell(history)).collect()
    }

    fn cell(&self, history: History) -> Cell {
        let (record, field) = history.place;
        let first = history.first_bad.map_or(history.first_attempt, |first| (first.seq, first.action));
        let state = history.state(self.trace.histories.record_clean(record));
        let latest = history.latest();
        let current_value = latest.and_then(|write| write.value.as_deref()).map(str::to_owned);
        let latest: Option<Stamp> = latest.map(|write| write.stamp);
        let last: Option<Stamp> = history.last_bad.as_ref().map(|write| write.stamp);
        let flags = Flags {
            old_unknown: history.first_bad.is_some() && history.old_value.is_none(),
            chain_break: history.has_break,
            uncertain: history.is_uncertain,
        };
        Cell {
            record: self.record(record),
            field: self.text(field),
            state,
            depth: self.trace.spread.depth(first.1).unwrap_or(0),
            parent_seq: self.trace.spread.cause(first.1).map(|cause| cause.origin.seq),
            first_seq: first.0,
            first_action: self.positions[first.1 as usize],
            first_bad_seq: history.first_bad.map(|stamp: Stamp| stamp.seq),
            first_bad_at: history.first_bad.map(|stamp: Stamp| stamp.at),
            last_bad_seq: last.map(|stamp| stamp.seq),
            last_bad_at: last.map(|stamp| stamp.at),
            last_action: last.map(|stamp| self.positions[stamp.action as usize]),
            old_value: history.old_value.map(String::from),
            bad_value: history.last_bad.and_then(|write| write.value).map(String::from),
            current_value,
            current_seq: latest.map(|stamp| stamp.seq),
            current_actor: latest.and_then(|stamp| self.text(stamp.actor)),
            flags,
        }
    }

    fn exposed(&self) -> Vec<Exposed> {
        let all = self.trace.exposed.iter().filter(|(record, _)| !self.trace.histories.is_touched(**record));
        let mut exposed: Vec<Exposed> = all
            .map(|(record, (seq, parent_seq))| Exposed {
                record: self.record(*record),
                seq: *seq,
                parent_seq: *parent_seq,
            })
            .collect();
        exposed.sort_unstable_by(|a, b| a.record.cmp(&b.record));
        exposed
    }

    fn people(&self) -> People {
        let all = |concern: Concern| -> Vec<String> {
            let acts = self.order.iter().map(|action| &self.trace.acts[*action as usize]);
            let found = acts.flat_map(|act| &act.people).filter(|(of, _)| *of == concern);
            let names: BTreeSet<&str> = found.map(|(_, name)| self.trace.records.texts.get(*name)).collect();
            names.into_iter().map(str::to_owned).collect()
        };
        People { subjects: all(Concern::Subject), approvers: all(Concern::Approver), segments: all(Concern::Segment) }
    }

    fn amounts(&self) -> Vec<Amount> {
        let mut amounts: BTreeMap<Option<&str>, Amount> = BTreeMap::new();
        for action in &self.order {
            let act = &self.trace.acts[*action as usize];
            let Some(hundredths) = act.amount else { continue };
            let currency = (act.currency != NONE).then(|| self.trace.records.texts.get(act.currency));
            let amount = amounts.entry(currency).or_insert_with(|| Amount {
                currency: currency.map(str::to_owned),
                actions: 0,
                total: Hundredths(0),
                applied: Hundredths(0),
            });
            amount.actions += 1;
            amount.total.0 += hundredths;
            amount.applied.0 += if act.bad_writes > 0 { hundredths } else { 0 };
        }
        amounts.into_values().collect()
    }

    fn uncertainty(&self, cells: &[Cell]) -> Uncertainty {
        let mut uncertainty = Uncertainty::default();
        for action in &self.order {
            let act = &self.trace.acts[*action as usize];
            uncertainty.unknown_outcomes += act.unknown_writes;
            uncertainty.partial_outcomes += act.partial_writes;
            uncertainty.late_events += act.late_events;
        }
        uncertainty.uncertain_cells = cells.iter().filter(|cell| cell.flags.uncertain).count() as u64;
        uncertainty
    }
}
