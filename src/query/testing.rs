//! Snapshots for tests: random events, folded into overlapping Parquet files, the rest in a journal.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::SortColumn;
use arrow::compute::{concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::clock::{Clock, DAY, HOUR, Micros, rfc3339};
use crate::event::batch::{assign, month_of};
use crate::event::{BatchBuilder, Column, json};
use crate::store::index::Indexes;
use crate::store::snapshot::{DataFile, Snapshot};

/// 2026-01-01T00:00:00Z.
pub const START: Micros = 1_767_225_600_000_000;

/// Stored batches of `lines`, ten at a time, recorded a minute apart from [`START`] + 200 days on.
pub fn stored(lines: &[String]) -> Vec<RecordBatch> {
    stored_by(lines, 10)
}

pub fn stored_by(lines: &[String], step: usize) -> Vec<RecordBatch> {
    let clock = Clock::simulated(START, 1);
    let mut seq = 0;
    let batches = lines.chunks(step).enumerate().map(|(i, chunk)| {
        let mut builder = BatchBuilder::default();
        for line in chunk {
            builder.append(&json::decode(line.as_bytes()).expect("a test event decodes"));
        }
        let batch = assign(&builder.finish(), seq, START + 200 * DAY + i as i64 * 60_000_000, &clock).unwrap();
        seq += chunk.len() as i64;
        batch
    });
    batches.collect()
}

/// `count` random events of four months, as JSON lines.
pub fn random_events(seed: u64, count: usize) -> Vec<String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut lines = Vec::with_capacity(count);
    for i in 0..count {
        let at = rfc3339(START + rng.random_range(0..110) * DAY + rng.random_range(0..24) * HOUR);
        let mut event = serde_json::json!({
            "event_id": format!("e{i}"), "source": "crm", "occurred_at": at, "environment": "production",
            "event_type": (["action.proposed", "action.executed", "record.reviewed"][rng.random_range(0..3)]),
            "record_id": format!("r{}", rng.random_range(0..40)), "system": "crm", "record_type": "lead",
            "action_id": format!("a{}", rng.random_range(0..60)), "batch_id": format!("b{}", rng.random_range(0..5)),
        });
        if rng.random_bool(0.5) {
            event["confidence"] = rng.random_range(0..100u32).into();
            event["confidence"] = serde_json::json!(event["confidence"].as_f64().unwrap() / 100.0);
            event["amount"] = serde_json::json!(format!("{}.25", rng.random_range(-50..50)));
        }
        if rng.random_bool(0.3) {
            event["old_value"] = "before".into();
            event["inputs"] =
                serde_json::json!([{"system": "crm", "record_type": "lead", "record_id": "r1", "field": "owner"}]);
        }
        lines.push(event.to_string());
    }
    lines
}

/// A snapshot whose first `folded` events lie in Parquet files, written by folds of `fold` events.
pub async fn snapshot(lines: &[String], folded: usize, fold: usize) -> Snapshot {
    snapshot_in(Arc::new(InMemory::new()), stored(lines), folded, fold).await
}

/// As [`snapshot`], over a given store and stored batches.
pub async fn snapshot_in(
    objects: Arc<dyn ObjectStore>,
    batches: Vec<RecordBatch>,
    folded: usize,
    fold: usize,
) -> Snapshot {
    let schema = crate::event::columns::stored_schema();
    let all = concat_batches(&schema, &batches).unwrap();
    let mut files = Vec::new();
    for from in (0..folded).step_by(fold.max(1)) {
        let part = all.slice(from, fold.min(folded - from));
        files.extend(write_months(objects.as_ref(), &part, files.len()).await);
    }
    let journal = (folded..all.num_rows()).step_by(7).map(|i| all.slice(i, 7.min(all.num_rows() - i))).collect();
    Snapshot {
        objects,
        projection: Path::from("projection"),
        indexes: Indexes::new(Path::from("index")),
        files,
        journal,
        folded: folded as i64,
        size: all.num_rows() as i64,
        version: 0,
    }
}

async fn write_months(objects: &dyn ObjectStore, part: &RecordBatch, number: usize) -> Vec<DataFile> {
    let at = |batch: &RecordBatch| {
        batch.column(Column::OccurredAt as usize).as_primitive::<TimestampMicrosecondType>().clone()
    };
    let key = |c: Column| SortColumn { values: part.column(c as usize).clone(), options: None };
    let order = lexsort_to_indices(&[key(Column::OccurredAt), key(Column::Seq)], None).unwrap();
    let sorted = take_record_batch(part, &order).unwrap();
    let months: Vec<String> = at(&sorted).values().iter().map(|at| month_of(*at)).collect();
    let mut files = Vec::new();
    let mut from = 0;
    while from < months.len() {
        let rows = months[from..].iter().take_while(|m| **m == months[from]).count();
        let path = format!("events/occurred_month={}/part-{number}-{from}.parquet", months[from]);
        let batch = sorted.slice(from, rows);
        // The first fold's files lack a column, as files written before the schema grew do.
        let drops_digest = number == 0;
        let keep: Vec<usize> = (0..batch.num_columns())
            .filter(|c| *c != Column::OccurredMonth as usize && !(drops_digest && *c == Column::ExtraDigest as usize))
            .collect();
        files.push(write_file(objects, &batch.project(&keep).unwrap(), &path, &months[from]).await);
        from += rows;
    }
    files
}

async fn write_file(objects: &dyn ObjectStore, batch: &RecordBatch, path: &str, month: &str) -> DataFile {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(32 * 1024))
        .set_data_page_row_count_limit(8192)
        .set_compression(parquet::basic::Compression::ZSTD(Default::default()))
        .set_bloom_filter_enabled(false)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    let bytes = writer.into_inner().unwrap();
    let range = |name: &str| {
        let values = batch.column_by_name(name).unwrap().as_primitive::<TimestampMicrosecondType>();
        (arrow::compute::min(values).unwrap(), arrow::compute::max(values).unwrap())
    };
    let seq = batch.column_by_name("seq").unwrap().as_primitive::<Int64Type>();
    let file = DataFile {
        path: Path::parse(path).unwrap(),
        bytes: bytes.len() as u64,
        rows: batch.num_rows() as u64,
        month: month.to_owned(),
        seq: (arrow::compute::min(seq).unwrap(), arrow::compute::max(seq).unwrap()),
        occurred_at: range("occurred_at"),
        recorded_at: range("recorded_at"),
    };
    objects.put(&file.path, bytes.into()).await.unwrap();
    file
}

/// A session over all of `snapshot`, at [`START`] + 300 days, with little memory.
pub async fn engine(snapshot: &Snapshot) -> super::engine::Engine {
    let limits = super::runtime::RuntimeLimits {
        threads: 2,
        memory_bytes: 64 * 1024 * 1024,
        spill_bytes: 64 * 1024 * 1024,
        ..super::runtime::RuntimeLimits::default()
    };
    let runtime = super::runtime::QueryRuntime::new(&limits).unwrap();
    let as_of = super::asof::AsOf { size: snapshot.size, at: START + 300 * DAY };
    super::engine::Engine::new(&runtime, snapshot, as_of).await.unwrap()
}
