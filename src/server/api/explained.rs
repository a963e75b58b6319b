//! Plans of queries as callers may see them: without the place where the store lies.
//!
//! In: rows of an answer. Out: the same; in those of an EXPLAIN a path within the tenant's folder begins there, and not
//! at the root of the machine or the bucket. Invariant: rows of any other question stay as they are.

use arrow::array::{ArrayRef, AsArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::error::{Error, Result};
use crate::store::Store;

/// The columns of every EXPLAIN.
const COLUMNS: [&str; 2] = ["plan_type", "plan"];
/// The word that its text begins with, behind comments.
const WORD: &str = "explain";

/// `rows`, which `question` gave, as a caller may see them.
///
/// # Errors
/// Never for rows of a query.
pub fn shown(rows: RecordBatch, question: &str, store: &Store) -> Result<RecordBatch> {
    let schema = rows.schema();
    let is_plan = schema.fields().iter().map(|field| field.name().as_str()).eq(COLUMNS)
        && question.to_ascii_lowercase().contains(WORD);
    if !is_plan {
        return Ok(rows);
    }
    let folder = format!("{}/", store.paths().root());
    let columns = rows.columns().iter().map(|column| without(column, &folder));
    let columns: std::result::Result<Vec<ArrayRef>, ArrowError> = columns.collect();
    let shown = columns.and_then(|columns| RecordBatch::try_new(schema, columns));
    shown.map_err(|e| Error::internal("a plan cannot be shown").because(e))
}

/// The texts of `column` without `folder`.
fn without(column: &ArrayRef, folder: &str) -> std::result::Result<ArrayRef, ArrowError> {
    let texts = cast(column, &DataType::Utf8View)?;
    let texts: StringViewArray =
        texts.as_string_view().iter().map(|text| text.map(|text| text.replace(folder, ""))).collect();
    cast(&texts, column.data_type())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::StringArray;

    use super::*;
    use crate::clock::Clock;
    use crate::store::object::Location;

    #[tokio::test]
    async fn a_plan_tells_no_path_above_the_tenants_folder() {
        let store = Store::create(Location::memory(), "default", Clock::fixed(0)).await.unwrap();
        let folder = store.paths().root().to_string();
        let batch = |names: [&str; 2]| {
            let texts = |text: String| Arc::new(StringArray::from(vec![text])) as ArrayRef;
            let plan = format!("file_groups={{1 group: [[{folder}/events/a.parquet, {folder}/events/b.parquet]]}}");
            RecordBatch::try_from_iter([(names[0], texts("physical_plan".to_owned())), (names[1], texts(plan))])
                .unwrap()
        };
        let told = |names, question| {
            let shown = shown(batch(names), question, &store).unwrap();
            shown.column(1).as_string::<i32>().value(0).to_owned()
        };
        let hidden = told(COLUMNS, "/* why */ EXPLAIN select 1");
        assert_eq!(hidden, "file_groups={1 group: [[events/a.parquet, events/b.parquet]]}");
        assert!(told(COLUMNS, "select plan_type, plan from x").contains(&folder));
        assert!(told(["plan_type", "text"], "explain select 1").contains(&folder));
    }
}
