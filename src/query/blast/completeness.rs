//! What the events of a selector's window say of the completeness of the log.
//!
//! In: a window. Out: the [`Summary`] of its events up to the as-of point. Invariant: the same as counting each of
//! them. Of a data file that lies in the window as a whole the summary beside it answers; others are read.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;

use super::{Ground, Selector};
use crate::blast::Summary;
use crate::clock::Micros;
use crate::error::Result;
use crate::event::{Column, Rows};
use crate::store::parquet;
use crate::store::snapshot::DataFile;

/// Summaries read at once.
const AT_ONCE: usize = 16;

/// Which events count.
#[derive(Debug, Clone, Copy)]
struct Window {
    from: Option<Micros>,
    to: Option<Micros>,
    size: i64,
}

impl Window {
    fn holds(&self, at: Micros, seq: i64) -> bool {
        self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at < to) && seq < self.size
    }

    fn may_hold(&self, file: &DataFile) -> bool {
        let (first, last) = file.occurred_at;
        self.from.is_none_or(|from| last >= from) && self.to.is_none_or(|to| first < to) && file.seq.0 < self.size
    }

    fn holds_all(&self, file: &DataFile) -> bool {
        let ((first, last), last_seq) = (file.occurred_at, file.seq.1);
        self.holds(first, last_seq) && self.holds(last, last_seq)
    }

    fn add(&self, rows: &Rows<'_>, summary: &mut Summary) {
        for row in 0..rows.len() {
            let moment = rows.instant(Column::OccurredAt, row).zip(rows.long(Column::Seq, row));
            if moment.is_some_and(|(at, seq)| self.holds(at, seq)) {
                summary.add(rows, row);
            }
        }
    }
}

impl Ground {
    /// What the window of `selector` says, of all environments and sources.
    ///
    /// # Errors
    /// When a data file cannot be read.
    pub(in crate::query) async fn summary(&self, selector: &Selector) -> Result<Summary> {
        let window = Window { from: selector.from, to: selector.to, size: self.as_of.size };
        let files = self.snapshot.files.iter().filter(|file| window.may_hold(file));
        let parts: Vec<_> = files.map(|file| self.summary_of(file, window)).collect();
        let mut parts = stream::iter(parts).buffer_unordered(AT_ONCE);
        let mut whole = Summary::default();
        while let Some(part) = parts.try_next().await? {
            whole.join(&part);
        }
        for batch in &self.snapshot.journal {
            window.add(&Rows::new(batch)?, &mut whole);
        }
        Ok(whole)
    }

    async fn summary_of(&self, file: &DataFile, window: Window) -> Result<Summary> {
        let objects: &Arc<dyn ObjectStore> = &self.snapshot.objects;
        if window.holds_all(file)
            && let Some(summary) = self.snapshot.indexes.summary(objects, file).await
        {
            return Ok(summary);
        }
        let mut batches = parquet::scan(objects, file, &Summary::COLUMNS, None).await?;
        let mut summary = Summary::default();
        while let Some(batch) = batches.try_next().await? {
            window.add(&Rows::new(&batch)?, &mut summary);
        }
        Ok(summary)
    }
}
