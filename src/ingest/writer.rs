//! The writer: decoded rows get their place in the ledger and become durable.
//!
//! classify → assign `seq` → leaf hashes → put the journal object if absent → done, or lost: again from the
//! start with half the batch. The put is the acknowledgement. Invariant: whatever races, dies or lies, an
//! event that was acknowledged is stored exactly once, at the `seq` and with the leaf that were answered.

use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::record_batch::RecordBatch;
use hashbrown::HashMap;

use super::counts::{End, Tally, day_of};
use super::decode::Incoming;
use super::known::{Known, Verdict};
use crate::clock::{Clock, DAY};
use crate::error::{Error, ErrorKind, Result};
use crate::event::batch::{assign, bytes_of, with_own_text};
use crate::event::columns::supplied_schema;
use crate::event::{BatchBuilder, Cell, Column, Draft, ENGINE_SOURCE, Leaf, Rows, leaves};
use crate::limits::{APPEND_ATTEMPTS, BATCH_EVENTS};
use crate::store::journal::Appended;
use crate::store::quarantine::{Refusal, Refused};
use crate::store::{Head, Snapshot, Store, parquet};

/// What became of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Stored, with this place and leaf hash.
    Accepted {
        /// Position in the ledger.
        seq: i64,
        /// Leaf hash there.
        leaf: Leaf,
    },
    /// Known already.
    Duplicate,
    /// Same ids, other content: in the quarantine.
    Conflict,
}

/// What became of one batch.
#[derive(Debug, Default)]
pub struct Acknowledged {
    /// One per row, in order.
    pub outcomes: Vec<Outcome>,
    /// Records that were refused, the conflicts included; durable in the quarantine.
    pub refused: Vec<Refused>,
    /// Counts by source and day.
    pub tally: Tally,
    /// Bytes appended to the journal, uncompressed.
    pub bytes: usize,
}

/// Appends batches to one store.
pub struct Writer<'a> {
    store: &'a Store,
    known: Known,
    head: Option<(Head, Arc<Snapshot>)>,
    /// Rows of the next attempt at most; halved by each lost race, doubled by each success.
    batch_rows: usize,
}

impl<'a> Writer<'a> {
    /// A writer to `store`.
    pub fn new(store: &'a Store) -> Self {
        Self { store, known: Known::default(), head: None, batch_rows: BATCH_EVENTS }
    }

    /// Stores what is new of `incoming`, and quarantines what is refused.
    ///
    /// # Errors
    /// When the store fails; rows acknowledged before stay stored, and a repetition finds them as duplicates.
    pub async fn append(&mut self, incoming: Incoming) -> Result<Acknowledged> {
        Ok(self.append_stating(incoming, &[]).await?.0)
    }

    /// As [`Writer::append`], with `statements` of the engine behind the last row, in the same put; gives the place of
    /// the first statement, none where there is none. Their ids are random.
    ///
    /// # Errors
    /// As [`Writer::append`]; the statements are stored all or none.
    pub async fn append_stating(
        &mut self,
        incoming: Incoming,
        statements: &[Draft<'_>],
    ) -> Result<(Acknowledged, Option<i64>)> {
        let mut done = Acknowledged { bytes: bytes_of(&incoming.rows), ..Default::default() };
        let statements = rows_of(statements);
        let (mut from, mut stated) = (0, None);
        while from < incoming.rows.num_rows() || stated.is_none() && statements.num_rows() > 0 {
            let (taken, place) = self.append_part(&incoming, from, &statements, &mut done).await?;
            from += taken;
            stated = place;
        }
        for entry in &incoming.refused {
            done.tally.count(entry.source.as_deref(), entry.day.as_deref(), End::Rejected);
        }
        done.refused.splice(0..0, incoming.refused);
        self.store.quarantine(&done.refused).await?;
        Ok((done, stated))
    }

    /// Only classifies: what [`Writer::append`] would do if nobody else wrote meanwhile.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn classify(&mut self, incoming: &Incoming) -> Result<Vec<Verdict>> {
        let (_, snapshot) = self.head().await?;
        let verdicts = self.known.classify(self.store, &snapshot, &incoming.rows).await?;
        let view = Rows::new(&incoming.rows)?;
        self.known.appended(&view, 0);
        Ok(verdicts)
    }

    /// An event of the engine itself, with what every such event has: it happens now, and nobody else may claim
    /// its source.
    pub fn statement(&self, event_type: &str) -> Draft<'static> {
        statement(self.store.clock(), event_type)
    }

    /// Appends one event that the engine itself states; gives its place in the ledger.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn state(&mut self, statement: &Draft<'_>) -> Result<i64> {
        self.state_all(std::slice::from_ref(statement)).await
    }

    /// As [`Writer::state`], of several statements, all of them or none; gives the place of the first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn state_all(&mut self, statements: &[Draft<'_>]) -> Result<i64> {
        let stated = self.append_statements(statements, Ids::Random).await?;
        stated.ok_or_else(|| Error::internal("an event with a random id was there already"))
    }

    /// As [`Writer::state`], for a statement whose `event_id` says what it is about: none when an event with that
    /// id was stated in the same month, whoever was first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn state_once(&mut self, statement: &Draft<'_>) -> Result<Option<i64>> {
        self.append_statements(std::slice::from_ref(statement), Ids::Meant).await
    }

    async fn append_statements(&mut self, statements: &[Draft<'_>], ids: Ids) -> Result<Option<i64>> {
        let rows = rows_of(statements);
        let _queued = self.store.queue("append").await?;
        for _ in 0..APPEND_ATTEMPTS {
            let (head, snapshot) = self.head().await?;
            // Appending moves the known prefix: what others appended since must be in it before.
            self.known.catch_up(&snapshot)?;
            if ids == Ids::Meant && self.known.classify(self.store, &snapshot, &rows).await? != [Verdict::New] {
                return Ok(None);
            }
            drop(snapshot);
            if let Some((seq, _)) = self.try_append(head, &rows).await? {
                return Ok(Some(seq));
            }
        }
        Err(contended())
    }

    /// Appends the rows from `from` on, as many as one journal object takes, and `statements` behind the last one; gives
    /// the number of rows, and the place of the first statement once they are stored.
    async fn append_part(
        &mut self,
        incoming: &Incoming,
        from: usize,
        statements: &RecordBatch,
        done: &mut Acknowledged,
    ) -> Result<(usize, Option<i64>)> {
        let _queued = self.store.queue("append").await?;
        for _ in 0..APPEND_ATTEMPTS {
            let taken = self.batch_rows.min(incoming.rows.num_rows() - from);
            let rows = incoming.rows.slice(from, taken);
            let (head, snapshot) = self.head().await?;
            let verdicts = self.known.classify(self.store, &snapshot, &rows).await?;
            drop(snapshot);
            let is_new: BooleanArray = verdicts.iter().map(|v| Some(*v == Verdict::New)).collect();
            let mut new = selected(&rows, &is_new)?;
            let accepted = new.num_rows();
            if accepted < incoming.rows.num_rows() {
                new = with_own_texts(&new)?;
            }
            let is_last = from + taken == incoming.rows.num_rows();
            if is_last && statements.num_rows() > 0 {
                new = concat_batches(&new.schema(), [&new, statements])
                    .map_err(|e| Error::internal("cannot put statements behind events").because(e))?;
            }
            let first = match new.num_rows() {
                0 => Some((head.size, Vec::new())),
                _ => self.try_append(head, &new).await?,
            };
            let Some((first_seq, mut leaves)) = first else {
                self.batch_rows = (self.batch_rows / 2).max(1);
                continue;
            };
            self.batch_rows = (self.batch_rows * 2).min(BATCH_EVENTS);
            let stated = (new.num_rows() > accepted).then_some(first_seq + accepted as i64);
            leaves.truncate(accepted);
            note((incoming, from), &verdicts, (first_seq, leaves), done)?;
            return Ok((taken, stated));
        }
        Err(contended())
    }

    /// Number of events, as far as this writer knows.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn size(&mut self) -> Result<i64> {
        Ok(self.head().await?.0.size)
    }

    /// Where the next event goes, as far as this writer knows; the put finds out whether it is true.
    async fn head(&mut self) -> Result<(Head, Arc<Snapshot>)> {
        match &self.head {
            Some(known) => Ok(known.clone()),
            None => {
                let (head, snapshot) = self.store.head().await?;
                let found = (head, Arc::new(snapshot));
                self.head = Some(found.clone());
                Ok(found)
            }
        }
    }

    /// One attempt to put `rows` at `head`: their first `seq` and leaves, or none when somebody else was first.
    async fn try_append(&mut self, head: Head, rows: &RecordBatch) -> Result<Option<(i64, Vec<Leaf>)>> {
        let clock = self.store.clock();
        let recorded_at = clock.now().max(head.recorded_at);
        let assigned = assign(rows, head.size, recorded_at, clock)?;
        // Hashing runs beside the put: the sooner the object is there, the fewer races are lost.
        let hashing = (assigned.num_rows() > HASHED_HERE).then(|| {
            let hashed = assigned.clone();
            tokio::task::spawn_blocking(move || Rows::new(&hashed).map(|rows| leaves(&rows)))
        });
        let writer = clock.id();
        let first = self.store.journal().append(head.size, &assigned, &writer).await?;
        let leaves = match hashing {
            Some(hashing) => hashing.await.map_err(|e| Error::internal("the hash task died").because(e))??,
            None => leaves(&Rows::new(&assigned)?),
        };
        let mut first = Some(first);
        let mut failures = 0;
        loop {
            let appended = match first.take() {
                Some(appended) => appended,
                None => self.store.journal().append(head.size, &assigned, &writer).await?,
            };
            let is_stored = match &appended {
                // Put, but maybe too late: below the table's size an object is dead.
                Appended::Done => self.is_alive(head.size, &leaves).await?,
                Appended::Lost | Appended::Unknown(_) => {
                    self.store.leaf_in_table(head.size).await? == leaves.first().copied()
                }
            };
            match appended {
                _ if is_stored => {
                    self.advance(head, &assigned, &writer, &leaves)?;
                    return Ok(Some((head.size, leaves)));
                }
                Appended::Unknown(failure) => {
                    failures += 1;
                    if failures >= UNKNOWN_ATTEMPTS || failure.kind() == ErrorKind::Denied {
                        return Err(failure);
                    }
                    tokio::time::sleep(std::time::Duration::from_millis(20 << failures)).await;
                }
                Appended::Done | Appended::Lost => {
                    self.head = None;
                    return Ok(None);
                }
            }
        }
    }

    /// Whether the object that was just put at `first_seq` counts; a dead one is deleted.
    async fn is_alive(&self, first_seq: i64, leaves: &[Leaf]) -> Result<bool> {
        if self.store.table().await?.size <= first_seq {
            return Ok(true);
        }
        if self.store.leaf_in_table(first_seq).await? == leaves.first().copied() {
            return Ok(true);
        }
        self.store.delete_dead(first_seq).await?;
        Ok(false)
    }

    /// Moves the known head past `assigned`.
    fn advance(&mut self, head: Head, assigned: &RecordBatch, writer: &str, leaves: &[Leaf]) -> Result<()> {
        let size = head.size + assigned.num_rows() as i64;
        let recorded_at = parquet::range(assigned, Column::RecordedAt).1;
        self.known.appended(&Rows::new(assigned)?, size);
        if let Some((known, snapshot)) = &mut self.head {
            *known = Head { size, recorded_at };
            let snapshot = Arc::make_mut(snapshot);
            snapshot.journal.push(assigned.clone());
            snapshot.size = size;
        }
        // The fold of this process need not read back what this process has just put.
        self.store.note_appended(head.size, writer, assigned, leaves);
        Ok(())
    }

    /// Forgets the known head: the journal was folded, most of its rows need no memory any more.
    pub fn forget_head(&mut self) {
        self.head = None;
    }
}

/// An event of the engine itself, with what every such event has: it happens now, and nobody else may claim its source.
pub fn statement(clock: &Clock, event_type: &str) -> Draft<'static> {
    let mut draft = Draft::default();
    draft.set_text(Column::EventId, clock.id());
    draft.set_text(Column::Source, ENGINE_SOURCE);
    draft.set_text(Column::EventType, event_type.to_owned());
    draft.set_text(Column::Environment, "production");
    draft.set_text(Column::ActorKind, "system");
    draft.set(Column::OccurredAt, Cell::Instant(clock.now()));
    draft
}

/// What became of `rows` by source and day; `outcomes` are theirs, in their order.
///
/// # Errors
/// When the rows are not of the schema of events.
pub fn tally_of(rows: &RecordBatch, outcomes: &[Outcome]) -> Result<Tally> {
    let view = Rows::new(rows)?;
    let mut cells: HashMap<(&str, i64, End), u64> = HashMap::new();
    for (row, outcome) in outcomes.iter().enumerate().take(view.len()) {
        let source = view.text(Column::Source, row).unwrap_or_default();
        let at = view.instant(Column::OccurredAt, row).unwrap_or_default();
        let end = match outcome {
            Outcome::Accepted { .. } => End::Accepted,
            Outcome::Duplicate => End::Duplicate,
            Outcome::Conflict => End::Conflict,
        };
        *cells.entry((source, at.div_euclid(DAY), end)).or_default() += 1;
    }
    let mut tally = Tally::default();
    for ((source, day, end), records) in cells {
        tally.count_many(Some(source), Some(&day_of(day * DAY)), end, records);
    }
    Ok(tally)
}

/// Notes what became of the rows from a row on.
fn note(
    (incoming, from): (&Incoming, usize),
    verdicts: &[Verdict],
    (first_seq, leaves): (i64, Vec<Leaf>),
    done: &mut Acknowledged,
) -> Result<()> {
    let view = Rows::new(&incoming.rows)?;
    let mut stored = (first_seq..).zip(leaves);
    for (row, verdict) in (from..).zip(verdicts) {
        let outcome = match verdict {
            Verdict::New => {
                let (seq, leaf) = stored.next().ok_or_else(|| Error::internal("an event was stored without a leaf"))?;
                Outcome::Accepted { seq, leaf }
            }
            Verdict::Duplicate => Outcome::Duplicate,
            Verdict::Conflict => {
                let reason =
                    "an event with this `source` and `event_id` is stored in the same month with other content";
                let source = view.text(Column::Source, row).unwrap_or_default();
                let at = view.instant(Column::OccurredAt, row).unwrap_or_default();
                done.refused.push(incoming.refuse(row, Refusal::Conflict, reason, source, day_of(at)));
                Outcome::Conflict
            }
        };
        done.outcomes.push(outcome);
    }
    let rows = incoming.rows.slice(from, verdicts.len());
    done.tally.merge(tally_of(&rows, &done.outcomes[done.outcomes.len() - verdicts.len()..])?);
    Ok(())
}

fn selected(rows: &RecordBatch, is_wanted: &BooleanArray) -> Result<RecordBatch> {
    filter_record_batch(rows, is_wanted).map_err(|e| Error::internal("cannot select new events").because(e))
}

/// `rows` without the text of those that came with them: it would go into the journal object, sealed values of what was
/// refused too.
fn with_own_texts(rows: &RecordBatch) -> Result<RecordBatch> {
    let columns = rows.columns().iter().map(with_own_text).collect();
    RecordBatch::try_new(rows.schema(), columns).map_err(|e| Error::internal("cannot select new events").because(e))
}

/// Rows of `statements`: nearly always of none.
fn rows_of(statements: &[Draft<'_>]) -> RecordBatch {
    if statements.is_empty() {
        return RecordBatch::new_empty(supplied_schema());
    }
    let mut builder = BatchBuilder::default();
    statements.iter().for_each(|statement| builder.append(statement));
    builder.finish()
}

/// What the id of a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ids {
    /// Random: nobody else has it, and looking for it would read the month.
    Random,
    /// Chosen so that the same statement has the same one.
    Meant,
}

/// Rows that are hashed sooner than another thread wakes up.
const HASHED_HERE: usize = 16;

/// Attempts of a put whose fate the store does not tell.
const UNKNOWN_ATTEMPTS: usize = 4;

fn contended() -> Error {
    Error::unavailable(format!("other writers were first {APPEND_ATTEMPTS} times in a row; try again"))
}
