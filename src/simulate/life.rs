//! What happens: how each entry of the agenda changes the world, what event it makes and what follows from it.
//!
//! In: an entry. Out: columns of a draft, further entries. Invariant: the world changes in order of `occurred_at`
//! and only in production; a roll-back and a correction clear a cell, an execution hands on its action's taint.

use super::Simulation;
use super::agenda::{Kind, Pending, in_office};
use super::incidents::{self, Execution, Selector, Taint};
use super::random::Random;
use super::state::{Action, Flaw};
use super::tell::{self, BULK, ROGUE, target_of, workflow_of};
use super::world::{ENGINEERS, ENRICHMENT, FIELDS, REVIEWERS, TYPES, WORKFLOWS};
use crate::clock::{DAY, HOUR, Micros, SECOND};
use crate::event::columns::Column;
use crate::event::draft::{Cell, Draft};

pub const MINUTE: Micros = 60 * SECOND;
/// Stages of a decision, in `x` of its entry.
pub const FIRST: u8 = 0;
const SECOND_LOOK: u8 = 1;
pub const EXPIRE: u8 = 2;
pub const WITHDRAW: u8 = 3;
/// Bad actions with which an incident is worth looking at.
const ENOUGH: u64 = 25;
/// Records of a run that changes more than a policy allows.
const BULK_RECORDS: u64 = 230;

const FALSE_POSITIVE_REASONS: [&str; 4] = ["not_an_issue", "evidence_wrong", "not_an_issue", "rule_misapplied"];
const OTHER_REASONS: [&str; 4] = ["wrong_owner", "right_issue_wrong_fix", "bad_timing", "business_choice"];

/// A run of an agent.
pub struct Run {
    pub workflow: u8,
    pub environment: u8,
    pub agent: u8,
    pub records: u64,
}

/// Who decides in each workflow.
pub fn reviewers_by_workflow() -> Vec<Vec<u8>> {
    let may = |roles: &[&str], i: &u8| roles.contains(&REVIEWERS[usize::from(*i)].role);
    WORKFLOWS.iter().map(|w| (0..REVIEWERS.len() as u8).filter(|i| may(w.roles, i)).collect()).collect()
}

/// Draws the next run.
pub fn draw_run(sim: &mut Simulation) -> Run {
    let workflow = draw_workflow(sim);
    let random = &mut sim.random;
    let environment = if random.one_in(2, 100) { 1 + random.below(2) as u8 } else { 0 };
    let mut run = Run { workflow, environment, agent: random.below(2) as u8, records: 3 + random.below(14) };
    if sim.plan.events >= 50_000 && workflow == ENRICHMENT && environment == 0 && random.one_in(1, 800) {
        (run.agent, run.records) = (BULK, BULK_RECORDS);
    }
    let is_rogue = |i: &&incidents::Incident| matches!(i.selector, Selector::Agent) && i.workflow == workflow;
    let rogue = sim.incidents.iter().find(is_rogue);
    let is_on_trial = rogue.is_some_and(|i| i.from <= sim.next_run_at && sim.next_run_at < i.until);
    if is_on_trial {
        (run.agent, run.environment) = (ROGUE, 0);
    }
    run.records = run.records.min(sim.plan.events - sim.planned).max(1);
    run
}

/// A workflow by weight that is not paused; after some tries a paused one. An incident that has few bad actions
/// yet draws work to its workflow, so that it is there in a short log too.
fn draw_workflow(sim: &mut Simulation) -> u8 {
    let at = sim.next_run_at;
    let is_short = |i: &&incidents::Incident| i.from <= at && at < i.until && i.counts.direct_actions < ENOUGH;
    if let Some(incident) = sim.incidents.iter().find(is_short)
        && sim.random.one_in(1, 3)
    {
        return incident.workflow;
    }
    let total = WORKFLOWS.iter().map(|w| w.weight).sum();
    let mut chosen = 0;
    for _ in 0..4 {
        let mut rest = sim.random.below(total);
        chosen = 0;
        while rest >= WORKFLOWS[chosen].weight {
            rest -= WORKFLOWS[chosen].weight;
            chosen += 1;
        }
        if sim.paused_until[chosen] <= sim.next_run_at {
            break;
        }
    }
    chosen as u8
}

/// A few hours to some days, by the pace of a reviewer; the mean is about twice the median.
pub fn waiting(random: &mut Random, hours: i64) -> Micros {
    let u = random.unit() * random.unit() * 4.0;
    let tail = if random.one_in(4, 100) { 5.0 } else { 1.0 };
    2 * MINUTE + (hours as f64 * HOUR as f64 * u * tail) as Micros
}

impl Simulation {
    /// Lets `pending` happen; says whether it made an event.
    pub(super) fn live(&mut self, pending: Pending, draft: &mut Draft<'static>) -> bool {
        match pending.kind {
            Kind::Review => self.review(pending, draft),
            Kind::Access => self.access(pending, draft),
            Kind::Propose => self.propose(pending, draft),
            Kind::Correct => self.correct(pending, draft),
            Kind::Except => self.except(pending, draft),
            Kind::Change => self.change(pending, draft),
            Kind::Pause | Kind::Resume => self.pause(pending, draft),
            Kind::Decide | Kind::Execute | Kind::RollBack | Kind::Label => self.go_on(pending, draft),
        }
    }

    /// The next step of an action.
    fn go_on(&mut self, pending: Pending, draft: &mut Draft<'static>) -> bool {
        let place = pending.a;
        let mut action = *self.actions.get(place);
        action.pending -= 1;
        let has_event = match pending.kind {
            Kind::Decide => self.decide(place, &mut action, pending.x, draft),
            Kind::Execute => self.execute(place, &mut action, draft),
            Kind::RollBack => self.roll_back(&mut action, draft),
            _ => self.label(&action, draft),
        };
        *self.actions.get(place) = action;
        self.actions.release(place);
        has_event
    }

    /// Plans a further step of the action at `place`.
    pub(super) fn follow(&mut self, place: u32, action: &mut Action, kind: Kind, x: u8, delay: Micros) {
        let at = self.now + delay;
        let (workflow, environment) = (action.workflow, action.environment);
        if self.schedule(Pending { at, a: place, b: 0, kind, workflow, environment, x }) {
            action.pending += 1;
        }
    }

    fn review(&mut self, p: Pending, draft: &mut Draft<'static>) -> bool {
        draft.set_text(Column::EventType, "record.reviewed");
        tell::actor(draft, "agent", tell::agent_name(p.workflow, p.x));
        tell::run(draft, p.b);
        tell::batch(draft, p.workflow, self.now);
        tell::record(draft, &self.records, p.a);
        tell::segment(draft, p.a);
        tell::rules(draft, p.workflow, self.versions[usize::from(p.workflow)]);
        if self.random.one_in(7, 100) {
            self.schedule(Pending { at: self.now + SECOND / 5, kind: Kind::Access, ..p });
        }
        let is_sure = p.x == BULK || p.x == ROGUE;
        if is_sure || self.random.one_in(62, 100) {
            let at = self.now + self.random.between(SECOND, 9 * SECOND);
            self.schedule(Pending { at, kind: Kind::Propose, ..p });
            if !is_sure && self.random.one_in(3, 10) {
                self.schedule(Pending { at: at + SECOND, kind: Kind::Propose, ..p });
            }
        } else if self.random.one_in(3, 100) && p.environment == 0 {
            let target = self.random.below(workflow_of(p.workflow).targets.len() as u64) as u8;
            self.plan_correction(p.workflow, p.a, target);
        } else if self.random.one_in(1, 200) {
            self.schedule(Pending { at: self.now + 2 * SECOND, kind: Kind::Except, ..p });
        }
        true
    }

    /// A person will repair what `target` changes of a record, without any action.
    fn plan_correction(&mut self, workflow: u8, record: u32, target: u8) {
        let field = workflow_of(workflow).targets[usize::from(target)].field;
        let at = in_office(self.now + self.random.between(4 * HOUR, 12 * DAY), self.random.unit());
        let a = record * FIELDS as u32 + u32::from(field);
        self.schedule(Pending { at, a, b: 0, kind: Kind::Correct, workflow, environment: 0, x: target });
    }

    fn access(&mut self, p: Pending, draft: &mut Draft<'static>) -> bool {
        draft.set_text(Column::EventType, "data.accessed");
        let agent = tell::agent_name(p.workflow, p.x);
        tell::actor(draft, "agent", agent);
        tell::run(draft, p.b);
        draft.set_text(Column::PermissionArea, workflow_of(p.workflow).area);
        draft.set(Column::PermissionLevel, Cell::Integer(1));
        draft.set_text(Column::Processor, "model-vendor");
        draft.set_text(Column::Region, if self.random.one_in(1, 60) { "us" } else { "eu" });
        let draw = self.random.below(100);
        draft.set_text(Column::Outcome, if draw < 2 { "denied" } else { "succeeded" });
        if draw == 99 {
            return true; // reads without saying what
        }
        tell::record(draft, &self.records, p.a);
        let record_type = &TYPES[usize::from(self.records.key(p.a).record_type)];
        let blocked = workflow_of(p.workflow).blocked.filter(|_| draw == 1 || draw == 50);
        draft.set_text(Column::Field, blocked.unwrap_or(record_type.sources[(draw % 2) as usize]));
        true
    }

    pub(super) fn follow_in_office(&mut self, place: u32, action: &mut Action, kind: Kind, x: u8, delay: Micros) {
        let at = in_office(self.now + delay, self.random.unit());
        self.follow(place, action, kind, x, at - self.now);
    }

    fn decide(&mut self, place: u32, action: &mut Action, stage: u8, draft: &mut Draft<'static>) -> bool {
        draft.set_text(Column::EventType, "action.decided");
        draft.set_text(Column::ActionId, tell::action_id(action));
        draft.set_text(Column::PermissionArea, workflow_of(action.workflow).area);
        match stage {
            EXPIRE | WITHDRAW => {
                draft.set_text(Column::Decision, if stage == EXPIRE { "expired" } else { "withdrawn" });
                tell::actor(draft, "system", "approval-service");
            }
            _ => {
                self.tell_reviewer(action, draft);
                self.draw_decision(place, action, stage, draft);
                tell::payload(draft, action, 0);
            }
        }
        true
    }

    fn tell_reviewer(&mut self, action: &Action, draft: &mut Draft<'static>) {
        if action.flaw == Flaw::SelfApproval {
            tell::actor(draft, "agent", tell::agent_name(action.workflow, action.agent));
            draft.set_text(Column::Reviewer, tell::agent_name(action.workflow, action.agent));
            return;
        }
        let reviewer = &REVIEWERS[usize::from(action.reviewer)];
        tell::actor(draft, "human", reviewer.person);
        if self.random.one_in(1, 12) {
            return; // opened outside the tool
        }
        let is_hasty = self.random.one_in(reviewer.hasty, 100);
        let took = if is_hasty { (SECOND, 5 * SECOND) } else { (15 * SECOND, 14 * MINUTE) };
        let opened_at = self.now - self.random.between(took.0, took.1);
        draft.set(Column::ReviewOpenedAt, Cell::Instant(opened_at.max(action.proposed_at)));
    }

    fn draw_decision(&mut self, place: u32, action: &mut Action, stage: u8, draft: &mut Draft<'static>) {
        let reviewer = &REVIEWERS[usize::from(action.reviewer)];
        if stage == FIRST && action.flaw == Flaw::None && self.random.one_in(4, 100) {
            draft.set_text(Column::Decision, "escalated");
            draft.set_text(Column::ReasonCode, "second_opinion");
            action.reviewer = self.draw_reviewer(action);
            if self.random.one_in(80, 100) {
                let delay = self.random.between(6 * HOUR, 3 * DAY);
                self.follow_in_office(place, action, Kind::Decide, SECOND_LOOK, delay);
            }
            return;
        }
        let chance = if action.is_false_positive { reviewer.approves / 3 } else { (reviewer.approves + 8).min(99) };
        let is_forced = matches!(action.flaw, Flaw::SelfApproval | Flaw::ExpiredApproval | Flaw::DecidedAfter);
        let is_approved = action.flaw != Flaw::RejectedExecuted
            && (is_forced || self.random.one_in(if action.incidents != 0 { 85 } else { chance }, 100));
        if is_approved {
            self.approve(place, action, draft);
        } else {
            self.reject(place, action, draft);
        }
    }

    fn approve(&mut self, place: u32, action: &mut Action, draft: &mut Draft<'static>) {
        let may_change = action.incidents == 0 && action.attempts == 0 && action.flaw == Flaw::None;
        action.is_changed = may_change && self.random.one_in(9, 100);
        if action.is_changed {
            action.new_value = self.records.other_value(action.cell(), &mut self.random);
        }
        draft.set_text(Column::Decision, if action.is_changed { "approved_with_changes" } else { "approved" });
        let delay = match action.flaw {
            Flaw::DecidedAfter => return,
            Flaw::ExpiredApproval => self.random.between(4 * DAY, 8 * DAY),
            _ => self.random.between(5 * SECOND, 15 * MINUTE),
        };
        if self.random.one_in(97, 100) {
            self.follow(place, action, Kind::Execute, 0, delay);
        }
    }

    fn reject(&mut self, place: u32, action: &mut Action, draft: &mut Draft<'static>) {
        draft.set_text(Column::Decision, "rejected");
        let reasons = if action.is_false_positive { FALSE_POSITIVE_REASONS } else { OTHER_REASONS };
        draft.set_text(Column::ReasonCode, self.random.pick(&reasons));
        if !action.is_false_positive && action.environment == 0 && self.random.one_in(40, 100) {
            self.plan_correction(action.workflow, action.record, action.target);
        }
        if action.flaw == Flaw::RejectedExecuted {
            self.follow(place, action, Kind::Execute, 0, 3 * MINUTE);
        } else if self.random.one_in(4, 100) {
            let delay = self.random.between(DAY, 6 * DAY);
            self.follow_in_office(place, action, Kind::Label, 0, delay);
        }
    }

    fn execute(&mut self, place: u32, action: &mut Action, draft: &mut Draft<'static>) -> bool {
        let paused_until = self.paused_until[usize::from(action.workflow)];
        if paused_until > self.now && !self.random.one_in(4, 100) {
            let delay = paused_until - self.now + self.random.between(SECOND, 40 * MINUTE);
            self.follow(place, action, Kind::Execute, 0, delay);
            return false;
        }
        action.attempts += 1;
        let outcome = self.draw_outcome(action);
        let is_applied = matches!(outcome, "succeeded" | "partial" | "unknown");
        let cell = action.cell();
        if action.environment == 0 && self.records.is_written(cell) && self.random.one_in(1, 900) {
            self.write_unlogged(cell);
        }
        action.old_value = self.records.value(cell);
        if action.flaw == Flaw::NoProposal && action.attempts == 1 {
            self.read_inputs(action);
            tell::proposal(draft, &self.records, action, self.now);
        }
        self.tell_execution(action, outcome, draft);
        if action.environment == 0 {
            self.note_execution(action, is_applied);
            if is_applied {
                let taint = if outcome == "succeeded" {
                    action.taint
                } else {
                    self.records.taint(cell).overlaid_by(action.taint)
                };
                self.records.write(cell, action.new_value, taint);
            }
        }
        self.plan_aftermath(place, action, outcome);
        true
    }

    /// Somebody changes a value behind the log's back.
    fn write_unlogged(&mut self, cell: u32) {
        let value = self.records.other_value(cell, &mut self.random);
        let taint = self.records.taint(cell);
        self.records.write(cell, value, taint);
        self.unlogged_writes += 1;
    }

    fn draw_outcome(&mut self, action: &Action) -> &'static str {
        if action.flaw == Flaw::Duplicate {
            return "succeeded";
        }
        match self.random.below(1_000) {
            0..22 => "failed",
            22..30 => "partial",
            30..35 => "unknown",
            35..38 => "denied",
            38..40 => "skipped",
            _ => "succeeded",
        }
    }

    fn tell_execution(&self, action: &Action, outcome: &'static str, draft: &mut Draft<'static>) {
        draft.set_text(Column::EventType, "action.executed");
        tell::actor(draft, "agent", tell::agent_name(action.workflow, action.agent));
        tell::action(draft, &self.records, action);
        tell::values(draft, &self.records, action.cell(), action.old_value, action.new_value);
        tell::payload(draft, action, u64::from(action.flaw == Flaw::PatchDrift));
        draft.set_text(Column::Outcome, outcome);
        if action.attempts > 1 && action.flaw != Flaw::Duplicate {
            draft.set(Column::Attempt, Cell::Integer(i64::from(action.attempts)));
        }
        match outcome {
            "failed" => draft.set_text(Column::Error, "UNABLE_TO_LOCK_ROW: record is being changed by another process"),
            "denied" => draft.set_text(Column::Error, "INSUFFICIENT_ACCESS on the field"),
            "unknown" => draft.set_text(Column::Error, "timeout after 30 s, no answer"),
            _ => {}
        }
    }

    fn note_execution(&mut self, action: &mut Action, is_applied: bool) {
        let is_first = action.attempts == 1;
        let is_external = matches!(target_of(action).operation, "send" | "refund");
        let (record, incidents) = (action.record, action.incidents);
        let execution = Execution { at: self.now, record, incidents, is_first, is_applied, is_external };
        action.taint = incidents::note_execution(&mut self.incidents, action.taint, execution);
    }

    /// What may follow an execution: another try, a repair, a label.
    fn plan_aftermath(&mut self, place: u32, action: &mut Action, outcome: &str) {
        let is_retried = outcome == "failed" && action.attempts == 1 && self.random.one_in(80, 100);
        if is_retried || (action.flaw == Flaw::Duplicate && action.attempts == 1) {
            let delay = self.random.between(MINUTE, 20 * MINUTE);
            self.follow(place, action, Kind::Execute, 0, delay);
        }
        if outcome != "succeeded" {
            if outcome == "failed" && self.random.one_in(30, 100) {
                let (at, workflow, environment) = (self.now + 3 * SECOND, action.workflow, action.environment);
                let (a, b, x) = (action.record, action.run, action.agent);
                self.schedule(Pending { at, a, b, kind: Kind::Except, workflow, environment, x });
            }
            return;
        }
        let is_bad = action.incidents != 0 && action.environment == 0;
        let can_undo = target_of(action).reversibility != "irreversible";
        let delay = self.random.between(2 * HOUR, 10 * DAY);
        let (rolled_back, corrected) = if is_bad { (15, 40) } else { (2, 3) };
        match self.random.below(100) {
            n if n < rolled_back && can_undo => self.follow_in_office(place, action, Kind::RollBack, 0, delay),
            n if n < rolled_back + corrected && can_undo && action.environment == 0 => {
                self.plan_restoration(action, delay)
            }
            _ => {}
        }
        if self.random.one_in(6, 100) {
            self.follow_in_office(place, action, Kind::Label, 0, delay);
        }
    }

    /// A person will put back the value that the action replaced.
    fn plan_restoration(&mut self, action: &Action, delay: Micros) {
        let at = in_office(self.now + delay, self.random.unit());
        let (a, b, workflow, x) = (action.cell(), 1 + u32::from(action.old_value), action.workflow, action.target);
        self.schedule(Pending { at, a, b, kind: Kind::Correct, workflow, environment: 0, x });
    }

    fn roll_back(&mut self, action: &mut Action, draft: &mut Draft<'static>) -> bool {
        let is_done = !self.random.one_in(5, 100);
        let cell = action.cell();
        draft.set_text(Column::EventType, "action.rolled_back");
        if self.random.one_in(70, 100) {
            tell::actor(draft, "human", REVIEWERS[usize::from(action.reviewer)].person);
        } else {
            tell::actor(draft, "automation", "rollback-service");
        }
        draft.set_text(Column::ActionId, tell::action_id(action));
        tell::cell(draft, &self.records, cell);
        tell::values(draft, &self.records, cell, self.records.value(cell), action.old_value);
        draft.set_text(Column::RollbackRef, super::ndjson::numbered("undo-", action.number, 5));
        draft.set_text(Column::Outcome, if is_done { "succeeded" } else { "failed" });
        if is_done && action.environment == 0 {
            incidents::note_roll_back(&mut self.incidents, action.taint);
            self.records.write(cell, action.old_value, Taint::default());
        }
        true
    }

    fn label(&mut self, action: &Action, draft: &mut Draft<'static>) -> bool {
        draft.set_text(Column::EventType, "action.labeled");
        draft.set_text(Column::ActionId, tell::action_id(action));
        draft.set_text(Column::PermissionArea, workflow_of(action.workflow).area);
        let people = &self.reviewers[usize::from(action.workflow)];
        let person = REVIEWERS[usize::from(self.random.pick(people))].person;
        tell::actor(draft, "human", person);
        let label = if action.is_false_positive { "false_positive" } else { "true_positive" };
        draft.set_text(Column::Label, if self.random.one_in(4, 100) { "unclear" } else { label });
        true
    }

    fn correct(&mut self, p: Pending, draft: &mut Draft<'static>) -> bool {
        let cell = p.a;
        let old = self.records.value(cell);
        let new = match p.b {
            0 => self.records.other_value(cell, &mut self.random),
            value => (value - 1) as u8,
        };
        if new == old {
            return false; // somebody was faster
        }
        draft.set_text(Column::EventType, "record.corrected");
        let people = &self.reviewers[usize::from(p.workflow)];
        let person = REVIEWERS[usize::from(self.random.pick(people))].person;
        tell::actor(draft, "human", person);
        tell::cell(draft, &self.records, cell);
        tell::customer(draft, &self.records, cell / FIELDS as u32);
        tell::values(draft, &self.records, cell, old, new);
        let target = &workflow_of(p.workflow).targets[usize::from(p.x)];
        draft.set_text(Column::Correction, target.correction);
        draft.set_text(Column::ReasonCode, "found_by_person");
        incidents::note_correction(&mut self.incidents, self.records.taint(cell));
        self.records.write(cell, new, Taint::default());
        true
    }

    fn except(&mut self, p: Pending, draft: &mut Draft<'static>) -> bool {
        draft.set_text(Column::EventType, "exception.raised");
        tell::actor(draft, "agent", tell::agent_name(p.workflow, p.x));
        tell::run(draft, p.b);
        tell::record(draft, &self.records, p.a);
        draft.set_text(Column::Error, "the record is locked or in a state that the agent does not know");
        true
    }

    fn change(&mut self, p: Pending, draft: &mut Draft<'static>) -> bool {
        let version = &mut self.versions[usize::from(p.workflow)][usize::from(p.x)];
        draft.set_text(Column::EventType, "config.changed");
        tell::change(draft, p.workflow, p.x, *version);
        *version += 1;
        if self.random.one_in(4, 100) {
            tell::actor(draft, "automation", "deploy-pipeline");
        } else {
            tell::actor(draft, "human", self.random.pick(&ENGINEERS));
        }
        true
    }

    fn pause(&mut self, p: Pending, draft: &mut Draft<'static>) -> bool {
        let is_pause = p.kind == Kind::Pause;
        let place = &mut self.paused_until[usize::from(p.workflow)];
        // No end is known to the pause when it begins; its entry stands in the agenda already.
        *place = if is_pause { self.now + 9 * HOUR } else { self.now };
        draft.set_text(Column::EventType, if is_pause { "workflow.paused" } else { "workflow.resumed" });
        tell::actor(draft, "human", self.random.pick(&ENGINEERS));
        draft.set_text(Column::ReasonCode, if p.x == 1 { "wrong_values_seen" } else { "maintenance" });
        true
    }
}
