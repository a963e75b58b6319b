//! The two passes over a log: touches in the order of time, then the events that matter in full.
//!
//! In: which events were picked, or which actions are sought. Out: the direct actions, what the first pass finds, and to
//! the second what it must see. Invariant: what is left out cannot matter: an action has no event where its key is not,
//! and influence only moves forward in time. Touches are read ahead and let go once they are behind; of the events only
//! those that matter are read at all. It must not judge what an event does.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::runtime::SpawnedTask;
use futures::{StreamExt, TryStreamExt, stream};
use hashbrown::HashSet;

use super::log::Log;
use super::second::Second;
use super::{Matching, Selector};
use crate::blast::names::{NONE, RECORD_ID};
use crate::blast::touches::environment_number;
use crate::blast::{Asked, Key, Needed, Reach, Touches};
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::limits::INCIDENT_ACTIONS;

/// Stretches read at once, ahead of the pass.
const AHEAD: usize = 4;
/// Stretches of which the keys of actions are looked through at once.
const LOOKS: usize = 16;

/// The direct actions.
pub(super) struct Direct {
    /// Their keys, ascending.
    pub(super) actions: Vec<Key>,
    /// The earliest event that was picked.
    pub(super) first_at: Micros,
}

/// Where the pass stands in a stretch.
struct Cursor {
    number: u32,
    touches: Arc<Touches>,
    row: usize,
}

impl Cursor {
    fn moment(&self) -> (Micros, i64) {
        self.touches.moment(self.row)
    }
}

impl Log {
    /// The actions of the environment of `selector` that have an event among `picked`; none where there is none.
    ///
    /// # Errors
    /// Limit, with more than [`INCIDENT_ACTIONS`]; a data file that cannot be read.
    pub(super) async fn direct(&self, selector: &Selector, picked: &Matching) -> Result<Option<Direct>> {
        let environment = environment_number(Some(&selector.environment));
        let numbers = (0..self.len()).filter(|number| picked.has_any(self.seqs(*number)));
        let looks: Vec<_> = numbers.map(|number| self.touches(number)).collect();
        let mut looks = stream::iter(looks).buffered(AHEAD);
        let (mut actions, mut first_at) = (HashSet::new(), None);
        while let Some(touches) = looks.try_next().await? {
            let is_picked = |row: &usize| {
                touches.actions[*row] != NONE
                    && touches.mark(*row).environment() == environment
                    && picked.contains(touches.seqs[*row])
            };
            let mut is_own = vec![false; touches.action_keys.len()];
            for row in (0..touches.len()).filter(is_picked) {
                is_own[touches.actions[row] as usize] = true;
                first_at = first_at.into_iter().chain([touches.at[row]]).min();
            }
            let own = touches.action_keys.iter().zip(is_own).filter(|(_, is_own)| *is_own);
            actions.extend(own.map(|(key, _)| *key));
            if actions.len() > INCIDENT_ACTIONS {
                return Err(Error::limit(format!(
                    "the predicate picks more than {INCIDENT_ACTIONS} actions; narrow it, or its window"
                )));
            }
        }
        let mut actions: Vec<Key> = actions.into_iter().collect();
        actions.sort_unstable();
        Ok(first_at.map(|first_at| Direct { actions, first_at }))
    }

    /// When the first event of `actions`, which ascend, happened, or `known_at` if that is earlier.
    ///
    /// # Errors
    /// When a data file cannot be read.
    pub(super) async fn beginning(&self, actions: &[Key], known_at: Micros) -> Result<Micros> {
        let earlier: Vec<usize> = (0..self.len()).filter(|number| self.span(*number).0 < known_at).collect();
        let looks: Vec<_> = earlier.iter().map(|number| self.first_of(*number, actions)).collect();
        let (mut looks, mut first_at) = (stream::iter(looks).buffered(LOOKS), known_at);
        for number in earlier {
            // Stretches come by their first instant: behind this one all is later.
            if self.span(number).0 >= first_at {
                break;
            }
            let own = looks.try_next().await?.flatten();
            first_at = own.into_iter().fold(first_at, Micros::min);
        }
        Ok(first_at)
    }

    /// The first instant at which a stretch tells of one of `actions`.
    async fn first_of(&self, number: usize, actions: &[Key]) -> Result<Option<Micros>> {
        if !self.may_tell_of(number, actions).await {
            return Ok(None);
        }
        let touches = self.touches(number).await?;
        Ok(touches.rows_of(actions).first().map(|row| touches.at[*row as usize]))
    }

    /// The first pass, from `start` on.
    ///
    /// # Errors
    /// When a data file cannot be read.
    pub(super) async fn reach(&self, asked: &Asked<'_>, start: Micros) -> Result<Needed> {
        let mut reach = Reach::of(asked);
        let numbers: Vec<usize> = (0..self.len()).filter(|number| self.span(*number).1 >= start).collect();
        let loads: Vec<_> = numbers.iter().map(|number| self.touches(*number)).collect();
        let mut loads = stream::iter(loads).buffered(AHEAD);
        let mut waiting = numbers.into_iter().peekable();
        let mut cursors: Vec<Cursor> = Vec::new();
        loop {
            let begins = waiting.peek().map(|number| (self.span(*number).0, i64::MIN));
            let first = (0..cursors.len()).min_by_key(|place| cursors[*place].moment());
            if let Some(begins) = begins
                && first.is_none_or(|first| cursors[first].moment() >= begins)
            {
                let next = waiting.next().zip(loads.try_next().await?);
                let next = next.map(|(number, touches)| (number as u32, touches.row_at(0, (start, i64::MIN)), touches));
                if let Some((number, row, touches)) = next.filter(|(_, row, touches)| *row < touches.len()) {
                    reach.open(number, touches.clone(), self.size);
                    cursors.push(Cursor { number, touches, row });
                }
                continue;
            }
            let Some(first) = first else { return Ok(reach.finish()) };
            // As far as no other stretch has an earlier event.
            let others = (0..cursors.len()).filter(|place| *place != first).map(|place| cursors[place].moment());
            let limit = others.chain(begins).min();
            let Cursor { number, touches, row } = &mut cursors[first];
            let end = limit.map_or(touches.len(), |limit| touches.row_at(*row, limit));
            reach.pass(*number, *row..end);
            *row = end;
            if end == touches.len() {
                reach.close(*number);
                cursors.swap_remove(first);
            }
        }
    }

    /// Gives `second` what it must see.
    ///
    /// # Errors
    /// When a data file cannot be read.
    pub(super) async fn trace(self: &Arc<Self>, needed: &Needed, second: &mut Second<'_>) -> Result<()> {
        let placed = self.placed(&needed.unplaced).await?;
        let mut actions = [needed.actions.as_slice(), placed.as_slice()].concat();
        actions.sort_unstable();
        let actions: Arc<[Key]> = actions.into();
        let mut reads = Vec::with_capacity(self.len());
        for number in 0..self.len() {
            let (log, actions) = (self.clone(), actions.clone());
            let of = |end: u32| needed.rows.partition_point(|(part, _)| *part < end);
            let own = &needed.rows[of(number as u32)..of(number as u32 + 1)];
            let rows = own.iter().map(|(_, row)| *row).collect();
            reads.push(async move { log.events_of(number, &actions, rows).await });
        }
        // The tasks of a look-up that is dropped end with it.
        let tasks: Vec<_> =
            reads.into_iter().map(|read| async move { SpawnedTask::spawn(read).join().await }).collect();
        let mut found = stream::iter(tasks).buffered(AHEAD);
        let mut next = 0;
        while let Some(rows) = found.next().await {
            next += 1;
            let rows = rows.map_err(|e| Error::internal("looking events up failed by a defect").because(e))??;
            // Stretches come by their first instant: what is earlier is complete.
            second.take(rows, (next < self.len()).then(|| self.span(next).0))?;
        }
        Ok(())
    }

    /// The events of a stretch that belong to `actions` or stand in `rows`.
    async fn events_of(&self, number: usize, actions: &[Key], mut rows: Vec<u32>) -> Result<Vec<RecordBatch>> {
        if self.may_tell_of(number, actions).await {
            rows.extend(self.touches(number).await?.rows_of(actions));
            rows.sort_unstable();
            rows.dedup();
        }
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        self.rows(number, rows).await
    }

    /// Those of `actions` of which an event names a record.
    async fn placed(&self, actions: &[Key]) -> Result<Vec<Key>> {
        let mut placed = HashSet::new();
        for number in 0..self.len() {
            if !self.may_tell_of(number, actions).await {
                continue;
            }
            let touches = self.touches(number).await?;
            let rows = touches.rows_of(actions).into_iter().map(|row| row as usize);
            let naming = rows.filter(|row| touches.target(*row)[RECORD_ID] != NONE);
            placed.extend(naming.filter_map(|row| touches.action(row)));
        }
        Ok(placed.into_iter().collect())
    }
}
