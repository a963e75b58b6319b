//! The history of a record: every event that names it.
//!
//! In: system, type and id, each a part of the path. Out: events, oldest first, each with its leaf hash. Invariant: the
//! read is on record, under the key of the record, before the answer leaves.

use super::asking::{Asked, JSON, Named, Params, document};
use crate::access::role::May;
use crate::error::{Error, Result};
use crate::limits::LOOKED_UP_EVENTS;
use crate::query::dossier::{RecordKey, Slice, history};
use crate::server::caller::{Caller, Read};
use crate::server::problem::Reply;
use crate::server::route::{About, Answer, Param, Place, Route};

/// Events of one answer, unless the caller asks for another number.
const EVENTS: usize = 1_000;

const fn of_path(name: &'static str, note: &'static str) -> Param {
    Param { name, place: Place::Path, is_required: true, schema: "string", note }
}

const fn of_query(name: &'static str, schema: &'static str, note: &'static str) -> Param {
    Param { name, place: Place::Query, is_required: false, schema, note }
}

const PARAMS: &[Param] = &[
    of_path("system", "system of record; percent-encode what a path cannot hold"),
    of_path("type", "type of the record"),
    of_path("id", "its id"),
    of_query("as_of", "string", "an RFC 3339 instant, a ledger size, or vN"),
    of_query("offset", "int64", "events passed over, from the oldest on; default 0"),
    of_query("limit", "int64", "events given at most; default 1,000"),
];

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![Route::get("/v1/records/{system}/{type}/{id}", Some(May::Read), get).about(About {
        summary: "What happened to one record: every event that names it, oldest first.",
        params: PARAMS,
        body: None,
        answers: &[Answer {
            status: 200,
            types: &[JSON],
            schema: "RecordHistory",
            note: "`total` counts all of them; `offset` and `limit` say which are given",
        }],
    })]
}

async fn get(caller: Caller, Named(parts): Named<(String, String, String)>, asked: Asked) -> Reply {
    let asked = asked.only(&["as_of", "offset", "limit"])?;
    let (system, record_type, record_id) = parts;
    let key = RecordKey { system, record_type, record_id };
    let engine = caller.engine(asked.text("as_of")).await?;
    let found = history(&engine, &key, slice(&asked)?).await;
    let subject = (key.system.as_str(), key.record_type.as_str(), key.record_id.as_str());
    // Of what is no record nothing was read, and no event shall name it.
    let subject = found.is_ok().then_some(subject);
    caller.reads(Read { what: "record", subject, extra: asked.note() }).await?;
    let told = serde_json::to_value(found?).map_err(|e| Error::internal("a history has no JSON form").because(e))?;
    Ok(document(&told))
}

fn slice(asked: &Params) -> Result<Slice> {
    let offset = asked.number("offset")?.unwrap_or(0);
    let limit = asked.number("limit")?.unwrap_or(EVENTS);
    if limit > LOOKED_UP_EVENTS {
        return Err(Error::invalid(format!("`limit` is at most {LOOKED_UP_EVENTS}")));
    }
    Ok(Slice { offset, limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_bounded() {
        let params = |limit: &str| Params([("limit".to_owned(), limit.to_owned())].into());
        assert_eq!(slice(&Params::default()).unwrap(), Slice { offset: 0, limit: EVENTS });
        assert_eq!(slice(&params("5")).unwrap().limit, 5);
        for bad in ["20001", "-1", "many"] {
            assert!(slice(&params(bad)).is_err(), "{bad}");
        }
    }
}
