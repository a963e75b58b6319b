//! The events that a condition matches, one by one: what a guardrail would have seen.
//!
//! In: a selector. Out: the `seq` of every event of an action that it picks. Invariant: the condition is the same
//! stranger's SQL as that of a blast radius, and as closely guarded; memory is in proportion to the stretches of the
//! ledger that match, not to the events.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::logical_expr::{LogicalPlanBuilder, ident};
use futures::TryStreamExt;
use roaring::RoaringTreemap;

use super::{Ground, Selector, direct};
use crate::error::{Error, Result};
use crate::query::failure;
use crate::query::runtime::QueryRuntime;

/// The events that a selector picks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matching(RoaringTreemap);

impl Matching {
    /// Whether the event `seq` is among them.
    pub fn contains(&self, seq: i64) -> bool {
        u64::try_from(seq).is_ok_and(|seq| self.0.contains(seq))
    }
}

/// Finds the events that `selector` picks.
///
/// # Errors
/// A predicate that is none, evidence that cannot be read.
pub(super) async fn find(ground: &Arc<Ground>, selector: &Selector) -> Result<Matching> {
    let condition = direct::check(&selector.predicate)?;
    let (ground, selector) = (ground.clone(), selector.clone());
    let planning = async move {
        let picked = direct::picked(&ground, &selector, condition)?;
        let plan = picked.project([ident("seq")]).and_then(LogicalPlanBuilder::build).map_err(failure::error)?;
        direct::guarded(&ground, plan).await
    };
    // The deepest condition that passes needs more stack than a thread that runs operators has.
    let mut rows = QueryRuntime::on_deep_stack(tokio::runtime::Handle::current(), planning).await?;
    let mut found = RoaringTreemap::new();
    while let Some(batch) = rows.try_next().await.map_err(failure::running)? {
        let seqs = batch.column(0).as_primitive_opt::<Int64Type>();
        let seqs = seqs.ok_or_else(|| Error::internal("the places of events have another type"))?;
        found.extend(seqs.values().iter().filter_map(|seq| u64::try_from(*seq).ok()));
    }
    Ok(Matching(found))
}
