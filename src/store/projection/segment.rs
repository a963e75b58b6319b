//! Segments of the projection: Parquet files of folded actions, and which of their rows are out of date.
//!
//! In: rows of [`action_schema`]. Out: a file, and the places of given actions in it. Invariant: a segment never
//! changes; a row that a later event made untrue is listed beside it as replaced.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::TryStreamExt;
use hashbrown::HashSet;
use object_store::path::Path;
use object_store::{ObjectStore, PutMode, PutOptions};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use roaring::RoaringBitmap;

use super::super::object::object_error;
use super::super::parquet::{ObjectReader, RowsWith, viewing};
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::event::Column;
use crate::event::actions::action_schema;
use crate::limits::PAGE_ROWS;

/// Rows of a row group of a segment: the unit of pruning by `cohort_at`.
const SEGMENT_GROUP_ROWS: usize = 64 * 1024;
/// Columns of a segment that may repeat a sealed value: no statistic may.
const SEALED: [&str; 4] = ["error", "old_value", "new_value", "last_succeeded_old_value"];

/// One file of folded actions.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Where it is.
    pub path: Path,
    /// Length in bytes.
    pub bytes: u64,
    /// Rows in it, the replaced ones included.
    pub rows: u64,
    /// Rows that a later segment replaces.
    pub replaced: Arc<RoaringBitmap>,
}

/// The rows of a segment that stand for given actions.
#[derive(Debug, Default)]
pub struct Found {
    /// Their places.
    pub rows: RoaringBitmap,
    /// The earliest event of them.
    pub first_event_at: Option<Micros>,
}

/// Writes `batches` of folded actions as one durable segment at `path`.
///
/// # Errors
/// When the store fails.
pub async fn write(objects: &Arc<dyn ObjectStore>, path: Path, batches: Vec<RecordBatch>) -> Result<Segment> {
    let rows = batches.iter().map(|b| b.num_rows() as u64).sum();
    let encoded = tokio::task::spawn_blocking(move || encode(&batches));
    let bytes = encoded.await.map_err(|e| Error::internal("the encode task died").because(e))??;
    let length = bytes.len() as u64;
    let options = PutOptions { mode: PutMode::Create, ..Default::default() };
    objects.put_opts(&path, bytes.into(), options).await.map_err(|e| object_error("write", &path, e))?;
    Ok(Segment { path, bytes: length, rows, replaced: Arc::default() })
}

fn encode(batches: &[RecordBatch]) -> Result<Bytes> {
    let failed = |e: ParquetError| Error::internal("cannot write folded actions").because(e);
    let options = ArrowWriterOptions::new().with_properties(properties()).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), action_schema(), options).map_err(failed)?;
    for batch in batches {
        writer.write(batch).map_err(failed)?;
    }
    writer.into_inner().map(Bytes::from).map_err(failed)
}

fn properties() -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(SEGMENT_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by(format!("probity {}", env!("CARGO_PKG_VERSION")));
    for field in action_schema().fields().iter().filter(|f| f.name().ends_with("_seq") || f.name().ends_with("_at")) {
        properties = properties
            .set_column_dictionary_enabled(ColumnPath::from(field.name().as_str()), false)
            .set_column_encoding(ColumnPath::from(field.name().as_str()), Encoding::DELTA_BINARY_PACKED);
    }
    for name in SEALED {
        properties = properties.set_column_statistics_enabled(ColumnPath::from(name), EnabledStatistics::None);
    }
    properties.build()
}

/// Where the actions `ids` stand in `segment`; rows replaced already are not looked at.
///
/// # Errors
/// When the segment cannot be read.
pub async fn find(objects: &Arc<dyn ObjectStore>, segment: &Segment, ids: &Arc<HashSet<String>>) -> Result<Found> {
    let unreadable = |e: ParquetError| Error::unavailable(format!("cannot read segment {}", segment.path)).because(e);
    let reader = ObjectReader::new(objects.clone(), segment.path.clone(), segment.bytes);
    let builder = viewing(reader).await.map_err(unreadable)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), [Column::ActionId.name(), "first_event_at"]);
    let mut batches = builder.with_projection(mask).with_batch_size(PAGE_ROWS).build().map_err(unreadable)?;
    let wanted = RowsWith::shared_texts(Column::ActionId, ids.clone());
    let (mut found, mut from) = (Found::default(), 0u32);
    while let Some(batch) = batches.try_next().await.map_err(unreadable)? {
        let hits = wanted.lets_through(batch.column(0).as_ref());
        let first = batch.column(1).as_primitive_opt::<TimestampMicrosecondType>();
        for row in hits.values().set_indices() {
            let place = from + row as u32;
            if !segment.replaced.contains(place) {
                found.rows.insert(place);
                let at = first.map(|column| column.value(row));
                found.first_event_at = found.first_event_at.into_iter().chain(at).min();
            }
        }
        from += batch.num_rows() as u32;
    }
    Ok(found)
}
