//! The counts that an ingest stated, as rows.
//!
//! In: `extra` of `evidence.received` events. Out: a list of structs, one per source and day. Invariant: what
//! cannot be understood is null, never an error that repeats it.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, Int64Builder, ListArray, StringViewArray, StringViewBuilder, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::Result;
use serde::Deserialize;

use super::FunctionNote;
use super::scalar::{Scalar, takes_texts, texts};

pub(super) const NOTES: &[FunctionNote] = &[FunctionNote {
    call: "received_counts(extra)",
    gives: "the counts of an evidence.received event, a list of structs per source and day",
}];

pub(super) fn functions() -> Vec<Scalar> {
    vec![Scalar {
        name: "received_counts",
        signature: takes_texts(1),
        returns: DataType::List(counts_element()),
        run: |columns| received_counts(&texts(&columns[0])?),
    }]
}

/// `extra` of an `evidence.received` event.
#[derive(Deserialize)]
struct Received {
    counts: Vec<Counts>,
}

#[derive(Deserialize)]
struct Counts {
    source: Option<String>,
    day: Option<String>,
    received: Option<i64>,
    accepted: Option<i64>,
    duplicate: Option<i64>,
    conflict: Option<i64>,
    rejected: Option<i64>,
}

fn counts_fields() -> Fields {
    static FIELDS: LazyLock<Fields> = LazyLock::new(|| {
        let text = ["source", "day"].map(|name| Field::new(name, DataType::Utf8View, true));
        let number = ["received", "accepted", "duplicate", "conflict", "rejected"]
            .map(|name| Field::new(name, DataType::Int64, true));
        text.into_iter().chain(number).collect()
    });
    FIELDS.clone()
}

fn counts_element() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Struct(counts_fields()), true))
}

fn received_counts(text: &StringViewArray) -> Result<ArrayRef> {
    let mut source = StringViewBuilder::new();
    let mut day = StringViewBuilder::new();
    let mut numbers: [Int64Builder; 5] = Default::default();
    let mut lengths = Vec::with_capacity(text.len());
    let mut valid = Vec::with_capacity(text.len());
    for extra in text {
        let received = extra.and_then(|extra| serde_json::from_str::<Received>(extra).ok());
        valid.push(received.is_some());
        let counts = received.map(|r| r.counts).unwrap_or_default();
        lengths.push(counts.len());
        for entry in counts {
            source.append_option(entry.source);
            day.append_option(entry.day);
            let values = [entry.received, entry.accepted, entry.duplicate, entry.conflict, entry.rejected];
            for (builder, value) in numbers.iter_mut().zip(values) {
                builder.append_option(value);
            }
        }
    }
    let mut columns: Vec<ArrayRef> = vec![Arc::new(source.finish()), Arc::new(day.finish())];
    columns.extend(numbers.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
    let entries = StructArray::try_new(counts_fields(), columns, None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(counts_element(), offsets, Arc::new(entries), Some(NullBuffer::from(valid)))?))
}

#[cfg(test)]
mod tests {
    use super::super::testing::text;

    #[tokio::test]
    async fn received_counts_reads_what_it_understands_and_nothing_else() {
        let sql = r#"
            select id, c['source'] as source, c['day'] as day, c['received'] as received, c['rejected'] as rejected
            from (select id, unnest(received_counts(extra)) as c from (values
                (1, '{"counts":[{"source":"crm","day":"2016-03-01","received":3,"accepted":2,"duplicate":0,"conflict":0,"rejected":1},{"received":7}],"more":0}'),
                (2, '{"counts":[{"received":"x"}]}'), (3, 'not json'), (4, null), (5, '{"counts":[]}')) as t(id, extra))
            order by id, received"#;
        let shown = text(sql).await;
        let expected = "\
+----+--------+------------+----------+----------+
| id | source | day        | received | rejected |
+----+--------+------------+----------+----------+
| 1  | crm    | 2016-03-01 | 3        | 1        |
| 1  |        |            | 7        |          |
+----+--------+------------+----------+----------+";
        assert_eq!(shown, expected);
        let nulls =
            text("select received_counts('{') is null as bad, received_counts('{\"counts\":[]}') is null as empty")
                .await;
        assert!(nulls.contains("| true | false |"), "{nulls}");
    }
}
