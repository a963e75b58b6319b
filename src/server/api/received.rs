//! What producers send: the body of a request becomes events, and the events become durable.
//!
//! In: bodies, packed or not, of JSON in any of its framings or of anything that a mapping reads. Out: what became of
//! each record, in the order of the input, told once it is durable. Invariants: a body stays within its bound, also when
//! it is unpacked; of an array every element is a line of its own, so that a result is found by its number. Who sends
//! the same once more is told that it is known.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read};
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use flate2::read::MultiGzDecoder;
use futures::StreamExt;
use futures::stream::BoxStream;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::asking::{CSV, JSON, Misfit, NDJSON, unread};
use super::places::of_duplicates;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::Leaf;
use crate::ingest::counts::Counts;
use crate::ingest::decode::{Incoming, JsonDecoder, Origin, decode_mapped};
use crate::ingest::frame::Records;
use crate::ingest::known::Verdict;
use crate::ingest::mapping::Mapping;
use crate::ingest::spool::{Shape, Spool};
use crate::ingest::writer::{Acknowledged, Outcome, Writer};
use crate::ledger::hash::hex;
use crate::limits::{EVENTS_BODY_BYTES, FIRST_REASONS, PLACE_SECONDS};
use crate::query::catalogue::Catalogue;
use crate::query::functions::source_functions;
use crate::query::header::Kind;
use crate::server::append::end_of;
use crate::server::caller::Caller;
use crate::server::problem::Problem;
use crate::server::state::App;
use crate::store::Store;
use crate::store::quarantine::Refused;

/// A CloudEvent as one document.
pub(super) const CLOUDEVENT: &str = "application/cloudevents+json";
/// CloudEvents as one array.
pub(super) const CLOUDEVENTS: &str = "application/cloudevents-batch+json";
const TSV: &str = "text/tab-separated-values";
const PARQUET: &str = "application/vnd.apache.parquet";
/// What a body may be.
pub(super) const TAKEN: &[&str] = &[NDJSON, JSON, CLOUDEVENT, CLOUDEVENTS, CSV, TSV, PARQUET];

/// How refusals name what came in a request.
pub(super) const REQUEST: &str = "request";
/// Bytes that are read where they arrived; more go to a thread of their own.
const INLINE_BYTES: usize = 64 * 1024;
/// Bytes that a packed byte may well become.
const PACKED: usize = 20;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Mappings that run at once: each may sort within a memory of its own.
static MAPPINGS: Semaphore = Semaphore::const_new(2);

/// A place among `places`.
///
/// # Errors
/// Unavailable when none is free in [`PLACE_SECONDS`].
pub(super) async fn place(places: &'static Semaphore, what: &str) -> Result<SemaphorePermit<'static>> {
    let waited = tokio::time::timeout(Duration::from_secs(PLACE_SECONDS), places.acquire()).await;
    let busy = |_| Error::unavailable(format!("{what} are at work on as many requests as they may; ask again"));
    waited.map_err(busy)?.map_err(|e| Error::internal("a place was closed").because(e))
}

/// A body, unpacked.
#[derive(Debug)]
pub(super) struct Received {
    /// Its media type without parameters, lower case.
    pub(super) media_type: String,
    /// Its bytes.
    pub(super) bytes: Bytes,
}

impl FromRequest<App> for Received {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> std::result::Result<Self, Problem> {
        let media_type = media_type(request.headers());
        let is_packed = is_packed(request.headers())?;
        let body = Bytes::from_request(request, app).await.map_err(|e| unread(&e, too_long()))?;
        let bytes = if is_packed { on_thread(body.len() * PACKED, move || unpacked(&body)).await? } else { body };
        Ok(Self { media_type, bytes })
    }
}

/// The media type of a request, without parameters; empty where it says none.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let sent = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    sent.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_packed(headers: &HeaderMap) -> Result<bool> {
    let coding = headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?").trim().to_ascii_lowercase());
    match coding.as_deref() {
        None | Some("identity" | "") => Ok(false),
        Some("gzip" | "x-gzip") => Ok(true),
        Some(_) => {
            let words = "the Content-Encoding is none that is read here; send gzip or identity";
            Err(Error::invalid(words).because(Misfit::Body))
        }
    }
}

fn too_long() -> String {
    format!("the body has more than {EVENTS_BODY_BYTES} bytes; send it in parts")
}

fn unpacked(packed: &[u8]) -> Result<Bytes> {
    let mut bytes = Vec::new();
    let mut reader = MultiGzDecoder::new(packed).take(EVENTS_BODY_BYTES as u64 + 1);
    reader.read_to_end(&mut bytes).map_err(|e| Error::invalid("the body is no whole gzip").because(e))?;
    if bytes.len() > EVENTS_BODY_BYTES {
        return Err(Error::limit(too_long()));
    }
    Ok(bytes.into())
}

/// Runs `work` over so many bytes here where they are few, else on a thread where it holds up nobody.
///
/// # Errors
/// What the work fails with.
pub(super) async fn on_thread<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    if bytes <= INLINE_BYTES {
        return work();
    }
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::internal("reading a body died").because(e))?
}

/// The events of a body that is JSON: one a line, the elements of an array, or one document.
///
/// # Errors
/// When they cannot be gathered.
pub(super) async fn decoded(bytes: Bytes, clock: Clock) -> Result<Incoming> {
    let length = bytes.len();
    let work = move || {
        let lines = one_a_line(&bytes);
        let records = Records::sized(&lines[..], lines.len());
        let mut decoder = JsonDecoder::of_records(records, REQUEST, clock);
        let mut batches = Vec::new();
        while let Some(batch) = decoder.next_batch()? {
            batches.push(batch);
        }
        joined(batches)
    };
    on_thread(length, work).await
}

/// The shape of a body of this media type.
///
/// # Errors
/// Invalid, by [`Misfit::Body`], for one that is not read here.
pub(super) fn shape(media_type: &str) -> Result<Shape> {
    match media_type {
        NDJSON | JSON | CLOUDEVENT | CLOUDEVENTS => Ok(Shape::Json),
        CSV => Ok(Shape::Csv),
        TSV => Ok(Shape::Tsv),
        PARQUET => Ok(Shape::Parquet),
        _ => {
            let words = format!("the Content-Type is none that is read here; send one of {}", TAKEN.join(", "));
            Err(Error::invalid(words).because(Misfit::Body))
        }
    }
}

/// The mapping that ships under the name `name`.
///
/// # Errors
/// NotFound when there is none; Invalid when the query of that name is no mapping.
pub(super) fn shipped_mapping(name: &str) -> Result<Mapping> {
    let missing = || {
        let name = name.escape_debug();
        Error::not_found(format!("there is no mapping `{name}`; GET /v1/queries lists those of kind mapping"))
    };
    let query = Catalogue::shipped()?.list().find(|query| query.name == name).ok_or_else(missing)?;
    if query.kind != Kind::Mapping {
        return Err(Error::invalid("`map` names a query that is no mapping; GET /v1/queries lists the mappings"));
    }
    Mapping::parse(name, &query.text)
}

/// The rows that a mapping makes of a body.
pub(super) struct Made {
    /// The rows, as they come.
    pub(super) rows: BoxStream<'static, Result<RecordBatch>>,
    /// Records that could not even be read as rows.
    pub(super) refused: Vec<Refused>,
    /// The place among the mappings, until the rows have come.
    pub(super) place: SemaphorePermit<'static>,
}

/// The rows that `mapping` makes of a body.
///
/// # Errors
/// When the body has no rows to read, or the mapping does not work on them; Unavailable when others keep the mappings
/// busy.
pub(super) async fn made((bytes, shape): (Bytes, Shape), file: &'static str, mapping: &Mapping) -> Result<Made> {
    let place = place(&MAPPINGS, "mappings").await?;
    let spooled = tokio::task::spawn_blocking(move || Spool::read(shape, file, Box::new(Cursor::new(bytes))));
    let mut spool = spooled.await.map_err(|e| Error::internal("the spool task died").because(e))??;
    let refused = std::mem::take(&mut spool.refused);
    Ok(Made { rows: mapping.run(spool, source_functions()).await?, refused, place })
}

/// The events that `mapping` makes of a body.
///
/// # Errors
/// As [`made`], and when the mapping fails on one of them.
pub(super) async fn mapped(
    body: (Bytes, Shape),
    file: &'static str,
    mapping: &Mapping,
    clock: &Clock,
) -> Result<Incoming> {
    let Made { mut rows, refused, place: _place } = made(body, file, mapping).await?;
    let mut batches = vec![Incoming::only_refused(refused)];
    while let Some(batch) = rows.next().await {
        batches.extend(decode_mapped(batch?, file, clock)?);
    }
    joined(batches)
}

fn joined(mut batches: Vec<Incoming>) -> Result<Incoming> {
    match batches.len() {
        0 => Ok(Incoming::only_refused(Vec::new())),
        1 => Ok(batches.remove(0)),
        _ => Incoming::concat(batches),
    }
}

/// `body` with every element of its array on a line of its own, if it is an array; what follows the array is left as it
/// is, so that it is refused rather than lost.
fn one_a_line(body: &[u8]) -> Cow<'_, [u8]> {
    let text = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    if text.trim_ascii_start().first() != Some(&b'[') {
        return Cow::Borrowed(body);
    }
    let mut lines = text.to_vec();
    let (mut depth, mut in_string, mut is_escaped) = (0usize, false, false);
    for byte in &mut lines {
        if in_string {
            match *byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match *byte {
            b'"' => in_string = true,
            b'[' if depth == 0 => {
                depth = 1;
                *byte = b' ';
            }
            b'{' | b'[' => depth += 1,
            b',' if depth == 1 => *byte = b'\n',
            b']' if depth == 1 => {
                *byte = b'\n';
                break;
            }
            b'}' | b']' => depth = (depth - 1).max(1),
            // Between the parts of an element, where it is white space.
            b'\n' | b'\r' => *byte = b' ',
            _ => {}
        }
    }
    Cow::Owned(lines)
}

/// Refuses `incoming` as a whole when one of its records would not be stored.
///
/// # Errors
/// Invalid, naming the first refusals.
pub(super) async fn check(store: &Store, incoming: &Incoming) -> Result<()> {
    let verdicts = Writer::new(store).classify(incoming).await?;
    let refused = incoming.refused.iter().map(|entry| (entry.line, entry.reason.as_str()));
    let conflicts = incoming.origins.iter().zip(&verdicts).filter(|(_, verdict)| **verdict == Verdict::Conflict);
    let conflicts = conflicts.map(|(origin, _)| (origin.line(), "same ids as a stored event, other content"));
    let mut bad: Vec<(u64, &str)> = refused.chain(conflicts).collect();
    if bad.is_empty() {
        return Ok(());
    }
    bad.sort_by_key(|(line, _)| *line);
    let received = incoming.origins.len() + incoming.refused.len();
    let first = bad.iter().take(FIRST_REASONS).map(|(line, reason)| format!("\n  line {line}: {reason}"));
    Err(Error::invalid(format!(
        "strict: {} of {received} records are refused, so nothing was stored{}",
        bad.len(),
        first.collect::<String>()
    )))
}

/// Which results an answer lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Those of all records.
    All,
    /// Those of records that were refused.
    Refused,
}

/// What became of the records of a request.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) counts: Counts,
    /// What became of each record that decoded.
    pub(super) outcomes: Vec<Outcome>,
    /// Events up to and with the last one that was stored now.
    size: Option<i64>,
    /// Line and result of each record that is shown, in the order of the lines.
    results: Vec<(u64, Value)>,
}

/// Stores what is new of `incoming`; all of it is durable when this returns.
///
/// # Errors
/// Limit when too much waits to be written; when the store fails.
pub(super) async fn take(caller: &Caller, incoming: Incoming, shown: Shown) -> Result<Taken> {
    let lines: Vec<u64> = incoming.origins.iter().map(Origin::line).collect();
    if lines.is_empty() && incoming.refused.is_empty() {
        return Ok(Taken { counts: Counts::default(), outcomes: Vec::new(), size: None, results: Vec::new() });
    }
    let received = (lines.len() + incoming.refused.len()) as u64;
    let sent = incoming.rows.clone();
    let done = caller.tenant.appender().append(incoming).await?;
    let counts = done.tally.total();
    if !counts.add_up() || counts.received != received {
        return Err(Error::internal(format!("{received} records were received, but {counts:?} were accounted for")));
    }
    let size = end_of(&done.outcomes);
    let results = match shown {
        // Everything is stored: where the places of before cannot be read, the answer goes without them.
        Shown::All => {
            let places = of_duplicates(&caller.tenant, &sent, &done.outcomes).await.unwrap_or_default();
            results(&lines, &done, &places)
        }
        Shown::Refused => {
            let all = results(&lines, &done, &BTreeMap::new());
            all.into_iter().filter(|(_, result)| is_refusal(result)).collect()
        }
    };
    Ok(Taken { counts, outcomes: done.outcomes, size, results })
}

/// The result of every record with its line; `places` are those of the duplicates.
fn results(lines: &[u64], done: &Acknowledged, places: &BTreeMap<usize, (i64, Leaf)>) -> Vec<(u64, Value)> {
    // Refusals of the decoder stand before the conflicts, which are in the order of their rows.
    let conflicts = done.outcomes.iter().filter(|outcome| **outcome == Outcome::Conflict).count();
    let (rejected, conflicting) = done.refused.split_at(done.refused.len().saturating_sub(conflicts));
    let mut conflicting = conflicting.iter();
    let mut results: Vec<(u64, Value)> = Vec::with_capacity(lines.len() + rejected.len());
    for (row, (line, outcome)) in lines.iter().zip(&done.outcomes).enumerate() {
        let result = match outcome {
            Outcome::Accepted { seq, leaf } => {
                json!({"line": line, "outcome": "accepted", "seq": seq, "leaf": hex(leaf)})
            }
            Outcome::Duplicate => match places.get(&row) {
                Some((seq, leaf)) => json!({"line": line, "outcome": "duplicate", "seq": seq, "leaf": hex(leaf)}),
                None => json!({"line": line, "outcome": "duplicate"}),
            },
            Outcome::Conflict => {
                let reason = conflicting.next().map(|entry| entry.reason.as_str());
                json!({"line": line, "outcome": "conflict", "reason": reason})
            }
        };
        results.push((*line, result));
    }
    let told = |line: u64, reason: &str| (line, json!({"line": line, "outcome": "rejected", "reason": reason}));
    results.extend(rejected.iter().map(|entry| told(entry.line, &entry.reason)));
    results.sort_by_key(|(line, _)| *line);
    results
}

impl Taken {
    /// The document that answers the request.
    pub(super) fn document(self) -> Value {
        let Counts { received, accepted, duplicate, conflict, rejected } = self.counts;
        let results: Vec<Value> = self.results.into_iter().map(|(_, result)| result).collect();
        json!({
            "received": received, "accepted": accepted, "duplicate": duplicate, "conflict": conflict,
            "rejected": rejected, "size": self.size, "results": results,
        })
    }

    /// Lines of which something was refused, and the first reasons.
    pub(super) fn refusals(&self) -> (usize, Vec<String>) {
        let refused = || self.results.iter().filter(|(_, result)| is_refusal(result));
        let lines: BTreeSet<u64> = refused().map(|(line, _)| *line).collect();
        let words = refused().filter_map(|(line, result)| Some(format!("{line}: {}", result["reason"].as_str()?)));
        (lines.len(), words.take(FIRST_REASONS).collect())
    }
}

fn is_refusal(result: &Value) -> bool {
    matches!(result["outcome"].as_str(), Some("conflict" | "rejected"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    async fn decode(body: &str) -> (Vec<u64>, Vec<u64>) {
        let incoming = decoded(Bytes::copy_from_slice(body.as_bytes()), Clock::fixed(1_775_000_000_000_000)).await;
        let incoming = incoming.unwrap();
        (incoming.origins.iter().map(Origin::line).collect(), incoming.refused.iter().map(|r| r.line).collect())
    }

    fn event(id: u32) -> String {
        format!(
            "{{\"event_id\": \"e{id}\",\n \"source\": \"s, [\\\"x\\\"]\", \"event_type\": \"data.accessed\",\r\n \
             \"occurred_at\": \"2026-03-01T09:00:00Z\", \"extra\": {{\"a\": [1, {{}}]}}}}"
        )
    }

    #[tokio::test]
    async fn each_element_of_an_array_has_a_line_of_its_own() {
        let array = format!("\u{feff} [{}, {},{}\n]\n", event(1), event(2), event(3));
        assert_eq!(decode(&array).await, (vec![1, 2, 3], vec![]));
        let broken = format!("[{}, 7, {{\"a\": 1}}, {}] behind", event(1), event(2));
        assert_eq!(decode(&broken).await, (vec![1, 4], vec![2, 3, 5]));
        assert_eq!(decode("[]").await, (vec![], vec![]));
        assert_eq!(decode(&event(1)).await, (vec![1], vec![]));
        let lines = format!("{}\n\nno\n{}\n", event(1).replace(['\n', '\r'], ""), event(2).replace(['\n', '\r'], ""));
        assert_eq!(decode(&lines).await, (vec![1, 4], vec![3]));
    }

    #[test]
    fn only_mappings_are_mappings() {
        assert!(shipped_mapping("otel_genai").is_ok());
        assert!(shipped_mapping("approval_rate").is_err());
        assert!(shipped_mapping("nothing").unwrap_err().to_string().contains("GET /v1/queries"));
    }

    #[test]
    fn a_body_that_unpacks_to_more_than_it_may_is_refused() {
        let packed = |bytes: usize| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&vec![b' '; bytes]).unwrap();
            encoder.finish().unwrap()
        };
        assert_eq!(unpacked(&packed(EVENTS_BODY_BYTES)).unwrap().len(), EVENTS_BODY_BYTES);
        assert!(unpacked(&packed(EVENTS_BODY_BYTES + 1)).unwrap_err().message().contains("in parts"));
        let whole = packed(1_000);
        assert!(unpacked(&whole[..whole.len() - 4]).is_err() && unpacked(b"no gzip").is_err());
    }
}
