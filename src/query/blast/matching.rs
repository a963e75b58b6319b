//! The events that a condition matches, one by one: what a guardrail would have seen, and what makes actions bad.
//!
//! In: a selector. Out: the `seq` of every event that it picks, as bits. Invariant: the condition is the same
//! stranger's SQL everywhere, and as closely guarded; memory is at most a bit for each event of the stretches of the
//! ledger that match.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::logical_expr::{LogicalPlanBuilder, ident};
use futures::TryStreamExt;

use super::direct::{self, Of};
use super::{Ground, Selector};
use crate::error::{Error, Result};
use crate::query::failure;
use crate::query::runtime::QueryRuntime;

/// Words of a page, and the events that it tells of.
const WORDS: usize = 1024;
const PAGE_EVENTS: usize = WORDS * 64;

/// The events that a selector picks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matching {
    /// A bit for each of [`PAGE_EVENTS`] events; none where no one is picked.
    pages: Vec<Option<Box<[u64; WORDS]>>>,
}

impl Matching {
    /// Whether the event `seq` is among them.
    pub fn contains(&self, seq: i64) -> bool {
        let Ok(seq) = usize::try_from(seq) else { return false };
        let page = self.pages.get(seq / PAGE_EVENTS).and_then(Option::as_ref);
        page.is_some_and(|words| words[seq % PAGE_EVENTS / 64] >> (seq % 64) & 1 == 1)
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.pages.iter().all(Option::is_none)
    }

    /// Whether one may be among those from `low` to `high`; it looks at pages only.
    pub(super) fn has_any(&self, (low, high): (i64, i64)) -> bool {
        let page = |seq: i64| usize::try_from(seq).unwrap_or(0) / PAGE_EVENTS;
        self.pages.iter().take(page(high) + 1).skip(page(low)).any(Option::is_some)
    }

    fn insert(&mut self, seq: i64) {
        let Ok(seq) = usize::try_from(seq) else { return };
        let page = seq / PAGE_EVENTS;
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        let words = self.pages[page].get_or_insert_with(|| Box::new([0; WORDS]));
        words[seq % PAGE_EVENTS / 64] |= 1 << (seq % 64);
    }
}

/// Finds the events that `selector` picks, of those that `of` says.
///
/// # Errors
/// A predicate that is none, evidence that cannot be read.
pub(super) async fn find(ground: &Arc<Ground>, selector: &Selector, of: Of) -> Result<Matching> {
    let condition = direct::check(&selector.predicate)?;
    let (ground, selector) = (ground.clone(), selector.clone());
    let planning = async move {
        let picked = direct::picked(&ground, &selector, condition, of)?;
        let plan = picked.project([ident("seq")]).and_then(LogicalPlanBuilder::build).map_err(failure::error)?;
        direct::guarded(&ground, plan).await
    };
    // The deepest condition that passes needs more stack than a thread that runs operators has.
    let mut rows = QueryRuntime::on_deep_stack(tokio::runtime::Handle::current(), planning).await?;
    let mut found = Matching::default();
    while let Some(batch) = rows.try_next().await.map_err(failure::running)? {
        let seqs = batch.column(0).as_primitive_opt::<Int64Type>();
        let seqs = seqs.ok_or_else(|| Error::internal("the places of events have another type"))?;
        seqs.values().iter().for_each(|seq| found.insert(*seq));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_there_and_nothing_else() {
        let mut matching = Matching::default();
        assert!(matching.is_empty() && !matching.has_any((0, i64::MAX)));
        let picked = [0, 63, 64, 65_535, 65_536, 500_000];
        picked.into_iter().chain([-1]).for_each(|seq| matching.insert(seq));
        let found: Vec<i64> = (-2..600_000).filter(|seq| matching.contains(*seq)).collect();
        assert_eq!(found, picked);
        assert!(!matching.is_empty() && matching.has_any((0, 0)) && matching.has_any((400_000, 500_000)));
        assert!(!matching.has_any((131_072, 400_000)) && !matching.has_any((600_000, 700_000)));
    }
}
