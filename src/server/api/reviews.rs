//! `/v1/reviews`: planning, drawing, marking and deciding sample reviews.
//!
//! In: what people ask, mark and sign, as JSON; whoever sends it is the planner, the reviewer, the owner. Out: the
//! documents of the command line. Invariants: a reviewer is told nothing of what colleagues said of an item, and no tally
//! while he marks items among which known errors were planted; the name under which something is marked or signed is the
//! caller's, never one of the request; who may not see sealed values gets documents without them.

mod about;

use std::sync::Arc;

use axum::http::{HeaderMap, Uri};
use serde::Deserialize;
use serde_json::{Value, json};

use super::asking::{
    Asked, CSV, HTML, JSON, NDJSON, Named, Params, Sent, created, document, file, form, kept, read_body, working,
};
use super::bundle::{Bundle, long, reads, sight, whole};
use super::received::Received;
use crate::access::role::May;
use crate::clock::{Micros, rfc3339};
use crate::error::{Error, ErrorKind, Result};
use crate::query::engine::Engine;
use crate::query::objects::text;
use crate::report::review::gather::gather;
use crate::report::withheld::withhold;
use crate::review::account::Account;
use crate::review::desk::{Desk, Sent as Marks};
use crate::review::ground::Ground;
use crate::review::leaf::Source;
use crate::review::record::{self, Review};
use crate::review::seed::Entropy;
use crate::review::sheet::{self, Marking};
use crate::review::terms::Terms;
use crate::review::{answers, document as told, proposal, register, verify};
use crate::server::cache::{Look, Rendered, step};
use crate::server::caller::Caller;
use crate::server::pages::reviews::kept::account as kept_account;
use crate::server::problem::Reply;
use crate::server::route::Route;

const ALL: &str = "/v1/reviews";
const ONE: &str = "/v1/reviews/{id}";
const DRAW: &str = "/v1/reviews/{id}/draw";
const ITEMS: &str = "/v1/reviews/{id}/items";
const MARKS: &str = "/v1/reviews/{id}/marks";
const DECIDE: &str = "/v1/reviews/{id}/decide";
const VERIFY: &str = "/v1/reviews/{id}/verify";
const REPORT: &str = "/v1/reviews/{id}/report";

/// The header of a sheet of marks, for who fills it in elsewhere.
const SHEET: &str = "item,mark,wrong_amount,review_opened_at,comment\n";
/// Items that are given where nobody says how many.
const ITEMS_GIVEN: usize = 20;
/// Items that are given at most; who has marked them asks for the next.
const ITEMS_MOST: usize = 1_000;

/// The routes of reviews.
pub fn routes() -> Vec<Route> {
    vec![
        Route::get(ALL, Some(May::Read), list).about(about::LIST),
        Route::post(ALL, Some(May::Respond), plan).about(about::PLAN),
        Route::get(ONE, Some(May::Read), status).about(about::STATUS),
        Route::post(DRAW, Some(May::Respond), draw).about(about::DRAW),
        Route::get(ITEMS, Some(May::Mark), items).about(about::ITEMS),
        Route::post(MARKS, Some(May::Mark), mark).about(about::MARKS),
        Route::post(DECIDE, Some(May::Respond), decide).about(about::DECIDE),
        Route::get(VERIFY, Some(May::Read), verified).about(about::VERIFY),
        Route::get(REPORT, Some(May::Read), report).about(about::REPORT),
    ]
}

/// `found` as the caller may see it.
fn seen(caller: &Caller, mut found: Value) -> Value {
    withhold(&mut found, sight(caller));
    found
}

/// What the evidence tells of the read of one review.
fn note(id: &str, params: &Params) -> Value {
    let mut told = params.clone();
    told.0.insert("id".to_owned(), id.to_owned());
    told.note()
}

/// Whether the caller must not see how marks move the numbers.
fn is_blind(caller: &Caller, review: &Review) -> bool {
    review.blind().contains(&caller.name)
}

/// Refuses the tally of the review `id` to who must not see it now, whatever point he asks for.
async fn check_sighted(caller: &Caller, id: &str) -> Result<()> {
    let engine = caller.tenant.engine().await?;
    let review = record::one(&engine, id).await?;
    if !is_blind(caller, &review) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Denied,
        "known errors are planted among the items and you are a reviewer: the tally is yours to see when the review is \
         over; until then ask for the items that wait for you",
    ))
}

/// Refuses items to who marks none, and before the draw, when they have no order yet.
fn check_at_desk(caller: &Caller, review: &Review) -> Result<()> {
    let (id, named) = (&review.review_id, &review.plan().reviewers);
    if !named.contains(&caller.name) {
        let words = format!("{} is no reviewer of this review; the plan names {}", caller.name, named.join(", "));
        return Err(Error::new(ErrorKind::Denied, words));
    }
    if review.drawn.is_none() {
        let words = format!("nothing of `{id}` is drawn yet; a responder draws it by POST /v1/reviews/{id}/draw");
        return Err(Error::new(ErrorKind::Conflict, words));
    }
    Ok(())
}

/// `told` of `review` as the caller may see it: without what follows from the marks where he must not know it yet.
fn untold(caller: &Caller, review: &Review, mut told: Value) -> Value {
    if is_blind(caller, review) {
        told["next"] = Value::Null;
        told["decision"] = Value::Null;
    }
    told
}

/// The account of the review `id` as of `engine`. As of now it shares what a plan decides for ever with the pages.
async fn account(caller: &Caller, (engine, as_of): (&Engine, Option<&str>), id: &str) -> Result<Arc<Account>> {
    if as_of.is_none() {
        return kept_account(&caller.tenant, engine, id).await;
    }
    let review = record::one(engine, id).await?;
    let ground = Ground::Evidence(caller.tenant.store());
    Account::of(ground, review, engine.as_of().size, Source::Tiles).await.map(Arc::new)
}

async fn list(caller: Caller, asked: Asked) -> Reply {
    let params = asked.only(&["as_of"])?;
    let engine = whole(&caller, params.text("as_of")).await?;
    let reviews: Vec<Value> = record::list(&engine).await?.iter().map(Review::to_json).collect();
    reads(&caller, ALL, params.note()).await?;
    Ok(document(&seen(&caller, json!({"reviews": reviews}))))
}

async fn plan(caller: Caller, asked: Asked, Sent(terms): Sent<Terms>) -> Reply {
    asked.only(&[])?;
    let proposal = terms.proposal()?;
    let engine = caller.tenant.engine().await?;
    let logged = proposal::plan(caller.tenant.store(), &engine, &proposal, &caller.name).await?;
    let location = format!("{ALL}/{}", logged.review_id);
    Ok(created(&seen(&caller, answers::planned(&logged)), &location))
}

async fn status(caller: Caller, Named(id): Named<String>, asked: Asked) -> Reply {
    let params = asked.only(&["as_of"])?;
    check_sighted(&caller, &id).await?;
    let as_of = params.text("as_of");
    let engine = whole(&caller, as_of).await?;
    let account = account(&caller, (&engine, as_of), &id).await?;
    reads(&caller, ONE, note(&id, &params)).await?;
    Ok(document(&seen(&caller, told::status(&account)?)))
}

/// What the plan promised, once the checkpoint is signed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Revealed {
    revealed: Vec<Entropy>,
}

async fn draw(caller: Caller, Named(id): Named<String>, asked: Asked, Sent(sent): Sent<Revealed>) -> Reply {
    asked.only(&[])?;
    let engine = caller.tenant.engine().await?;
    let found = account(&caller, (&engine, None), &id).await?;
    let found = Arc::unwrap_or_clone(found);
    let account = register::draw(caller.tenant.store(), found, &sent.revealed, &caller.name).await?;
    Ok(document(&seen(&caller, untold(&caller, &account.review, answers::drawn(&account)))))
}

async fn items(caller: Caller, Named(id): Named<String>, asked: Asked, headers: HeaderMap) -> Reply {
    let params = asked.only(&["limit", "format"])?;
    let form = form(params.text("format"), &headers, &[JSON, CSV])?;
    let limit = params.number("limit")?.unwrap_or(ITEMS_GIVEN);
    if limit > ITEMS_MOST {
        return Err(Error::invalid(format!("`limit` is at most {ITEMS_MOST}")).into());
    }
    let engine = caller.tenant.engine().await?;
    let account = account(&caller, (&engine, None), &id).await?;
    check_at_desk(&caller, &account.review)?;
    let desk = Desk::of(&engine, &account, Some(caller.name.as_str()), limit).await?;
    reads(&caller, ITEMS, note(&id, &params)).await?;
    if form == CSV {
        let lines = desk.items.iter().map(|item| format!("{},,,,\n", text(item, "item")));
        return Ok(file(&format!("marks-{id}.csv"), CSV, SHEET.to_owned() + &lines.collect::<String>()));
    }
    Ok(document(&seen(&caller, untold(&caller, &account.review, desk.to_json(&account)))))
}

async fn mark(caller: Caller, Named(id): Named<String>, asked: Asked, received: Received) -> Reply {
    asked.only(&[])?;
    let now = caller.tenant.store().clock().now();
    let markings = match received.media_type.as_str() {
        CSV | NDJSON => of_sheet(&received.bytes, (&caller.name, now))?,
        media_type => read_body::<Marks>(media_type, &received.bytes)?.markings(now)?,
    };
    let engine = caller.tenant.engine().await?;
    let account = account(&caller, (&engine, None), &id).await?;
    let seqs = register::mark(caller.tenant.store(), &account, &markings, &caller.name).await?;
    Ok(document(&json!({"review_id": account.review.review_id, "marks": seqs.len(), "seqs": seqs})))
}

/// The marks of a sheet that `name` sends at the instant `now`.
fn of_sheet(bytes: &[u8], (name, now): (&str, Micros)) -> Result<Vec<Marking>> {
    let text = std::str::from_utf8(bytes).map_err(|e| Error::invalid("the sheet is not UTF-8").because(e))?;
    let markings = sheet::read(text)?;
    if markings.iter().any(|marking| marking.reviewer.as_deref().is_some_and(|reviewer| reviewer != name)) {
        let words = format!("marks are those of who sends them, {name}; leave the column `reviewer` out");
        return Err(Error::new(ErrorKind::Denied, words));
    }
    if markings.iter().any(|marking| marking.opened_at.is_some_and(|at| at > now)) {
        let now = rfc3339(now);
        return Err(Error::invalid(format!("a `review_opened_at` lies in the future; it is {now} by the clock here")));
    }
    Ok(markings)
}

async fn decide(caller: Caller, Named(id): Named<String>, asked: Asked) -> Reply {
    asked.only(&[])?;
    let engine = caller.tenant.engine().await?;
    let account = account(&caller, (&engine, None), &id).await?;
    let signed = register::decide(caller.tenant.store(), &engine, &account, &caller.name).await?;
    // An owner who reviews signs where it stands, and sees it when it is over.
    if is_blind(&caller, &account.review) && !record::is_end(signed.decided.status.decision) {
        let review_id = &account.review.review_id;
        return Ok(document(&json!({"review_id": review_id, "seq": signed.seq, "resumed_seq": signed.resumed})));
    }
    Ok(document(&seen(&caller, answers::signed(&account, &signed)?)))
}

async fn verified(caller: Caller, Named(id): Named<String>, asked: Asked, uri: Uri) -> Reply {
    let params = asked.only(&[])?;
    check_sighted(&caller, &id).await?;
    let (reader, key, named) = (caller.clone(), format!("{VERIFY}?{id:?}"), id.clone());
    let work = async move {
        step("computing all that the review states again");
        let (account, checks) = verify::verify(Ground::Evidence(reader.tenant.store()), &named).await?;
        let told = seen(&reader, answers::verified(&account, &checks)?);
        Ok(Rendered { content_type: JSON, body: told.to_string().into() })
    };
    match long(&caller, key, work).await? {
        Look::Working(progress) => Ok(working(&uri, &progress)),
        Look::Ready(found) => {
            reads(&caller, VERIFY, note(&id, &params)).await?;
            Ok(kept(&found))
        }
    }
}

async fn report(caller: Caller, Named(id): Named<String>, asked: Asked, uri: Uri, headers: HeaderMap) -> Reply {
    let params = asked.only(&["as_of", "format"])?;
    // What cannot be given is said before the work.
    form(params.text("format"), &headers, &[JSON, HTML])?;
    check_sighted(&caller, &id).await?;
    let (reader, key) = (caller.clone(), format!("{REPORT}?{id:?}&{:?}", params.text("as_of")));
    let (asked_of, named) = (params.clone(), id.clone());
    let work = async move {
        let as_of = asked_of.text("as_of");
        let engine = whole(&reader, as_of).await?;
        step("making the sample again");
        let account = account(&reader, (&engine, as_of), &named).await?;
        Bundle::keep(gather(&engine, &account, reader.tenant.name(), sight(&reader)).await?)
    };
    match long(&caller, key, work).await? {
        Look::Working(progress) => Ok(working(&uri, &progress)),
        Look::Ready(found) => {
            let answer = Bundle::read(&found)?.answer(&headers, params.text("format"), None)?;
            reads(&caller, REPORT, note(&id, &params)).await?;
            Ok(answer)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_is_that_of_who_sends_it() {
        let read = |lines: &str| of_sheet(format!("{SHEET}{lines}").as_bytes(), ("ada", 1_000_000));
        let markings = read("aa11,correct,,1970-01-01T00:00:01Z,\nbb22,incorrect,,,twice\n").unwrap();
        assert_eq!((markings.len(), markings[0].opened_at), (2, Some(1_000_000)));
        assert!(read("aa11,correct,,1970-01-01T00:00:02Z,\n").unwrap_err().to_string().contains("future"));
        assert!(read("aa11,,,,\n").unwrap_err().to_string().contains("line 2"));
        let of =
            |reviewer: &str| of_sheet(format!("item,mark,reviewer\nx,correct,{reviewer}\n").as_bytes(), ("ada", 0));
        assert!(of("ada").is_ok());
        assert_eq!(of("bob").unwrap_err().kind(), ErrorKind::Denied);
    }
}
