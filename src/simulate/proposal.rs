//! How an action begins: what the agent reads, what it wants to write, and who has to be asked.
//!
//! In: an entry of the agenda for a proposal. Out: an action with a place, its event, and its next step on the
//! agenda. Invariant: an action is tainted by what its inputs hold at the moment of the event that names them.

use super::Simulation;
use super::agenda::{Kind, Pending};
use super::incidents::{self, Taint};
use super::life::{EXPIRE, FIRST, MINUTE, WITHDRAW, waiting};
use super::state::{Action, Flaw, draw_flaw};
use super::tell::{self, ROGUE, target_of, workflow_of};
use super::world::{ENRICHMENT, FIELDS, REVIEWERS};
use crate::clock::{DAY, HOUR, SECOND};
use crate::event::columns::Column;
use crate::event::draft::Draft;

impl Simulation {
    /// An agent proposes a change, or has made it already without a word.
    pub(super) fn propose(&mut self, p: Pending, draft: &mut Draft<'static>) -> bool {
        let mut action = self.draw_action(p);
        self.draw_inputs(&mut action);
        let has_event = action.flaw != Flaw::NoProposal;
        if has_event {
            self.read_inputs(&mut action);
        }
        self.draw_outlook(&mut action);
        let place = self.actions.insert(action);
        if has_event {
            draft.set_text(Column::EventType, "action.proposed");
            tell::actor(draft, "agent", tell::agent_name(p.workflow, p.x));
            tell::action(draft, &self.records, &action);
            tell::proposal(draft, &self.records, &action, self.now);
            tell::payload(draft, &action, 0);
        }
        let outcome = self.plan_decision(place, &mut action);
        if has_event {
            draft.set_text(Column::PolicyOutcome, outcome);
        }
        *self.actions.get(place) = action;
        self.actions.release(place);
        has_event
    }

    fn draw_action(&mut self, p: Pending) -> Action {
        self.action_count += 1;
        let targets = workflow_of(p.workflow).targets;
        let (agent, target) = match p.x {
            ROGUE => (ROGUE, 0),
            n => (n, self.random.below(targets.len() as u64) as u8),
        };
        let mut action = Action {
            number: self.action_count,
            proposed_at: self.now,
            record: p.a,
            run: p.b,
            workflow: p.workflow,
            target,
            environment: p.environment,
            agent,
            versions: self.versions[usize::from(p.workflow)],
            confidence: (99 - self.random.below(45) * self.random.below(45) / 44) as u8,
            ..Action::default()
        };
        if p.x < ROGUE {
            action.flaw = draw_flaw(&mut self.random);
        }
        if p.environment == 0 {
            let picks = |i: &incidents::Incident| i.picks(p.workflow, action.versions, agent == ROGUE);
            action.incidents =
                self.incidents.iter().enumerate().map(|(n, i)| u8::from(picks(i)) << n).fold(0, |a, b| a | b);
            // The first two incidents are about one field each.
            action.target = match action.incidents {
                1 => 0,
                2 => 1,
                _ => action.target,
            };
        }
        action
    }

    /// What the action reads: a field of its own record that is only read, at times others, at times what another
    /// action wrote. Seldom enough that a wrong value does not spread through everything.
    fn draw_inputs(&mut self, action: &mut Action) {
        if action.flaw == Flaw::NoEvidence {
            return;
        }
        let own = action.record * 8;
        let mut add = |input: u32| {
            if !action.inputs[..usize::from(action.input_count)].contains(&input) {
                action.inputs[usize::from(action.input_count)] = input;
                action.input_count += 1;
            }
        };
        let of_cell = |cell: u32| cell / FIELDS as u32 * 8 + cell % FIELDS as u32;
        let random = &mut self.random;
        add(own + FIELDS as u32 + random.below(2) as u32);
        if random.one_in(20, 100) {
            add(own + random.below(FIELDS as u64) as u32);
        }
        if let Some(cell) = self.records.recent(random).filter(|_| random.one_in(12, 100)) {
            add(of_cell(cell));
        }
        let is_spreading = |i: &incidents::Incident| i.workflow == ENRICHMENT && i.is_spreading(self.now);
        let is_lured = action.agent == ROGUE || (action.workflow != ENRICHMENT && random.one_in(15, 100));
        if is_lured && action.environment == 0 && self.incidents.iter().any(is_spreading) {
            self.records.recent_bad(random).into_iter().for_each(|cell| add(of_cell(cell)));
        }
    }

    /// The inputs are read now, and with them whatever taints them.
    pub(super) fn read_inputs(&mut self, action: &mut Action) {
        if action.environment != 0 {
            return;
        }
        let read = &action.inputs[..usize::from(action.input_count)];
        let cells = read.iter().filter(|input| *input % 8 < FIELDS as u32).map(|i| i / 8 * FIELDS as u32 + i % 8);
        let nearest = cells.fold(Taint::default(), |taint, cell| taint.nearest(self.records.taint(cell)));
        if nearest != Taint::default() {
            action.taint = nearest.read();
            incidents::note_reader(&mut self.incidents, action.taint);
        }
    }

    /// The value to write, and whether there is an issue at all.
    fn draw_outlook(&mut self, action: &mut Action) {
        let cell = action.cell();
        let is_bad = action.incidents != 0;
        action.new_value = match () {
            () if action.flaw == Flaw::Prohibited => 0,
            () if is_bad && action.incidents & 2 != 0 => 0,
            () if is_bad || action.taint != Taint::default() => self.records.wrong_value(cell),
            () => self.records.other_value(cell, &mut self.random),
        };
        let doubt = 5 + u64::from(100 - action.confidence) / 4;
        action.is_false_positive = self.random.one_in(if is_bad { 60 } else { doubt }, 100);
        let target = target_of(action);
        let is_unsure = f64::from(action.confidence) / 100.0 < workflow_of(action.workflow).threshold;
        action.needs_approval = target.needs_approval || (is_unsure && !self.random.one_in(2, 100));
        action.reviewer = self.draw_reviewer(action);
    }

    /// Somebody who may decide: by the amount where money is at stake.
    pub(super) fn draw_reviewer(&mut self, action: &Action) -> u8 {
        let workflow = workflow_of(action.workflow);
        if action.flaw == Flaw::WrongReviewer {
            return self.random.below(REVIEWERS.len() as u64) as u8;
        }
        let role = match tell::amount_of(action.record, action.workflow) {
            _ if !workflow.has_amount => None,
            0..1_000_000 => Some("deal_desk"),
            1_000_000..10_000_000 => Some("finance_controller"),
            _ => Some("cfo"),
        };
        let people = &self.reviewers[usize::from(action.workflow)];
        loop {
            let i = self.random.pick(people);
            if role.is_none_or(|role| REVIEWERS[usize::from(i)].role == role) {
                return i;
            }
        }
    }

    /// What follows a proposal; gives the outcome of the agent's own policy.
    fn plan_decision(&mut self, place: u32, action: &mut Action) -> &'static str {
        let soon = self.random.between(SECOND, 25 * SECOND);
        let is_rogue = action.agent == ROGUE;
        if action.flaw == Flaw::NoProposal || is_rogue || !action.needs_approval {
            if !is_rogue && action.flaw != Flaw::NoProposal && self.random.one_in(1, 100) {
                return "blocked";
            }
            self.follow(place, action, Kind::Execute, 0, soon);
            return "auto_run";
        }
        match action.flaw {
            Flaw::NoApproval => self.follow(place, action, Kind::Execute, 0, soon),
            Flaw::DecidedAfter => {
                self.follow(place, action, Kind::Execute, 0, soon);
                self.follow_in_office(place, action, Kind::Decide, FIRST, 6 * HOUR);
            }
            _ => match self.random.below(100) {
                0..4 => {} // nobody ever decides
                4..6 => self.follow(place, action, Kind::Decide, EXPIRE, 14 * DAY),
                6 => self.follow(place, action, Kind::Decide, WITHDRAW, 30 * MINUTE),
                _ => {
                    let hours = REVIEWERS[usize::from(action.reviewer)].hours;
                    let delay = waiting(&mut self.random, hours);
                    self.follow_in_office(place, action, Kind::Decide, FIRST, delay);
                }
            },
        }
        "approval_required"
    }
}
