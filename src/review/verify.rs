//! Verifying a review: everything that it states is computed again, from the evidence or from a pack alone.
//!
//! In: a ground, a review. Out: its account and a list of checks. Invariants: leaf hashes are those of the rows; what a
//! pack does not hold is said to be unchecked, never passed; nothing is taken from what was computed before.

use std::collections::BTreeSet;

use super::account::Account;
use super::checks::{self, Check};
use super::decide::Decision;
use super::ground::Ground;
use super::leaf::Source;
use super::owner;
use super::preconditions::{self, Asked};
use super::record::{self, Decided, Purpose, Review, Stated, next_attempt};
use crate::clock::Micros;
use crate::error::{Error, ErrorKind, Result};
use crate::incident;

/// Verifies the review `id` over `ground`.
///
/// # Errors
/// NotFound when there is no such review; when the evidence cannot be read or a bound is met.
pub async fn verify(ground: Ground<'_>, id: &str) -> Result<(Account, Vec<Check>)> {
    let size = match ground {
        Ground::Evidence(store) => store.snapshot().await?.size,
        Ground::Pack(packed) => packed.size(),
    };
    let engine = ground.session(size).await?;
    let review = record::one(&engine, id).await?;
    let attempt = match ground {
        Ground::Pack(packed) if !packed.is_whole(review.planned.seq + 1) => None,
        _ => Some(attempt_of(record::list(&engine).await?, &review)),
    };
    let account = Account::of(ground, review, size, Source::Rows).await?;
    let mut all = account.checks.clone();
    if let Some(plan) = all.iter_mut().find(|check| check.check == "plan") {
        *plan = checks::plan(&account.review, attempt);
    }
    all.extend(ledger(ground, &account.review).await?);
    let marks: Vec<i64> = account.review.marks.iter().map(|mark| mark.seq).collect();
    let leaves = ground.leaves(&marks, Source::Rows).await?;
    all.push(match &account.sample {
        Some(sample) => checks::decisions(&account.review, sample, &leaves),
        None => Check::not_checked("decision", "without the frame no tally can be made"),
    });
    all.push(complete(ground, &account.review));
    all.push(signatures(ground, &account).await?);
    all.push(conditions(ground, &account).await?);
    all.push(checks::resumption(&account.review));
    Ok((account, all))
}

/// The attempt that `review` was when it was planned.
fn attempt_of(reviews: Vec<Review>, review: &Review) -> u32 {
    let seq = review.planned.seq;
    let before = |mut other: Review| {
        other.decided.retain(|stated| stated.seq < seq);
        other.resumed = other.resumed.filter(|stated| stated.seq < seq);
        (other.planned.seq < seq).then_some(other)
    };
    let before: Vec<Review> = reviews.into_iter().filter_map(before).collect();
    next_attempt(&before, &review.workflow, review.planned.what.purpose).0
}

/// The root that the seed names is that of the ledger.
async fn ledger(ground: Ground<'_>, review: &Review) -> Result<Option<Check>> {
    let Some(drawn) = &review.drawn else { return Ok(None) };
    let seed = &drawn.what.seed;
    let is_root = match ground {
        Ground::Pack(packed) => packed.grew_from(seed.size, &seed.root),
        Ground::Evidence(store) => {
            let root = store.root_at(i64::try_from(seed.size).unwrap_or(i64::MAX)).await?;
            root.map(|root| root == seed.root)
        }
    };
    let words = format!("the root over the first {} events", seed.size);
    Ok(Some(match is_root {
        Some(true) => Check::of("ledger", words, Vec::new()),
        Some(false) => {
            Check::of("ledger", words, vec![format!("the seed names the root {}, the ledger has another", seed.root)])
        }
        None => Check::not_checked(
            "ledger",
            format!("{words} is not at hand; a pack has it with --held and the seed's checkpoint, or from event 0 on"),
        ),
    }))
}

/// Whether a mark could be missing.
fn complete(ground: Ground<'_>, review: &Review) -> Check {
    let end = review.last().map_or(review.planned.seq, |last| last.seq) + 1;
    match ground {
        Ground::Evidence(_) => Check::of("completeness", "all events of the ledger", Vec::new()),
        Ground::Pack(packed) if packed.is_whole(end) => {
            Check::of("completeness", format!("all of the first {end} events"), Vec::new())
        }
        Ground::Pack(_) if review.last().is_some() => Check::of(
            "completeness",
            "as many marks as the decision counts; what else was left out a pack of single rows does not show",
            Vec::new(),
        ),
        Ground::Pack(_) => {
            Check::not_checked("completeness", "a pack of single rows does not show whether a mark was left out")
        }
    }
}

/// Whether the owner by the policy in force signed each decision.
async fn signatures(ground: Ground<'_>, account: &Account) -> Result<Check> {
    let review = &account.review;
    let Some(last) = review.last() else { return Ok(Check::not_checked("owner", "nothing is signed yet")) };
    if let Ground::Pack(packed) = ground
        && !packed.is_whole(last.what.basis.size)
    {
        return Ok(Check::not_checked("owner", "the policy in force is not at hand; take a pack from event 0 on"));
    }
    let areas = match &review.area {
        Some(area) => BTreeSet::from([Some(area.clone())]),
        None => account.areas.clone(),
    };
    let mut findings = Vec::new();
    for stated in &review.decided {
        let engine = ground.session_at(stated.what.basis.size, stated.at).await?;
        match owner::of(&engine, &review.workflow, &areas).await {
            Ok(owner) if owner == stated.by => {}
            Ok(owner) => {
                findings.push(format!("event {} is signed by {}, the owner is {owner}", stated.seq, stated.by))
            }
            Err(e) if e.kind() == ErrorKind::Invalid => findings.push(format!("event {}: {e}", stated.seq)),
            Err(e) => return Err(e),
        }
    }
    Ok(Check::of("owner", format!("{} decisions", review.decided.len()), findings))
}

/// Whether what had to hold did hold when the review was planned, and when ENABLE was signed.
async fn conditions(ground: Ground<'_>, account: &Account) -> Result<Check> {
    let review = &account.review;
    let name = "preconditions";
    if review.planned.what.purpose == Purpose::Cadence {
        return Ok(Check::of(name, "none are asked of a review by cadence", Vec::new()));
    }
    let Ground::Evidence(store) = ground else {
        return Ok(Check::not_checked(name, "they are judged over the evidence of the store"));
    };
    let plan = review.plan();
    let size = i64::try_from(plan.frame.size).map_err(|_| Error::damaged("the plan names no size of a ledger"))?;
    let is_enabling = |stated: &&Stated<Decided>| stated.what.status.decision == Decision::Enable;
    let enabled = review.decided.iter().filter(is_enabling);
    let mut points: Vec<(i64, Micros, &str, i64)> = vec![(size, review.planned.at, &plan.owner, review.planned.seq)];
    points.extend(enabled.map(|stated| (stated.what.basis.size, stated.at, stated.what.owner.as_str(), stated.seq)));
    let mut findings = Vec::new();
    for (size, at, owner, seq) in points {
        let engine = ground.session_at(size, at).await?;
        let id = review.incident_id.as_deref().unwrap_or_default();
        let incident = match incident::record::one(&engine, id).await {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                findings.push(format!("event {seq}: {e}"));
                continue;
            }
            found => found?,
        };
        let asked = Asked {
            workflow: &review.workflow,
            owner,
            reviewers: &plan.reviewers,
            authors: &review.planned.what.authors,
            outputs: &account.outputs,
        };
        let conditions = preconditions::after(store, &engine, &incident, &asked).await?;
        findings.extend(preconditions::unmet(&conditions).map(|what| format!("at event {seq}: {what}")));
    }
    Ok(Check::of(name, "as of the plan, and of ENABLE", findings))
}

#[cfg(test)]
mod tests {
    use super::super::record::PLANNED;
    use super::super::record::testing::{event, planned};
    use super::*;

    #[test]
    fn an_attempt_is_counted_as_it_was_when_it_was_planned() {
        let review =
            |seq: i64| Review::of(&[event(seq, PLANNED, &serde_json::to_value(planned()).unwrap())]).unwrap().unwrap();
        let all = || vec![review(1), review(5), review(9)];
        let attempts: Vec<u32> = all().iter().map(|own| attempt_of(all(), own)).collect();
        assert_eq!(attempts, [1, 2, 3]);
    }
}
