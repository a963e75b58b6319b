//! The second pass while its events are read: they wait until no earlier one can come, then they are traced.
//!
//! In: the events of one stretch after the other. Out: what came of the pass, and who sent the events that were picked.
//! Invariant: events are traced in (`occurred_at`, `seq`) order, each once. Only what overlaps with the next stretch is
//! kept, so that reading and tracing go on side by side. It must not judge what an event does.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;

use super::Matching;
use super::log::{Spot, spots};
use crate::blast::{Asked, Needed, Trace, Traced};
use crate::clock::Micros;
use crate::error::Result;
use crate::event::{Column, Rows};

/// A second pass.
pub(super) struct Second<'a> {
    trace: Trace,
    environment: &'a str,
    picked: &'a Matching,
    /// Events with a `seq` below it count.
    size: i64,
    /// Who sent the events of actions that were picked.
    sources: BTreeSet<String>,
    batches: Vec<RecordBatch>,
    /// The rows of these that were not traced yet.
    waiting: Vec<Spot>,
}

impl<'a> Second<'a> {
    /// A second pass over the first `size` events, after the first one found `needed`.
    pub(super) fn new(asked: &Asked<'a>, needed: &Needed, (picked, size): (&'a Matching, i64)) -> Self {
        Self {
            trace: Trace::of(asked, needed),
            environment: asked.environment,
            picked,
            size,
            sources: BTreeSet::new(),
            batches: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Takes the events of a stretch, and traces all that lie before `next`: when the next stretch begins, none for the
    /// last one.
    ///
    /// # Errors
    /// Internal, when a column is missing or of another type, or an event is out of order.
    pub(super) fn take(&mut self, events: Vec<RecordBatch>, next: Option<Micros>) -> Result<()> {
        for batch in events {
            self.waiting.extend(spots(self.batches.len() as u32, &batch, self.size)?);
            self.batches.push(batch);
        }
        // Sorted in runs, which this kind of sort makes use of.
        self.waiting.sort();
        let end = next.map_or(self.waiting.len(), |next| self.waiting.partition_point(|spot| spot.at < next));
        let ready: Vec<(usize, usize)> = self.waiting.drain(..end).map(|spot| spot.place()).collect();
        self.note_sources(&ready)?;
        self.trace.feed_in_order(&self.batches, ready)?;
        self.let_go();
        Ok(())
    }

    /// Lets batches go of which no row waits: where every stretch overlaps with the next one, some row always does.
    fn let_go(&mut self) {
        let mut is_waited_for = vec![false; self.batches.len()];
        self.waiting.iter().for_each(|spot| is_waited_for[spot.batch as usize] = true);
        let mut kept = 0;
        let count = |is_kept: &bool| {
            let number = kept;
            kept += u32::from(*is_kept);
            number
        };
        let numbers: Vec<u32> = is_waited_for.iter().map(count).collect();
        self.waiting.iter_mut().for_each(|spot| spot.batch = numbers[spot.batch as usize]);
        let mut is_waited_for = is_waited_for.into_iter();
        self.batches.retain(|_| is_waited_for.next() == Some(true));
    }

    fn note_sources(&mut self, ready: &[(usize, usize)]) -> Result<()> {
        let views = self.batches.iter().map(Rows::new).collect::<Result<Vec<Rows<'_>>>>()?;
        for (batch, row) in ready {
            let (rows, row) = (&views[*batch], *row);
            let is_picked = rows.is_set(Column::ActionId, row)
                && rows.text(Column::Environment, row) == Some(self.environment)
                && rows.long(Column::Seq, row).is_some_and(|seq| self.picked.contains(seq));
            if is_picked
                && let Some(source) = rows.text(Column::Source, row)
                && !self.sources.contains(source)
            {
                self.sources.insert(source.to_owned());
            }
        }
        Ok(())
    }

    /// What came of it, and the sources, sorted.
    pub(super) fn finish(self) -> (Traced, Vec<String>) {
        (self.trace.finish(), self.sources.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blast::Key;
    use crate::event::batch::{BatchBuilder, assign};
    use crate::event::json;

    /// An event of each of these minutes.
    fn stretch(first_seq: i64, minutes: &[u8]) -> RecordBatch {
        let mut drafts = BatchBuilder::default();
        for minute in minutes {
            let text = serde_json::json!({
                "event_id": format!("e{minute}"), "source": format!("s{minute}"), "environment": "production",
                "event_type": "action.executed", "occurred_at": format!("2026-01-01T00:{minute:02}:00Z"),
                "action_id": format!("a{minute}"), "system": "crm", "record_type": "lead", "record_id": "r1",
                "field": "owner", "outcome": "succeeded", "new_value": format!("v{minute}"),
            });
            drafts.append(&json::decode(text.to_string().as_bytes()).unwrap());
        }
        let clock = crate::clock::Clock::simulated(1_790_000_000_000_000, 1);
        assign(&drafts.finish(), first_seq, 1_790_000_000_000_000, &clock).unwrap()
    }

    #[test]
    fn stretches_that_overlap_are_traced_in_the_order_of_time() {
        let direct: Vec<Key> = (0..10).map(|n| Key::of(&format!("a{n}"))).collect();
        let asked = Asked { direct: &direct, remembered: &[], environment: "production", depth: None };
        let picked = Matching::default();
        let stretches = [stretch(0, &[1, 4, 7]), stretch(3, &[2, 5]), stretch(5, &[6, 8, 9])];
        let minute =
            |n: i64| Rows::new(&stretches[0]).unwrap().instant(Column::OccurredAt, 0).unwrap() + (n - 1) * 60_000_000;
        let mut second = Second::new(&asked, &Needed::default(), (&picked, 7));
        second.take(vec![stretches[0].clone()], Some(minute(2))).unwrap();
        assert_eq!((second.waiting.len(), second.batches.len()), (2, 1));
        second.take(vec![stretches[1].clone()], Some(minute(6))).unwrap();
        assert_eq!((second.waiting.len(), second.batches.len()), (1, 1), "only minute 7 of the first one waits");
        second.take(vec![stretches[2].clone()], None).unwrap();
        assert!(second.waiting.is_empty() && second.batches.is_empty());
        let (Traced::Radius(radius), sources) = second.finish() else { panic!("nothing was left out") };
        assert_eq!(sources.len(), 0, "none of the events was picked");
        // The event of minute 9 is past the point that was asked for.
        assert_eq!((radius.direct_actions, radius.cells[0].bad_value.as_deref()), (7, Some("v8")));
        assert_eq!((radius.cells[0].first_bad_seq, radius.cells[0].last_bad_seq), (Some(0), Some(6)));
    }
    #[test]
    fn however_stretches_overlap_the_answer_is_that_of_the_whole() {
        let mut state = 7_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let direct: Vec<Key> = (0..60).map(|n| Key::of(&format!("a{n}"))).collect();
        let asked = Asked { direct: &direct, remembered: &[], environment: "production", depth: None };
        let (needed, picked) = (Needed::default(), Matching::default());
        let begins = |part: &RecordBatch| Rows::new(part).unwrap().instant(Column::OccurredAt, 0);
        for round in 0..200 {
            let (mut parts, mut end) = (Vec::new(), 0);
            for _ in 0..1 + random(6) {
                let (start, width) = (random(30), 1 + random(30));
                let mut minutes: Vec<u8> = (0..1 + random(8)).map(|_| (start + random(width)) as u8).collect();
                minutes.sort_unstable();
                parts.push(stretch(end, &minutes));
                end += minutes.len() as i64;
            }
            parts.sort_by_key(begins);
            let size = end - random(3) as i64;
            let mut second = Second::new(&asked, &needed, (&picked, size));
            for (number, part) in parts.iter().enumerate() {
                second.take(vec![part.clone()], parts.get(number + 1).and_then(begins)).unwrap();
                assert!(second.batches.len() <= second.waiting.len(), "round {round}");
            }
            let numbered = (0..).zip(&parts);
            let mut order: Vec<Spot> = numbered.flat_map(|(number, part)| spots(number, part, size).unwrap()).collect();
            order.sort_unstable();
            let mut whole = Trace::of(&asked, &needed);
            whole.feed_in_order(&parts, order.iter().map(Spot::place)).unwrap();
            assert_eq!(second.finish().0, whole.finish(), "round {round}");
        }
    }
}
