//! A review as one JSON document: what was promised, how it was drawn, what was found, how to do it all again.
//!
//! In: an account. Out: JSON for those who print it. Invariant: it holds what the events state and what follows from
//! them, told apart; what the result rests on and nobody proved is said as an assumption.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::account::Account;
use super::checks::{Check, by_others};
use super::decide::{Decision, Status};
use super::frame::decimal;
use super::items::told;
use super::marks::{Mark, Standing, Verdict, Word};
use super::outputs::Output;
use super::plan::{Measure, Plan, Promise};
use super::record::{Review, Stated};
use super::sample::Sample;
use crate::analysis::fraction::Fraction;
use crate::clock::rfc3339;
use crate::error::{Error, Result};
use crate::query::engine::Engine;
use crate::query::objects::Row;

/// The account as JSON.
///
/// # Errors
/// Invalid for a plan that its check refuses.
pub fn of(account: &Account) -> Result<Value> {
    let (review, plan) = (&account.review, account.review.plan());
    let planned = &review.planned.what;
    let drawn = review.drawn.as_ref();
    let path = account.sample.as_ref().map(|sample| sample.path(plan)).transpose()?;
    let mut document = review.to_json();
    let rest = json!({
        "report": "review",
        "promise": plan.promise(),
        "plan": as_json(plan)?,
        "plan_hash": account.plan_hash,
        "candidate": planned.candidate,
        "left_out_share": left_out_share(plan),
        "stratum_by": planned.stratum_by,
        "planted_from": as_json(&planned.planted_from)?,
        "authors": planned.authors,
        "preconditions": as_json(&planned.preconditions)?,
        "size": account.size,
        "status": as_json(&account.status)?,
        "threshold": 1.0 / account.status.alpha.to_f64(),
        "seed": drawn.map(|drawn| as_json(&drawn.what)).transpose()?,
        "seed_text": drawn.map(|drawn| drawn.what.seed.text()),
        "class_means": drawn.map(|drawn| drawn.what.class.means()),
        "path": as_json(&path)?,
        "marks": marks(account),
        "judged": account.sample.as_ref().map_or(0, |sample| judged(sample).len()),
        "checks": account.checks.iter().map(Check::to_json).collect::<Vec<_>>(),
        "unheard": review.unheard,
        "rulings": review.decided.iter().map(ruling).collect::<Result<Vec<Value>>>()?,
        "assumptions": assumptions(account),
        "recompute": recompute(review),
    });
    if let (Value::Object(document), Value::Object(rest)) = (&mut document, rest) {
        document.extend(rest);
    }
    Ok(document)
}

/// The status as `review status --json` prints it, with what identifies the review.
///
/// # Errors
/// When it cannot be written, which no status is.
pub fn status(account: &Account) -> Result<Value> {
    let mut status = as_json(&account.status)?;
    let review = &account.review;
    status["review_id"] = review.review_id.clone().into();
    status["workflow"] = review.workflow.clone().into();
    status["state"] = review.state().into();
    status["promise"] = review.plan().promise().into();
    status["escalated"] = account.sample.iter().flat_map(escalated).collect();
    Ok(status)
}

/// The items that wait for somebody to say: escalated ones, which count as wrong until then.
pub fn escalated(sample: &Sample) -> Vec<&str> {
    let is_escalated = |(_, verdict): &(&String, &Verdict)| verdict.standing == Standing::Escalated;
    sample.verdicts.iter().filter(is_escalated).map(|(item, _)| item.as_str()).collect()
}

/// What somebody needs to repeat the review without this program.
///
/// # Errors
/// Conflict when the frame that was planned cannot be picked any more.
pub fn export(account: &Account) -> Result<Value> {
    let (sample, review) = (account.sample()?, &account.review);
    let mark = |marked: &super::marks::Marked| -> Result<Value> {
        let mut mark = as_json(&marked.mark)?;
        mark["seq"] = marked.seq.into();
        mark["reviewer"] = marked.reviewer.clone().into();
        Ok(mark)
    };
    Ok(json!({
        "review_id": review.review_id,
        "frame": sample.given.frame.lines().map(|line| line.trim_end_matches('\n').to_owned()).collect::<Vec<_>>(),
        "plan": as_json(review.plan())?,
        "seed": review.drawn.as_ref().map(|drawn| as_json(&drawn.what.seed)).transpose()?,
        "marks": review.marked(account.size).iter().map(mark).collect::<Result<Vec<Value>>>()?,
        "without_evidence": sample.given.without_evidence.keys().collect::<Vec<_>>(),
        "planted": sample.given.planted,
        "status": as_json(&account.status)?,
    }))
}

/// The items that count so far, in the order of review, with how each stands and what its action did; `most` of them,
/// those first that are not correct.
///
/// # Errors
/// When a query fails or a bound is met.
pub async fn items(engine: &Engine, account: &Account, most: usize) -> Result<Vec<Value>> {
    let Some(sample) = &account.sample else { return Ok(Vec::new()) };
    let mut judged = judged(sample);
    judged.sort_by_key(|(turn, id)| (sample.verdicts[*id].standing == Standing::Correct, *turn));
    judged.truncate(most);
    let outputs: Vec<&Output> = judged.iter().filter_map(|(_, id)| account.output(id)).collect();
    let told = told(engine, &account.review.plan().frame.environment, &outputs).await?;
    let whole = |((turn, id), row): (&(usize, &str), Row)| {
        let mut whole = item(account, sample, (*turn + 1, id));
        if let Value::Object(members) = &mut whole {
            members.extend(row);
        }
        whole
    };
    Ok(judged.iter().zip(told).map(whole).collect())
}

/// The items of the order that have a verdict, each once, with their turns from 0.
fn judged(sample: &Sample) -> Vec<(usize, &str)> {
    let mut seen = BTreeSet::new();
    sample.ids().enumerate().filter(|(_, id)| sample.verdicts.contains_key(*id) && seen.insert(*id)).collect()
}

/// An item with how it stands.
fn item(account: &Account, sample: &Sample, (turn, id): (usize, &str)) -> Value {
    let frame = &sample.given.frame;
    let verdict = sample.verdicts.get(id);
    let place = frame.place(id);
    json!({
        "turn": turn,
        "item": id,
        "stratum": place.map(|place| frame.strata()[frame.stratum(place)].0.clone()),
        "weight": weight(account.review.plan(), place.map(|place| frame.weight(place))),
        "standing": verdict.map(|verdict| standing(verdict.standing)),
        "reviewers": verdict.map(|verdict| verdict.reviewers.clone()),
        "cleared_by": verdict.and_then(|verdict| verdict.cleared_by.clone()),
        "wrong_amount": verdict.and_then(|verdict| verdict.wrong_amount).map(decimal),
    })
}

/// The value at stake of an item; none where the review does not weigh.
fn weight(plan: &Plan, weight: Option<u64>) -> Option<String> {
    weight.filter(|_| plan.claim.of == Measure::Value).map(decimal)
}

fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Open => "open",
        Standing::Correct => "correct",
        Standing::Incorrect => "incorrect",
        Standing::Escalated => "escalated",
        Standing::WithoutEvidence => "without_evidence",
    }
}

fn ruling(stated: &Stated<super::record::Decided>) -> Result<Value> {
    let mut value = as_json(&stated.what)?;
    value["seq"] = stated.seq.into();
    value["at"] = rfc3339(stated.at).into();
    value["by"] = stated.by.clone().into();
    Ok(value)
}

/// How much of what the candidate did the frame leaves out.
fn left_out_share(plan: &Plan) -> Option<f64> {
    let all = plan.frame.items + plan.frame.left_out;
    (all > 0).then(|| plan.frame.left_out as f64 / all as f64)
}

/// How many marks there are and how many somebody else than the reviewer stated, which were taken back, who cleared what.
fn marks(account: &Account) -> Value {
    let mut last: BTreeMap<(&str, &str), (i64, &Mark)> = BTreeMap::new();
    let mut superseded = Vec::new();
    for stated in &account.review.marks {
        let marked = &stated.what.marked;
        let now = (marked.seq, &marked.mark);
        if let Some((seq, before)) = last.insert((marked.mark.item.as_str(), marked.reviewer.as_str()), now) {
            superseded.push(json!({
                "item": marked.mark.item, "reviewer": marked.reviewer, "seq": seq, "mark": word(before.mark),
                "superseded_by": marked.seq, "now": word(marked.mark.mark),
            }));
        }
    }
    let verdicts = account.sample.iter().flat_map(|sample| &sample.verdicts);
    let cleared = |(item, verdict): (&String, &Verdict)| {
        verdict.cleared_by.as_ref().map(|by| json!({"item": item, "cleared_by": by, "reviewers": verdict.reviewers}))
    };
    let refused: u64 =
        account.sample.iter().flat_map(|sample| sample.verdicts.values()).map(|verdict| verdict.refused).sum();
    json!({
        "marks": account.review.marks.len(),
        "by_others": by_others(&account.review),
        "items": account.sample.as_ref().map_or(0, |sample| sample.verdicts.len()),
        "superseded": superseded,
        "cleared": verdicts.filter_map(cleared).collect::<Vec<_>>(),
        "refused": refused,
    })
}

fn word(word: Word) -> &'static str {
    match word {
        Word::Correct => "correct",
        Word::Incorrect => "incorrect",
        Word::Escalate => "escalate",
    }
}

/// What the promise rests on.
fn assumptions(account: &Account) -> Vec<String> {
    let (review, plan) = (&account.review, account.review.plan());
    let mut all = vec![match &plan.planted {
        None => "the marks are right: what a reviewer misses counts as correct".to_owned(),
        Some(planted) => format!(
            "the {} planted items are as hard to judge as real ones, and nobody can tell them apart",
            planted.items
        ),
    }];
    all.push(format!(
        "the frame is what the workflow will go on doing: it holds what the condition picks, and leaves out {} outputs \
         of the candidate",
        plan.frame.left_out
    ));
    all.extend(plan.entropy.iter().filter_map(beacon));
    if let Some(drawn) = &review.drawn {
        all.push(format!("the seed is of class {:?}: {}", drawn.what.class, drawn.what.class.means()));
    }
    let without = account.sample.as_ref().map_or(0, |sample| sample.given.without_evidence.len());
    if without > 0 {
        all.push(format!(
            "{without} outputs of the frame have lost their values to an erasure; drawn, they count as wrong"
        ));
    }
    all.push("the evidence is complete: an output that was never sent cannot be drawn".to_owned());
    all
}

/// What nobody here can tell of a public beacon.
fn beacon(promise: &Promise) -> Option<String> {
    let round = promise.round.as_ref()?;
    Some(format!(
        "what was revealed as `{}` is what that beacon published as round {round}, after the plan: compare it with its \
         publisher",
        promise.kind
    ))
}

/// How anybody does it again, step by step.
fn recompute(review: &Review) -> Vec<String> {
    let id = &review.review_id;
    let plan = review.plan();
    let mut steps = vec![
        format!("probity review verify {id}    # frame, seed, order, tally and decision from the evidence"),
        format!(
            "probity review verify {id} --export review.json && python3 review_draw.py review.json    # without Probity"
        ),
        format!(
            "probity prove --seq {}    # the plan is in the ledger; its leaf hash is the plan hash",
            review.planned.seq
        ),
        format!(
            "frame: one line \"id<TAB>stratum<TAB>weight\" an output, sorted by id; its SHA-256 is {}",
            plan.frame.frame_hash
        ),
    ];
    if let Some(drawn) = &review.drawn {
        steps.push(format!("seed: SHA-256 of the seed text, which is {}", drawn.what.seed_hash));
        steps.push(match plan.claim.of {
            Measure::Value => {
                "draw j: the first 128 bits of SHA-256(\"mus/v1\\n<seed>\\n<j>\\n<t>\") for t = 0, 1, … that lie \
                               below the largest multiple of the value, modulo the value, is the unit that it hits, \
                               ids ascending"
                    .to_owned()
            }
            _ => "ticket of an id: \"0.\" and the reversed decimal digits of SHA-256(seed || id); ascending in each \
                  stratum, the strata in rounds"
                .to_owned(),
        });
    }
    steps
}

/// The status in a sentence.
pub fn headline(review: &Review, status: &Status) -> String {
    let Status { items, n, k, e, decision, next, alpha, .. } = status;
    let what = match decision {
        Decision::Extend | Decision::Census => format!(", {} more correct marks would do", next.unwrap_or(0)),
        _ => String::new(),
    };
    format!(
        "{}: {} for `{}`: {n} of {items} outputs reviewed, {k} wrong; E = {e}, it takes {}{what}",
        review.review_id,
        decision.name(),
        review.workflow,
        threshold(*alpha)
    )
}

/// One over alpha, exactly.
fn threshold(alpha: Fraction) -> String {
    match (alpha.denominator(), alpha.numerator()) {
        (denominator, 1) => denominator.to_string(),
        (denominator, numerator) => format!("{denominator}/{numerator}"),
    }
}

fn as_json(what: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(what).map_err(|e| Error::internal("a review cannot be written as JSON").because(e))
}

#[cfg(test)]
mod tests {
    use super::super::record::testing::{event, planned};
    use super::super::record::{MARKED, PLANNED};
    use super::super::sample::{Given, Sample};
    use super::*;

    fn account(marks: &[(&str, &str, &str)]) -> Account {
        use super::super::plan::testing::frame;
        let mut events = vec![event(1, PLANNED, &serde_json::to_value(planned()).unwrap())];
        for (seq, (item, reviewer, word)) in (5..).zip(marks) {
            let mut event = event(seq, MARKED, &json!({"item": item, "mark": word}));
            event.reviewer = Some((*reviewer).to_owned());
            events.push(event);
        }
        let review = Review::of(&events).unwrap().unwrap();
        let (planted, without_evidence) = (BTreeSet::new(), BTreeMap::new());
        let given = Given { frame: frame(&[("all", 10)]), planted, without_evidence };
        let sample = Sample::of(&review, given, 100).unwrap();
        let status = sample.status(&review).unwrap();
        Account {
            review,
            size: 100,
            sample: Some(sample),
            outputs: Vec::new(),
            planted: BTreeMap::new(),
            areas: BTreeSet::new(),
            plan_hash: "0".repeat(64),
            checks: Vec::new(),
            status,
        }
    }

    #[test]
    fn a_mark_that_was_taken_back_and_a_clearing_are_told() {
        let document = of(&account(&[
            ("all-0001", "ann", "correct"),
            ("all-0001", "ann", "incorrect"),
            ("all-0001", "ann", "correct"),
            ("all-0001", "bob", "correct"),
        ]))
        .unwrap();
        let marks = &document["marks"];
        assert_eq!((&marks["marks"], &marks["items"], &marks["refused"]), (&4.into(), &1.into(), &1.into()));
        // All events of the account are stated by olga, who is no reviewer.
        assert_eq!((&marks["by_others"], &document["judged"]), (&4.into(), &1.into()));
        assert_eq!(marks["superseded"].as_array().map(Vec::len), Some(2));
        assert_eq!(
            (&marks["superseded"][0]["mark"], &marks["superseded"][0]["now"]),
            (&"correct".into(), &"incorrect".into())
        );
        assert_eq!(marks["cleared"][0]["cleared_by"], "bob");
    }

    #[test]
    fn what_a_beacon_published_is_an_assumption() {
        let mut account = account(&[]);
        let is_told = |account: &Account| assumptions(account).iter().any(|words| words.contains("as round 4711"));
        assert!(!is_told(&account));
        let promise = Promise { kind: "drand".to_owned(), round: Some("4711".to_owned()), commitment: None };
        account.review.planned.what.plan.entropy = vec![promise];
        assert!(is_told(&account));
    }

    #[test]
    fn the_document_says_what_was_promised_and_what_it_rests_on() {
        let account = account(&[]);
        let document = of(&account).unwrap();
        assert!(document["promise"].as_str().unwrap().starts_with("if at least 1 of the 10 outputs"));
        assert_eq!((&document["seed"], &document["threshold"]), (&Value::Null, &json!(40.0)));
        assert!(document["assumptions"][0].as_str().unwrap().contains("the marks are right"));
        let status = status(&account).unwrap();
        assert_eq!(
            (&status["N"], &status["D0"], &status["n"], &status["decision"]),
            (&10.into(), &1.into(), &0.into(), &document["status"]["decision"])
        );
        let export = export(&account).unwrap();
        assert_eq!(
            (export["frame"].as_array().map(Vec::len), &export["frame"][0]),
            (Some(10), &"all-0000\tall\t1".into())
        );
    }
}
