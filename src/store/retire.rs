//! Deleting a month: the events of its sources leave the table, the set of their rows and their hashes stay for ever.
//!
//! In: a month and its files. Out: the seq set, a commit in which the month keeps what the engine itself stated, and
//! then no other file of the month. Invariants: the set lies in the store before a row leaves the table; policies,
//! erasures, holds and retirements are never deleted, because what is left is judged and explained by them. Which month
//! may go is not decided here.

use std::collections::BTreeSet;

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use roaring::RoaringTreemap;

use super::Store;
use super::object::{self, object_error};
use super::parquet::{self, Effort, RowsWith};
use super::paths::Paths;
use super::snapshot::DataFile;
use super::table::Replacement;
use crate::error::{Error, Result};
use crate::event::{Column, ENGINE_SOURCE, Rows};

/// A month as it is to be deleted.
#[derive(Debug)]
pub struct Retiring {
    /// Its data files.
    pub files: Vec<DataFile>,
    /// The rows that go.
    pub seqs: RoaringTreemap,
    /// The same as it is kept.
    pub set: Bytes,
    /// What stays: the statements of the engine, sorted.
    stays: Vec<RecordBatch>,
}

impl Store {
    /// Reads what of `files`, all of one month, is to go and what stays.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub async fn retiring(&self, files: Vec<DataFile>) -> Result<Retiring> {
        let engine = RowsWith::texts(Column::Source, [ENGINE_SOURCE.to_owned()].into_iter().collect());
        let (mut seqs, mut stays) = (RoaringTreemap::new(), Vec::new());
        for file in &files {
            let columns = [Column::Seq, Column::Source];
            let mut rows = parquet::scan(&self.location.objects, file, &columns, None).await?;
            while let Some(batch) = rows.try_next().await? {
                let view = Rows::new(&batch)?;
                let goes = (0..view.len()).filter(|row| view.text(Column::Source, *row) != Some(ENGINE_SOURCE));
                seqs.extend(goes.filter_map(|row| view.long(Column::Seq, row)).map(|seq| seq as u64));
            }
            stays.extend(parquet::matching(&self.location.objects, file, &engine).await?);
        }
        if !stays.is_empty() {
            stays = vec![parquet::sort(&stays)?];
        }
        let mut set = Vec::new();
        seqs.serialize_into(&mut set).map_err(|e| Error::internal("cannot write a set of rows").because(e))?;
        Ok(Retiring { files, seqs, set: set.into(), stays })
    }

    /// Takes the rows out of the table that the event at `stated_by` says are deleted with `month`. False when a file
    /// of the month was replaced meanwhile: then nothing was taken out.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn retire(&self, month: &str, stated_by: i64, retiring: Retiring) -> Result<bool> {
        let _queued = self.queue("compact").await?;
        let path = self.paths.retired(month, stated_by);
        let put = self.location.objects.put(&path, retiring.set.clone().into()).await;
        put.map_err(|e| object_error("write", &path, e))?;
        let new = match retiring.stays.is_empty() {
            true => Vec::new(),
            false => vec![self.write_file(month, retiring.stays, Effort::Compact).await?],
        };
        let why = Replacement::Retirement { month };
        if self.replace(self.table().await?, (&retiring.files, &new), &why).await? {
            return Ok(true);
        }
        self.location.objects.delete(&path).await.map_err(|e| object_error("delete", &path, e))?;
        Ok(false)
    }

    /// Deletes the files of `month` that an earlier version named and the newest does not; gives their number. What no
    /// version ever named may be a file of somebody who folds or compacts right now, and is left to vacuum.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete_retired(&self, month: &str) -> Result<usize> {
        let state = self.table().await?;
        let removed = self.table.removed(&state).await?;
        let named: BTreeSet<&Path> = state.files.iter().map(|file| &file.path).collect();
        let mut deleted = 0;
        for meta in self.data_files().await? {
            let is_of_month = Paths::month_of_file(&meta.location) == Some(month);
            if is_of_month && removed.contains_key(&meta.location) && !named.contains(&meta.location) {
                self.delete_data_file(&meta.location).await?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    /// Deletes the projection of actions: it holds what was removed from the evidence. Gives whether there was one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn drop_projection(&self) -> Result<bool> {
        let _queued = self.queue("project").await?;
        let listed = object::list(&self.location.objects, &self.paths.projection()).await?;
        // Manifests first: a reader that finds none folds for itself.
        let (manifests, segments): (Vec<Path>, Vec<Path>) =
            listed.into_iter().map(|meta| meta.location).partition(|path| path.as_ref().ends_with(".json"));
        for path in manifests.iter().chain(&segments) {
            object::delete(&self.location.objects, path).await?;
        }
        Ok(!manifests.is_empty())
    }
}
