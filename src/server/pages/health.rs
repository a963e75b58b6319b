//! Evidence health: whether the log is whole, signed, and not behind with what is made from it.
//!
//! In: who asks. Out: one page. Invariants: what it says of the log is the answer of `log_health` over everything; of
//! refused records it tells the reason, never the content. It must not mend anything.

use axum::extract::Query;
use serde_json::json;

use super::layout::{self, Page, Place, counted};
use super::work::{self, Done, Inside, Shown, shows};
use crate::access::role::May;
use crate::clock::{Micros, rfc3339};
use crate::custody::hold::{self, Hold};
use crate::error::Result;
use crate::ledger::hash::hex;
use crate::ledger::note::Note;
use crate::query::catalogue::Catalogue;
use crate::query::engine::Engine;
use crate::query::objects::{self, Row};
use crate::query::params::Params;
use crate::report::document::{Kind, Tone};
use crate::report::format;
use crate::server::cache;
use crate::server::caller::{Caller, Read};
use crate::server::problem::Reply;
use crate::server::route::Route;
use crate::store::Store;
use crate::store::condition::Condition;
use crate::store::quarantine::{Refusal, Refusals, Told};

/// Refusals that are told of, the newest first.
const REFUSALS: usize = 500;
/// Reasons that are shown: a file in another shape is refused line by line for the same one.
const REASONS: usize = 50;
/// The whole of time as far as `to_char` can print it, as the parameters of a query.
const ALWAYS: [(&str, &str); 2] = [("period_start", "1678-01-01T00:00:00Z"), ("period_end", "2262-01-01T00:00:00Z")];

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/health", Some(May::Read), health).page().about(shows(
            "what came in, what was refused or is missing, what is signed, and how far upkeep has come",
            &[],
        )),
    ]
}

/// The newest checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signed {
    /// Name of the log.
    pub(super) origin: String,
    /// Events under it.
    pub(super) size: u64,
    /// Their root, hexadecimal.
    pub(super) root: String,
    /// Names of those who signed it beside the log.
    pub(super) witnesses: Vec<String>,
}

impl Signed {
    /// That of `store`; none where nothing was signed yet.
    ///
    /// # Errors
    /// When the store fails; Damaged when it cannot be read.
    pub(super) async fn of(store: &Store) -> Result<Option<Self>> {
        let Some(sealed) = store.log().newest().await? else { return Ok(None) };
        let note = Note::parse(store.cosigned(&sealed).await?.as_bytes())?;
        let checkpoint = sealed.checkpoint;
        let others =
            note.signatures.into_iter().map(|signature| signature.name).filter(|name| *name != checkpoint.origin);
        let witnesses = others.collect();
        Ok(Some(Self { witnesses, origin: checkpoint.origin, size: checkpoint.size, root: hex(&checkpoint.root) }))
    }

    /// How much of a ledger of `size` events is signed, as markup.
    pub(super) fn words(&self, size: u64) -> String {
        let signed = layout::escape(&counted(self.size, "event", "events"));
        match size.saturating_sub(self.size) {
            0 => format!("{signed} {}", layout::badge(Tone::Good, "all")),
            1 => format!("{signed}; the newest one is signed with the next fold"),
            newer => format!("{signed}; the newest {} are signed with the next fold", format::count(newer)),
        }
    }
}

async fn health(caller: Caller, Query(done): Query<Done>) -> Reply {
    let store = caller.tenant.store();
    let shown = Shown { key: "health:log".to_owned(), title: "Evidence health", done: &done };
    let made = work::inside(&caller, shown, |_, engine| async move {
        cache::step("counting what every source sent");
        log(&engine).await
    });
    let log = match made.await? {
        Inside::Ready(log) => log,
        Inside::Wait(response) => return Ok(response),
    };
    let (condition, refusals) = tokio::try_join!(store.condition(), store.newest_refusals(REFUSALS))?;
    let (signed, holds) = (Signed::of(store).await?, hold::in_force(store).await?);
    caller.reads(Read { what: "/health", subject: None, extra: json!({}) }).await?;
    let now = store.clock().now();
    let mut body = layout::heading("Evidence health", "Whether the evidence can be believed, and what it lacks.");
    body += &layout::section("ledger", "Ledger", &ledger(store, &condition, signed.as_ref()));
    body += &layout::section("log", "What came in", &log);
    body += &layout::section("quarantine", "What was refused", &refused(&refusals));
    body += &layout::section("upkeep", "Upkeep", &upkeep(&condition, now));
    body += &layout::section("holds", "Holds", &held(&holds, caller.sees_sealed));
    Ok(layout::render(&Page { title: "Evidence health", here: Place::Health, caller: &caller, body }))
}

fn ledger(store: &Store, condition: &Condition, signed: Option<&Signed>) -> String {
    let size = u64::try_from(condition.size).unwrap_or_default();
    let newest = condition.recorded_at.map_or_else(String::new, |at| layout::time(&rfc3339(at)));
    let mut pairs = vec![("Events", format::count(size)), ("Newest event recorded", newest)];
    match signed {
        None => pairs.push(("Signed", layout::badge(Tone::Watch, "nothing is signed yet"))),
        Some(signed) => {
            let witnesses = match signed.witnesses.as_slice() {
                [] => layout::badge(Tone::Absent, "none cosigned it"),
                names => layout::escape(&names.join(", ")),
            };
            pairs.push(("Signed", signed.words(size)));
            pairs.push(("Log", layout::escape(&signed.origin)));
            pairs.push(("Root", layout::code(&signed.root)));
            pairs.push(("Witnesses", witnesses));
        }
    }
    let key = match store.signer() {
        Some(signer) => layout::code(&signer.vkey()),
        None => layout::badge(Tone::Watch, "the key is not here: this server signs nothing"),
    };
    pairs.push(("Key of the log, for who verifies", key));
    let verify = "<p class=\"note\">Anybody checks it without this server: <code>probity verify store</code> reads \
                  every event again, <code>probity-verify</code> checks a pack or a proof alone.</p>\n";
    layout::pairs(&pairs) + verify + &layout::actions(&[layout::link("/v1/checkpoint", "Signed checkpoint")])
}

/// What `log_health` says of each source, over everything.
async fn log(engine: &Engine) -> Result<String> {
    let params: Params = ALWAYS.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let answer = engine.run(Catalogue::shipped()?.get("log_health")?, &params).await?;
    let columns = [
        ("Source", Kind::Text),
        ("Days", Kind::Text),
        ("Received", Kind::Count),
        ("Accepted", Kind::Count),
        ("Duplicates", Kind::Count),
        ("Conflicts", Kind::Count),
        ("Rejected", Kind::Count),
        ("Late", Kind::Count),
        ("Missing", Kind::Count),
    ];
    let rows: Vec<Vec<String>> = by_source(&objects::rows(&answer)?).iter().map(Source::cells).collect();
    let table = layout::table("", &columns, &rows, "Nothing came in yet.");
    let pairs: Vec<(&str, &str)> = ALWAYS.to_vec();
    let by_day = layout::link(&layout::parts::address("/query/log_health", &pairs), "Day by day");
    let note = "<p class=\"note\">Late events were recorded more than 24 hours after they occurred. Missing are \
                numbers that a source's own count lacks; a source without numbers cannot tell.</p>\n";
    Ok(table + note + &layout::actions(&[by_day]) + &work::up_to(engine))
}

/// The counts of one source over all of its days.
#[derive(Debug, Default, PartialEq, Eq)]
struct Source {
    name: String,
    first: String,
    last: String,
    counts: [u64; 7],
}

const COUNTED: [&str; 7] = ["received", "accepted", "duplicate", "conflict", "rejected", "late", "gaps"];

/// Rows in order of source and day become one a source.
fn by_source(rows: &[Row]) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for row in rows {
        let (name, day) = (objects::text(row, "source"), objects::text(row, "day"));
        if sources.last().is_none_or(|last| last.name != name) {
            sources.push(Source { name: name.to_owned(), first: day.to_owned(), ..Source::default() });
        }
        let Some(source) = sources.last_mut() else { continue };
        if !day.is_empty() {
            day.clone_into(&mut source.last);
        }
        for (sum, column) in source.counts.iter_mut().zip(COUNTED) {
            *sum += objects::count(row, column).unwrap_or_default();
        }
    }
    sources
}

impl Source {
    fn cells(&self) -> Vec<String> {
        let days = match (self.first.as_str(), self.last.as_str()) {
            (first, last) if first == last => format::date(first),
            (first, last) => format!("{} to {}", format::date(first), format::date(last)),
        };
        let name = if self.name.is_empty() { "not readable" } else { &self.name };
        let mut cells = vec![layout::escape(name), layout::escape(&days)];
        // What was refused or is missing stands out; zeros of it do not.
        let shown = |(column, count): (&str, &u64)| match (column, *count) {
            ("conflict" | "rejected" | "gaps", 1..) => layout::badge(Tone::Bad, &format::count(*count)),
            _ => format::count(*count),
        };
        cells.extend(COUNTED.into_iter().zip(&self.counts).map(shown));
        cells
    }
}

fn refused(refusals: &Refusals) -> String {
    let columns = [
        ("Received", Kind::Time),
        ("Kind", Kind::Text),
        ("Reason", Kind::Text),
        ("From", Kind::Code),
        ("First line", Kind::Count),
        ("Records", Kind::Count),
    ];
    let reasons = by_reason(&refusals.newest);
    let rows: Vec<Vec<String>> = reasons.iter().take(REASONS).map(Reason::cells).collect();
    let table = layout::table("", &columns, &rows, "The quarantine is empty: nothing was refused.");
    if rows.is_empty() {
        return table;
    }
    let told = counted(refusals.newest.len() as u64, "record", "records");
    let batches = counted(refusals.objects as u64, "batch", "batches");
    let shown = match reasons.len() {
        n if n > REASONS => format!(" The newest {REASONS} of {} reasons.", format::count(n as u64)),
        _ => String::new(),
    };
    let days = crate::limits::QUARANTINE_DAYS;
    let words = format!(
        "The newest {told} of {batches}, by reason.{shown} The records themselves stay in the quarantine of the store \
         for {days} days."
    );
    format!("{table}<p class=\"note\">{}</p>\n", layout::escape(&words))
}

/// What was refused of one file for one reason.
#[derive(Debug, PartialEq, Eq)]
struct Reason<'a> {
    /// The newest of them.
    newest: &'a Told,
    first_line: u64,
    records: u64,
}

/// Refusals by kind, reason and file, in the order in which they come.
fn by_reason(refusals: &[Told]) -> Vec<Reason<'_>> {
    let mut reasons: Vec<Reason<'_>> = Vec::new();
    let is_same = |a: &Told, b: &Told| a.refusal == b.refusal && a.reason == b.reason && a.file == b.file;
    for told in refusals {
        match reasons.iter_mut().find(|known| is_same(known.newest, told)) {
            Some(known) => {
                known.first_line = known.first_line.min(told.line);
                known.records += 1;
            }
            None => reasons.push(Reason { newest: told, first_line: told.line, records: 1 }),
        }
    }
    reasons
}

impl Reason<'_> {
    fn cells(&self) -> Vec<String> {
        let kind = match self.newest.refusal {
            Refusal::Rejected => layout::badge(Tone::Bad, "rejected"),
            Refusal::Conflict => layout::badge(Tone::Watch, "conflict"),
        };
        vec![
            layout::time(&self.newest.received_at),
            kind,
            layout::escape(&self.newest.reason),
            layout::code(&self.newest.file),
            format::count(self.first_line),
            format::count(self.records),
        ]
    }
}

/// How far what is made from the events is behind them.
fn upkeep(condition: &Condition, now: Micros) -> String {
    let behind = |upto: i64| u64::try_from(condition.size - upto).unwrap_or_default();
    let version = if condition.version < 0 { "none yet".to_owned() } else { format!("v{}", condition.version) };
    let oldest = condition.oldest_put_at.map_or_else(String::new, |at| {
        format!(", the oldest {} ago", format::hours(Some((now - at).max(0) as f64 / crate::clock::HOUR as f64)))
    });
    let journal = match condition.journal_objects {
        0 => layout::badge(Tone::Good, "all events are in the table"),
        n => {
            let objects = counted(n as u64, "object", "objects");
            let events = counted(behind(condition.folded), "event", "events");
            layout::escape(&format!("{events} in {objects} of {}{oldest}", bytes(condition.journal_bytes)))
        }
    };
    let projection = match condition.projected {
        None => layout::badge(Tone::Absent, "none yet; it is made with the next upkeep"),
        Some(covers) if behind(covers) == 0 => layout::badge(Tone::Good, "stands for all events"),
        Some(covers) => layout::escape(&format!("{} behind", counted(behind(covers), "event", "events"))),
    };
    let files = counted(condition.files as u64, "data file", "data files");
    let indexed = format!("{} of {files}", format::count(condition.indexed as u64));
    layout::pairs(&[
        ("Table", layout::escape(&format!("{version}, {files}, {}", bytes(condition.bytes)))),
        ("Waiting in the journal", journal),
        ("Projection of actions", projection),
        ("Indexed", layout::escape(&indexed)),
    ])
}

/// A number of bytes as people read it.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1_000 {
        return counted(count, "byte", "bytes");
    }
    let (mut value, mut unit) = (count as f64 / 1e3, UNITS[0]);
    for larger in UNITS.into_iter().skip(1) {
        if value < 999.95 {
            break;
        }
        (value, unit) = (value / 1e3, larger);
    }
    format!("{value:.1}\u{a0}{unit}")
}

fn held(holds: &[Hold], sees_sealed: bool) -> String {
    let columns = [
        ("Hold", Kind::Code),
        ("What it holds", Kind::Text),
        ("Why", Kind::Text),
        ("By", Kind::Text),
        ("Since", Kind::Time),
    ];
    let rows: Vec<Vec<String>> = holds.iter().map(|hold| hold_row(hold, sees_sealed)).collect();
    let table = layout::table("", &columns, &rows, "Nothing is held.");
    table + "<p class=\"note\">What is held is neither erased nor retired until somebody releases it.</p>\n"
}

fn hold_row(hold: &Hold, sees_sealed: bool) -> Vec<String> {
    let selection = &hold.selection;
    let incident = selection
        .incident
        .as_deref()
        .map(|id| format!("incident {} and what it reached", layout::link(&layout::path(&["incidents", id]), id)));
    let part =
        |name: &str, value: &Option<String>| value.as_deref().map(|value| format!("{name} {}", layout::escape(value)));
    let parts = [
        incident,
        part("workflow", &selection.workflow),
        part("subject", &selection.subject),
        part("from", &selection.from),
        part("to", &selection.to),
    ];
    let reason = if sees_sealed { layout::escape(&hold.reason) } else { "withheld".to_owned() };
    let what: Vec<String> = parts.into_iter().flatten().collect();
    vec![layout::code(&hold.id), what.join(", "), reason, layout::escape(&hold.by), layout::time(&hold.since)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(json: &str) -> Vec<Row> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_days_of_a_source_are_one_line_and_nothing_is_lost() {
        let found = by_source(&rows(
            r#"[{"source":"a","day":"2026-01-01","received":3,"accepted":2,"rejected":1,"gaps":0},
                {"source":"a","day":"2026-01-05","received":4,"accepted":4,"rejected":0,"gaps":2},
                {"source":"a","day":null,"received":1,"rejected":1},
                {"source":"b","day":"2026-01-02","received":1,"accepted":1}]"#,
        ));
        assert_eq!((found.len(), found[0].counts), (2, [8, 6, 0, 0, 2, 0, 2]));
        assert_eq!((found[0].first.as_str(), found[0].last.as_str()), ("2026-01-01", "2026-01-05"));
        let cells = found[0].cells();
        assert!(cells[8].contains("flag bad") && !cells[3].contains("flag"));
    }

    #[test]
    fn a_file_that_is_refused_for_one_reason_is_one_line() {
        let told = |line: u64, reason: &str| Told {
            received_at: format!("2026-01-01T00:00:{line:02}Z"),
            refusal: Refusal::Rejected,
            reason: reason.to_owned(),
            file: "f.ndjson".to_owned(),
            line,
        };
        let refusals = Refusals { objects: 2, newest: vec![told(9, "a"), told(8, "b"), told(7, "a"), told(3, "a")] };
        let reasons = by_reason(&refusals.newest);
        assert_eq!(reasons.iter().map(|one| (one.first_line, one.records)).collect::<Vec<_>>(), [(3, 3), (8, 1)]);
        let html = refused(&refusals);
        assert!(html.contains("The newest 4 records of 2 batches") && html.matches("f.ndjson").count() == 2, "{html}");
    }

    #[test]
    fn what_is_signed_says_how_much_is_not_yet() {
        let signed = Signed { origin: "log".into(), size: 7, root: "00".into(), witnesses: Vec::new() };
        assert!(signed.words(7).contains("all") && signed.words(9).contains("the newest 2 are signed"));
    }

    #[test]
    fn a_number_of_bytes_has_the_unit_a_person_would_choose() {
        let shown = [1, 999, 1_000, 1_234_567, 999_960_000_000].map(|n| bytes(n).replace('\u{a0}', " "));
        assert_eq!(shown, ["1 byte", "999 bytes", "1.0 kB", "1.2 MB", "1.0 TB"]);
    }
}
