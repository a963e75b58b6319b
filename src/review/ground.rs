//! What a review is computed from: the evidence of a store, or a pack of it.
//!
//! In: a store, or a pack that was verified. Out: sessions over prefixes of the ledger, leaf hashes, the checkpoint that
//! a seed must come from. Invariant: whatever is computed over it is the same for both, as far as the pack goes.

use std::collections::{BTreeMap, HashMap};

use super::checkpoint::{cosignatures, first_after};
use super::leaf::{Source, leaves_of};
use super::packed::Packed;
use super::record::seq;
use crate::clock::Micros;
use crate::error::Result;
use crate::event::Leaf;
use crate::ledger::hash::hex;
use crate::query::answer::Limits;
use crate::query::asof::{AsOf, AsOfText};
use crate::query::engine::{Engine, resolve};
use crate::query::objects::{literal, rows, text};
use crate::query::runtime::{QueryRuntime, RuntimeLimits};
use crate::store::Store;

const ERASURES: &str = "select seq, subject_id from events where event_type = 'evidence.erased' and source = 'probity' \
                        and subject_id is not null order by seq";

/// Evidence, or a pack of it.
#[derive(Debug, Clone, Copy)]
pub enum Ground<'a> {
    /// All that the store holds.
    Evidence(&'a Store),
    /// What a pack holds.
    Pack(&'a Packed),
}

/// What is known of the checkpoint that a seed must be made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signed {
    /// The first one that was signed after the plan.
    First {
        /// The log's name.
        origin: String,
        /// Its events.
        size: u64,
        /// Its root in hexadecimal digits.
        root: String,
        /// The independent keys that cosigned it.
        cosigners: usize,
    },
    /// None was signed after the plan.
    Missing,
    /// A pack does not tell.
    Unknown,
}

impl Ground<'_> {
    /// A session over the first `size` events, at the instant when the last of them was recorded.
    ///
    /// # Errors
    /// When the ledger has fewer, or the store fails.
    pub async fn session(self, size: i64) -> Result<Engine> {
        let runtime = QueryRuntime::new(&RuntimeLimits::default())?;
        let (snapshot, now) = match self {
            Self::Evidence(store) => (store.snapshot().await?, store.clock().now()),
            Self::Pack(packed) => (packed.snapshot(size)?, Micros::MAX),
        };
        let as_of = match self {
            Self::Evidence(_) => resolve(&runtime, &snapshot, AsOfText::Size(size), now, None).await?,
            Self::Pack(packed) => AsOf { size, at: packed.recorded_at(size) },
        };
        Engine::new(&runtime, &snapshot, as_of).await
    }

    /// A session over the first `size` events, at the instant `at`.
    ///
    /// # Errors
    /// As [`Ground::session`].
    pub async fn session_at(self, size: i64, at: Micros) -> Result<Engine> {
        let runtime = QueryRuntime::new(&RuntimeLimits::default())?;
        let snapshot = match self {
            Self::Evidence(store) => store.snapshot().await?,
            Self::Pack(packed) => packed.snapshot(size)?,
        };
        Engine::new(&runtime, &snapshot, AsOf { size, at }).await
    }

    /// The leaf hashes of the events `seqs`, ascending and each once.
    ///
    /// # Errors
    /// Damaged when one is missing; when the store fails.
    pub async fn leaves(self, seqs: &[i64], source: Source) -> Result<Vec<Leaf>> {
        match self {
            Self::Evidence(store) => leaves_of(store, seqs, source).await,
            Self::Pack(packed) => packed.leaves(seqs),
        }
    }

    /// The events of actions in `environment` whose values were erased within the first `size` events, each with the
    /// event that says so.
    ///
    /// # Errors
    /// When a query fails or a bound is met.
    pub async fn erased(self, environment: &str, size: i64) -> Result<BTreeMap<i64, i64>> {
        let store = match self {
            Self::Evidence(store) => store,
            Self::Pack(packed) => return Ok(packed.erased().clone()),
        };
        let engine = Ground::Evidence(store).session(size).await?;
        // Mostly nothing ever was erased, and then nobody need look at every event.
        let orders_given = said(&engine, ERASURES).await?;
        if orders_given.is_empty() {
            return Ok(BTreeMap::new());
        }
        let sql = format!(
            "select seq, subject_id from events where environment = {} and action_id is not null and subject_id is not \
             null and (old_value_digest is not null or new_value_digest is not null)",
            literal(environment)
        );
        let lost = said(&engine, &sql).await?;
        let mut orders: HashMap<String, Vec<i64>> = HashMap::new();
        for (seq, subject) in orders_given {
            orders.entry(subject).or_default().push(seq);
        }
        // An order reaches what was there when it was given: the first one after an event is the one that erased it.
        let by = |seq: i64, subject: &str| orders.get(subject)?.iter().copied().find(|order| *order > seq);
        Ok(lost.iter().filter_map(|(seq, subject)| Some((*seq, by(*seq, subject)?))).collect())
    }

    /// The first checkpoint that was signed after the event `seq`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn signed_after(self, seq: i64) -> Result<Signed> {
        let Self::Evidence(store) = self else { return Ok(Signed::Unknown) };
        let Some(sealed) = first_after(store, seq).await? else { return Ok(Signed::Missing) };
        let cosigners = cosignatures(store, &sealed).await?;
        let (origin, size, root) = (sealed.checkpoint.origin, sealed.checkpoint.size, hex(&sealed.checkpoint.root));
        Ok(Signed::First { origin, size, root, cosigners })
    }
}

/// Places and persons of what `sql` picks.
async fn said(engine: &Engine, sql: &str) -> Result<Vec<(i64, String)>> {
    let all = Limits { rows: usize::MAX, ..Limits::default() };
    let found = rows(&engine.sql(sql, all).await?)?;
    Ok(found.iter().map(|row| (seq(row), text(row, "subject_id").to_owned())).collect())
}
