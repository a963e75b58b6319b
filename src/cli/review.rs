//! `probity review`: planning, listing, deciding, reporting; drawing, marking and verifying are in `review_sample`.

use std::path::PathBuf;

use serde_json::json;

use super::args::{Global, Measured, ReviewCommand, ReviewDecideArgs, ReviewIdArgs, ReviewPlanArgs, ReviewReportArgs};
use super::output::{Output, thousands};
use super::{Answer, open, person, review_sample, session};
use crate::clock::rfc3339;
use crate::error::{Error, Result};
use crate::query::engine::Engine;
use crate::report::format;
use crate::report::review::gather::gather;
use crate::report::withheld::Sight;
use crate::review::account::Account;
use crate::review::decide::{Decision, Status, StratumStatus};
use crate::review::ground::Ground;
use crate::review::leaf::Source;
use crate::review::plan::{Measure, Procedure, Promise, Stratum};
use crate::review::preconditions::Condition;
use crate::review::proposal::{self, Logged};
use crate::review::record::{self, PlantedFrom, Review};
use crate::review::terms::Terms;
use crate::review::{answers, document, register};
use crate::store::Store;

/// Strata that are told when a review was planned; the JSON has all.
const TOLD_STRATA: usize = 12;

/// Runs a command of reviews.
///
/// # Errors
/// When the command cannot be done.
pub async fn run(global: &Global, command: &ReviewCommand, out: &Output) -> Result<Answer> {
    match command {
        ReviewCommand::Plan(args) => plan(global, args, out).await,
        ReviewCommand::Draw(args) => review_sample::draw(global, args, out).await,
        ReviewCommand::Mark(args) => review_sample::mark(global, args, out).await,
        ReviewCommand::Status(args) => status(global, args, out).await,
        ReviewCommand::Decide(args) => decide(global, args, out).await,
        ReviewCommand::Verify(args) => review_sample::again(global, args, out).await,
        ReviewCommand::Report(args) => report(global, args, out).await,
        ReviewCommand::List => list(global, out).await,
    }
}

/// Plans a review.
///
/// # Errors
/// When something asked for is wrong, a condition does not hold, or the store fails.
async fn plan(global: &Global, args: &ReviewPlanArgs, out: &Output) -> Result<Answer> {
    let proposal = terms_of(args)?.proposal()?;
    let by = person(args.by.as_deref())?;
    let store = open(global).await?;
    let engine = session(global, &store).await?;
    let logged = proposal::plan(&store, &engine, &proposal, &by).await?;
    tell_plan(&logged, out);
    out.result(&logged.review_id)?;
    out.json(&answers::planned(&logged))?;
    Ok(Answer::Done)
}

fn terms_of(args: &ReviewPlanArgs) -> Result<Terms> {
    let of = match args.of {
        Measured::Overall => Measure::Overall,
        Measured::EachStratum => Measure::EachStratum,
        Measured::Value => Measure::Value,
    };
    let planted = |predicate: &String| PlantedFrom {
        predicate: predicate.clone(),
        environment: args.planted_environment.clone(),
    };
    let mut entropy = Vec::new();
    for text in &args.beacons {
        let (kind, round) = pair("--beacon", text)?;
        entropy.push(Promise { kind, round: Some(round), commitment: None });
    }
    for text in &args.commitments {
        let (kind, commitment) = pair("--commitment", text)?;
        entropy.push(Promise { kind, round: None, commitment: Some(commitment) });
    }
    Ok(Terms {
        incident_id: args.incident.clone(),
        workflow: args.workflow.clone(),
        candidate: args.candidate.clone(),
        predicate: args.predicate.clone(),
        environment: args.environment.clone(),
        stratum_by: args.stratum.clone(),
        below: args.below.clone(),
        of,
        alpha: args.alpha.clone(),
        procedure: if args.fixed { Procedure::Fixed } else { Procedure::Sequential },
        errors: args.errors,
        take_all: args.take_all.clone(),
        round_items: args.round,
        most_items: args.most,
        planted_from: args.planted_where.as_ref().map(planted),
        entropy,
        reviewers: args.reviewers.clone(),
        reviewers_per_item: args.reviewers_per_item,
        authors: args.authors.clone(),
    })
}

/// The two sides of `kind=value`.
pub(super) fn pair(option: &str, text: &str) -> Result<(String, String)> {
    let pair = text.split_once('=').map(|(kind, value)| (kind.trim().to_owned(), value.trim().to_owned()));
    pair.ok_or_else(|| Error::invalid(format!("{option} `{text}` lacks an equals sign; write KIND=VALUE")))
}

/// Says what was planned, the promise first.
fn tell_plan(logged: &Logged, out: &Output) {
    let plan = &logged.planned.plan;
    out.say(&format!("event {} plans review {}, attempt {}", logged.seq, logged.review_id, plan.attempt));
    out.say(&format!("promise: {}", plan.promise()));
    let (items, left_out) = (plan.frame.items, plan.frame.left_out);
    out.say(&format!(
        "frame: {} outputs of `{}`, SHA-256 {}; left out {}",
        thousands(items),
        logged.workflow,
        plan.frame.frame_hash,
        share(left_out, items + left_out)
    ));
    out.say(&format!("{} items at most; {}", thousands(plan.most_items), strata_in_words(&plan.strata)));
    if let Some(planted) = &plan.planted {
        out.say(&format!("{} outputs that are known to be wrong are planted among them", thousands(planted.items)));
    }
    logged.planned.preconditions.iter().for_each(|condition| out.say(&condition_in_words(condition)));
    out.say(&format!("signed by {} when it is decided; plan hash {}", plan.owner, logged.plan_hash));
    out.say(&format!("draw the sample with: probity review draw {}", logged.review_id));
}

/// A part of a whole in counts and percent.
fn share(part: u64, whole: u64) -> String {
    let fraction = (whole > 0).then(|| part as f64 / whole as f64);
    format!("{} ({})", format::of(part, whole), format::percent(fraction))
}

fn strata_in_words(strata: &[Stratum]) -> String {
    let told: Vec<String> = strata.iter().take(TOLD_STRATA).map(stratum_in_words).collect();
    match strata.len().saturating_sub(TOLD_STRATA) {
        0 => told.join(", "),
        more => format!("{}, and {} more strata", told.join(", "), thousands(more as u64)),
    }
}

fn stratum_in_words(stratum: &Stratum) -> String {
    let (name, items) = (&stratum.stratum, thousands(stratum.items));
    match stratum.is_take_all {
        true => format!("`{name}` all {items}"),
        false => format!("`{name}` {} of {items} a round", thousands(stratum.per_round)),
    }
}

fn condition_in_words(condition: &Condition) -> String {
    let mark = if condition.is_met { "✓" } else { "✗" };
    format!("{mark} {}", condition.sentence())
}

/// Lists the reviews.
///
/// # Errors
/// When the store fails.
async fn list(global: &Global, out: &Output) -> Result<Answer> {
    let store = open(global).await?;
    let engine = session(global, &store).await?;
    let reviews = record::list(&engine).await?;
    if reviews.is_empty() {
        out.say("there is no review");
    }
    for review in &reviews {
        let last = review.last().map_or("", |last| last.what.status.decision.name());
        let (purpose, attempt) = (review.planned.what.purpose.words(), review.plan().attempt);
        let (state, at) = (review.state(), rfc3339(review.planned.at));
        out.result(&format!(
            "{}  {state:8}  {last:8}  {at}  {}, {purpose}, attempt {attempt}",
            review.review_id, review.workflow
        ))?;
    }
    out.json(&json!({"reviews": reviews.iter().map(Review::to_json).collect::<Vec<_>>()}))?;
    Ok(Answer::Done)
}

/// The account of the review `id` as of `engine`.
pub(super) async fn account(store: &Store, engine: &Engine, id: &str) -> Result<Account> {
    let review = record::one(engine, id).await?;
    Account::of(Ground::Evidence(store), review, engine.as_of().size, Source::Tiles).await
}

/// Tells where a review stands.
///
/// # Errors
/// When there is no such review, a bound is met, or the store fails.
async fn status(global: &Global, args: &ReviewIdArgs, out: &Output) -> Result<Answer> {
    let store = open(global).await?;
    let engine = session(global, &store).await?;
    let account = account(&store, &engine, &args.review).await?;
    tell_status(&account, out)?;
    out.json(&document::status(&account)?)?;
    Ok(answer(&account.status))
}

fn answer(status: &Status) -> Answer {
    if status.decision == Decision::Enable { Answer::Done } else { Answer::NotAll }
}

fn tell_status(account: &Account, out: &Output) -> Result<()> {
    let (review, status) = (&account.review, &account.status);
    out.result(&document::headline(review, status))?;
    out.say(&format!("promise: {}", review.plan().promise()));
    status.reasons.iter().for_each(|reason| out.say(reason));
    let escalated = account.sample.iter().flat_map(document::escalated);
    escalated.for_each(|item| out.say(&format!("escalated: {item}")));
    status.strata.iter().map(stratum_status).try_for_each(|words| out.result(&words))?;
    if let Some(value) = &status.value {
        out.result(&format!("{} of the value at stake, {}, was found wrong", value.wrong, value.total))?;
    }
    if let Some(planted) = &status.planted {
        let caught = planted.share.map_or_else(String::new, |share| format!("; at least {share} of all are caught"));
        out.result(&format!("{} of {} planted items caught{caught}", planted.caught, planted.marked))?;
    }
    match &review.drawn {
        Some(drawn) => {
            let what = &drawn.what;
            out.say(&format!("seed {} of class {:?}: {}", what.seed_hash, what.class, what.class.means()));
        }
        None => out.say(&format!("nothing is drawn yet: probity review draw {}", review.review_id)),
    }
    if let Some(last) = review.last() {
        let decision = last.what.status.decision.name();
        out.say(&format!("last signed: {decision} by {} in event {}", last.by, last.seq));
    }
    Ok(())
}

fn stratum_status(status: &StratumStatus) -> String {
    let tally = &status.tally;
    let e = status.e.as_ref().map_or_else(String::new, |e| format!(", E = {e}"));
    let mut words =
        format!("  `{}`: {} of {} reviewed, {} wrong{e}", tally.stratum, tally.n, thousands(tally.items), tally.k);
    for (n, what) in [(tally.escalated, "escalated"), (tally.without_evidence, "lost"), (tally.cleared, "cleared")] {
        if n > 0 {
            words.push_str(&format!(", {n} {what}"));
        }
    }
    words
}

/// Signs where a review stands.
///
/// # Errors
/// When somebody else must sign, a condition does not hold any more, the review is over, or the store fails.
async fn decide(global: &Global, args: &ReviewDecideArgs, out: &Output) -> Result<Answer> {
    let by = person(args.by.as_deref())?;
    let store = open(global).await?;
    let engine = session(global, &store).await?;
    let account = account(&store, &engine, &args.review).await?;
    let signed = register::decide(&store, &engine, &account, &by).await?;
    let status = &signed.decided.status;
    out.result(&document::headline(&account.review, status))?;
    status.reasons.iter().for_each(|reason| out.say(reason));
    out.say(&format!("event {} signs it, by {by}", signed.seq));
    if let Some(resumed) = signed.resumed {
        out.say(&format!("event {resumed} resumes workflow `{}`", account.review.workflow));
    }
    out.json(&answers::signed(&account, &signed)?)?;
    Ok(answer(status))
}

/// Writes the report of a review.
///
/// # Errors
/// When there is no such review, a bound is met, or the files cannot be written.
async fn report(global: &Global, args: &ReviewReportArgs, out: &Output) -> Result<Answer> {
    let store = open(global).await?;
    let engine = session(global, &store).await?;
    let account = account(&store, &engine, &args.review).await?;
    let report = gather(&engine, &account, &global.tenant, Sight::Shown).await?;
    out.say(&report.headline);
    // With --json the document is on standard output; files are written where they were asked for.
    if !out.is_json || args.out.is_some() {
        let directory = args.out.clone().unwrap_or_else(|| PathBuf::from("report"));
        let page = super::report::write(&report, &directory)?;
        out.print(&page.display().to_string())?;
    }
    out.json(&report.json)?;
    Ok(Answer::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strata_that_nobody_would_read_are_counted() {
        let stratum = |i: usize| Stratum { stratum: format!("s{i:02}"), items: 9, per_round: 1, is_take_all: false };
        let strata: Vec<Stratum> = (0..TOLD_STRATA + 3).map(stratum).collect();
        let words = strata_in_words(&strata);
        assert!(words.contains("`s11` 1 of 9 a round, and 3 more strata") && !words.contains("s12"), "{words}");
        assert_eq!(strata_in_words(&strata[..2]), "`s00` 1 of 9 a round, `s01` 1 of 9 a round");
    }
}
