//! One review: what its sample says and promises, the way of the evidence, the forms for what is next.
//!
//! In: a review. Out: the page. Invariants: it is the report of the review, made of one account; who still marks items
//! among which known errors were planted sees neither tally nor evidence, because a mark that moves neither would tell
//! him that the item was planted.

use axum::extract::{Path, Query};
use serde_json::{Value, json};

use super::super::layout::{
    self, Field, Page, Place, actions, button_form, counted, escape, form, heading, link, notice, section, text_area,
};
use super::super::work::{Done, Inside, Shown, apart, in_two, inside, joined, up_to};
use super::super::{desk, incident};
use super::{address, kept};
use crate::access::role::May;
use crate::error::{Error, Result};
use crate::query::dossier::Sight;
use crate::query::engine::Engine;
use crate::report::document::Tone;
use crate::report::review::gather::gather;
use crate::review::account::Account;
use crate::review::record::Purpose;
use crate::server::cache::step;
use crate::server::caller::{Caller, Read};
use crate::server::problem::Reply;
use crate::server::state::Tenant;

/// The page of a review.
pub(super) async fn show(caller: Caller, Path(id): Path<String>, Query(done): Query<Done>) -> Reply {
    let sight = if caller.sees_sealed { Sight::Shown } else { Sight::Withheld };
    let (title, asked) = (format!("Sample review {id}"), id.clone());
    let shown = Shown { key: format!("review:{sight:?}:{id}"), title: &title, done: &done };
    let made =
        inside(
            &caller,
            shown,
            move |tenant, engine| async move { parts(&tenant, &engine, (asked.as_str(), sight)).await },
        );
    let markup = match made.await? {
        Inside::Ready(markup) => markup,
        Inside::Wait(response) => return Ok(response),
    };
    caller.reads(Read { what: "/reviews/{id}", subject: None, extra: json!({"review_id": id}) }).await?;
    let [stands, front, rest] = apart::<3>(&markup)?;
    let unreadable =
        |e: serde_json::Error| Error::internal("how a review stands was kept and cannot be read").because(e);
    let stands: Value = serde_json::from_str(stands).map_err(unreadable)?;
    let next = next(&caller, &id, &stands);
    let body = match is_blind(&caller, &stands) {
        true => format!("{}{}{next}{}", heading(&title, ""), done.said(stated), notice(Tone::Plain, BLIND)),
        false => format!("{}{front}{next}{rest}", done.said(stated)),
    };
    Ok(layout::render(&Page { title: &title, here: Place::Reviews, caller: &caller, body }))
}

/// What is said in the place of the numbers.
const BLIND: &str = "<p>Outputs that are known to be wrong are planted among the items, and you are one of the \
                     reviewers. The tally is shown to you when the review is over: before, it would tell which items \
                     were planted.</p>";

/// Whether the caller must not see how marks move the numbers.
fn is_blind(caller: &Caller, stands: &Value) -> bool {
    is_among(&caller.name, &stands["blind"])
}

fn is_among(name: &str, names: &Value) -> bool {
    names.as_array().is_some_and(|names| names.iter().any(|known| known == name))
}

/// How it stands, the front of the report, and the rest of it.
async fn parts(tenant: &Tenant, engine: &Engine, (id, sight): (&str, Sight)) -> Result<String> {
    step("picking the frame again, and computing where its sample stands");
    let account = kept::account(tenant, engine, id).await?;
    step("writing the page");
    let report = gather(engine, &account, tenant.name(), sight).await?;
    let [front, rest] = in_two(&report.html)?;
    Ok(joined(&[stands(&account).to_string(), front, format!("{rest}{}", up_to(engine))]))
}

/// What the forms depend on.
fn stands(account: &Account) -> Value {
    let review = &account.review;
    let plan = review.plan();
    let promises: Vec<&str> = plan.entropy.iter().map(|promise| promise.kind.as_str()).collect();
    json!({
        "is_drawn": review.drawn.is_some(),
        "is_over": review.end().is_some(),
        "is_to_resume": review.is_to_resume(),
        "is_by_cadence": review.planned.what.purpose == Purpose::Cadence,
        "unheard": review.unheard,
        "decision": account.status.decision.name(),
        "next": account.status.next,
        "owner": plan.owner,
        "reviewers": plan.reviewers,
        "promises": promises,
        "blind": review.blind(),
        "incident_id": review.incident_id,
    })
}

/// What was just stated, in words.
fn stated(what: &str) -> Option<&'static str> {
    Some(match what {
        "planned" => "The plan is in the ledger.",
        "drawn" => "The sample is drawn.",
        "decided" => "The decision is signed.",
        "enabled" => "ENABLE is signed, and the workflow runs again.",
        _ => return None,
    })
}

/// What is next, for whom, and where else to look.
fn next(caller: &Caller, id: &str, stands: &Value) -> String {
    let text = |name: &str| stands[name].as_str().unwrap_or_default();
    let is = |name: &str| stands[name] == true;
    let is_reviewer = is_among(&caller.name, &stands["reviewers"]);
    let desk = match is("is_drawn") && !is("is_over") && is_reviewer && caller.may(May::Mark) {
        true => format!("<a class=\"button main\" href=\"{}\">Open the desk</a>", escape(&desk::address(id))),
        false => String::new(),
    };
    let incident = match text("incident_id") {
        "" => String::new(),
        incident => format!("Incident {}", incident::link_to(incident)),
    };
    let api = format!("/v1{}", address(id));
    let ways = match is_blind(caller, stands) {
        true => actions(&[desk, incident]),
        false => actions(&[
            desk,
            incident,
            link(&format!("{api}/report"), "Report"),
            link(&format!("{api}/verify"), "Verify all of it"),
            link(&api, "JSON"),
        ]),
    };
    let form = match (is("is_drawn"), is("is_over") && !is("is_to_resume")) {
        (_, true) => planning_again(caller, stands),
        (false, _) => drawing(caller, id, stands),
        (true, _) => deciding(caller, id, stands),
    };
    format!("{ways}{form}")
}

/// What is to be done where ENABLE was signed while somebody marked; nothing where it counts every mark.
fn planning_again(caller: &Caller, stands: &Value) -> String {
    let Some(unheard) = stands["unheard"].as_u64().filter(|unheard| *unheard > 0) else { return String::new() };
    let new = layout::address("/reviews/new", &[("incident", stands["incident_id"].as_str().unwrap_or_default())]);
    let way = match caller.may(May::Respond) {
        true => actions(&[link(&new, "Plan another review")]),
        false => String::new(),
    };
    section("next", "Next: another review", &format!("{}{way}", not_counted(unheard, stands["is_by_cadence"] == true)))
}

/// Said of an ENABLE that shows nothing, because `unheard` marks came while it was signed.
fn not_counted(unheard: u64, is_by_cadence: bool) -> String {
    let marks = counted(unheard, "mark", "marks");
    let stays = if is_by_cadence { "" } else { " The workflow stays paused." };
    notice(
        Tone::Bad,
        &format!(
            "<p><strong>ENABLE does not count every mark.</strong> {marks} came while it was signed, so that it shows \
             nothing.{stays}</p>"
        ),
    )
}

fn drawing(caller: &Caller, id: &str, stands: &Value) -> String {
    if !caller.may(May::Respond) {
        return section("next", "Next", "<p class=\"text\">A responder draws the sample.</p>\n");
    }
    let promises: Vec<&str> = stands["promises"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let about = "<p class=\"text\">The sample comes from the first checkpoint that was signed after the plan, and \
                 cannot be drawn twice.</p>\n";
    let revealed = match promises.is_empty() {
        true => String::new(),
        false => {
            let note = format!(
                "The plan promised: {}. One a line, KIND=HEX, after the checkpoint is signed.",
                promises.join(", ")
            );
            text_area(
                &Field { name: "revealed", label: "Revealed", note: &note, is_required: true, ..Field::default() },
                3,
            )
        }
    };
    let inside = format!("{about}{revealed}");
    section("next", "Next: draw", &form(&format!("{}/draw", address(id)), caller, &inside, "Draw the sample"))
}

fn deciding(caller: &Caller, id: &str, stands: &Value) -> String {
    let (owner, decision) =
        (stands["owner"].as_str().unwrap_or_default(), stands["decision"].as_str().unwrap_or_default());
    let more = match (is_blind(caller, stands), stands["next"].as_u64(), decision) {
        (true, ..) => String::new(),
        (_, Some(next), "EXTEND" | "CENSUS") => {
            format!("{next} further marks, all of them correct, would show the claim. ")
        }
        _ => String::new(),
    };
    if owner != caller.name || !caller.may(May::Respond) {
        let words = format!("{more}The business owner, {owner}, signs where the review stands.");
        return section("next", "Next", &format!("<p class=\"text\">{}</p>\n", escape(&words)));
    }
    let what = match (is_blind(caller, stands), decision) {
        (true, _) => "Sign where it stands".to_owned(),
        (false, decision) => format!("Sign {decision}"),
    };
    let words = format!(
        "{more}You are the business owner. What you sign is computed from the marks, not chosen; ENABLE resumes the \
         workflow, and only EXTEND and CENSUS leave the review open."
    );
    let button = button_form(&format!("{}/decide", address(id)), caller, &what, &[]);
    section("next", "Next: decide", &format!("<p class=\"text\">{}</p>\n{button}", escape(&words)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enable_that_does_not_count_every_mark_says_so() {
        let paused = not_counted(1, false);
        assert!(paused.contains("1 mark came while it was signed") && paused.contains("stays paused"), "{paused}");
        assert!(!not_counted(2, true).contains("paused"));
    }

    #[test]
    fn who_is_blind_is_found_by_his_whole_name() {
        let stands = json!({"blind": ["rita", "rob"]});
        assert!(is_among("rita", &stands["blind"]) && !is_among("rit", &stands["blind"]));
        assert!(!is_among("rita", &json!({})["blind"]));
    }
}
