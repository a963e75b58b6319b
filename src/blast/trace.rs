//! The second pass: the events that matter, in full, and what follows from them.
//!
//! In: the events that [`Needed`] names, with the columns [`TRACE_COLUMNS`], in (`occurred_at`, `seq`) order; more
//! events do no harm, the whole log gives the same answer. Out: [`Traced`]. Invariant: nothing is taken over from the
//! first pass but what it took for granted, and each of these is checked. It must not read what is not fed.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use hashbrown::{HashMap, HashSet};

use super::Scope;
use super::acts::Act;
use super::history::{Histories, Stamp, Write};
use super::keys::Key;
use super::names::{FIELD, NONE, RECORD_ID, RECORD_TYPE, Records, SYSTEM, Texts};
use super::radius::Radius;
use super::reach::{Asked, Needed};
use super::result::radius;
use super::spread::{Cause, Origin, Spread};
use super::view::{Effect, Kind, Order, require, target};
use crate::clock::Micros;
use crate::error::Result;
use crate::event::{Column, Rows};

/// The columns of events that the second pass reads.
pub const TRACE_COLUMNS: [Column; 24] = [
    Column::Seq,
    Column::OccurredAt,
    Column::RecordedAt,
    Column::Environment,
    Column::EventType,
    Column::ActionId,
    Column::ActorId,
    Column::System,
    Column::RecordType,
    Column::RecordId,
    Column::Field,
    Column::Inputs,
    Column::Outcome,
    Column::OldValue,
    Column::NewValue,
    Column::Operation,
    Column::Reversibility,
    Column::PermissionLevel,
    Column::Amount,
    Column::Currency,
    Column::SubjectId,
    Column::Segment,
    Column::Decision,
    Column::Reviewer,
];

/// What came of a second pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Traced {
    /// The answer.
    Radius(Box<Radius>),
    /// The first pass missed a target that stands on an earlier event of these actions: add them to the
    /// [`Scope`]'s `remembered` ones and start over.
    Again(Vec<String>),
}

/// The second pass.
pub struct Trace {
    environment: String,
    direct: HashSet<Key>,
    order: Order,
    /// Events so far; the position of the present one.
    events: u64,
    /// Parts of targets that the first pass took for missing, by `seq` of the write.
    assumed: HashMap<i64, u8>,
    /// Actions of which that was wrong.
    surprises: BTreeSet<u32>,
    pub(super) actions: Texts,
    /// By action.
    pub(super) acts: Vec<Act>,
    pub(super) records: Records,
    pub(super) spread: Spread,
    pub(super) histories: Histories,
    /// By record that an event with a tainted input named: the first such event, and the write that it read.
    pub(super) exposed: HashMap<u32, (i64, i64)>,
}

/// The event in progress.
struct Event<'r, 'a> {
    rows: &'r Rows<'a>,
    row: usize,
    at: Micros,
    seq: i64,
    kind: Kind,
    action: Option<u32>,
    /// The parts of its target that it names itself.
    own: [u32; 4],
}

impl<'a> Event<'_, 'a> {
    fn text(&self, column: Column) -> Option<&'a str> {
        self.rows.text(column, self.row)
    }
}

impl Trace {
    /// A second pass after the first one found `needed`.
    pub fn new(scope: &Scope, needed: &Needed) -> Self {
        let direct: Vec<Key> = scope.direct.iter().map(|id| Key::of(id)).collect();
        let (environment, depth) = (scope.environment.as_str(), scope.depth);
        Self::of(&Asked { direct: &direct, remembered: &[], environment, depth }, needed)
    }

    /// A second pass for `asked`, of which the actions to remember do not matter here.
    pub fn of(asked: &Asked<'_>, needed: &Needed) -> Self {
        Self {
            environment: asked.environment.to_owned(),
            direct: asked.direct.iter().copied().collect(),
            order: Order::default(),
            events: 0,
            assumed: needed.assumed.clone(),
            surprises: BTreeSet::new(),
            actions: Texts::default(),
            acts: Vec::new(),
            records: Records::default(),
            spread: Spread::new(asked.depth),
            histories: Histories::default(),
            exposed: HashMap::new(),
        }
    }

    /// Takes the next events.
    ///
    /// # Errors
    /// Internal, when a column of [`TRACE_COLUMNS`] is missing or of another type, or an event is out of order.
    pub fn feed(&mut self, events: &RecordBatch) -> Result<()> {
        self.feed_in_order(std::slice::from_ref(events), (0..events.num_rows()).map(|row| (0, row)))
    }

    /// Takes the next events: the rows that `order` names by batch and row.
    ///
    /// # Errors
    /// As [`feed`](Self::feed).
    pub fn feed_in_order(
        &mut self,
        batches: &[RecordBatch],
        order: impl IntoIterator<Item = (usize, usize)>,
    ) -> Result<()> {
        batches.iter().try_for_each(|batch| require(batch, &TRACE_COLUMNS))?;
        let views = batches.iter().map(Rows::new).collect::<Result<Vec<Rows<'_>>>>()?;
        for (batch, row) in order {
            let rows = &views[batch];
            let (at, seq) = self.order.next(rows, row)?;
            if rows.text(Column::Environment, row) == Some(self.environment.as_str()) {
                let action = rows.text(Column::ActionId, row).map(|id| self.action(id));
                let kind = Kind::of(rows.text(Column::EventType, row));
                let own = self.own(rows, row);
                self.event(&Event { rows, row, at, seq, kind, action, own });
            }
        }
        Ok(())
    }

    /// The answer, unless the first pass has to be done again.
    pub fn finish(self) -> Traced {
        if self.surprises.is_empty() {
            return Traced::Radius(Box::new(radius(self)));
        }
        let mut actions: Vec<String> =
            self.surprises.iter().map(|action| self.actions.get(*action).to_owned()).collect();
        actions.sort_unstable();
        Traced::Again(actions)
    }

    fn action(&mut self, id: &str) -> u32 {
        let action = self.actions.intern(id);
        if action as usize == self.acts.len() {
            self.acts.push(Act::default());
            // An action matters from its first event on: to know of each one then is to know of all of them before.
            if self.direct.contains(&Key::of(id)) {
                self.spread.add_direct(action);
            }
        }
        action
    }

    /// The target that an event names itself, in numbers; [`NONE`] for what it leaves out.
    fn own(&mut self, rows: &Rows<'_>, row: usize) -> [u32; 4] {
        let texts = &mut self.records.texts;
        let named = target(rows, row);
        std::array::from_fn(|part| match named[part] {
            None => NONE,
            Some(id) if part == RECORD_ID => texts.intern(id),
            Some(word) => texts.intern_word(word),
        })
    }

    fn event(&mut self, event: &Event<'_, '_>) {
        self.events += 1;
        let Event { rows, row, seq, kind, action, own, .. } = *event;
        // What was read is judged before what the event itself writes.
        if let Some(origin) = self.spread.least_input(&self.records, rows, row) {
            if let Some(action) = action {
                self.spread.read(action, Cause { origin, read_seq: seq });
            }
            self.expose(event, origin);
        }
        if kind != Kind::Other {
            self.write(event);
        }
        if let Some(action) = action {
            self.acts[action as usize].remember((rows, row), kind, own, &mut self.records.texts);
        }
    }

    fn expose(&mut self, event: &Event<'_, '_>, origin: Origin) {
        let [system, record_type, id, _] = event.own;
        if id == NONE {
            return;
        }
        let record = self.records.intern([system, record_type, id]);
        self.exposed.entry(record).or_insert((event.seq, origin.seq));
    }

    fn write(&mut self, event: &Event<'_, '_>) {
        let effect = Effect::of(event.kind, event.text(Column::Outcome));
        let depth = event.action.and_then(|action| self.spread.depth(action));
        let bad = event.action.zip(depth).filter(|_| event.kind != Kind::RolledBack);
        let [system, record_type, id, field] = self.resolve(event);
        let place = |record: u32| (record, field);
        if let Some((action, depth)) = bad {
            self.count(action, event, effect);
            if id == NONE {
                return;
            }
            let place = place(self.records.intern([system, record_type, id]));
            self.histories.attempt(place, event.seq, action);
            if effect != Effect::Nothing {
                self.spread.taint(place.0, place.1, Origin { depth, seq: event.seq, action });
                let write =
                    Write { stamp: self.stamp(event, effect), value: event.text(Column::NewValue).map(Box::from) };
                self.histories.add_bad(place, write, event.text(Column::OldValue));
            }
            return;
        }
        let Some(record) = self.records.find([system, record_type, id]) else { return };
        let old = event.text(Column::OldValue);
        match effect {
            Effect::Full => {
                self.spread.clear(record, field);
                let write = Write { stamp: self.stamp(event, effect), value: self.left_by(event) };
                self.histories.add_clean(place(record), write, old);
            }
            Effect::Doubtful => self.histories.add_doubtful(place(record), old),
            Effect::Nothing => {}
        }
    }

    /// The target in numbers, what the event leaves out taken from earlier events of its action.
    fn resolve(&mut self, event: &Event<'_, '_>) -> [u32; 4] {
        let known = event.action.map_or([NONE; 4], |action| self.acts[action as usize].target);
        let assumed = self.assumed.get(&event.seq).copied().unwrap_or(0);
        let is_wrong =
            [SYSTEM, RECORD_TYPE, RECORD_ID, FIELD].into_iter().any(|p| assumed >> p & 1 == 1 && known[p] != NONE);
        self.surprises.extend(event.action.filter(|_| is_wrong));
        std::array::from_fn(|part| if event.own[part] == NONE { known[part] } else { event.own[part] })
    }

    /// Counts a bad write, wherever it went.
    fn count(&mut self, action: u32, event: &Event<'_, '_>, effect: Effect) {
        let act = &mut self.acts[action as usize];
        act.bad_writes += u64::from(effect != Effect::Nothing);
        act.unknown_writes += u64::from(event.text(Column::Outcome) == Some("unknown"));
        act.partial_writes += u64::from(event.text(Column::Outcome) == Some("partial"));
    }

    fn stamp(&mut self, event: &Event<'_, '_>, effect: Effect) -> Stamp {
        let known = event.action.map(|action| &self.acts[action as usize]);
        let operation = known.and_then(|act| self.records.texts.get_some(act.operation));
        let reversibility = known.and_then(|act| self.records.texts.get_some(act.reversibility));
        let is_removal = matches!(event.text(Column::Operation).or(operation), Some("delete" | "merge"));
        let is_irreversible = event.text(Column::Reversibility).or(reversibility) == Some("irreversible");
        let actor = event.text(Column::ActorId).map_or(NONE, |actor| self.records.texts.intern_word(actor));
        let (order, at, seq, action) = (self.events, event.at, event.seq, event.action.unwrap_or(NONE));
        Stamp { order, at, seq, action, actor, effect, is_irreversible, is_removal }
    }

    /// The value that a clean write left: its own, or, of a roll-back, the old one that its action captured last.
    fn left_by(&self, event: &Event<'_, '_>) -> Option<Box<str>> {
        let own: Option<Box<str>> = event.text(Column::NewValue).map(Box::from);
        let restored = || event.action.and_then(|action| self.acts[action as usize].old_value.clone());
        own.or_else(|| if event.kind == Kind::RolledBack { restored() } else { None })
    }
}
