//! Incidents that are planted, and what is known of them for certain.
//!
//! While events are made, every cell knows which incident reached it and over how many steps, by the rules of the
//! blast radius: an action that reads a tainted cell is derived, a write of a direct or derived action taints,
//! any other succeeded write clears. Invariant: the counts of [`Planted`] are those of the emitted production
//! events in (`occurred_at`, `seq`) order, so that an engine's answer can be compared with them.

use std::collections::HashSet;

use serde::Serialize;

use super::world::{ENRICHMENT, HYGIENE, LEAD_ROUTING, MESSAGES_DESK, WORKFLOWS, version_name};
use crate::clock::{DAY, HOUR, Micros, SECOND, rfc3339};

/// Incidents that one simulation can hold: two bits each in a [`Taint`].
pub const INCIDENTS: usize = 4;
/// The agent of the incident with messages; no policy knows it.
pub const ROGUE_AGENT: &str = "message-agent-beta";

/// A planted incident and everything that is known of it exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planted {
    /// Short name.
    pub name: &'static str,
    /// What went wrong, in one sentence.
    pub cause: String,
    /// Workflow where it began.
    pub workflow: &'static str,
    /// Predicate over the columns of `events` that picks the bad actions.
    pub predicate: String,
    /// Start of the window, RFC 3339.
    pub from: String,
    /// Exclusive end of the window, RFC 3339.
    pub to: String,
    /// The environment that the counts are of.
    pub environment: &'static str,
    /// Distinct actions with an event that the predicate picks.
    pub direct_actions: u64,
    /// Distinct records that these name.
    pub direct_records: u64,
    /// Executions of these with outcome succeeded, partial or unknown.
    pub direct_writes: u64,
    /// Other actions whose inputs read a value that a direct write left.
    pub readers_one_hop: u64,
    /// Other actions that read a wrong value over any number of steps, those of one step included.
    pub readers: u64,
    /// Executions of readers with outcome succeeded, partial or unknown.
    pub derived_writes: u64,
    /// Direct and derived actions with an execution that sends or refunds, whatever its outcome.
    pub external_actions: u64,
    /// Corrections by people of a cell that was wrong at that moment.
    pub corrected_later: u64,
    /// Succeeded roll-backs of direct and derived actions.
    pub rolled_back_later: u64,
}

/// How far each incident has come to a cell or an action: two bits an incident, 0 not at all, 1 a direct action,
/// 2 one step from it, 3 further.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taint(u8);

impl Taint {
    fn step(self, incident: usize) -> u8 {
        self.0 >> (2 * incident) & 3
    }

    fn with(self, incident: usize, step: u8) -> Self {
        Self(self.0 & !(3 << (2 * incident)) | step << (2 * incident))
    }

    /// Every incident's nearer step of the two, where one is clean the other's.
    pub fn nearest(self, other: Self) -> Self {
        (0..INCIDENTS).fold(self, |taint, i| match (self.step(i), other.step(i)) {
            (0, b) => taint.with(i, b),
            (_, 0) => taint,
            (a, b) => taint.with(i, a.min(b)),
        })
    }

    /// What an action becomes that read this.
    pub fn read(self) -> Self {
        (0..INCIDENTS).fold(self, |taint, i| match self.step(i) {
            0 => taint,
            step => taint.with(i, (step + 1).min(3)),
        })
    }

    /// A cell after a write that is not known to have arrived in full: the writer's taint where it has one.
    pub fn overlaid_by(self, writer: Self) -> Self {
        (0..INCIDENTS).fold(self, |taint, i| match writer.step(i) {
            0 => taint,
            step => taint.with(i, step),
        })
    }
}

/// What makes an action a direct one.
#[derive(Debug, Clone, Copy)]
pub enum Selector {
    /// Version `n` of a kind of version.
    Version { kind: u8, n: u8 },
    /// [`ROGUE_AGENT`].
    Agent,
}

/// A planted incident while it happens.
pub struct Incident {
    name: &'static str,
    cause: &'static str,
    pub workflow: u8,
    pub selector: Selector,
    /// Bad actions are proposed in `from..until`.
    pub from: Micros,
    pub until: Micros,
    last_event_at: Micros,
    records: HashSet<u32>,
    pub counts: Counts,
}

/// Running counts; see [`Planted`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub direct_actions: u64,
    pub direct_writes: u64,
    pub one_hop: u64,
    pub readers: u64,
    pub derived_writes: u64,
    pub external: u64,
    pub corrected: u64,
    pub rolled_back: u64,
}

const WRONG_OWNER: &str = "A routing rule sent leads to an archive owner whom nobody reads";
const EMPTIED: &str = "A prompt told the hygiene agent to return only what it could verify, which emptied descriptions";
const SPREAD: &str = "A model gave one industry and size to every account, which other workflows read and acted on";
const MESSAGES: &str = "A trial agent with live keys wrote to customers from values that were wrong";

/// The incidents of a log of `events` over `start..end`; a short log holds fewer and longer ones, so that each has
/// some bad actions.
pub fn plan(events: u64, start: Micros, end: Micros) -> Vec<Incident> {
    let span = end - start;
    let length = (3 * DAY).max((450_000.0 / events.max(1) as f64 * DAY as f64) as i64).min(span / 30);
    let scale = |workflow: u8, share: f64| {
        let weight = WORKFLOWS[usize::from(workflow)].weight;
        let longer = (WORKFLOWS[0].weight as f64 / weight as f64).min(3.0);
        let length = if events < 1_000_000 { (length as f64 * longer) as i64 } else { length };
        let from = start + (span as f64 * share) as i64;
        (from, from + length)
    };
    let rule = (0, "wrong-owner", WRONG_OWNER, LEAD_ROUTING, scale(LEAD_ROUTING, 0.962));
    let prompt = (1, "emptied-descriptions", EMPTIED, HYGIENE, scale(HYGIENE, 0.02));
    let model = (2, "misread-accounts", SPREAD, ENRICHMENT, scale(ENRICHMENT, 0.55));
    let (bad_from, _) = model.4;
    let (_, length_from_zero) = scale(MESSAGES_DESK, 0.0);
    let agent_from = bad_from + length / 2;
    let agent = (3, "unwanted-messages", MESSAGES, MESSAGES_DESK, (agent_from, agent_from + length_from_zero - start));
    let count = match events {
        0..1_000 => 0,
        1_000..10_000 => 1,
        10_000..20_000 => 2,
        _ => 4,
    };
    [rule, prompt, model, agent].into_iter().take(count).map(open).collect()
}

fn open((i, name, cause, workflow, (from, until)): (usize, &'static str, &'static str, u8, (i64, i64))) -> Incident {
    // The number of the version is known once the changes of all versions are drawn.
    let selector = match i {
        0 => Selector::Version { kind: 1, n: 0 },
        1 => Selector::Version { kind: 0, n: 0 },
        2 => Selector::Version { kind: 2, n: 0 },
        _ => Selector::Agent,
    };
    let records = HashSet::new();
    Incident { name, cause, workflow, selector, from, until, last_event_at: from, records, counts: Counts::default() }
}

impl Incident {
    /// Whether an action that is proposed now with these versions belongs to it.
    pub fn picks(&self, workflow: u8, versions: [u8; 3], is_rogue: bool) -> bool {
        self.workflow == workflow
            && match self.selector {
                Selector::Version { kind, n } => versions[usize::from(kind)] == n,
                Selector::Agent => is_rogue,
            }
    }

    /// Notes the first execution of a direct action, at `at`, on `record`.
    fn note_direct(&mut self, at: Micros, record: u32) {
        self.counts.direct_actions += 1;
        self.records.insert(record);
        self.last_event_at = self.last_event_at.max(at);
    }

    /// Notes that an event of the incident happened at `at`.
    fn note_event(&mut self, at: Micros) {
        self.last_event_at = self.last_event_at.max(at);
    }

    fn predicate(&self) -> String {
        let name = WORKFLOWS[usize::from(self.workflow)].name;
        match self.selector {
            Selector::Version { kind, n } => format!(
                "{} = '{}' and workflow = '{name}' and event_type = 'action.executed'",
                super::world::VERSION_KINDS[usize::from(kind)],
                version_name(self.workflow, kind, n),
            ),
            Selector::Agent => {
                format!("actor_id = '{ROGUE_AGENT}' and workflow = '{name}' and event_type = 'action.executed'")
            }
        }
    }

    /// What is known by now.
    pub fn planted(&self) -> Planted {
        let c = &self.counts;
        Planted {
            name: self.name,
            cause: format!("{}.", self.cause),
            workflow: WORKFLOWS[usize::from(self.workflow)].name,
            predicate: self.predicate(),
            from: rfc3339(self.from.div_euclid(SECOND) * SECOND),
            to: rfc3339((self.last_event_at.div_euclid(SECOND) + 1) * SECOND),
            environment: "production",
            direct_actions: c.direct_actions,
            direct_records: self.records.len() as u64,
            direct_writes: c.direct_writes,
            readers_one_hop: c.one_hop,
            readers: c.readers,
            derived_writes: c.derived_writes,
            external_actions: c.external,
            corrected_later: c.corrected,
            rolled_back_later: c.rolled_back,
        }
    }

    /// Whether wrong values of this incident are still being read on purpose, to make it spread.
    pub fn is_spreading(&self, at: Micros) -> bool {
        at >= self.from && at < self.until + 5 * DAY
    }

    /// When the workflow goes on after the incident was noticed.
    pub fn resumed_at(&self) -> Micros {
        self.until + 6 * HOUR
    }
}

/// What an execution did, as far as incidents are concerned.
#[derive(Debug, Clone, Copy)]
pub struct Execution {
    pub at: Micros,
    pub record: u32,
    /// Incidents that the action belongs to, a bit each.
    pub incidents: u8,
    pub is_first: bool,
    pub is_applied: bool,
    pub is_external: bool,
}

/// Counts an execution and gives the taint that its action has from now on.
pub fn note_execution(incidents: &mut [Incident], taint: Taint, execution: Execution) -> Taint {
    let mut result = taint;
    for (i, incident) in incidents.iter_mut().enumerate() {
        let is_direct = execution.incidents >> i & 1 == 1;
        let step = taint.step(i);
        if is_direct && execution.is_first {
            incident.note_direct(execution.at, execution.record);
            // Direct wins over derived: what was counted as a reader when it was proposed is none.
            incident.counts.readers -= u64::from(step >= 2);
            incident.counts.one_hop -= u64::from(step == 2);
            result = result.with(i, 1);
        } else if is_direct {
            incident.note_event(execution.at);
        }
        let is_affected = is_direct || step > 0;
        incident.counts.external += u64::from(is_affected && execution.is_first && execution.is_external);
        incident.counts.direct_writes += u64::from(is_direct && execution.is_applied);
        incident.counts.derived_writes += u64::from(!is_direct && is_affected && execution.is_applied);
    }
    result
}

/// Counts an action whose inputs were tainted.
pub fn note_reader(incidents: &mut [Incident], taint: Taint) {
    for (i, incident) in incidents.iter_mut().enumerate() {
        incident.counts.readers += u64::from(taint.step(i) >= 2);
        incident.counts.one_hop += u64::from(taint.step(i) == 2);
    }
}

/// Counts a correction of a cell with this taint.
pub fn note_correction(incidents: &mut [Incident], taint: Taint) {
    for (i, incident) in incidents.iter_mut().enumerate() {
        incident.counts.corrected += u64::from(taint.step(i) > 0);
    }
}

/// Counts a succeeded roll-back of an action with this taint.
pub fn note_roll_back(incidents: &mut [Incident], taint: Taint) {
    for (i, incident) in incidents.iter_mut().enumerate() {
        incident.counts.rolled_back += u64::from(taint.step(i) > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taint_spreads_by_the_nearest_step_and_is_bounded() {
        let clean = Taint::default();
        let direct = clean.with(2, 1);
        assert_eq!(direct.read().step(2), 2);
        assert_eq!(direct.read().read().read().step(2), 3);
        assert_eq!(direct.read().nearest(direct), direct);
        assert_eq!(clean.nearest(direct.with(0, 3)).step(0), 3);
        assert_eq!(direct.overlaid_by(clean.with(1, 2)), direct.with(1, 2));
        assert_eq!(clean.read(), clean);
    }
}
