//! A simulated business whose agents leave evidence: for demonstrations, tests and benchmarks.
//!
//! In: a [`Plan`]. Out: events as drafts in order of arrival, and what is known of the [`Planted`] incidents.
//!
//! Two clocks run. The *agenda* holds what is still to happen by `occurred_at`; taking an entry changes the world
//! and makes one event. Most events arrive at once, some seconds late, one in a hundred days late; those wait in
//! `late` until their arrival. The pace of new work is set by the number of events made or pending, so that
//! exactly the planned number fills the planned time.
//!
//! Invariants: the output depends on the plan alone, on every machine and in every release of one format;
//! `occurred_at` is different for every event and before `until`; every draft passes [`Draft::check`]; `source_seq`
//! has no gaps but the planted ones. No clock, no I/O, no randomness but that of `random.rs`.

mod agenda;
mod incidents;
mod life;
mod ndjson;
mod proposal;
mod random;
mod state;
mod tell;
mod timeline;
mod world;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use chrono::{DateTime, Months};

use crate::clock::{DAY, Micros, SECOND};
use crate::event::columns::Column;
use crate::event::draft::{Cell, Draft};
use agenda::{Agenda, Kind, Pace, Pending};
pub use incidents::Planted;
use incidents::{INCIDENTS, Incident};
pub use ndjson::write_ndjson;
use random::Random;
use state::{Actions, Records};
pub use world::roles_toml;
use world::{SOURCES, WORKFLOWS};

/// Default end of the simulated time, 2026-11-01T00:00:00Z: a constant, so that output depends on nothing else.
pub const UNTIL: Micros = 1_793_491_200_000_000;
/// Default length of the simulated time in months.
pub const MONTHS: u32 = 24;

/// Events for each record of the world.
const EVENTS_PER_RECORD: u64 = 12;
/// One in so many events is followed by a number of its source that never arrives.
const EVENTS_PER_GAP: u64 = 200_000;

/// What to simulate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Number of events.
    pub events: u64,
    /// Another seed, another history.
    pub seed: u64,
    /// Months before `until` over which they spread; at least one.
    pub months: u32,
    /// Exclusive end of everything.
    pub until: Micros,
}

impl Default for Plan {
    fn default() -> Self {
        Self { events: 100_000, seed: 1, months: MONTHS, until: UNTIL }
    }
}

/// A simulation under way.
pub struct Simulation {
    plan: Plan,
    random: Random,
    agenda: Agenda,
    pace: Pace,
    records: Records,
    actions: Actions,
    incidents: Vec<Incident>,
    late: BinaryHeap<Reverse<Late>>,
    /// Reviewers by workflow, as indexes of `world::REVIEWERS`.
    reviewers: Vec<Vec<u8>>,
    versions: [[u8; 3]; WORKFLOWS.len()],
    paused_until: [Micros; WORKFLOWS.len()],
    source_seq: [i64; SOURCES.len()],
    now: Micros,
    /// Nothing is planned from here on, a little before `until`, which leaves room to keep instants distinct.
    limit: Micros,
    next_run_at: Micros,
    /// Events made, and events made or pending.
    made: u64,
    planned: u64,
    emitted: u64,
    run_count: u32,
    action_count: u64,
    unlogged_writes: u64,
}

/// An event on its way, by arrival.
struct Late {
    arrives_at: Micros,
    number: u64,
    draft: Box<Draft<'static>>,
}

impl PartialEq for Late {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Late {}

impl PartialOrd for Late {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Late {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.arrives_at, self.number).cmp(&(other.arrives_at, other.number))
    }
}

impl Simulation {
    /// The simulation of `plan`, before its first event.
    pub fn new(plan: Plan) -> Self {
        let limit = plan.until - 4 * SECOND;
        let start = start_of(&plan);
        let mut random = Random::new(plan.seed ^ random::mix(plan.events));
        let mut incidents = incidents::plan(plan.events, start, limit);
        debug_assert!(incidents.len() <= INCIDENTS);
        let timeline = timeline::draw(plan.events, start, limit, &mut incidents, &mut random);
        let seed = random.bits();
        let mut simulation = Self {
            plan,
            random,
            agenda: Agenda::new(start, plan.until, plan.events),
            pace: Pace::new(start, limit),
            records: Records::new(plan.events / EVENTS_PER_RECORD, seed),
            actions: Actions::default(),
            incidents,
            late: BinaryHeap::new(),
            reviewers: life::reviewers_by_workflow(),
            versions: Default::default(),
            paused_until: Default::default(),
            source_seq: [0; SOURCES.len()],
            now: start,
            limit,
            next_run_at: start,
            made: 0,
            planned: 0,
            emitted: 0,
            run_count: 0,
            action_count: 0,
            unlogged_writes: 0,
        };
        for pending in timeline {
            simulation.schedule(pending);
        }
        simulation
    }

    /// The next event in order of arrival; none after the planned number.
    pub fn next_event(&mut self) -> Option<Draft<'static>> {
        loop {
            let next_at = if self.made < self.plan.events { Some(self.plan_work()) } else { None };
            if let Some(Reverse(late)) = self.late.peek()
                && next_at.is_none_or(|at| late.arrives_at <= at)
            {
                self.emitted += 1;
                return self.late.pop().map(|Reverse(late)| *late.draft);
            }
            next_at?;
            let mut draft = Draft::default();
            if !self.make_event(&mut draft) {
                continue;
            }
            let Some(arrives_at) = self.draw_arrival() else {
                self.emitted += 1;
                return Some(draft);
            };
            self.late.push(Reverse(Late { arrives_at, number: self.made, draft: Box::new(draft) }));
        }
    }

    /// The planted incidents; their counts are complete after the last event. Incidents without a single direct
    /// action, as in a very short log, are left out.
    pub fn planted(&self) -> Vec<Planted> {
        self.incidents.iter().map(Incident::planted).filter(|p| p.direct_actions > 0).collect()
    }

    /// Events given out so far.
    pub fn emitted(&self) -> u64 {
        self.emitted
    }

    /// Actions so far, those included that were executed without a proposal.
    pub fn actions(&self) -> u64 {
        self.action_count
    }

    /// Writes that were planted without an event, each of which breaks a chain of values.
    pub fn unlogged_writes(&self) -> u64 {
        self.unlogged_writes
    }

    /// Starts the runs that are due before the next entry of the agenda; gives the time of that entry.
    fn plan_work(&mut self) -> Micros {
        loop {
            let next_at = self.agenda.next_at();
            let is_run_due = self.planned < self.plan.events && next_at.is_none_or(|at| self.next_run_at <= at);
            match next_at {
                Some(at) if !is_run_due => return at,
                _ => self.start_run(),
            }
        }
    }

    /// Takes the next entry of the agenda; says whether it made an event.
    fn make_event(&mut self, draft: &mut Draft<'static>) -> bool {
        let Some(pending) = self.agenda.pop() else { return false };
        // Distinct instants leave no doubt about the order of two writes.
        self.now = pending.at.max(self.now + 1);
        if !self.live(pending, draft) {
            self.planned -= 1;
            return false;
        }
        self.made += 1;
        if pending.environment != 0 {
            draft.set_text(Column::Environment, tell::ENVIRONMENTS[usize::from(pending.environment) % 3]);
        }
        let workflow = tell::workflow_of(pending.workflow);
        draft.set_text(Column::Workflow, workflow.name);
        draft.set(Column::OccurredAt, Cell::Instant(self.now));
        self.number_event(draft, usize::from(workflow.source));
        true
    }

    fn number_event(&mut self, draft: &mut Draft<'static>, source: usize) {
        // Odd, hence a permutation of the numbers below 2^40: ids that are distinct and in no order.
        let scattered = self.made.wrapping_mul(0x9E_3779_B97F_4A7D) & ((1 << 40) - 1);
        draft.set_text(Column::EventId, ndjson::numbered("sim-", scattered, 8));
        draft.set_text(Column::Source, SOURCES[source]);
        if self.random.one_in(1, EVENTS_PER_GAP) {
            self.source_seq[source] += 1;
        }
        self.source_seq[source] += 1;
        draft.set(Column::SourceSeq, Cell::Integer(self.source_seq[source]));
    }

    /// When the event made last arrives, if not at once.
    fn draw_arrival(&mut self) -> Option<Micros> {
        let delay = match self.random.below(1_000) {
            0..10 => self.random.between(DAY, 20 * DAY),
            10..130 => self.random.between(SECOND / 2, 45 * SECOND),
            _ => return None,
        };
        Some(self.now + delay).filter(|at| *at < self.plan.until)
    }

    /// Puts `pending` on the agenda; false when it would happen after the end.
    fn schedule(&mut self, pending: Pending) -> bool {
        if pending.at >= self.limit {
            return false;
        }
        self.planned += 1;
        self.agenda.push(pending);
        self.next_run_at = self.pace.at(self.planned, self.plan.events).min(self.limit).max(self.now);
        true
    }

    /// A run of an agent begins: it will look at some records, one after the other.
    fn start_run(&mut self) {
        let run = life::draw_run(self);
        let mut at = self.next_run_at;
        for _ in 0..run.records {
            let record = self.records.choose(run.workflow, &mut self.random);
            at = (at + self.random.between(SECOND / 4, 6 * SECOND)).min(self.limit - 1);
            let (workflow, environment, x) = (run.workflow, run.environment, run.agent);
            let entry = Pending { at, a: record, b: self.run_count, kind: Kind::Review, workflow, environment, x };
            self.schedule(entry);
        }
        self.run_count = self.run_count.wrapping_add(1);
    }
}

fn start_of(plan: &Plan) -> Micros {
    let months = Months::new(plan.months.max(1));
    DateTime::from_timestamp_micros(plan.until)
        .and_then(|until| until.checked_sub_months(months))
        .map_or(plan.until - 30 * DAY, |start| start.timestamp_micros())
}

#[cfg(test)]
mod tests;
