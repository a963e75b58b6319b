//! A few rows of a large file, found by a key.
//!
//! In: the rows that are wanted, and the pages that an index names, where one does. Out: those rows, all columns. Of the
//! columns that are not filtered by it reads the pages with a match alone, so that many look-ups at once need little
//! memory. Invariant: the same rows as [`matching`](super::matching), whatever the index leaves out of other pages.

use std::ops::Range;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::{ArrowPredicate, RowFilter, RowSelection};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::file::metadata::ParquetMetaData;

use super::{IdPredicate, ObjectReader, RowsWith, as_viewed, restore, unreadable, viewing, with_page_index};
use crate::error::Result;
use crate::event::Column;
use crate::limits::PAGE_ROWS;
use crate::store::snapshot::DataFile;

/// As [`matching`](super::matching), for a few rows among many that all `filters` let through, each asked about what those
/// before it left. `pages` are those of [`PAGE_ROWS`] rows that an index names for the first one, where one does.
///
/// # Errors
/// When the file cannot be read.
pub async fn looked_up(
    objects: &Arc<dyn ObjectStore>,
    file: &DataFile,
    filters: &[RowsWith],
    pages: Option<&[u32]>,
) -> Result<Vec<RecordBatch>> {
    let (unreadable, all) = (unreadable(file.path.clone()), Column::all());
    let builder = paged(objects, file, filters.first(), pages).await.map_err(&unreadable)?;
    let schema = builder.parquet_schema();
    let projection = ProjectionMask::columns(schema, all.iter().map(|c| c.name()));
    let predicate = |filter: &RowsWith| -> Box<dyn ArrowPredicate> {
        let mask = ProjectionMask::columns(schema, [filter.column.name()]);
        Box::new(IdPredicate { filter: filter.clone(), mask })
    };
    let predicates = filters.iter().map(predicate).collect();
    let builder = builder.with_row_filter(RowFilter::new(predicates));
    let mut rows = builder.with_projection(projection).with_batch_size(PAGE_ROWS).build().map_err(&unreadable)?;
    let mut found = Vec::new();
    while let Some(batch) = rows.try_next().await.map_err(&unreadable)? {
        if batch.num_rows() > 0 {
            found.push(restore(&batch, &all, &file.month)?);
        }
    }
    Ok(found)
}

/// A reader that knows where each page begins, of `pages` or else of the row groups that may hold a match.
async fn paged(
    objects: &Arc<dyn ObjectStore>,
    file: &DataFile,
    filter: Option<&RowsWith>,
    pages: Option<&[u32]>,
) -> parquet::errors::Result<ParquetRecordBatchStreamBuilder<ObjectReader>> {
    let reader = || ObjectReader::new(objects.clone(), file.path.clone(), file.bytes);
    let mut builder = viewing(reader()).await?;
    let (groups, selection) = match (pages, filter) {
        (Some(pages), _) => of_pages(builder.metadata(), pages),
        (None, Some(filter)) => (filter.row_groups(&mut builder).await?, None),
        (None, None) => ((0..builder.metadata().num_row_groups()).collect(), None),
    };
    let metadata = with_page_index(reader(), builder.metadata()).await?;
    let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader(), as_viewed(metadata)?);
    let builder = builder.with_row_groups(groups);
    Ok(match selection {
        Some(selection) => builder.with_row_selection(selection),
        None => builder,
    })
}

/// The row groups that hold some of `pages`, and the rows of those in them.
fn of_pages(metadata: &ParquetMetaData, pages: &[u32]) -> (Vec<usize>, Option<RowSelection>) {
    let (mut groups, mut kept, mut first, mut before) = (Vec::new(), Vec::new(), 0, 0);
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let rows = group.num_rows() as usize;
        let starts = pages.iter().map(|page| *page as usize * PAGE_ROWS);
        let within = starts.map(|start| start.max(first)..(start + PAGE_ROWS).min(first + rows));
        let within: Vec<Range<usize>> = within.filter(|range| range.start < range.end).collect();
        if !within.is_empty() {
            groups.push(number);
            kept.extend(within.into_iter().map(|range| before + range.start - first..before + range.end - first));
            before += rows;
        }
        first += rows;
    }
    (groups, Some(RowSelection::from_consecutive_ranges(kept.into_iter(), before)))
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::path::Path;
    use object_store::{ObjectStoreExt, PutPayload};

    use super::super::{Effort, encode, matching, sort};
    use super::*;
    use crate::clock::Clock;
    use crate::event::batch::assign;
    use crate::event::{BatchBuilder, json};

    /// A data file of `count` events, two for each action.
    async fn stored(count: usize) -> (Arc<dyn ObjectStore>, DataFile) {
        let mut builder = BatchBuilder::default();
        for row in 0..count {
            let event = serde_json::json!({
                "event_id": format!("e{row}"), "source": "s", "event_type": "action.proposed", "workflow": "w",
                "occurred_at": crate::clock::rfc3339(1_772_355_600_000_000 + row as i64),
                "action_id": format!("a{}", row / 2), "new_value": format!("v{row}"),
            });
            builder.append(&json::decode(event.to_string().as_bytes()).unwrap());
        }
        let rows = assign(&builder.finish(), 0, 1_772_355_600_000_000, &Clock::simulated(0, 1)).unwrap();
        let bytes = encode(&[sort(&[rows]).unwrap()], Effort::Compact).unwrap();
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let path = Path::from("part-1.parquet");
        let length = bytes.len() as u64;
        objects.put(&path, PutPayload::from(bytes)).await.unwrap();
        let (month, seq) = ("2026-03".to_owned(), (0, count as i64 - 1));
        let (occurred_at, recorded_at) = ((0, i64::MAX), (0, i64::MAX));
        (objects, DataFile { path, bytes: length, rows: count as u64, month, seq, occurred_at, recorded_at })
    }

    #[tokio::test]
    async fn a_look_up_by_pages_gives_the_rows_that_the_whole_file_gives() {
        let (objects, file) = stored(3 * PAGE_ROWS).await;
        for action in [0, PAGE_ROWS / 2, PAGE_ROWS + 7, 3 * PAGE_ROWS / 2 - 1] {
            let filter = RowsWith::texts(Column::ActionId, [format!("a{action}")].into_iter().collect());
            let expected = matching(&objects, &file, &filter).await.unwrap();
            let page = (action * 2 / PAGE_ROWS) as u32;
            for pages in [None, Some(&[page][..]), Some(&[0, 1, 2][..])] {
                let found = looked_up(&objects, &file, std::slice::from_ref(&filter), pages).await.unwrap();
                assert_eq!(found, expected, "action {action}, pages {pages:?}");
            }
            let elsewhere = [(page + 1) % 3];
            let found = looked_up(&objects, &file, std::slice::from_ref(&filter), Some(&elsewhere)).await.unwrap();
            assert!(found.is_empty());
        }
        let nobody = RowsWith::texts(Column::ActionId, ["nobody".to_owned()].into_iter().collect());
        assert!(looked_up(&objects, &file, std::slice::from_ref(&nobody), None).await.unwrap().is_empty());
        let its = |column, value: &str| RowsWith::texts(column, [value.to_owned()].into_iter().collect());
        let [first, second] = ["e8", "e9"].map(|id| [its(Column::ActionId, "a4"), its(Column::EventId, id)]);
        let [first, second] = [looked_up(&objects, &file, &first, None), looked_up(&objects, &file, &second, None)];
        let both = matching(&objects, &file, &its(Column::ActionId, "a4")).await.unwrap();
        assert_eq!(first.await.unwrap(), [both[0].slice(0, 1)]);
        assert_eq!(second.await.unwrap(), [both[0].slice(1, 1)]);
        assert!(looked_up(&objects, &file, &[its(Column::ActionId, "a4"), nobody], None).await.unwrap().is_empty());
    }
}
