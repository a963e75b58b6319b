//! Pieces: views of rows that each tell of one action, computed for some actions at a time.
//!
//! In: the views of a session over everything, the spans that its actions begin in. Out: for each span a session in
//! which `actions` and their events are those of the span alone. Invariant: no action belongs to two spans and none
//! to no span, and what happened to an action stands with it; so the rows of all pieces together are the view's.
//! A join over all actions ever would hold more of them than memory has room for.

use std::sync::Arc;

use datafusion::catalog::MemorySchemaProvider;
use datafusion::execution::{SessionState, SessionStateBuilder};

use super::session::catalogs_of;
use crate::clock::Micros;
use crate::error::Result;
use crate::store::snapshot::DataFile;

/// A span of time, half open, in which the first events of some actions lie.
pub(super) type Span = (Micros, Micros);

/// Spans of about `events` events each that cover all time, divided within `reach` alone; a single one where there are
/// no more events than that in reach, or nothing is.
pub(super) fn spans(files: &[DataFile], reach: Option<(Micros, Micros)>, events: u64) -> Vec<Span> {
    let mut starts: Vec<Micros> = Vec::new();
    let mut gathered = 0;
    let is_in_reach = |month: &Month<'_>| {
        reach.is_some_and(|(first, last)| month.occurred_at.0 <= last && month.occurred_at.1 >= first)
    };
    for month in months(files).into_iter().filter(is_in_reach) {
        let (first, last) = month.occurred_at;
        let parts = month.rows.div_ceil(events).max(1);
        for part in 0..parts {
            let start = first + (last - first) / parts as i64 * part as i64;
            if gathered > 0 && gathered + month.rows / parts > events && starts.last() != Some(&start) {
                starts.push(start);
                gathered = 0;
            }
            gathered += month.rows / parts;
        }
    }
    let ends = starts.iter().copied().chain([Micros::MAX]);
    std::iter::once(Micros::MIN).chain(starts.iter().copied()).zip(ends).collect()
}

/// Rows and time of one month's files.
struct Month<'a> {
    name: &'a str,
    rows: u64,
    occurred_at: (Micros, Micros),
}

fn months(files: &[DataFile]) -> Vec<Month<'_>> {
    let mut files: Vec<&DataFile> = files.iter().collect();
    files.sort_by_key(|file| (file.occurred_at, &file.month));
    let mut months: Vec<Month<'_>> = Vec::new();
    for file in files {
        match months.last_mut() {
            Some(month) if month.name == file.month => {
                month.rows += file.rows;
                month.occurred_at.1 = month.occurred_at.1.max(file.occurred_at.1);
            }
            _ => months.push(Month { name: &file.month, rows: file.rows, occurred_at: file.occurred_at }),
        }
    }
    months
}

/// A planner like `state` that knows no table yet.
///
/// # Errors
/// Never for a state with a default catalogue and schema.
pub(super) fn empty_like(state: &SessionState) -> Result<SessionState> {
    let catalogs = catalogs_of(&state.config_options().catalog, Arc::new(MemorySchemaProvider::new()))?;
    // The catalogue above is the one; the builder would put a fresh one over it.
    let config = state.config().clone().with_create_default_catalog_and_schema(false);
    let builder = SessionStateBuilder::new_from_existing(state.clone());
    Ok(builder.with_config(config).with_catalog_list(catalogs).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Option<Span> = Some((Micros::MIN, Micros::MAX));

    fn file(month: &str, rows: u64, occurred_at: Span) -> DataFile {
        let (path, month) = (object_store::path::Path::from(month), month.to_owned());
        DataFile { path, bytes: 1, rows, month, seq: (0, 1), occurred_at, recorded_at: (0, 1) }
    }

    #[test]
    fn spans_cover_all_time_once_and_split_large_months() {
        let files =
            [file("a", 40, (0, 99)), file("b", 70, (100, 199)), file("c", 250, (200, 499)), file("d", 10, (500, 599))];
        let found = spans(&files, ALL, 100);
        assert_eq!(found.first().map(|s| s.0), Some(Micros::MIN));
        assert_eq!(found.last().map(|s| s.1), Some(Micros::MAX));
        assert!(found.windows(2).all(|pair| pair[0].1 == pair[1].0 && pair[0].0 < pair[0].1), "{found:?}");
        let starts: Vec<Micros> = found.iter().map(|s| s.0).skip(1).collect();
        assert_eq!(starts, [100, 200, 299, 398]);
        assert_eq!(spans(&files[..1], ALL, 100), [(Micros::MIN, Micros::MAX)]);
        assert_eq!(spans(&files, Some((150, 260)), 100).len(), 4);
        assert_eq!(spans(&files, None, 100).len(), 1);
        assert_eq!(spans(&[], ALL, 100), [(Micros::MIN, Micros::MAX)]);
    }
}
