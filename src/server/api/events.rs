//! Events: what producers send, and one event with its proof.
//!
//! In: requests. Out: what became of each record, told once it is durable; an event with its leaf hash and the hashes
//! that lead from there to a signed root. Invariants: one bad record refuses none of its neighbours; the same request
//! again stores nothing; an event is read on record.
//!
//! The status of an answer sums it up: 200 where every record is stored or known, 207 where some are refused, 422 where
//! all are. Refused records are in the quarantine.

use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::asking::{Asked, JSON, Named, document, wanted};
use super::cloud;
use super::ledger::{check_signing, cover};
use super::received::{
    CLOUDEVENT, REQUEST, Received, Shown, TAKEN, check, decoded, mapped, on_thread, shape, shipped_mapping, take,
};
use crate::access::role::May;
use crate::error::{Error, Result};
use crate::event::Column;
use crate::event::columns::SEALED;
use crate::ingest::counts::Counts;
use crate::ingest::decode::Incoming;
use crate::ingest::receipts::{Issued, Stretches};
use crate::ingest::spool::Shape;
use crate::ingest::writer::Outcome;
use crate::ledger::hash::hex;
use crate::limits::EVENTS_BODY_BYTES;
use crate::query::dossier::{self, Entry};
use crate::server::caller::{Caller, Read};
use crate::server::problem::Reply;
use crate::server::route::{About, Answer, Body, Param, Place, Route};
use crate::store::Store;

/// A proof of one row as C2SP tlog-proof writes it.
const PROOF: &str = "text/plain";

const PARAMS: &[Param] = &[
    Param {
        name: "strict",
        place: Place::Query,
        is_required: false,
        schema: "boolean",
        note: "store nothing at all when one record would be refused",
    },
    Param {
        name: "map",
        place: Place::Query,
        is_required: false,
        schema: "string",
        note: "a shipped mapping (`GET /v1/queries`, kind mapping) that makes events of the body",
    },
    Param {
        name: "results",
        place: Place::Query,
        is_required: false,
        schema: "string",
        note: "`all` (default) or `refused`: which records `results` lists",
    },
    Param {
        name: "receipt",
        place: Place::Query,
        is_required: false,
        schema: "boolean",
        note: "answer a signed receipt for what is stored now: `receipts`, one for each stretch of the ledger",
    },
    Param {
        name: "ce-specversion",
        place: Place::Header,
        is_required: false,
        schema: "string",
        note: "1.0: the body is the `data` of one CloudEvent, whose attributes are headers: ce-id, ce-source, ce-type, \
               ce-time",
    },
    Param {
        name: "Content-Encoding",
        place: Place::Header,
        is_required: false,
        schema: "string",
        note: "gzip or identity; the bound counts unpacked bytes too",
    },
];

const fn result(status: u16, note: &'static str) -> Answer {
    Answer { status, types: &[JSON], schema: "EventsResult", note }
}

const ANSWERS: &[Answer] = &[
    result(200, "every record is stored or was known"),
    result(207, "some records were refused; the others are stored"),
    result(422, "every record was refused"),
];

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![
        Route::post("/v1/events", Some(May::Write), post).body_limit(EVENTS_BODY_BYTES).about(About {
            summary: "Store events; answered once they are durable, and safe to repeat.",
            params: PARAMS,
            body: Some(Body {
                types: TAKEN,
                schema: "Event",
                note: "events one a line, one event, an array of them, CloudEvents 1.0; other shapes with `map`",
            }),
            answers: ANSWERS,
        }),
        Route::get("/v1/events/{seq}", Some(May::Read), get).about(About {
            summary: "One event with its leaf hash, its proof and the signed checkpoint.",
            params: &[
                Param {
                    name: "seq",
                    place: Place::Path,
                    is_required: true,
                    schema: "int64",
                    note: "its place in the ledger",
                },
                Param {
                    name: "format",
                    place: Place::Query,
                    is_required: false,
                    schema: "string",
                    note: "`json` or `tlog-proof`; else the Accept header decides",
                },
            ],
            body: None,
            answers: &[
                Answer {
                    status: 200,
                    types: &[JSON],
                    schema: "EventWithProof",
                    note: "`proof` is null until a checkpoint covers the event",
                },
                Answer {
                    status: 200,
                    types: &[PROOF],
                    schema: "",
                    note: "a C2SP tlog-proof that stands alone; what is not signed yet is folded first",
                },
            ],
        }),
    ]
}

async fn post(caller: Caller, headers: HeaderMap, asked: Asked, received: Received) -> Reply {
    let asked = asked.only(&["strict", "map", "results", "receipt"])?;
    let (is_strict, is_receipted) = (asked.flag("strict")?, asked.flag("receipt")?);
    let shown = match asked.text("results") {
        None | Some("all") => Shown::All,
        Some("refused") => Shown::Refused,
        Some(_) => return Err(Error::invalid("`results` is `all` or `refused`").into()),
    };
    let store = caller.tenant.store();
    if is_receipted {
        check_signing(store).await?;
    }
    let received = match cloud::is_binary(&headers, &received.media_type) {
        true => structured(headers, received).await?,
        false => received,
    };
    let incoming = incoming(&caller, received, asked.text("map")).await?;
    if is_strict {
        check(store, &incoming).await?;
    }
    let taken = take(&caller, incoming, shown).await?;
    let status = status(taken.counts);
    let receipts = match is_receipted {
        true => Some(receipts(store, &taken.outcomes).await),
        false => None,
    };
    let mut told = taken.document();
    if let Some(receipts) = receipts {
        told["receipts"] = receipts;
    }
    Ok((status, document(&told)).into_response())
}

/// A CloudEvent in binary form as the one document that it stands for.
async fn structured(headers: HeaderMap, Received { media_type, bytes }: Received) -> Result<Received> {
    let document = on_thread(bytes.len(), move || cloud::structured(&headers, &media_type, &bytes)).await?;
    Ok(Received { media_type: CLOUDEVENT.to_owned(), bytes: document })
}

/// The receipts for what was stored now.
async fn receipts(store: &Store, outcomes: &[Outcome]) -> Value {
    let mut accepted = Stretches::default();
    accepted.accept(outcomes);
    accepted.issue(store).await.iter().map(receipt).collect()
}

/// A receipt as the command line tells it.
fn receipt(issued: &Issued) -> Value {
    let Issued { receipt, note, is_signed } = issued;
    json!({
        "first_seq": receipt.first_seq, "count": receipt.count, "root": hex(&receipt.root), "signed": is_signed,
        "note": note,
    })
}

fn status(counts: Counts) -> StatusCode {
    let (taken, refused) = (counts.accepted + counts.duplicate, counts.conflict + counts.rejected);
    match (taken, refused) {
        (_, 0) => StatusCode::OK,
        (0, _) => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::MULTI_STATUS,
    }
}

async fn incoming(caller: &Caller, received: Received, map: Option<&str>) -> Result<Incoming> {
    let clock = caller.tenant.store().clock().clone();
    match (map, shape(&received.media_type)?) {
        (Some(name), shape) => mapped((received.bytes, shape), REQUEST, &shipped_mapping(name)?, &clock).await,
        (None, Shape::Json) => decoded(received.bytes, clock).await,
        _ => Err(Error::invalid("rows of this Content-Type need a mapping to events; name one with ?map=NAME")),
    }
}

async fn get(caller: Caller, Named(seq): Named<u64>, headers: HeaderMap, asked: Asked) -> Reply {
    let asked = asked.only(&["format"])?;
    let is_proof = match asked.text("format") {
        None => wanted(&headers, &[JSON, PROOF])? == PROOF,
        Some("json") => false,
        Some("tlog-proof") => true,
        Some(_) => return Err(Error::invalid("`format` is `json` or `tlog-proof`").into()),
    };
    let place = i64::try_from(seq).map_err(|_| Error::not_found(format!("there is no event {seq}")))?;
    let entry = dossier::event(&*caller.engine(None).await?, place).await?;
    let format = if is_proof { "tlog-proof" } else { "json" };
    let read = Read { what: "event", subject: subject(&entry), extra: json!({"seq": seq, "format": format}) };
    caller.reads(read).await?;
    if is_proof { proof(&caller, seq).await } else { told(&caller, entry).await }
}

/// The record that an event names.
fn subject(entry: &Entry) -> Option<(&str, &str, &str)> {
    let text = |column: Column| entry.told.event.get(column.name()).and_then(Value::as_str);
    Some((text(Column::System)?, text(Column::RecordType)?, text(Column::RecordId)?))
}

async fn told(caller: &Caller, entry: Entry) -> Reply {
    let inclusions = caller.tenant.store().inclusions(&[entry.told.seq.unsigned_abs()]).await?;
    let proof = inclusions.and_then(|mut inclusions| {
        let hashes = inclusions.proofs.pop().flatten()?;
        Some(json!({
            "origin": inclusions.origin, "tree_size": inclusions.tree_size, "root": inclusions.root,
            "hashes": hashes, "checkpoint": inclusions.checkpoint,
        }))
    });
    let mut told = serde_json::to_value(entry).map_err(|e| Error::internal("an event has no JSON form").because(e))?;
    told["proof"] = proof.into();
    Ok(document(&told))
}

async fn proof(caller: &Caller, seq: u64) -> Reply {
    cover(&caller.tenant, seq + 1).await?;
    let sealed: Vec<Column> = SEALED.iter().map(|(column, _)| *column).collect();
    let withheld = if caller.sees_sealed { Vec::new() } else { sealed };
    let proven = caller.tenant.store().prove(seq, &withheld).await?;
    let name = format!("attachment; filename=\"event-{seq}.tlog-proof\"");
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8"), (CONTENT_DISPOSITION, name.as_str())], proven.text)
        .into_response())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};
    use futures::FutureExt;
    use tokio::runtime::Builder;

    use super::*;

    fn in_binary_form(length: usize) -> (HeaderMap, Received) {
        let headers = [("ce-specversion", "1.0"), ("ce-id", "1")];
        let headers = headers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let data = format!("\"{}\"", "x".repeat(length));
        (headers.into_iter().collect(), Received { media_type: JSON.to_owned(), bytes: data.into() })
    }

    /// A large one held up every other request of its thread while it was parsed.
    #[test]
    fn only_a_small_event_in_binary_form_is_read_where_it_arrived() {
        let runtime = Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let (free, held) = std::sync::mpsc::channel::<()>();
            // While this thread is taken, nothing that goes to another one is read.
            let _taken = tokio::task::spawn_blocking(move || held.recv());
            for (length, is_read) in [(10, true), (1_000_000, false)] {
                let (headers, received) = in_binary_form(length);
                let reading = Box::pin(structured(headers, received)).now_or_never();
                assert_eq!(reading.is_some(), is_read, "{length}");
            }
            drop(free);
            let (headers, received) = in_binary_form(1_000_000);
            let Received { media_type, bytes } = structured(headers, received).await.unwrap();
            let document: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!((media_type.as_str(), &document["id"]), (CLOUDEVENT, &json!("1")));
            assert_eq!(document["data"].as_str().map(str::len), Some(1_000_000));
        });
    }

    #[test]
    fn the_status_sums_up_what_became_of_the_records() {
        let counts = |accepted, duplicate, conflict, rejected| Counts {
            received: accepted + duplicate + conflict + rejected,
            accepted,
            duplicate,
            conflict,
            rejected,
        };
        let cases = [
            (counts(2, 1, 0, 0), 200),
            (counts(0, 0, 0, 0), 200),
            (counts(1, 0, 0, 1), 207),
            (counts(0, 1, 1, 0), 207),
            (counts(0, 0, 1, 2), 422),
        ];
        for (counts, expected) in cases {
            assert_eq!(status(counts).as_u16(), expected, "{counts:?}");
        }
    }
}
