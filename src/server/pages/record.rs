//! `/records/{system}/{type}/{id}`: all that happened to a record, and what stands in its fields now.
//!
//! In: the key of a record. Out: the page. Invariants: the events are those of `query::dossier`, none left out but
//! reads, which are counted and a link away; what stands now follows from them in their order. A read of a record is evidence
//! with the record's key.

pub(super) mod event;
mod now;

use axum::extract::{Path, Query};
use serde::Deserialize;
use serde_json::json;

use super::layout::{self, Page, Place, actions, counted, escape, heading, link, path, section, time};
use super::work::{asked, part, shows, with};
use crate::access::role::May;
use crate::query::dossier::{Event, History, RecordKey, Slice, history};
use crate::report::format;
use crate::server::caller::{Caller, Read};
use crate::server::problem::Reply;
use crate::server::route::{Param, Route};

/// Events on one page.
const SHOWN: usize = 200;
/// What a read of evidence is called in the evidence.
const QUERIED: &str = "evidence.queried";

const PARAMS: &[Param] = &[
    part("system", "system of record"),
    part("type", "type of the record"),
    part("id", "id of the record"),
    asked("as_of", "as of this instant, size of the ledger or version of the table"),
    asked("skip", "so many newer events are passed over"),
    asked("reads", "`1` lists reads of the record too"),
];

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/records/{system}/{type}/{id}", Some(May::Read), show)
            .page()
            .about(shows("the history of a record, the newest event first, and its fields now", PARAMS)),
    ]
}

/// A link to a record, called by its id with system and type before it.
pub(super) fn link_to(system: &str, record_type: &str, record_id: &str) -> String {
    if record_id.is_empty() {
        return String::new();
    }
    let name = format!("{}/{}/{}", escape(system), escape(record_type), escape(record_id)).replace('/', "/<wbr>");
    format!("<a href=\"{}\"><code>{name}</code></a>", escape(&address(system, record_type, record_id)))
}

fn address(system: &str, record_type: &str, record_id: &str) -> String {
    path(&["records", system, record_type, record_id])
}

/// What of a history is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    as_of: String,
    skip: String,
    reads: String,
}

async fn show(caller: Caller, Path(key): Path<(String, String, String)>, Query(asked): Query<Asked>) -> Reply {
    let (system, record_type, record_id) = key;
    let as_of = Some(asked.as_of.trim()).filter(|as_of| !as_of.is_empty());
    let engine = caller.engine(as_of).await?;
    let key = RecordKey { system, record_type, record_id };
    let history = history(&engine, &key, Slice::default()).await?;
    let subject = Some((key.system.as_str(), key.record_type.as_str(), key.record_id.as_str()));
    let what = "/records/{system}/{type}/{id}";
    caller.reads(Read { what, subject, extra: json!({"as_of": as_of}) }).await?;
    let title = format!("{}/{}/{}", key.system, key.record_type, key.record_id);
    let here = Here { own: address(&key.system, &key.record_type, &key.record_id), asked };
    let body = format!(
        "{}{}{}{}",
        heading(&title, "Everything that the evidence says about this record."),
        ways(&here),
        section("now", "Now", &now::fields(&history.events)),
        section("history", "History", &listed(&history, &here))
    );
    Ok(layout::render(&Page { title: &title, here: Place::Elsewhere, caller: &caller, body }))
}

/// Where the reader is.
struct Here {
    own: String,
    asked: Asked,
}

impl Here {
    /// The same record with other things asked for.
    fn with(&self, pairs: &[(&str, &str)]) -> String {
        let kept = [("as_of", self.asked.as_of.as_str()), ("reads", self.asked.reads.as_str())];
        let kept = kept.into_iter().filter(|(name, _)| pairs.iter().all(|(other, _)| other != name));
        kept.chain(pairs.iter().copied()).fold(self.own.clone(), |address, (name, value)| with(&address, name, value))
    }

    fn has_reads(&self) -> bool {
        self.asked.reads == "1"
    }
}

fn ways(here: &Here) -> String {
    let reads = match here.has_reads() {
        true => link(&here.with(&[("reads", "")]), "Leave reads out"),
        false => link(&here.with(&[("reads", "1")]), "With reads"),
    };
    let now = match here.asked.as_of.is_empty() {
        true => String::new(),
        false => link(&here.with(&[("as_of", "")]), "As of now"),
    };
    actions(&[reads, now, link(&format!("/v1{}", here.own), "JSON")])
}

fn listed(history: &History, here: &Here) -> String {
    let is_read = |event: &&Event| event.event.get("event_type").is_some_and(|name| name == QUERIED);
    let reads = history.events.iter().filter(is_read).count();
    let all: Vec<&Event> = history.events.iter().filter(|event| here.has_reads() || !is_read(event)).rev().collect();
    let skip = here.asked.skip.trim().parse::<usize>().unwrap_or(0).min(all.len());
    let shown: String = all.iter().skip(skip).take(SHOWN).map(|event| event::item(event)).collect();
    let mut body = format!("<ol class=\"timeline\">\n{shown}</ol>\n");
    let left = all.len().saturating_sub(skip + SHOWN);
    let newer = (skip > 0).then(|| {
        let before = skip.saturating_sub(SHOWN).to_string();
        link(&here.with(&[("skip", if before == "0" { "" } else { before.as_str() })]), "Newer events")
    });
    let older = (left > 0).then(|| {
        let words = format!("{} older", counted(left as u64, "event", "events"));
        let next = (skip + SHOWN).to_string();
        link(&here.with(&[("skip", next.as_str())]), &words)
    });
    body += &actions(&[newer.unwrap_or_default(), older.unwrap_or_default()]);
    let hidden = if here.has_reads() { 0 } else { reads };
    let hidden = match hidden {
        0 => String::new(),
        n => format!(" {} of it through this server left out.", counted(n as u64, "read is", "reads are")),
    };
    let size = format::count(u64::try_from(history.as_of.size).unwrap_or_default());
    format!(
        "{body}<p class=\"note\">{} name this record, the newest first.{hidden} As of {}, the first {size} \
         events.</p>\n",
        counted(history.total as u64, "event", "events"),
        time(&history.as_of.at)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_any_name_has_its_address() {
        let link = link_to("crm", "lead/x", "<1>");
        assert!(link.contains("href=\"/records/crm/lead%2Fx/%3C1%3E\"") && link.contains("&lt;1&gt;"), "{link}");
        assert_eq!(link_to("crm", "lead", ""), "");
    }

    #[test]
    fn what_is_asked_for_is_kept_from_page_to_page() {
        let asked = Asked { as_of: "v3".into(), skip: "200".into(), reads: String::new() };
        let here = Here { own: "/records/a/b/c".into(), asked };
        assert_eq!(here.with(&[("skip", "400")]), "/records/a/b/c?as_of=v3&skip=400");
        assert_eq!(here.with(&[("as_of", ""), ("reads", "1")]), "/records/a/b/c?reads=1");
    }
}
