//! The blast radius from the specification, by looking back from each event over all before it.
//!
//! Slow and plain: no state is carried along, everything is derived anew, and nothing is shared with the engine but
//! the names of the states.

use std::collections::{BTreeMap, BTreeSet};

use probity::blast::State;
use probity::clock::DAY;
use sha2::{Digest, Sha256};

use super::Answer;
use super::world::{Fact, Word, World};
use crate::support::MINUTE;

/// System, type, id, field.
type Place = (&'static str, &'static str, &'static str, Word);

fn same_record(a: &Place, b: &Place) -> bool {
    (a.0, a.1, a.2) == (b.0, b.1, b.2)
}

pub struct Oracle<'w> {
    world: &'w World,
    /// Events of the environment in order.
    events: Vec<&'w Fact>,
    /// The cell that each event is about.
    places: Vec<Option<Place>>,
    /// How far its action is from a direct one, after the event read and before it wrote.
    depths: Vec<Option<u32>>,
    /// By event: the tainting write that it read.
    reads: Vec<Option<usize>>,
}

impl<'w> Oracle<'w> {
    pub fn new(world: &'w World) -> Self {
        let mut events: Vec<&Fact> = world.facts.iter().filter(|f| f.environment == world.environment).collect();
        events.sort_by_key(|f| (-f.before, f.seq));
        let mut oracle = Self { world, events, places: vec![], depths: vec![], reads: vec![] };
        for i in 0..oracle.events.len() {
            let place = oracle.place(i);
            oracle.places.push(place);
            let read = oracle.read(i);
            oracle.reads.push(read);
            let depth = oracle.depth(i);
            oracle.depths.push(depth);
        }
        oracle
    }

    /// What event `i` or the last earlier one of its action says.
    fn said<T>(&self, i: usize, of: impl Fn(&Fact) -> Option<T>) -> Option<T> {
        of(self.events[i]).or_else(|| self.said_before(i, of))
    }

    fn said_before<T>(&self, i: usize, of: impl Fn(&Fact) -> Option<T>) -> Option<T> {
        let id = self.events[i].action?;
        self.events[..i].iter().rev().filter(|e| e.action == Some(id)).find_map(|e| of(e))
    }

    fn place(&self, i: usize) -> Option<Place> {
        let part = |n: usize| self.said(i, |fact| fact.target[n]);
        Some((part(0).unwrap_or(""), part(1).unwrap_or(""), part(2)?, part(3)))
    }

    fn is(&self, i: usize, event_type: &str) -> bool {
        self.events[i].event_type == event_type
    }

    fn outcome(&self, i: usize) -> &'static str {
        let writes = ["action.executed", "action.rolled_back", "record.corrected"];
        match self.events[i].outcome {
            _ if !writes.contains(&self.events[i].event_type) => "none",
            Some(outcome) => outcome,
            None if self.is(i, "record.corrected") => "succeeded",
            None => "none",
        }
    }

    /// An event of a bad action that writes, or tries to.
    fn is_attempt(&self, i: usize) -> bool {
        self.depths[i].is_some() && (self.is(i, "action.executed") || self.is(i, "record.corrected"))
    }

    fn is_bad(&self, i: usize) -> bool {
        self.is_attempt(i) && ["succeeded", "partial", "unknown"].contains(&self.outcome(i))
    }

    fn is_clean(&self, i: usize) -> bool {
        !self.is_attempt(i) && self.outcome(i) == "succeeded"
    }

    fn is_doubtful(&self, i: usize) -> bool {
        !self.is_attempt(i) && ["partial", "unknown"].contains(&self.outcome(i))
    }

    /// Whether a clean write `i` counts for `place`.
    fn counts_for(&self, i: usize, place: &Place) -> bool {
        self.places[i].is_some_and(|p| p == *place || p.3.is_none() && same_record(&p, place))
    }

    /// The write that taints `place` just before event `i`.
    fn taint(&self, i: usize, place: &Place) -> Option<usize> {
        let mut origin = None;
        for j in 0..i {
            if self.is_bad(j) && self.places[j] == Some(*place) {
                origin = Some(j);
            } else if self.is_clean(j) && self.counts_for(j, place) {
                origin = None;
            }
        }
        origin
    }

    fn read(&self, i: usize) -> Option<usize> {
        let mut origins = Vec::new();
        for input in &self.events[i].inputs {
            let read = (input[0].unwrap(), input[1].unwrap(), input[2].unwrap(), input[3]);
            let places: BTreeSet<&Place> = self.places.iter().flatten().collect();
            for place in places.into_iter().filter(|place| same_record(place, &read)) {
                if read.3.is_none() || place.3.is_none() || place.3 == read.3 {
                    origins.extend(self.taint(i, place));
                }
            }
        }
        origins.into_iter().min_by_key(|j| (self.depths[*j], self.events[*j].seq))
    }

    fn depth(&self, i: usize) -> Option<u32> {
        let id = self.events[i].action?;
        if self.world.direct.contains(&id) {
            return Some(0);
        }
        let before = (0..i).find(|j| self.events[*j].action == Some(id) && self.depths[*j].is_some());
        if let Some(j) = before {
            return self.depths[j];
        }
        let depth = self.depths[self.reads[i]?]? + 1;
        self.world.depth.is_none_or(|limit| depth <= limit).then_some(depth)
    }

    /// The event by which the action of event `i` became bad, if it is derived.
    fn derived_by(&self, i: usize) -> Option<usize> {
        let id = self.events[i].action?;
        let first = (0..self.events.len()).find(|j| self.events[*j].action == Some(id) && self.depths[*j].is_some())?;
        (self.depths[first] != Some(0)).then_some(first)
    }

    fn seq(&self, i: usize) -> i64 {
        self.events[i].seq
    }

    fn why(&self, i: usize) -> Vec<String> {
        let last = if self.is_bad(i) { "write" } else { "attempt" };
        let mut steps = vec![format!("{last} {}", self.seq(i))];
        let mut at = i;
        while let Some(reader) = self.derived_by(at) {
            if reader != at {
                steps.insert(0, format!("read {}", self.seq(reader)));
            }
            at = self.reads[reader].unwrap();
            steps.insert(0, format!("write {}", self.seq(at)));
        }
        steps
    }

    /// The value that a clean write `i` leaves in its own cell.
    fn left_by(&self, i: usize) -> Word {
        let is_roll_back = self.is(i, "action.rolled_back");
        let captured = || self.said_before(i, |e| e.old.filter(|_| e.event_type != "action.rolled_back"));
        self.events[i].new.or_else(|| if is_roll_back { captured() } else { None })
    }

    fn cells(&self) -> BTreeSet<Place> {
        (0..self.events.len()).filter(|i| self.is_attempt(*i)).filter_map(|i| self.places[i]).collect()
    }

    fn state(&self, place: &Place) -> State {
        let n = self.events.len();
        let bad: Vec<usize> = (0..n).filter(|i| self.is_bad(*i) && self.places[*i] == Some(*place)).collect();
        let Some(last_bad) = bad.last().copied() else { return State::NotApplied };
        let clean = (last_bad..n).rfind(|i| self.is_clean(*i) && self.counts_for(*i, place));
        let of_record = |i: &usize| self.is_clean(*i) && self.places[*i].is_some_and(|p| same_record(&p, place));
        let operation = self.said(last_bad, |e| e.operation);
        let old = self.events[bad[0]].old;
        let is_equal = |i: &usize| self.events[*i].old.is_some() && self.events[*i].old == self.events[*i].new;
        if bad.iter().all(is_equal) {
            State::NoEffect
        } else if self.said(last_bad, |e| e.reversibility) == Some("irreversible") {
            State::Irreversible
        } else if matches!(operation, Some("delete" | "merge")) && !(last_bad..n).any(|i| of_record(&i)) {
            State::Deleted
        } else if self.outcome(last_bad) != "succeeded" && clean.is_none() {
            State::Unknown
        } else if let Some(clean) = clean {
            let value = if self.places[clean].unwrap().3.is_none() { None } else { self.left_by(clean) };
            if value.is_some() && value == old { State::Restored } else { State::Overwritten }
        } else {
            State::StillWrong
        }
    }

    /// Whether a write found something else than the one before left, and whether a doubtful write came by.
    fn breaks(&self, place: &Place, from: usize) -> (bool, bool) {
        let (mut left, mut has_break, mut is_uncertain): (Word, bool, bool) = (None, false, false);
        for i in from..self.events.len() {
            let Some(at) = self.places[i].filter(|at| same_record(at, place)) else { continue };
            let is_write = self.is_bad(i) || self.is_clean(i) || self.is_doubtful(i);
            if !is_write || at != *place && at.3.is_some() && place.3.is_some() {
                continue;
            }
            let is_whole_clean = at.3.is_none() && self.is_clean(i);
            if at == *place && !is_whole_clean {
                let old = self.events[i].old;
                has_break |= left.is_some() && old.is_some() && left != old;
                let value = if self.is_bad(i) { self.events[i].new } else { self.left_by(i) };
                left = value.filter(|_| self.outcome(i) == "succeeded");
            } else {
                left = None;
            }
            is_uncertain |= self.is_doubtful(i) && (at == *place || at.3.is_none());
        }
        (has_break, is_uncertain)
    }

    fn cell(&self, place: &Place) -> (State, bool, String) {
        let n = self.events.len();
        let is_here = |i: &usize| self.places[*i] == Some(*place);
        let bad: Vec<usize> = (0..n).filter(|i| self.is_bad(*i) && is_here(i)).collect();
        let attempt = (0..n).find(|i| self.is_attempt(*i) && is_here(i)).unwrap();
        let first = bad.first().copied().unwrap_or(attempt);
        let (has_break, is_uncertain) = self.breaks(place, attempt);
        let old = bad.first().and_then(|i| self.events[*i].old);
        let flags = [
            (!bad.is_empty() && old.is_none(), "old_unknown"),
            (has_break, "chain_break"),
            (is_uncertain, "uncertain"),
        ];
        let flags: Vec<&str> = flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name).collect();
        let is_standing = |i: &usize| self.is_bad(*i) && is_here(i) || self.is_clean(*i) && self.counts_for(*i, place);
        let now = (attempt..n).rfind(is_standing);
        let value = now.and_then(|i| match self.places[i].unwrap().3 {
            _ if self.is_bad(i) => self.events[i].new,
            None => None,
            Some(_) => self.left_by(i),
        });
        let parent = self.derived_by(first).and_then(|reader| self.reads[reader]);
        let state = self.state(place);
        let line = format!(
            "{} depth {} parent {:?} why {:?} bad {:?} to {:?} old {old:?} bad {:?} now {value:?} by {:?} of {:?} flags {flags:?}",
            state.name(),
            self.depths[first].unwrap(),
            parent.map(|i| self.seq(i)),
            self.why(first),
            bad.first().map(|i| self.seq(*i)),
            bad.last().map(|i| self.seq(*i)),
            bad.last().and_then(|i| self.events[*i].new),
            now.map(|i| self.seq(i)),
            now.and_then(|i| self.events[i].actor),
        );
        (state, is_uncertain, line)
    }

    /// The last event of each bad action.
    fn bad_actions(&self) -> BTreeMap<&'static str, usize> {
        let last = |id| (0..self.events.len()).rfind(|i| self.events[*i].action == Some(id));
        let all: BTreeSet<&str> = self.events.iter().filter_map(|e| e.action).collect();
        all.into_iter().filter_map(|id| Some((id, last(id)?))).filter(|(_, i)| self.depths[*i].is_some()).collect()
    }

    pub fn answer(&self) -> Answer {
        let mut words = Answer::new();
        let (mut states, mut keys, mut uncertain) = (BTreeMap::new(), BTreeSet::new(), 0);
        for state in State::ALL {
            states.insert(state, 0);
        }
        let cells = self.cells();
        for place in &cells {
            let (state, is_uncertain, line) = self.cell(place);
            words.insert(format!("cell {}|{}|{}|{:?}", place.0, place.1, place.2, place.3), line);
            *states.get_mut(&state).unwrap() += 1;
            uncertain += u64::from(is_uncertain);
            if state != State::NotApplied && state != State::NoEffect {
                let part = |text: &str| text.replace('%', "%25").replace('/', "%2F");
                keys.insert(format!("{}/{}/{}", part(place.0), part(place.1), part(place.2)));
            }
        }
        let states: Vec<String> =
            states.iter().map(|(state, n): (&State, &u64)| format!("{} {n}", state.name())).collect();
        words.insert("states".into(), states.join(" "));
        let text = keys.into_iter().collect::<Vec<_>>().join("\n");
        let digits: Vec<String> = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        words.insert("sha256".into(), digits.concat());
        for i in (0..self.events.len()).rev() {
            let [system, record_type, id, _] = self.events[i].target.map(|part| part.unwrap_or(""));
            let has_cell = cells.iter().any(|cell| (cell.0, cell.1, cell.2) == (system, record_type, id));
            if let Some(origin) = self.reads[i]
                && !id.is_empty()
                && !has_cell
            {
                // The first such event is written last.
                let line = format!("{} from {}", self.seq(i), self.seq(origin));
                words.insert(format!("exposed {system}|{record_type}|{id}"), line);
            }
        }
        self.add_actions(&mut words, [cells.len() as u64, uncertain]);
        words
    }

    fn add_actions(&self, words: &mut Answer, [cells, uncertain_cells]: [u64; 2]) {
        let (mut counts, mut external, mut sums) = ([0, 0, 0, cells], 0, BTreeMap::<Word, [i64; 3]>::new());
        let mut people: [BTreeSet<&str>; 3] = Default::default();
        let mut uncertainty = [0, 0, 0, uncertain_cells];
        for (id, last) in self.bad_actions() {
            let depth = self.depths[last].unwrap();
            counts[usize::from(depth > 0)] += 1;
            counts[2] = counts[2].max(u64::from(depth));
            let own: Vec<usize> = (0..self.events.len()).filter(|i| self.events[*i].action == Some(id)).collect();
            let writes = own.iter().filter(|i| self.is_bad(**i)).count();
            let is_external = self.said(last, |e| e.level) == Some(5)
                || matches!(self.said(last, |e| e.operation), Some("send" | "refund" | "pay"))
                || self.said(last, |e| e.reversibility) == Some("irreversible");
            external += u64::from(is_external);
            let parent = self.derived_by(last).map(|i| (self.seq(self.reads[i].unwrap()), self.seq(i)));
            let line = format!("depth {depth} parent {parent:?} writes {writes} external {is_external}");
            words.insert(format!("action {id}"), line);
            if let Some(amount) = self.said(last, |e| e.amount) {
                let sum = sums.entry(self.said(last, |e| e.currency)).or_default();
                *sum = [sum[0] + 1, sum[1] + amount, sum[2] + if writes > 0 { amount } else { 0 }];
            }
            for i in own {
                let event = self.events[i];
                let is_approval = matches!(event.decision, Some("approved" | "approved_with_changes"));
                people[0].extend(event.subject);
                people[1].extend(event.reviewer.filter(|_| is_approval));
                people[2].extend(event.segment);
                uncertainty[0] += u64::from(self.is_bad(i) && self.outcome(i) == "unknown");
                uncertainty[1] += u64::from(self.is_bad(i) && self.outcome(i) == "partial");
                uncertainty[2] += u64::from(event.before * MINUTE > DAY);
            }
        }
        let money = |n: i64| format!("{}.{:02}", n / 100, n % 100);
        for (currency, [n, total, applied]) in sums {
            words.insert(format!("amount {currency:?}"), format!("{n} {} {}", money(total), money(applied)));
        }
        let people = people.map(|names| names.into_iter().collect::<Vec<_>>().join(" "));
        words.insert("people".into(), format!("{people:?}"));
        words.insert("counts".into(), format!("{counts:?}"));
        words.insert("external".into(), external.to_string());
        words.insert("uncertainty".into(), format!("{uncertainty:?}"));
    }
}
