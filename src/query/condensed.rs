//! Behind joins: texts in a batch point into no more memory than they need.
//!
//! In: batches of which each text column may share all buffers of a join's held side. Out: the same rows, with texts
//! copied out where less than half of what they point into is theirs. Invariant: rows and their order stay. Without
//! it every batch that a join gives is counted with the whole of that side, and a sort of a few megabytes seems to
//! need gigabytes. The operator that does so is in `query::passing`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringViewArray};
use datafusion::common::Result;

/// Bytes that a column may point into without being looked at.
const SMALL_BYTES: usize = 256 * 1024;
/// A text of at most so many bytes lies in its view.
const INLINE_BYTES: u32 = 12;

/// `batch` with the texts of its wasteful columns copied out.
pub(super) fn condense(batch: &RecordBatch) -> Result<RecordBatch> {
    let is_due = |column: &ArrayRef| column.as_string_view_opt().is_some_and(is_wasteful);
    if !batch.columns().iter().any(is_due) {
        return Ok(batch.clone());
    }
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .map(|column| match column.as_string_view_opt() {
            Some(texts) if is_wasteful(texts) => Arc::new(texts.gc()),
            _ => column.clone(),
        })
        .collect();
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

/// Whether less than half of the bytes that `texts` hold in memory are theirs.
fn is_wasteful(texts: &StringViewArray) -> bool {
    let held: usize = texts.data_buffers().iter().map(|buffer| buffer.capacity()).sum();
    if held <= SMALL_BYTES {
        return false;
    }
    // The length is the lower half of a view.
    let lengths = texts.views().iter().map(|view| *view as u32).filter(|length| *length > INLINE_BYTES);
    lengths.map(|length| length as usize).sum::<usize>() * 2 < held
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;

    fn texts(count: usize) -> StringViewArray {
        (0..count).map(|n| (n % 7 > 0).then(|| format!("a text that is longer than its view, {n}"))).collect()
    }

    #[test]
    fn rows_stay_and_what_they_do_not_need_goes() {
        let all = texts(50_000);
        let few = all.slice(49_000, 100);
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100));
        let batch = RecordBatch::try_from_iter([("text", Arc::new(few) as ArrayRef), ("n", numbers)]).unwrap();
        let condensed = condense(&batch).unwrap();
        assert_eq!(condensed, batch);
        let held = |batch: &RecordBatch| -> usize {
            batch.column(0).as_string_view().data_buffers().iter().map(|buffer| buffer.capacity()).sum()
        };
        assert!(held(&batch) > 1_000_000 && held(&condensed) < 10_000, "{} {}", held(&batch), held(&condensed));
    }

    #[test]
    fn a_batch_without_columns_keeps_its_rows() {
        use arrow::array::RecordBatchOptions;
        let options = RecordBatchOptions::new().with_row_count(Some(7));
        let batch = RecordBatch::try_new_with_options(Arc::new(arrow::datatypes::Schema::empty()), vec![], &options);
        assert_eq!(condense(&batch.unwrap()).unwrap().num_rows(), 7);
    }

    #[test]
    fn texts_that_need_what_they_hold_are_left() {
        assert!(!is_wasteful(&texts(50_000)), "all of it is needed");
        assert!(!is_wasteful(&texts(10)), "too little to matter");
        assert!(is_wasteful(&texts(50_000).slice(0, 10_000)));
    }
}
