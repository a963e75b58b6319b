//! The first pass: which events can matter at all.
//!
//! In: the few columns of [`REACH_COLUMNS`] of a long log, in (`occurred_at`, `seq`) order. Out: [`Needed`], the
//! events that the second pass must see in full. Invariant: memory grows with the bad actions, the records that they
//! touched and the later writes to these, never with the log. It must not read a value.
//!
//! An event that is of no interest costs a look-up of its action and, where it writes or reads, of its record: two
//! hashes that are not there. The past of an action that was of no interest so far is not known here. Where a write
//! leaves out a part of its target, it is taken for all there is, and the second pass finds out whether that was so
//! ([`Traced::Again`](super::Traced)).

use arrow::array::RecordBatch;
use hashbrown::HashMap;

use super::Scope;
use super::names::{FIELD, NONE, RECORD_ID, RECORD_TYPE, Records, STRANGE, SYSTEM, Target, Texts};
use super::spread::{Cause, Origin, Spread};
use super::view::{Effect, Kind, Order, TARGET, require, target};
use crate::error::Result;
use crate::event::{Column, Rows};

/// The columns of events that the first pass reads.
pub const REACH_COLUMNS: [Column; 11] = [
    Column::Seq,
    Column::OccurredAt,
    Column::Environment,
    Column::EventType,
    Column::ActionId,
    Column::System,
    Column::RecordType,
    Column::RecordId,
    Column::Field,
    Column::Inputs,
    Column::Outcome,
];

/// What the second pass must see: every event, whenever it happened, of `actions` and `unplaced`, and the events with
/// these `seqs`.
#[derive(Debug, Clone, Default)]
pub struct Needed {
    /// Actions that are bad, were rolled back on a record of the radius, or wrote to one without naming all of their
    /// target; sorted.
    pub actions: Vec<String>,
    /// Other actions that wrote without naming a record. Whoever knows otherwise that no event of one of them names a
    /// record may leave it out (the projection of actions tells); sorted.
    pub unplaced: Vec<String>,
    /// Other writes to records of the radius, and events outside bad actions that read a tainted cell; ascending.
    pub seqs: Vec<i64>,
    /// By `seq`: the parts of the target that a write was taken not to have, a bit each.
    pub(super) assumed: HashMap<i64, u8>,
}

/// What is known of an action that was of interest.
struct Note {
    /// Its target as told by the events since.
    target: [u32; 4],
    /// Whether all its events were seen.
    is_whole: bool,
    is_needed: bool,
    is_unplaced: bool,
}

/// The first pass over a log.
pub struct Reach {
    environment: String,
    order: Order,
    actions: Texts,
    /// By action.
    notes: Vec<Note>,
    records: Records,
    spread: Spread,
    seqs: Vec<i64>,
    assumed: HashMap<i64, u8>,
}

/// A write in progress.
struct Write<'a> {
    seq: i64,
    kind: Kind,
    effect: Effect,
    id: Option<&'a str>,
    /// The part of its target that the event names itself.
    own: Target<'a>,
    is_bad: bool,
}

impl Reach {
    /// A first pass for `scope`.
    pub fn new(scope: &Scope) -> Self {
        let mut reach = Self {
            environment: scope.environment.clone(),
            order: Order::default(),
            actions: Texts::default(),
            notes: Vec::new(),
            records: Records::default(),
            spread: Spread::new(scope.depth),
            seqs: Vec::new(),
            assumed: HashMap::new(),
        };
        for id in &scope.direct {
            let action = reach.note(id);
            reach.notes[action as usize].is_whole = true;
            reach.spread.add_direct(action);
        }
        for id in &scope.remembered {
            let action = reach.note(id);
            reach.notes[action as usize].is_whole = true;
        }
        reach
    }

    /// Takes the next events. At least these must be fed: every event of the environment from the first event of a
    /// direct action on, and every event before that of the scope's `remembered` actions. More does no harm.
    ///
    /// # Errors
    /// Internal, when a column of [`REACH_COLUMNS`] is missing or of another type, or an event is out of order.
    pub fn feed(&mut self, events: &RecordBatch) -> Result<()> {
        require(events, &REACH_COLUMNS)?;
        let rows = Rows::new(events)?;
        for row in 0..rows.len() {
            let (_, seq) = self.order.next(&rows, row)?;
            if rows.text(Column::Environment, row) == Some(self.environment.as_str()) {
                self.event(&rows, row, seq);
            }
        }
        Ok(())
    }

    /// What the second pass must see.
    pub fn finish(self) -> Needed {
        let mut needed = Needed { seqs: self.seqs, assumed: self.assumed, ..Needed::default() };
        needed.seqs.sort_unstable();
        for (action, note) in self.notes.iter().enumerate() {
            let id = || self.actions.get(action as u32).to_owned();
            if note.is_needed || self.spread.depth(action as u32).is_some() {
                needed.actions.push(id());
            } else if note.is_unplaced {
                needed.unplaced.push(id());
            }
        }
        needed.actions.sort_unstable();
        needed.unplaced.sort_unstable();
        needed
    }

    /// The number of an action that is of interest from now on.
    fn note(&mut self, id: &str) -> u32 {
        let action = self.actions.intern(id);
        if action as usize == self.notes.len() {
            let target = [NONE; 4];
            self.notes.push(Note { target, is_whole: false, is_needed: false, is_unplaced: false });
        }
        action
    }

    fn event(&mut self, rows: &Rows<'_>, row: usize, seq: i64) {
        let id = rows.text(Column::ActionId, row);
        let mut action = id.and_then(|id| self.actions.find(id));
        if let Some(origin) = self.spread.least_input(&self.records, rows, row) {
            action = self.read((id, action), origin, seq);
        }
        if action.is_some() || !self.records.is_empty() {
            let kind = Kind::of(rows.text(Column::EventType, row));
            if kind != Kind::Other {
                let is_bad = kind != Kind::RolledBack && action.is_some_and(|a| self.spread.depth(a).is_some());
                let effect = Effect::of(kind, rows.text(Column::Outcome, row));
                if is_bad || effect != Effect::Nothing {
                    let own = target(rows, row);
                    action = self.write(action, &Write { seq, kind, effect, id, own, is_bad });
                }
            }
        }
        if let Some(action) = action {
            self.remember(action, rows, row);
        }
    }

    /// An event read a tainted cell: its action is bad, or the event itself is of interest.
    fn read(&mut self, (id, action): (Option<&str>, Option<u32>), origin: Origin, seq: i64) -> Option<u32> {
        if action.is_some_and(|action| self.spread.depth(action).is_some()) {
            return action;
        }
        match id {
            Some(id) if self.spread.reaches(&origin) => {
                let action = self.note(id);
                self.spread.read(action, Cause { origin, read_seq: seq });
                Some(action)
            }
            _ => {
                self.seqs.push(seq);
                action
            }
        }
    }

    /// A write, or the attempt of a bad one.
    fn write(&mut self, mut action: Option<u32>, write: &Write<'_>) -> Option<u32> {
        let numbers = self.resolve(action, write);
        let [system, record_type, id, field] = numbers;
        let record = match id {
            NONE | STRANGE => None,
            _ if write.is_bad => Some(self.records.intern([system, record_type, id])),
            _ => self.records.find([system, record_type, id]),
        };
        if let Some(action_id) = write.id
            && self.is_in_doubt(&numbers, record, write)
        {
            let noted = self.note(action_id);
            self.assume(noted, &numbers, write);
            action = Some(noted);
        }
        let Some(record) = record else { return action };
        if write.is_bad {
            if write.effect != Effect::Nothing
                && let Some(action) = action
                && let Some(depth) = self.spread.depth(action)
            {
                self.spread.taint(record, field, Origin { depth, seq: write.seq, action });
            }
            return action;
        }
        self.seqs.push(write.seq);
        if write.effect == Effect::Full {
            self.spread.clear(record, field);
        }
        if let Some(id) = write.id
            && write.kind == Kind::RolledBack
        {
            // The value that it restores stands on another event of the action.
            let noted = self.note(id);
            self.notes[noted as usize].is_needed = true;
            return Some(noted);
        }
        action
    }

    /// The target of a write in numbers: its own, else what its action told since it is noted.
    fn resolve(&mut self, action: Option<u32>, write: &Write<'_>) -> [u32; 4] {
        let known = action.map_or([NONE; 4], |action| self.notes[action as usize].target);
        std::array::from_fn(|part| match write.own[part] {
            Some(text) if write.is_bad => self.records.texts.intern(text),
            Some(text) => self.records.texts.find(text).unwrap_or(STRANGE),
            None => known[part],
        })
    }

    /// Whether a part that a write leaves out itself could matter.
    fn is_in_doubt(&self, numbers: &[u32; 4], record: Option<u32>, write: &Write<'_>) -> bool {
        let lacks = |part: usize| write.own[part].is_none();
        if !(0..4).any(lacks) {
            return false;
        }
        let is_open = |part: usize| numbers[part] == NONE;
        let is_part_open = is_open(SYSTEM) || is_open(RECORD_TYPE);
        let may_be_another = is_open(RECORD_ID) || is_part_open && numbers[RECORD_ID] != STRANGE;
        write.is_bad || record.is_some() || may_be_another && !self.records.is_empty()
    }

    /// Takes what is not known of the target of a write not to be there, and lets the second pass find out.
    fn assume(&mut self, action: u32, numbers: &[u32; 4], write: &Write<'_>) {
        let note = &mut self.notes[action as usize];
        let is_unplaced = numbers[RECORD_ID] == NONE;
        if is_unplaced && note.is_whole {
            return;
        }
        note.is_unplaced |= is_unplaced;
        note.is_needed |= !is_unplaced;
        let open = [SYSTEM, RECORD_TYPE, RECORD_ID, FIELD].into_iter().filter(|part| numbers[*part] == NONE);
        let open = open.fold(0, |bits, part| bits | 1 << part);
        if open != 0 && !note.is_whole {
            self.assumed.insert(write.seq, open);
        }
    }

    fn remember(&mut self, action: u32, rows: &Rows<'_>, row: usize) {
        for (part, column) in TARGET.into_iter().enumerate() {
            if let Some(text) = rows.text(column, row) {
                self.notes[action as usize].target[part] = self.records.texts.intern(text);
            }
        }
    }
}
