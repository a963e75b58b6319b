//! `/reviews/{id}/desk`: the review desk. One item a screen, three answers, the next item.
//!
//! In: requests of a reviewer whom the plan names. Out: the item that waits, its evidence on demand, a mark as an
//! event. Invariants: nothing shown tells what anybody else said of an item, nor which were planted; when an item was
//! opened is what the server knows, not what a form says; a page that is sent twice marks once. It works without a
//! script.

mod evidence;
mod item;
mod opened;
mod progress;

use axum::Form;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::layout::{self, Page, Place, actions, escape, link, notice, parts, path};
use super::reviews::{self, kept};
use super::work::{asked, part, see_other, shows, takes, with};
use crate::access::role::May;
use crate::clock::rfc3339;
use crate::error::{Error, ErrorKind, Result};
use crate::query::engine::Engine;
use crate::query::objects::{Row, text};
use crate::report::document::Tone;
use crate::review::account::Account;
use crate::review::desk::{Sent as Marks, SentMark, shown_items};
use crate::review::marks::Word;
use crate::review::plan::Measure;
use crate::review::register;
use crate::server::caller::{Caller, Read};
use crate::server::problem::Reply;
use crate::server::route::{Param, Route};
use evidence::{Telling, evidence};
use item::{Answers, Marking};
use opened::Opening;

const ID: Param = part("id", "the review");
const ONE: &[Param] = &[ID];
const SCREEN: &[Param] = &[
    ID,
    asked("item", "this item, to look at it again"),
    asked("opened", "when the item was opened, as the page itself says it"),
    asked("evidence", "`1` opens the history of the record and of what was read"),
    asked("marked", "the item that was just marked"),
    asked("note", "what became of that mark"),
];

/// Marks of this process are stated one after another, so that a page that is sent twice at once marks once.
static STATING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/reviews/{id}/desk", Some(May::Mark), show)
            .page()
            .about(shows("the item that waits for the caller's mark", SCREEN)),
        Route::post("/reviews/{id}/desk", Some(May::Mark), mark)
            .page()
            .about(takes("marks an item and leads to the next one", ONE)),
    ]
}

/// Where the desk of a review is.
pub(super) fn address(id: &str) -> String {
    path(&["reviews", id, "desk"])
}

/// What of a desk is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    item: String,
    opened: String,
    evidence: String,
    marked: String,
    note: String,
}

/// A review on the desk of one of its reviewers.
struct Desk<'a> {
    caller: &'a Caller,
    engine: &'a Engine,
    account: &'a Account,
}

impl<'a> Desk<'a> {
    /// The desk of `caller`.
    ///
    /// # Errors
    /// Denied when the plan names others, or the caller may not see what is to be judged.
    fn of(caller: &'a Caller, engine: &'a Engine, account: &'a Account) -> Result<Self> {
        let plan = account.review.plan();
        if !plan.reviewers.contains(&caller.name) {
            let named = plan.reviewers.join(", ");
            let words = format!("the plan of this review names {named}; {} marks nothing here", caller.name);
            return Err(Error::new(ErrorKind::Denied, words));
        }
        if !caller.sees_sealed {
            return Err(Error::new(
                ErrorKind::Denied,
                "a change cannot be judged without its values, which are withheld",
            ));
        }
        Ok(Self { caller, engine, account })
    }

    fn id(&self) -> &str {
        &self.account.review.review_id
    }

    fn opening<'b>(&'b self, item: &'b str) -> Opening<'b> {
        Opening { tenant: self.caller.tenant.name(), reviewer: &self.caller.name, review: self.id(), item }
    }

    fn is_planted(&self) -> bool {
        self.account.review.planned.what.planted_from.is_some()
    }

    /// What the caller said of `item`: the last word, and whether he ever called it incorrect.
    fn said(&self, item: &str) -> (Option<Word>, bool) {
        let marks = self.account.review.marks.iter().map(|stated| &stated.what.marked);
        let own = marks.filter(|marked| marked.reviewer == self.caller.name && marked.mark.item == item);
        own.fold((None, false), |(_, was_wrong), marked| {
            (Some(marked.mark.mark), was_wrong || marked.mark.mark == Word::Incorrect)
        })
    }

    fn page(&self, body: String) -> Page<'_> {
        Page { title: "Review desk", here: Place::Desk, caller: self.caller, body }
    }
}

async fn show(caller: Caller, Path(id): Path<String>, Query(asked): Query<Asked>) -> Reply {
    let engine = caller.tenant.engine().await?;
    let account = kept::account(&caller.tenant, &engine, &id).await?;
    let desk = Desk::of(&caller, &engine, &account)?;
    let above = told(&desk, &asked);
    if account.review.drawn.is_none() || account.review.end().is_some() {
        let words = match account.review.drawn {
            None => "Nothing is drawn yet: a responder draws the sample, and then the items wait here.",
            Some(_) => "The review is over. Nothing more can be marked.",
        };
        return Ok(finished(&desk, &above, words));
    }
    let waiting = match asked.item.as_str() {
        "" => account.waiting(Some(caller.name.as_str()))?.first().map(|item| (*item).to_owned()),
        item => Some(known(&account, item)?),
    };
    match waiting {
        Some(item) => Ok(screen(&desk, &item, (&asked, above.as_str())).await?),
        None => Ok(finished(&desk, &above, "No item waits for you.")),
    }
}

/// The item, where reviewers get to see it.
fn known(account: &Account, item: &str) -> Result<String> {
    let found = account.turns()?.into_iter().find(|known| *known == item).map(str::to_owned);
    found.ok_or_else(|| Error::not_found("no item of this review has that id; open the desk without one"))
}

/// One item on the screen; its opening is evidence, and so is that of its history.
async fn screen(desk: &Desk<'_>, item: &str, (asked, above): (&Asked, &str)) -> Result<Response> {
    let rows = shown_items(desk.engine, desk.account, &[item]).await?;
    let row = rows.first().ok_or_else(|| Error::internal("an item of a review is shown as nothing"))?;
    let clock = desk.caller.tenant.store().clock();
    let opened = match desk.opening(item).read(clock, &asked.opened)? {
        Some(_) => asked.opened.clone(),
        None => desk.opening(item).sealed(clock, clock.now())?,
    };
    let own = with(&with(&address(desk.id()), "item", item), "opened", &opened);
    let is_open = asked.evidence == "1";
    let output = desk.account.output(item);
    let history = match (is_open, output) {
        (true, Some(output)) => {
            let telling = if desk.is_planted() { Telling::Distances } else { Telling::Instants };
            evidence(desk.engine, row, output, telling).await?
        }
        _ => String::new(),
    };
    let evidence = if is_open { String::new() } else { format!("{}#evidence", with(&own, "evidence", "1")) };
    reads(desk, (item, row), is_open).await?;
    let marking = Marking {
        action: &address(desk.id()),
        csrf: &desk.caller.csrf,
        item,
        opened: &opened,
        comment: "",
        answers: answers(desk, item),
        evidence: &evidence,
    };
    Ok(layout::render(&desk.page(inside(desk, row, (&marking, above, history.as_str()))?)))
}

/// States that the item was opened, or its evidence.
async fn reads(desk: &Desk<'_>, (item, row): (&str, &Row), is_evidence: bool) -> Result<()> {
    let what = if is_evidence { "/reviews/{id}/desk#evidence" } else { "/reviews/{id}/desk" };
    let [system, record_type, record_id] = ["system", "record_type", "record_id"].map(|name| text(row, name));
    let subject = Some((system, record_type, record_id)).filter(|(.., id)| !id.is_empty());
    let extra = json!({"review_id": desk.id(), "item": item});
    desk.caller.reads(Read { what, subject, extra }).await
}

fn answers(desk: &Desk<'_>, item: &str) -> Answers {
    let (_, was_wrong) = desk.said(item);
    Answers { may_clear: !was_wrong, has_amount: desk.account.review.plan().claim.of == Measure::Value }
}

/// The screen: progress, the item, the answers, the evidence where it is open.
fn inside(desk: &Desk<'_>, row: &Row, (marking, above, history): (&Marking<'_>, &str, &str)) -> Result<String> {
    let again = match desk.said(marking.item) {
        (None, _) => String::new(),
        (Some(word), was_wrong) => {
            let clear = match was_wrong {
                true => " You called it incorrect, so only somebody else can make it correct.",
                false => " A new mark takes its place; both stay in the ledger.",
            };
            notice(Tone::Plain, &format!("<p>You marked it as {}.{clear}</p>", name_of(word)))
        }
    };
    let back = link(&reviews::address(desk.id()), desk.id());
    Ok(format!(
        "<div class=\"desk\">\n<div class=\"page-head\">\n<h1 tabindex=\"-1\" autofocus>Is this change right?</h1>\n\
         <p class=\"subtitle\">Review {back}, workflow {}, item <code class=\"short\">{}</code></p>\n</div>\n{}\
         {above}{again}{}{}{history}<p class=\"note by-key\">Keys: <kbd>c</kbd> correct, <kbd>i</kbd> incorrect, \
         <kbd>e</kbd> escalate, <kbd>h</kbd> history, <kbd>m</kbd> comment, <kbd>Esc</kbd> leaves the comment.</p>\n\
         <p class=\"note\">Escalated items count as incorrect until somebody says.</p>\n</div>\n",
        escape(&desk.account.review.workflow),
        escape(marking.item.get(..12).unwrap_or(marking.item)),
        progress::progress(desk.account, &desk.caller.name)?,
        item::item(row),
        item::form(marking),
    ))
}

/// What became of the mark before.
fn told(desk: &Desk<'_>, asked: &Asked) -> String {
    if asked.marked.is_empty() {
        return String::new();
    }
    let item = escape(asked.marked.get(..12).unwrap_or(&asked.marked));
    let look = link(&with(&address(desk.id()), "item", &asked.marked), "Look at it again");
    let words = match (asked.note.as_str(), desk.said(&asked.marked).0) {
        ("twice", Some(word)) => format!(
            "This page was sent twice: <code>{item}</code> stays {}, and nothing more was stated.",
            name_of(word)
        ),
        (_, Some(word)) => format!("<code>{item}</code> is marked {}.", name_of(word)),
        (_, None) => return String::new(),
    };
    notice(
        Tone::Good,
        &format!("<p>{words} {look} to mark it anew: from incorrect to correct only by a second reviewer.</p>"),
    )
}

fn name_of(word: Word) -> &'static str {
    match word {
        Word::Correct => "correct",
        Word::Incorrect => "incorrect",
        Word::Escalate => "escalated",
    }
}

/// A desk without an item.
fn finished(desk: &Desk<'_>, above: &str, words: &str) -> Response {
    let result = link(&reviews::address(desk.id()), "The review");
    let bar = progress::progress(desk.account, &desk.caller.name).unwrap_or_default();
    let body = format!(
        "<div class=\"desk\">\n<div class=\"page-head\">\n<h1>Review desk</h1>\n<p class=\"subtitle\">Workflow {}</p>\n\
         </div>\n{bar}{above}<p class=\"text\">{}</p>\n{}</div>\n",
        escape(&desk.account.review.workflow),
        escape(words),
        actions(&[result, link("/reviews", "All reviews")])
    );
    layout::render(&desk.page(body))
}

/// A mark as the page sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sent {
    csrf: String,
    item: String,
    opened: String,
    mark: String,
    comment: String,
    wrong_amount: String,
}

async fn mark(caller: Caller, Path(id): Path<String>, Form(sent): Form<Sent>) -> Reply {
    caller.check_csrf(&sent.csrf)?;
    let word = match sent.mark.as_str() {
        "correct" => Word::Correct,
        "incorrect" => Word::Incorrect,
        "escalate" => Word::Escalate,
        _ => return Err(Error::invalid("no mark is given; choose correct, incorrect or escalate").into()),
    };
    let _one = STATING.lock().await;
    let engine = caller.tenant.engine().await?;
    let account = kept::account(&caller.tenant, &engine, &id).await?;
    let desk = Desk::of(&caller, &engine, &account)?;
    let item = known(&account, &sent.item)?;
    let clock = caller.tenant.store().clock();
    let Some(opened_at) = desk.opening(&item).read(clock, &sent.opened)? else {
        return Ok(again(&desk, &item, &sent).await?);
    };
    let is_sent_before = account.review.marks.iter().any(|stated| {
        let said = &stated.what;
        said.opened_at == Some(opened_at) && said.marked.reviewer == caller.name && said.marked.mark.item == item
    });
    if is_sent_before {
        return Ok(see_other(&next(&id, &item, "twice")));
    }
    let filled = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let marks = Marks {
        marks: vec![SentMark {
            item: item.clone(),
            mark: word,
            // It belongs to an incorrect item; in the way of any other mark it says nothing.
            wrong_amount: filled(&sent.wrong_amount).filter(|_| word == Word::Incorrect),
            review_opened_at: Some(rfc3339(opened_at)),
            comment: filled(&sent.comment),
        }],
    };
    register::mark(caller.tenant.store(), &account, &marks.markings(clock.now())?, &caller.name).await?;
    Ok(see_other(&next(&id, &item, "")))
}

/// Where a mark leads.
fn next(id: &str, item: &str, note: &str) -> String {
    with(&with(&address(id), "marked", item), "note", note)
}

/// The item once more, where nobody knows any more when it was opened: with what was written, and nothing stated.
async fn again(desk: &Desk<'_>, item: &str, sent: &Sent) -> Result<Response> {
    let rows = shown_items(desk.engine, desk.account, &[item]).await?;
    let row = rows.first().ok_or_else(|| Error::internal("an item of a review is shown as nothing"))?;
    let clock = desk.caller.tenant.store().clock();
    let opened = desk.opening(item).sealed(clock, clock.now())?;
    let own = with(&with(&address(desk.id()), "item", item), "opened", &opened);
    let words = "The server was started anew since this item was opened, so that nobody knows when that was. Nothing \
                 was stated: look at it again and mark it once more.";
    let above = notice(Tone::Watch, &format!("<p>{}</p>", parts::sentence(words)));
    reads(desk, (item, row), false).await?;
    let marking = Marking {
        action: &address(desk.id()),
        csrf: &desk.caller.csrf,
        item,
        opened: &opened,
        comment: &sent.comment,
        answers: answers(desk, item),
        evidence: &format!("{}#evidence", with(&own, "evidence", "1")),
    };
    let body = inside(desk, row, (&marking, above.as_str(), ""))?;
    Ok(layout::render_as(StatusCode::CONFLICT, &desk.page(body)))
}
