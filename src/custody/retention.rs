//! Retention: months that are older than anybody may ask for leave the store.
//!
//! For each old month: its seq set → holds → `evidence.retired` → holds again, if anybody wrote meanwhile → no
//! projection → the table without its rows. Then a new projection, and no file of these months. Invariants: only whole
//! months go, the oldest first; never one of which a row is under hold, or younger than the floor by when it happened or
//! by when it was recorded; what the engine itself stated stays; no projection outlives the rows it was made from.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use serde::Serialize;
use serde_json::json;

use super::hold::{Hold, JUDGED, Watch, check_free, watching};
use super::{Order, month_span};
use crate::clock::{DAY, Micros};
use crate::error::{Error, ErrorKind, Result};
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
    let mut round = Round { store, order, oldest_kept, watch: None, is_projected: false, looked_at: Vec::new() };
    let outcome = round.all(months).await;
    // Whatever stopped the round: what it has taken out of the table is not left half removed.
    round.finish().await?;
    outcome.map(|()| round.looked_at)
}

/// One run of retention.
struct Round<'a> {
    store: &'a Store,
    order: &'a Order,
    oldest_kept: Micros,
    /// The holds, looked up once, and again when anybody else has written since.
    watch: Option<Watch>,
    /// Whether it deleted a projection.
    is_projected: bool,
    looked_at: Vec<Month>,
}

impl Round<'_> {
    async fn all(&mut self, months: BTreeMap<String, Vec<DataFile>>) -> Result<()> {
        for (month, files) in months {
            if month_span(&month)?.1 <= self.oldest_kept {
                let looked_at = self.one(month, files).await?;
                self.looked_at.extend(looked_at);
            }
        }
        Ok(())
    }

    /// Deletes one month if it may go; none when it holds nothing but what the engine stated.
    async fn one(&mut self, month: String, files: Vec<DataFile>) -> Result<Option<Month>> {
        let kept = |month: String, why: String| Some(Month { month, events: 0, event: None, kept_because: Some(why) });
        let recorded_at = files.iter().map(|file| file.recorded_at.1).max().unwrap_or_default();
        let retiring = self.store.retiring(files).await?;
        let events = retiring.seqs.len();
        if events == 0 {
            return Ok(None);
        }
        if recorded_at > self.oldest_kept {
            return Ok(kept(month, format!("some of it was recorded at {}", crate::clock::rfc3339(recorded_at))));
        }
        if let Some(why) = self.held(&month, &retiring.files).await? {
            return Ok(kept(month, why));
        }
        let mut writer = Writer::new(self.store);
        let mut event = self.order.statement(&writer, RETIRED);
        event.set_text(Column::System, ENGINE_SOURCE);
        event.set_text(Column::RecordType, "month");
        event.set_text(Column::RecordId, month.clone());
        event.set_text(Column::PayloadHash, hash_of_set(&retiring.set));
        event.set_text(Column::Extra, json!({"events": events}).to_string());
        let seq = writer.state(&event).await?;
        if !self.is_alone(seq)
            && let Some(why) = self.held(&month, &retiring.files).await?
        {
            return Ok(kept(month, why));
        }
        // Before the rows: a process that dies between the two leaves no projection of what is gone.
        self.is_projected |= self.store.drop_projection().await?;
        match self.store.retire(&month, seq, retiring).await? {
            true => Ok(Some(Month { month, events, event: Some(seq), kept_because: None })),
            false => Ok(kept(month, "it was changed meanwhile; run it again".to_owned())),
        }
    }

    /// Why rows of the month must stay: a hold is about one, or cannot say what it is about.
    async fn held(&mut self, month: &str, files: &[DataFile]) -> Result<Option<String>> {
        let checked = match self.watched().await {
            Ok(holds) => check_month(self.store, month, files, &holds).await,
            Err(e) => Err(e),
        };
        match checked {
            Ok(()) => Ok(None),
            Err(e) if e.kind() == ErrorKind::Denied => Ok(Some(e.to_string())),
            Err(e) => Err(e),
        }
    }

    async fn watched(&mut self) -> Result<Vec<Hold>> {
        let watch = match self.watch.take() {
            Some(watch) => watch,
            None => watching(self.store).await?,
        };
        Ok(self.watch.insert(watch).holds.clone())
    }

    /// Whether nobody has written between the look at the holds and the statement at `seq`. If somebody has, a hold may
    /// be new or an incident larger: the look is over.
    fn is_alone(&mut self, seq: i64) -> bool {
        self.watch = self.watch.take().filter(|watch| watch.size == seq).map(|watch| Watch { size: seq + 1, ..watch });
        self.watch.is_some()
    }

    async fn finish(&self) -> Result<()> {
        let retired: Vec<&Month> = self.looked_at.iter().filter(|month| month.event.is_some()).collect();
        if !retired.is_empty() {
            self.store.fold().await?;
        }
        let is_again = !retired.is_empty() && self.store.drop_projection().await?;
        if self.is_projected || is_again {
            self.store.project(Lag::None).await?;
        }
        for month in retired {
            self.store.delete_retired(&month.month).await?;
        }
        Ok(())
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
