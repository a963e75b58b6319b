//! Whether the evidence is in order, in a few lines: its size, what is signed, what was refused.
//!
//! In: a store and its condition. Out: markup. Invariant: it reads names and one note, no event, so that it is looked
//! up whenever the page is.

use crate::clock::{Micros, rfc3339};
use crate::error::Result;
use crate::report::document::Tone;
use crate::report::format;
use crate::server::pages::health::Signed;
use crate::server::pages::layout::{self, counted};
use crate::store::Store;
use crate::store::condition::Condition;

/// All of it.
///
/// # Errors
/// When the store fails; Damaged when what was signed cannot be read.
pub(super) async fn markup(store: &Store, condition: &Condition, now: Micros) -> Result<String> {
    let signed = Signed::of(store).await?;
    let quarantined = store.newest_refusals(0).await?.objects;
    let size = u64::try_from(condition.size).unwrap_or_default();
    let newest = condition.recorded_at.map_or_else(String::new, |at| {
        let age = format::hours(Some((now - at).max(0) as f64 / crate::clock::HOUR as f64));
        format!("{} ({age} ago)", layout::time(&rfc3339(at)))
    });
    let refused = match quarantined {
        0 => layout::badge(Tone::Good, "nothing was refused of late"),
        n => format!(
            "{} with refused records: {}",
            layout::escape(&counted(n as u64, "batch", "batches")),
            layout::link("/health#quarantine", "reasons")
        ),
    };
    let pairs = layout::pairs(&[
        ("Ledger", layout::escape(&counted(size, "event", "events"))),
        ("Newest event recorded", newest),
        ("Signed", signed.as_ref().map_or_else(nothing_signed, |signed| signed.words(size))),
        ("Quarantine", refused),
        ("Root of what is signed", signed.as_ref().map_or_else(String::new, |signed| layout::code(&signed.root))),
    ]);
    let more = layout::actions(&[
        layout::link("/health", "Evidence health"),
        layout::link("/v1/checkpoint", "Signed checkpoint"),
    ]);
    Ok(layout::section("evidence", "The evidence", &(pairs + &more)))
}

fn nothing_signed() -> String {
    layout::badge(Tone::Watch, "nothing is signed yet")
}
