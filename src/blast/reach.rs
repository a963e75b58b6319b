//! The first pass: which events can matter at all.
//!
//! In: the few columns of [`REACH_COLUMNS`] of a long log, in (`occurred_at`, `seq`) order, or the [`Touches`] made from
//! them before. Out: [`Needed`], the events that the second pass must see in full. Invariant: memory grows with the bad
//! actions, the records that they touched and the later writes to these, never with the log. It must not read a value.
//!
//! Names are numbers here; across batches and files they are told apart by their [`Key`]s. An event that is of no
//! interest costs a look at a few numbers. The past of an action that was of no interest so far is not known here. Where
//! a write leaves out a part of its target, it is taken for all there is, and the second pass finds out whether that was
//! so ([`Traced::Again`](super::Traced)).

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use hashbrown::HashMap;

use super::Scope;
use super::keys::{Key, Numbers};
use super::names::{FIELD, NONE, RECORD_ID, RECORD_TYPE, STRANGE, SYSTEM};
use super::part::{Part, Watch};
use super::spread::{Cause, Origin, Spread};
use super::touches::{Builder, NO_ENVIRONMENT, Touches, environment_number};
use super::view::{Effect, Kind, out_of_order, require};
use crate::clock::Micros;
use crate::error::Result;
use crate::event::Column;

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
    /// target; ascending.
    pub actions: Vec<Key>,
    /// Other actions that wrote without naming a record. Whoever knows otherwise that no event of one of them names a
    /// record may leave it out; ascending.
    pub unplaced: Vec<Key>,
    /// Other writes to records of the radius, and events outside bad actions that read a tainted cell; ascending.
    pub seqs: Vec<i64>,
    /// The same by number of the part of the log that they stand in (of batches, in the order in which they were fed),
    /// and row; ascending.
    pub rows: Vec<(u32, u32)>,
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

/// What a first pass is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The direct actions.
    pub direct: &'a [Key],
    /// As in [`Scope`].
    pub remembered: &'a [Key],
    /// As in [`Scope`].
    pub environment: &'a str,
    /// As in [`Scope`].
    pub depth: Option<u32>,
}

/// The first pass over a log.
pub struct Reach {
    environment: u8,
    actions: Numbers,
    /// By action.
    notes: Vec<Note>,
    /// Systems, types, ids and fields.
    names: Numbers,
    /// Records by the numbers of their names.
    records: HashMap<[u32; 3], u32>,
    spread: Spread,
    seqs: Vec<i64>,
    rows: Vec<(u32, u32)>,
    assumed: HashMap<i64, u8>,
    /// Those that the pass is in.
    parts: Vec<Part>,
    /// Batches fed, and the last event of them.
    fed: (u32, Option<(Micros, i64)>),
}

/// A row of a part in progress.
#[derive(Clone, Copy)]
struct Spot<'t> {
    /// Place of the part among the parts.
    part: usize,
    touches: &'t Touches,
    row: usize,
    /// As the caller calls them.
    name: (u32, u32),
}

/// A write in progress.
struct Write {
    kind: Kind,
    effect: Effect,
    /// Its action.
    id: Option<Key>,
    /// The parts of its target that the event names itself, in the numbers of the pass,
    own: [u32; 4],
    /// and their keys.
    keys: [Option<Key>; 4],
    is_bad: bool,
}

impl Reach {
    /// A first pass for `scope`.
    pub fn new(scope: &Scope) -> Self {
        let keys = |ids: &[String]| -> Vec<Key> { ids.iter().map(|id| Key::of(id)).collect() };
        let (direct, remembered) = (keys(&scope.direct), keys(&scope.remembered));
        let (environment, depth) = (scope.environment.as_str(), scope.depth);
        Self::of(&Asked { direct: &direct, remembered: &remembered, environment, depth })
    }

    /// A first pass for `asked`.
    pub fn of(asked: &Asked<'_>) -> Self {
        let mut reach = Self {
            environment: environment_number(Some(asked.environment)),
            actions: Numbers::default(),
            notes: Vec::new(),
            names: Numbers::default(),
            records: HashMap::new(),
            spread: Spread::new(asked.depth),
            seqs: Vec::new(),
            rows: Vec::new(),
            assumed: HashMap::new(),
            parts: Vec::new(),
            fed: (0, None),
        };
        for key in asked.direct {
            let action = reach.note(*key);
            reach.notes[action as usize].is_whole = true;
            reach.spread.add_direct(action);
        }
        for key in asked.remembered {
            let action = reach.note(*key);
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
        let mut builder = Builder::default();
        builder.add(events)?;
        let touches = Arc::new(builder.finish());
        let Some(last) = touches.len().checked_sub(1) else { return Ok(()) };
        let (number, before) = self.fed;
        if before.is_some_and(|before| before >= touches.moment(0)) {
            return Err(out_of_order(touches.moment(0).1));
        }
        self.fed = (number + 1, Some(touches.moment(last)));
        self.open(number, touches, i64::MAX);
        self.pass(number, 0..last + 1);
        self.close(number);
        Ok(())
    }

    /// Begins a part of the log; of its events those with a `seq` below `before` count.
    pub fn open(&mut self, number: u32, touches: Arc<Touches>, before: i64) {
        self.parts.push(Part::new((number, touches, before), &self.actions, &self.names));
    }

    /// Takes the events in `rows` of part `number`. Of all parts together, events come in order.
    pub fn pass(&mut self, number: u32, rows: Range<usize>) {
        let Some(part) = self.parts.iter().position(|part| part.number == number) else { return };
        if self.environment == NO_ENVIRONMENT {
            return;
        }
        let touches = self.parts[part].touches.clone();
        let (mut from, end) = (rows.start, rows.end);
        loop {
            let watch = self.watch();
            let Some(row) = self.parts[part].next(from..end, watch) else { return };
            self.event(&Spot { part, touches: &touches, row, name: (number, row as u32) });
            from = row + 1;
        }
    }

    /// Ends a part of the log.
    pub fn close(&mut self, number: u32) {
        self.parts.retain(|part| part.number != number);
    }

    /// What the second pass must see.
    pub fn finish(self) -> Needed {
        let mut needed = Needed { seqs: self.seqs, rows: self.rows, assumed: self.assumed, ..Needed::default() };
        // An event may have read and written.
        needed.seqs.sort_unstable();
        needed.seqs.dedup();
        needed.rows.sort_unstable();
        needed.rows.dedup();
        for (action, note) in (0..).zip(&self.notes) {
            if note.is_needed || self.spread.depth(action).is_some() {
                needed.actions.push(self.actions.key(action));
            } else if note.is_unplaced {
                needed.unplaced.push(self.actions.key(action));
            }
        }
        needed.actions.sort_unstable();
        needed.unplaced.sort_unstable();
        needed
    }

    fn watch(&self) -> Watch {
        let (writes, reads) = (!self.records.is_empty(), self.spread.has_taint());
        Watch { environment: self.environment, writes, reads }
    }

    /// The number of an action that is of interest from now on.
    fn note(&mut self, key: Key) -> u32 {
        let (action, is_new) = self.actions.intern(key);
        if is_new {
            let target = [NONE; 4];
            self.notes.push(Note { target, is_whole: false, is_needed: false, is_unplaced: false });
            self.parts.iter_mut().for_each(|part| part.learn_action(&key, action));
        }
        action
    }

    /// The number of a name that is of interest from now on.
    fn name(&mut self, key: Key) -> u32 {
        let (name, is_new) = self.names.intern(key);
        if is_new {
            self.parts.iter_mut().for_each(|part| part.learn_name(&key, name));
        }
        name
    }

    /// The number of a record that is of interest from now on.
    fn record(&mut self, parts: [u32; 3]) -> u32 {
        let next = self.records.len() as u32;
        *self.records.entry(parts).or_insert(next)
    }

    /// The event at `spot` is of interest for good: the second pass must see it.
    fn keep(&mut self, spot: &Spot<'_>) {
        self.seqs.push(spot.touches.seqs[spot.row]);
        self.rows.push(spot.name);
    }

    fn event(&mut self, spot: &Spot<'_>) {
        let Spot { part, touches, row, .. } = *spot;
        let mark = touches.mark(row);
        let mut action = self.parts[part].action(row);
        if let Some(origin) = self.least_input(spot) {
            action = self.read(action, origin, spot);
        }
        let (kind, effect) = (mark.kind(), mark.effect());
        let is_bad = kind != Kind::RolledBack && action.is_some_and(|a| self.spread.depth(a).is_some());
        if kind != Kind::Other && (is_bad || effect != Effect::Nothing) {
            let place = touches.target(row);
            let keys = place.map(|name| touches.name_keys.get(name as usize).copied());
            let own = self.parts[part].known(&place);
            let write = Write { kind, effect, id: touches.action(row), own, keys, is_bad };
            action = self.write(action, &write, spot);
        }
        if let Some(action) = action {
            self.remember(action, spot);
        }
    }

    /// The write nearest to the cause among those that taint one of the inputs.
    fn least_input(&mut self, spot: &Spot<'_>) -> Option<Origin> {
        if !self.spread.has_taint() || !spot.touches.mark(spot.row).has_reads() {
            return None;
        }
        let part = &mut self.parts[spot.part];
        let reads = part.reads(spot.row);
        let origins = spot.touches.reads[reads].iter().filter_map(|place| {
            let place = &spot.touches.places[*place as usize];
            let [system, record_type, id, field] = part.known(place);
            // What names no record, or none of interest, is in no record of interest.
            if id == NONE || id == STRANGE {
                return None;
            }
            let record = self.records.get(&[system, record_type, id])?;
            self.spread.least(*record, field)
        });
        origins.min()
    }

    /// An event read a tainted cell: its action is bad, or the event itself is of interest.
    fn read(&mut self, action: Option<u32>, origin: Origin, spot: &Spot<'_>) -> Option<u32> {
        if action.is_some_and(|action| self.spread.depth(action).is_some()) {
            return action;
        }
        match spot.touches.action(spot.row) {
            Some(id) if self.spread.reaches(&origin) => {
                let action = self.note(id);
                self.spread.read(action, Cause { origin, read_seq: spot.touches.seqs[spot.row] });
                Some(action)
            }
            _ => {
                self.keep(spot);
                action
            }
        }
    }

    /// A write, or the attempt of a bad one.
    fn write(&mut self, mut action: Option<u32>, write: &Write, spot: &Spot<'_>) -> Option<u32> {
        let numbers = self.resolve(action, write);
        let [system, record_type, id, field] = numbers;
        let record = match id {
            NONE | STRANGE => None,
            _ if write.is_bad => Some(self.record([system, record_type, id])),
            _ => self.records.get(&[system, record_type, id]).copied(),
        };
        let seq = spot.touches.seqs[spot.row];
        if let Some(key) = write.id
            && self.is_in_doubt(&numbers, record, write)
        {
            let noted = self.note(key);
            self.assume((noted, seq), &numbers);
            action = Some(noted);
        }
        let Some(record) = record else { return action };
        if write.is_bad {
            if write.effect != Effect::Nothing
                && let Some(action) = action
                && let Some(depth) = self.spread.depth(action)
            {
                self.spread.taint(record, field, Origin { depth, seq, action });
            }
            return action;
        }
        self.keep(spot);
        if write.effect == Effect::Full {
            self.spread.clear(record, field);
        }
        if let Some(key) = write.id
            && write.kind == Kind::RolledBack
        {
            // The value that it restores stands on another event of the action.
            let noted = self.note(key);
            self.notes[noted as usize].is_needed = true;
            return Some(noted);
        }
        action
    }

    /// The target of a write in numbers: its own, else what its action told since it is noted.
    fn resolve(&mut self, action: Option<u32>, write: &Write) -> [u32; 4] {
        let known = action.map_or([NONE; 4], |action| self.notes[action as usize].target);
        std::array::from_fn(|part| match (write.own[part], write.keys[part]) {
            (NONE, _) => known[part],
            (STRANGE, Some(key)) if write.is_bad => self.name(key),
            (number, _) => number,
        })
    }

    /// Whether a part that a write leaves out itself could matter.
    fn is_in_doubt(&self, numbers: &[u32; 4], record: Option<u32>, write: &Write) -> bool {
        if !write.own.contains(&NONE) {
            return false;
        }
        let is_open = |part: usize| numbers[part] == NONE;
        let is_part_open = is_open(SYSTEM) || is_open(RECORD_TYPE);
        let may_be_another = is_open(RECORD_ID) || is_part_open && numbers[RECORD_ID] != STRANGE;
        write.is_bad || record.is_some() || may_be_another && !self.records.is_empty()
    }

    /// Takes what is not known of the target of a write not to be there, and lets the second pass find out.
    fn assume(&mut self, (action, seq): (u32, i64), numbers: &[u32; 4]) {
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
            self.assumed.insert(seq, open);
        }
    }

    fn remember(&mut self, action: u32, spot: &Spot<'_>) {
        for (part, name) in spot.touches.target(spot.row).into_iter().enumerate() {
            if let Some(key) = spot.touches.name_keys.get(name as usize) {
                self.notes[action as usize].target[part] = self.name(*key);
            }
        }
    }
}
