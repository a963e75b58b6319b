//! Rows of a data file by their places in it.
//!
//! In: places, counted from the first row. Out: these rows, with the columns asked for. Invariant: pages that hold none
//! of the rows are neither read nor decoded, so that the cost follows the pages that are hit. It must not know why.

use std::ops::Range;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::RowSelection;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};

use super::{ObjectReader, as_viewed, restore, unreadable, viewing, with_page_index};
use crate::error::{Error, Result};
use crate::event::Column;
use crate::limits::PAGE_ROWS;
use crate::store::snapshot::DataFile;

/// The rows of a data file that stand at `places`, which ascend, in file order.
///
/// # Errors
/// When the file cannot be read, or does not have so many rows.
pub async fn placed(
    objects: &Arc<dyn ObjectStore>,
    file: &DataFile,
    columns: &[Column],
    places: &[u32],
) -> Result<Vec<RecordBatch>> {
    let Some(last) = places.last() else { return Ok(Vec::new()) };
    let unreadable = unreadable(file.path.clone());
    let reader = || ObjectReader::new(objects.clone(), file.path.clone(), file.bytes);
    let plain = viewing(reader()).await.map_err(&unreadable)?;
    let rows: usize = plain.metadata().row_groups().iter().map(|group| group.num_rows() as usize).sum();
    if *last as usize >= rows {
        return Err(Error::damaged(format!("data file {} has {rows} rows, row {last} was asked for", file.path)));
    }
    let metadata = with_page_index(reader(), plain.metadata()).await.map_err(&unreadable)?;
    let metadata = as_viewed(metadata).map_err(&unreadable)?;
    let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader(), metadata);
    let projection = ProjectionMask::columns(builder.parquet_schema(), columns.iter().map(|c| c.name()));
    let selection = RowSelection::from_consecutive_ranges(runs(places).into_iter(), rows);
    let builder = builder.with_projection(projection).with_row_selection(selection).with_batch_size(PAGE_ROWS);
    let mut batches = builder.build().map_err(&unreadable)?;
    let mut found = Vec::new();
    while let Some(batch) = batches.try_next().await.map_err(&unreadable)? {
        if batch.num_rows() > 0 {
            found.push(restore(&batch, columns, &file.month)?);
        }
    }
    Ok(found)
}

/// `places` as stretches of rows that follow each other.
fn runs(places: &[u32]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for place in places.iter().map(|place| *place as usize) {
        match runs.last_mut() {
            Some(run) if run.end == place => run.end += 1,
            _ => runs.push(place..place + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_follow_each_other_are_one_stretch() {
        assert!(runs(&[]).is_empty());
        assert_eq!(runs(&[0, 1, 2, 7, 9, 10]), [0..3, 7..8, 9..11]);
    }
}
