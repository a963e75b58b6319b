//! The present of the simulated world: the value of every cell and the actions under way.
//!
//! Compact, since a hundred million events need eight million records: two bytes a cell, 80 an action, and an
//! action's place is used again when nothing about it is pending. Invariant: a cell's value is what the last
//! production write left, whoever made it, so that old values chain.

use super::incidents::Taint;
use super::random::{Random, mix};
use super::world::{FIELDS, TYPES, WORKFLOWS};

const PRISTINE: u8 = u8::MAX;
/// Cells remembered as lately written.
const RECENT: usize = 64;

/// Which record type a record number belongs to, and its number there.
#[derive(Debug, Clone, Copy)]
pub struct RecordKey {
    pub record_type: u8,
    pub number: u32,
}

/// All records.
pub struct Records {
    /// First record of each type, and the end.
    starts: [u32; TYPES.len() + 1],
    values: Vec<u8>,
    taints: Vec<Taint>,
    recent: [u32; RECENT],
    recent_bad: [u32; RECENT],
    writes: usize,
    bad_writes: usize,
    seed: u64,
}

impl Records {
    /// About `count` records, shared out among the types.
    pub fn new(count: u64, seed: u64) -> Self {
        let mut starts = [0; TYPES.len() + 1];
        for (i, record_type) in TYPES.iter().enumerate() {
            // A billion cells are more than a machine's memory; an input also has three bits for its field.
            let share = (count * record_type.percent / 100).clamp(8, 100_000_000);
            starts[i + 1] = starts[i] + share as u32;
        }
        let cells = starts[TYPES.len()] as usize * FIELDS;
        Self {
            starts,
            values: vec![PRISTINE; cells],
            taints: vec![Taint::default(); cells],
            recent: [0; RECENT],
            recent_bad: [0; RECENT],
            writes: 0,
            bad_writes: 0,
            seed,
        }
    }

    /// A record for `workflow` to look at; some are popular.
    pub fn choose(&self, workflow: u8, random: &mut Random) -> u32 {
        let record_type = usize::from(WORKFLOWS[usize::from(workflow)].record_type);
        let (from, to) = (self.starts[record_type], self.starts[record_type + 1]);
        let u = random.unit();
        let u = if random.one_in(1, 3) { u * u } else { u };
        from + (u * f64::from(to - from)) as u32
    }

    /// Type and number of a record.
    pub fn key(&self, record: u32) -> RecordKey {
        let i = self.starts.iter().rposition(|start| *start <= record).unwrap_or_default().min(TYPES.len() - 1);
        RecordKey { record_type: i as u8, number: record - self.starts[i] }
    }

    /// The words that `cell` can hold.
    pub fn words(&self, cell: u32) -> &'static [&'static str] {
        TYPES[usize::from(self.key(cell / FIELDS as u32).record_type)].values[cell as usize % FIELDS]
    }

    /// The value of `cell`, as an index of its words.
    pub fn value(&self, cell: u32) -> u8 {
        match self.values[cell as usize] {
            PRISTINE => (mix(self.seed ^ u64::from(cell)) % (self.words(cell).len() as u64 - 1)) as u8,
            value => value,
        }
    }

    /// A value that is neither empty, nor the wrong one, nor what the cell holds now.
    pub fn other_value(&self, cell: u32, random: &mut Random) -> u8 {
        let last = self.words(cell).len() as u64 - 1;
        let value = 1 + random.below(last - 1) as u8;
        if value != self.value(cell) {
            return value;
        }
        if u64::from(value) + 1 < last { value + 1 } else { 1 }
    }

    /// The value that is wrong for every record.
    pub fn wrong_value(&self, cell: u32) -> u8 {
        self.words(cell).len() as u8 - 1
    }

    /// Whether anyone has written `cell`.
    pub fn is_written(&self, cell: u32) -> bool {
        self.values[cell as usize] != PRISTINE
    }

    /// Writes `value` with what is known of its origin.
    pub fn write(&mut self, cell: u32, value: u8, taint: Taint) {
        self.values[cell as usize] = value;
        self.taints[cell as usize] = taint;
        self.recent[self.writes % RECENT] = cell;
        self.writes += 1;
        if taint != Taint::default() {
            self.recent_bad[self.bad_writes % RECENT] = cell;
            self.bad_writes += 1;
        }
    }

    /// What taints `cell`.
    pub fn taint(&self, cell: u32) -> Taint {
        self.taints[cell as usize]
    }

    /// A cell written lately, if any.
    pub fn recent(&self, random: &mut Random) -> Option<u32> {
        let count = self.writes.min(RECENT) as u64;
        (count > 0).then(|| self.recent[random.below(count) as usize])
    }

    /// A cell that a bad write reached lately, if any.
    pub fn recent_bad(&self, random: &mut Random) -> Option<u32> {
        let count = self.bad_writes.min(RECENT) as u64;
        (count > 0).then(|| self.recent_bad[random.below(count) as usize])
    }
}

/// A breach of a rule that an action carries from birth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flaw {
    #[default]
    None,
    SelfApproval,
    NoApproval,
    DecidedAfter,
    PatchDrift,
    ExpiredApproval,
    Duplicate,
    RejectedExecuted,
    NoProposal,
    NoEvidence,
    Prohibited,
    WrongReviewer,
}

/// How many actions in ten thousand carry each flaw.
const FLAWS: [(Flaw, u64); 11] = [
    (Flaw::SelfApproval, 20),
    (Flaw::NoApproval, 20),
    (Flaw::DecidedAfter, 25),
    (Flaw::PatchDrift, 25),
    (Flaw::ExpiredApproval, 20),
    (Flaw::Duplicate, 20),
    (Flaw::RejectedExecuted, 15),
    (Flaw::NoProposal, 20),
    (Flaw::NoEvidence, 25),
    (Flaw::Prohibited, 5),
    (Flaw::WrongReviewer, 25),
];

/// Draws a flaw, seldom.
pub fn draw_flaw(random: &mut Random) -> Flaw {
    let mut rest = random.below(10_000);
    for (flaw, count) in FLAWS {
        if rest < count {
            return flaw;
        }
        rest -= count;
    }
    Flaw::None
}

/// An action under way. Values are indexes of the words of its cell, people of [`super::world::REVIEWERS`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Action {
    pub number: u64,
    pub proposed_at: i64,
    pub record: u32,
    pub run: u32,
    /// Record times eight, plus a field of [`super::world::RecordType::field`].
    pub inputs: [u32; 4],
    pub input_count: u8,
    pub workflow: u8,
    pub target: u8,
    pub environment: u8,
    pub agent: u8,
    pub versions: [u8; 3],
    /// Confidence in hundredths.
    pub confidence: u8,
    pub old_value: u8,
    pub new_value: u8,
    pub flaw: Flaw,
    pub needs_approval: bool,
    pub is_changed: bool,
    pub is_false_positive: bool,
    pub reviewer: u8,
    /// Attempts so far.
    pub attempts: u8,
    /// Incidents that this action belongs to once it is executed, a bit each.
    pub incidents: u8,
    pub taint: Taint,
    /// Entries of the agenda that point here.
    pub pending: u8,
}

impl Action {
    /// The cell that it changes.
    pub fn cell(&self) -> u32 {
        let target = &WORKFLOWS[usize::from(self.workflow)].targets[usize::from(self.target)];
        self.record * FIELDS as u32 + u32::from(target.field)
    }
}

/// The actions under way, by place.
#[derive(Default)]
pub struct Actions {
    slots: Vec<Action>,
    free: Vec<u32>,
}

impl Actions {
    /// Gives `action` a place.
    pub fn insert(&mut self, action: Action) -> u32 {
        if let Some(place) = self.free.pop() {
            self.slots[place as usize] = action;
            return place;
        }
        self.slots.push(action);
        self.slots.len() as u32 - 1
    }

    /// The action at `place`.
    pub fn get(&mut self, place: u32) -> &mut Action {
        &mut self.slots[place as usize]
    }

    /// Frees `place` when nothing points there any more.
    pub fn release(&mut self, place: u32) {
        if self.slots[place as usize].pending == 0 {
            self.free.push(place);
        }
    }
}
