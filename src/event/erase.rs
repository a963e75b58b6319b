//! Erasing: the sealed values of a row give way to the digests that its leaf commits to.
//!
//! In: stored rows and which of them are erased. Out: the same rows without salt and sealed values. Invariant: no leaf
//! changes; without the salt nobody can try out what a digest stands for.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringViewArray};

use super::batch::Rows;
use super::canonical::digest;
use super::columns::{Column, SEALED};
use crate::error::{Error, Result};

/// `batch` with the rows erased that `is_erased` names.
///
/// # Errors
/// Damaged when a sealed value has no salt; when the batch is not of the stored schema.
pub fn erase_rows(batch: &RecordBatch, is_erased: impl Fn(usize) -> bool) -> Result<RecordBatch> {
    let rows = Rows::new(batch)?;
    let mut columns = batch.columns().to_vec();
    for (value, kept) in SEALED {
        // Built anew, because a null in a copy of the array would leave its bytes in memory.
        let texts = (0..rows.len()).map(|row| rows.text(value, row).filter(|_| !is_erased(row)));
        columns[value as usize] = Arc::new(texts.collect::<StringViewArray>()) as ArrayRef;
        let digests = (0..rows.len()).map(|row| kept_digest(&rows, row, (value, kept), is_erased(row)));
        columns[kept as usize] = Arc::new(digests.collect::<Result<StringViewArray>>()?);
    }
    let salts: BinaryArray = (0..rows.len()).map(|row| rows.salt(row).filter(|_| !is_erased(row))).collect();
    columns[Column::Salt as usize] = Arc::new(salts);
    RecordBatch::try_new(batch.schema(), columns)
        .map_err(|e| Error::internal("erased rows do not follow the stored schema").because(e))
}

/// Whether a sealed value of the row is gone and its digest is kept.
pub fn is_erased(rows: &Rows<'_>, row: usize) -> bool {
    SEALED.iter().any(|(value, kept)| rows.is_set(*kept, row) && !rows.is_set(*value, row))
}

/// Whether the row holds what an erasure takes.
pub fn is_sealed(rows: &Rows<'_>, row: usize) -> bool {
    rows.salt(row).is_some() || SEALED.iter().any(|(value, _)| rows.is_set(*value, row))
}

fn kept_digest(
    rows: &Rows<'_>,
    row: usize,
    (value, kept): (Column, Column),
    is_erased: bool,
) -> Result<Option<String>> {
    match (rows.text(kept, row), rows.text(value, row)) {
        (None, Some(text)) if is_erased => {
            let salt = rows.salt(row).ok_or_else(|| {
                let seq = rows.long(Column::Seq, row).unwrap_or_default();
                Error::damaged(format!("row {seq} holds `{}` without a salt; `probity verify store`", value.name()))
            })?;
            Ok(Some(digest(salt, value, text)))
        }
        (known, _) => Ok(known.map(str::to_owned)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::event::batch::assign;
    use crate::event::{BatchBuilder, json, leaves};

    #[test]
    fn an_erased_row_keeps_its_leaf_and_nothing_sealed() {
        let mut builder = BatchBuilder::default();
        for id in 0..3 {
            let text = format!(
                r#"{{"event_id":"{id}","occurred_at":"2026-03-01T09:00:00Z","old_value":"secret {id}","comment":""}}"#
            );
            builder.append(&json::decode(text.as_bytes()).unwrap());
        }
        let stored = assign(&builder.finish(), 0, 5, &Clock::simulated(5, 1)).unwrap();
        let once = erase_rows(&stored, |row| row == 1).unwrap();
        let erased = erase_rows(&once, |row| row == 1).unwrap();
        assert_eq!(once, erased, "an erased row is not erased again");
        let (before, after) = (Rows::new(&stored).unwrap(), Rows::new(&erased).unwrap());
        assert_eq!(leaves(&before), leaves(&after));
        assert!(is_erased(&after, 1) && !is_sealed(&after, 1));
        assert_eq!((after.text(Column::OldValue, 1), after.salt(1)), (None, None));
        assert!(after.is_set(Column::OldValueDigest, 1) && !after.is_set(Column::CommentDigest, 1));
        for row in [0, 2] {
            assert!(!is_erased(&after, row) && is_sealed(&after, row));
            assert_eq!(after.text(Column::OldValue, row), before.text(Column::OldValue, row));
            assert!(!after.is_set(Column::OldValueDigest, row));
        }
    }
}
