//! What was removed: whether an event of the ledger says so, and whether it is gone entirely.
//!
//! In: rows whose sealed values are gone or should be, seq sets that lie in the store. Out: erasures that nobody
//! explains, erasures that are not finished, seq sets that no event states, the number of retired rows. Invariant: a
//! removal is explained only by an event that is later in the ledger than the row.

use std::collections::HashSet;

use object_store::path::Path;

use super::{Finding, Flaw, Work};
use crate::error::{ErrorKind, Result};
use crate::event::erase::{is_erased, is_sealed};
use crate::event::{Column, Rows};
use crate::store::Store;
use crate::store::object::is_of_the_store;
use crate::store::removals::Removals;
use crate::store::table::TableState;

/// What was removed on purpose; where that cannot be told, none, and why.
pub(super) async fn load(store: &Store, state: &TableState) -> Result<(Option<Removals>, Option<Finding>)> {
    match store.removals(state).await {
        Ok(removals) => Ok((Some(removals), None)),
        Err(e) if is_of_the_store(&e) => Err(e),
        Err(e) => {
            let kind = if e.kind() == ErrorKind::Damaged { "retired" } else { "file" };
            let reason = format!("what was erased or retired on purpose cannot be told, and is not judged: {e}");
            Ok((None, Some(Finding { kind, seq: None, object: None, reason })))
        }
    }
}

/// Names the seq sets that no event states.
pub(super) fn check_sets(work: &Work, sets: &[Path]) {
    let Some(removals) = &work.removals else { return };
    let path = |month: &str, by: i64| work.store.paths.retired(month, by);
    let stated: HashSet<Path> = removals.retired().iter().map(|gone| path(&gone.month, gone.stated_by)).collect();
    for set in sets.iter().filter(|set| !stated.contains(*set) && !is_of_the_journal(work, set)) {
        let reason = "no event of the ledger states this set of rows: it explains nothing".to_owned();
        work.add("retired", None, Some(set.to_string()), reason);
    }
}

/// Whether the event that states the set is not folded yet.
fn is_of_the_journal(work: &Work, set: &Path) -> bool {
    let by = set.filename().and_then(|name| name.parse::<u64>().ok());
    by.is_some_and(|by| by >= work.size)
}

/// Counts the rows that are gone with a retired month; none of them is missing.
pub(super) fn count_retired(work: &Work) {
    let Some(removals) = &work.removals else { return };
    let mut gone = 0;
    for month in removals.retired() {
        let end = work.size.min(u64::try_from(month.stated_by).unwrap_or(0));
        gone += month.seqs.iter().take_while(|seq| *seq < end).filter(|seq| work.see(*seq)).count() as u64;
    }
    work.locked().retired = gone;
}

/// What is wrong with the sealed values of a row that are gone, or are still there.
pub(super) fn check_row(removals: &Removals, rows: &Rows<'_>, row: usize, seq: i64) -> Option<Flaw> {
    let subject = rows.text(Column::SubjectId, row);
    let is_explained = || subject.is_some_and(|subject| removals.erasure_of(subject, seq).is_some());
    if is_erased(rows, row) && !is_explained() {
        let reason = match subject {
            Some(_) => "its sealed values are gone, and no later event says that its subject was erased",
            None => "its sealed values are gone, and it has no subject that could have been erased",
        };
        return Some(("erased", reason.to_owned()));
    }
    let by = removals.last_erasure(subject?).filter(|by| seq < *by)?;
    let reason = "says that this subject was erased, and the row still holds sealed values; run `probity erase` again";
    is_sealed(rows, row).then(|| ("unerased", format!("event {by} {reason}")))
}
