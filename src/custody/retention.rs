//! Retention: months that are older than anybody may ask for leave the store.
//!
//! Holds → for each old month: its seq set → `evidence.retired` → the table without its rows → projection → no file of
//! it. Invariants: only whole months go, the oldest first; never one of which a row is under hold, or younger than the
//! floor by when it happened or by when it was recorded; what the engine itself stated stays.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use serde::Serialize;
use serde_json::json;

use super::hold::{Hold, JUDGED, check_free, watching};
use super::{Order, month_span};
use crate::clock::{DAY, Micros};
use crate::error::{Error, Result};
use crate::event::{Column, ENGINE_SOURCE};
use crate::ingest::writer::Writer;
use crate::store::projection::Lag;
use crate::store::removals::{RETIRED, hash_of_set};
use crate::store::{DataFile, Store, parquet};

/// Days that events are kept when nobody says otherwise.
pub const KEEP_DAYS: i64 = 400;
/// Days that events are kept at least: six months, Regulation (EU) 2024/1689, articles 19 and 26.
pub const KEEP_DAYS_AT_LEAST: i64 = 183;
/// Days that anybody may ask for: a thousand years, so that no arithmetic with them overflows.
pub const KEEP_DAYS_AT_MOST: i64 = 365_250;

/// A month that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Month {
    /// `YYYY-MM`.
    pub month: String,
    /// Events that left the table; 0 where it was kept.
    pub events: u64,
    /// The `evidence.retired` event.
    pub event: Option<i64>,
    /// Why an old month was kept.
    pub kept_because: Option<String>,
}

/// Deletes the months that are older than `keep_days` days.
///
/// # Errors
/// Invalid when it is less than [`KEEP_DAYS_AT_LEAST`] or more than [`KEEP_DAYS_AT_MOST`]; when the store fails.
pub async fn retire(store: &Store, keep_days: i64, order: &Order) -> Result<Vec<Month>> {
    if keep_days < KEEP_DAYS_AT_LEAST {
        return Err(Error::invalid(format!(
            "{keep_days} days are less than the {KEEP_DAYS_AT_LEAST} that the logs of such systems must be kept"
        )));
    }
    if keep_days > KEEP_DAYS_AT_MOST {
        return Err(Error::invalid(format!(
            "{keep_days} days are more than the {KEEP_DAYS_AT_MOST} that can be asked for"
        )));
    }
    store.fold().await?;
    let oldest_kept = store.clock().now() - keep_days * DAY;
    let mut months: BTreeMap<String, Vec<DataFile>> = BTreeMap::new();
    for file in store.table().await?.files.iter() {
        months.entry(file.month.clone()).or_default().push(file.clone());
    }
    let mut looked_at = Vec::new();
    for (month, files) in months {
        if month_span(&month)?.1 <= oldest_kept {
            looked_at.extend(one(store, month, files, oldest_kept, order).await?);
        }
    }
    let retired: Vec<&Month> = looked_at.iter().filter(|month| month.event.is_some()).collect();
    if retired.is_empty() {
        return Ok(looked_at);
    }
    store.fold().await?;
    if store.drop_projection().await? {
        store.project(Lag::None).await?;
    }
    for month in retired {
        store.delete_retired(&month.month).await?;
    }
    Ok(looked_at)
}

/// Deletes one month if it may go; none when it holds nothing but what the engine stated.
async fn one(
    store: &Store,
    month: String,
    files: Vec<DataFile>,
    oldest_kept: Micros,
    order: &Order,
) -> Result<Option<Month>> {
    let kept = |month: String, why: String| Some(Month { month, events: 0, event: None, kept_because: Some(why) });
    let recorded_at = files.iter().map(|file| file.recorded_at.1).max().unwrap_or_default();
    let retiring = store.retiring(files).await?;
    let events = retiring.seqs.len();
    if events == 0 {
        return Ok(None);
    }
    if recorded_at > oldest_kept {
        return Ok(kept(month, format!("some of it was recorded at {}", crate::clock::rfc3339(recorded_at))));
    }
    // Looked up for each month: the months before may have taken long, and a hold that was placed meanwhile counts.
    let holds = watching(store).await?;
    if let Err(held) = check_month(store, &month, &retiring.files, &holds).await {
        return match held.kind() {
            crate::error::ErrorKind::Denied => Ok(kept(month, held.to_string())),
            _ => Err(held),
        };
    }
    let mut writer = Writer::new(store);
    let mut event = order.statement(&writer, RETIRED);
    event.set_text(Column::System, ENGINE_SOURCE);
    event.set_text(Column::RecordType, "month");
    event.set_text(Column::RecordId, month.clone());
    event.set_text(Column::PayloadHash, hash_of_set(&retiring.set));
    event.set_text(Column::Extra, json!({"events": events}).to_string());
    let seq = writer.state(&event).await?;
    match store.retire(&month, seq, retiring).await? {
        true => Ok(Some(Month { month, events, event: Some(seq), kept_because: None })),
        false => Ok(kept(month, "it was changed meanwhile; run it again".to_owned())),
    }
}

/// Refuses a month of which a row is under hold.
async fn check_month(store: &Store, month: &str, files: &[DataFile], holds: &[Hold]) -> Result<()> {
    let touching: Vec<Hold> = holds.iter().filter(|hold| hold.touches(month)).cloned().collect();
    if touching.is_empty() {
        return Ok(());
    }
    for file in files {
        let mut rows = parquet::scan(store.objects(), file, &JUDGED, None).await?;
        while let Some(batch) = rows.try_next().await? {
            check_free(&touching, [&batch].into_iter())?;
        }
    }
    Ok(())
}
