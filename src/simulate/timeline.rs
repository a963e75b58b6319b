//! What is fixed before the first event: changes of versions, pauses, and the versions that incidents are about.
//!
//! In: the length of the log and its planted incidents. Out: entries for the agenda in no particular order.
//! Invariant: the bad version of an incident is in force exactly from its `from` to its `until`.

use super::agenda::{Kind, Pending};
use super::incidents::{Incident, Selector};
use super::random::Random;
use super::world::{VERSION_KINDS, VERSIONS, WORKFLOWS};
use crate::clock::{DAY, HOUR, Micros, SECOND};

/// Events that pay for one change of a version: short logs change seldom.
const EVENTS_PER_CHANGE: u64 = 1_500;
/// Events that pay for one pause.
const EVENTS_PER_PAUSE: u64 = 20_000;

fn entry(at: Micros, kind: Kind, workflow: u8, x: u8) -> Pending {
    Pending { at, a: 0, b: 0, kind, workflow, environment: 0, x }
}

/// Draws the timeline of a log of `events` over `start..end` and tells the incidents their versions.
pub fn draw(events: u64, start: Micros, end: Micros, incidents: &mut [Incident], random: &mut Random) -> Vec<Pending> {
    let mut entries = Vec::new();
    for workflow in 0..WORKFLOWS.len() as u8 {
        for kind in 0..VERSION_KINDS.len() as u8 {
            let mut times = changes(events, start, end, random);
            fit_incidents(&mut times, workflow, kind, incidents);
            entries.extend(times.into_iter().map(|at| entry(at, Kind::Change, workflow, kind)));
        }
    }
    for incident in incidents.iter() {
        entries.push(entry(incident.until + SECOND, Kind::Pause, incident.workflow, 1));
        entries.push(entry(incident.resumed_at(), Kind::Resume, incident.workflow, 1));
    }
    let is_free = |at: Micros| incidents.iter().all(|i| at + DAY < i.from || at > i.resumed_at() + DAY);
    let pauses = (events / EVENTS_PER_PAUSE).min(((end - start) / (20 * DAY)) as u64);
    for i in 0..pauses as i64 {
        // One pause a slot, so that no two overlap.
        let slot = (end - start) / pauses as i64;
        let at = start + i * slot + random.between(slot / 8, slot / 2);
        if is_free(at) {
            let workflow = random.below(WORKFLOWS.len() as u64) as u8;
            entries.push(entry(at, Kind::Pause, workflow, 0));
            entries.push(entry(at + random.between(2 * HOUR, 9 * HOUR), Kind::Resume, workflow, 0));
        }
    }
    entries
}

fn changes(events: u64, start: Micros, end: Micros, random: &mut Random) -> Vec<Micros> {
    let streams = (WORKFLOWS.len() * VERSION_KINDS.len()) as u64;
    let by_time = ((end - start) / (38 * DAY)) as u64;
    let count = by_time.min(events / EVENTS_PER_CHANGE / streams).min(VERSIONS as u64 - 4) as i64;
    let slot = (end - start) / count.max(1);
    (0..count).map(|i| start + i * slot + random.between(slot / 6, slot)).collect()
}

fn fit_incidents(times: &mut Vec<Micros>, workflow: u8, kind: u8, incidents: &mut [Incident]) {
    for incident in incidents.iter_mut().filter(|i| i.workflow == workflow) {
        let Selector::Version { kind: its_kind, n } = &mut incident.selector else { continue };
        if *its_kind != kind {
            continue;
        }
        times.retain(|at| *at < incident.from || *at > incident.until);
        *n = times.iter().filter(|at| **at < incident.from).count() as u8 + 1;
        times.extend([incident.from, incident.until]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::incidents;
    use super::*;

    #[test]
    fn the_bad_version_is_in_force_from_the_start_of_its_incident_to_its_end() {
        let (start, end) = (1_700_000_000_000_000, 1_760_000_000_000_000);
        let mut planted = incidents::plan(1_000_000, start, end);
        let entries = draw(1_000_000, start, end, &mut planted, &mut Random::new(1));
        for incident in &planted {
            let Selector::Version { kind, n } = incident.selector else { continue };
            let of_stream = |p: &&Pending| p.kind == Kind::Change && p.workflow == incident.workflow && p.x == kind;
            let until = |at: Micros| entries.iter().filter(of_stream).filter(|p| p.at <= at).count();
            assert_eq!(until(incident.from), usize::from(n));
            assert_eq!(until(incident.until - 1), usize::from(n));
            assert_eq!(until(incident.until), usize::from(n) + 1);
        }
    }
}
