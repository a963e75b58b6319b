//! Several batches as one: what a group commit puts together and takes apart again.
//!
//! In: decoded batches of many requests. Out: one batch for the writer, and what became of each. Invariant: the outcomes
//! of a batch are those that it would have had alone behind the batches before it.

use arrow::record_batch::RecordBatch;

use super::counts::End;
use super::decode::Incoming;
use super::writer::{Acknowledged, Outcome, tally_of};
use crate::error::{Error, Result};
use crate::event::batch::bytes_of;

/// How a batch was put together.
#[derive(Debug)]
pub struct Group {
    /// The rows of all parts.
    rows: RecordBatch,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    rows: usize,
    refused: usize,
}

impl Group {
    /// The batches one after the other, and how to take apart what becomes of them.
    ///
    /// # Errors
    /// When they are not of one schema.
    pub fn of(batches: Vec<Incoming>) -> Result<(Self, Incoming)> {
        let part = |batch: &Incoming| Part { rows: batch.rows.num_rows(), refused: batch.refused.len() };
        let parts = batches.iter().map(part).collect();
        let joined = Incoming::concat(batches)?;
        Ok((Self { rows: joined.rows.clone(), parts }, joined))
    }

    /// What became of each batch, in their order.
    ///
    /// # Errors
    /// When `done` is of another group.
    pub fn split(self, done: Acknowledged) -> Result<Vec<Acknowledged>> {
        let mismatch =
            || Error::internal("a group of batches was answered with more or fewer outcomes than it has rows");
        let mut outcomes = done.outcomes.into_iter();
        // Refusals of the decoder first, in the order of the batches; then the conflicts, in the order of the rows.
        let mut refused = done.refused.into_iter();
        let rejected: Vec<_> =
            self.parts.iter().map(|part| refused.by_ref().take(part.refused).collect::<Vec<_>>()).collect();
        let (mut from, mut told) = (0, Vec::with_capacity(self.parts.len()));
        for (part, mut own) in self.parts.iter().zip(rejected) {
            let of_part: Vec<Outcome> = outcomes.by_ref().take(part.rows).collect();
            if of_part.len() != part.rows || own.len() != part.refused {
                return Err(mismatch());
            }
            let rows = self.rows.slice(from, part.rows);
            let mut tally = tally_of(&rows, &of_part)?;
            for entry in &own {
                tally.count(entry.source.as_deref(), entry.day.as_deref(), End::Rejected);
            }
            let conflicts = of_part.iter().filter(|outcome| **outcome == Outcome::Conflict).count();
            own.extend(refused.by_ref().take(conflicts));
            // A slice counts the memory of what it was cut from.
            let bytes = bytes_of(&self.rows) * part.rows / self.rows.num_rows().max(1);
            told.push(Acknowledged { outcomes: of_part, refused: own, tally, bytes });
            from += part.rows;
        }
        if outcomes.next().is_some() {
            return Err(mismatch());
        }
        Ok(told)
    }
}

#[cfg(test)]
mod tests {
    use super::super::decode::JsonDecoder;
    use super::super::writer::Writer;
    use super::*;
    use crate::clock::Clock;
    use crate::store::Store;
    use crate::store::object::Location;

    const NOW: i64 = 1_775_000_000_000_000;

    fn batch(lines: &str) -> Incoming {
        let mut decoder = JsonDecoder::new(lines.as_bytes(), "request", Clock::fixed(NOW));
        decoder.next_batch().unwrap().unwrap()
    }

    fn event(id: &str, value: &str) -> String {
        format!(
            "{{\"event_id\":\"{id}\",\"source\":\"s\",\"event_type\":\"action.proposed\",\"workflow\":\"w\",\
             \"action_id\":\"{id}\",\"occurred_at\":\"2026-03-01T09:00:00Z\",\"new_value\":\"{value}\"}}\n"
        )
    }

    #[tokio::test]
    async fn each_batch_of_a_group_is_told_what_became_of_its_own_records_and_one_object_holds_them_all() {
        let store = Store::create(Location::memory(), "default", Clock::fixed(NOW)).await.unwrap();
        let batches = vec![
            batch(&format!("{}{{\"event_id\":\"z\"}}\n{}", event("a", "1"), event("b", "1"))),
            batch("{\"event_id\":\"y\"}\n"),
            batch(&format!("{}{}{}", event("b", "1"), event("a", "2"), event("c", "1"))),
        ];
        let (group, joined) = Group::of(batches).unwrap();
        let mut writer = Writer::new(&store);
        let statement = writer.statement("evidence.queried");
        let (done, stated) = writer.append_stating(joined, &[statement]).await.unwrap();
        assert_eq!(stated, Some(3));
        let told = group.split(done).unwrap();
        let words = |part: &Acknowledged| -> String {
            let word = |outcome: &Outcome| match outcome {
                Outcome::Accepted { seq, .. } => seq.to_string(),
                Outcome::Duplicate => "d".to_owned(),
                Outcome::Conflict => "c".to_owned(),
            };
            part.outcomes.iter().map(word).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(told.iter().map(words).collect::<Vec<_>>(), ["0 1", "", "d c 2"]);
        let counts: Vec<_> = told.iter().map(|part| part.tally.total()).collect();
        assert!(counts.iter().all(|counts| counts.add_up()));
        assert_eq!(counts.iter().map(|counts| counts.received).collect::<Vec<_>>(), [3, 1, 3]);
        let lines: Vec<Vec<u64>> = told.iter().map(|part| part.refused.iter().map(|r| r.line).collect()).collect();
        assert_eq!(lines, [vec![2], vec![1], vec![2]]);
        assert_eq!(store.journal().list(0).await.unwrap().len(), 1);
        assert_eq!(store.head().await.unwrap().0.size, 4);
    }

    #[tokio::test]
    async fn statements_alone_are_stored_too() {
        let store = Store::create(Location::memory(), "default", Clock::fixed(NOW)).await.unwrap();
        let mut writer = Writer::new(&store);
        let (group, joined) = Group::of(Vec::new()).unwrap();
        let statements = [writer.statement("evidence.queried"), writer.statement("evidence.queried")];
        let (done, stated) = writer.append_stating(joined, &statements).await.unwrap();
        assert_eq!((stated, group.split(done).unwrap().len()), (Some(0), 0));
        assert_eq!(store.head().await.unwrap().0.size, 2);
    }
}
