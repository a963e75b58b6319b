//! Planning a review: from what a person asks to a plan in the ledger.
//!
//! In: conditions, a claim, people. Out: one `review.planned` event. Invariants: the plan is in the ledger before any
//! seed can be known; it is of the next attempt, whoever else plans; a review that is to let a workflow run again is
//! planned only where everything holds that has to.

use std::collections::BTreeSet;

use super::account::{pick_of, planted_of};
use super::design::{Design, allocate};
use super::frame::Frame;
use super::ground::Ground;
use super::leaf::Source;
use super::outputs::outputs;
use super::owner;
use super::plan::{Claim, FORMAT, FrameTerms, Plan, PlantedTerms, Procedure, Promise, check_number, planted_hash};
use super::preconditions::{self, Asked};
use super::record::{self, PLANNED, Planned, PlantedFrom, Purpose, next_attempt};
use super::register::{About, as_json, conflict};
use crate::analysis::fraction::Fraction;
use crate::analysis::sampler::seed_hash;
use crate::error::{Error, Result};
use crate::event::Column;
use crate::incident;
use crate::ingest::writer::Writer;
use crate::ledger::hash::hex;
use crate::query::engine::Engine;
use crate::store::Store;

/// What a person asks for.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The incident that the review follows; none for one by cadence.
    pub incident: Option<String>,
    /// The workflow, where the outputs do not say it themselves.
    pub workflow: Option<String>,
    /// What picks everything that the candidate versions did.
    pub candidate: String,
    /// What narrows it.
    pub predicate: String,
    /// The environment of the outputs.
    pub environment: String,
    /// The column whose values are the strata.
    pub stratum_by: Option<String>,
    /// What it is to show.
    pub claim: Claim,
    /// The allowed error of all attempts together.
    pub alpha: Fraction,
    /// When it may be decided.
    pub procedure: Procedure,
    /// Errors that it should survive; none for two, or as many as the claim allows.
    pub errors: Option<u64>,
    /// Strata that are reviewed in full.
    pub take_all: Vec<String>,
    /// Items of a round of all sampled strata together, about.
    pub round_items: u64,
    /// Items that may be reviewed; none for as many as the claim takes with that many errors.
    pub most_items: Option<u64>,
    /// Outputs that are known to be wrong, to be put among the items.
    pub planted_from: Option<PlantedFrom>,
    /// What goes into the seed beside the checkpoint.
    pub entropy: Vec<Promise>,
    /// Who may mark.
    pub reviewers: Vec<String>,
    /// How many of them mark each item.
    pub reviewers_per_item: u64,
    /// Who made the fix, beside those whom the log names.
    pub authors: Vec<String>,
}

impl Proposal {
    fn purpose(&self) -> Purpose {
        if self.incident.is_some() { Purpose::ReEnable } else { Purpose::Cadence }
    }
}

/// A plan in the ledger.
#[derive(Debug, Clone)]
pub struct Logged {
    /// The review.
    pub review_id: String,
    /// The workflow that it is about.
    pub workflow: String,
    /// The event.
    pub seq: i64,
    /// Its leaf hash in hexadecimal digits.
    pub plan_hash: String,
    /// What it states.
    pub planned: Planned,
}

/// Plans a review of what `proposal` picks, as of the head of the ledger.
///
/// # Errors
/// Invalid when something asked for is wrong, a condition does not hold, or nobody owns the area; Conflict when somebody
/// planned the same attempt meanwhile; when the store fails.
pub async fn plan(store: &Store, engine: &Engine, proposal: &Proposal, by: &str) -> Result<Logged> {
    let size = engine.as_of().size;
    if size == 0 {
        return Err(Error::invalid("the ledger is empty; there are no outputs to judge"));
    }
    let planned = draft(proposal, size)?;
    planned.plan.check_claim()?;
    let ground = Ground::Evidence(store);
    let at_size = ground.session(size).await?;
    let picked = outputs(ground, &at_size, &pick_of(&planned)?, Source::Tiles).await?;
    check_number(picked.frame.strata().len())?;
    let workflow = workflow_of(&picked.workflows, proposal.workflow.as_deref())?;
    let mut planned = planned;
    planned.plan.owner = owner::of(engine, &workflow, &picked.areas).await?;
    if let Some(from) = &planned.planted_from {
        let planted = planted_of(ground, &at_size, from, Source::Tiles).await?;
        let ids = || planted.keys().map(String::as_str);
        check_apart(ids(), &picked.frame)?;
        planned.plan.planted = Some(PlantedTerms { items: planted.len() as u64, ids_hash: planted_hash(ids()) });
    }
    let (attempt, since) = next_attempt(&record::list(engine).await?, &workflow, planned.purpose);
    planned.plan.attempt = attempt;
    planned.plan.frame.items = picked.frame.items() as u64;
    planned.plan.frame.left_out = picked.left_out;
    planned.plan.frame.frame_hash = picked.frame.hash();
    allot(&mut planned.plan, proposal, picked.frame.strata())?;
    planned.plan.check(&picked.frame)?;
    if let Some(id) = &proposal.incident {
        let incident = incident::record::one(engine, id).await?;
        let (owner, reviewers, authors) = (&planned.plan.owner, &planned.plan.reviewers, &planned.authors);
        let asked = Asked { workflow: &workflow, owner, reviewers, authors, outputs: &picked.outputs };
        check_incident(&incident, &workflow)?;
        let conditions = preconditions::after(store, engine, &incident, &asked).await?;
        preconditions::require(&conditions)?;
        planned.preconditions = conditions;
    }
    let review_id = format!("rev-{}", &store.clock().id()[..12]);
    let about = About {
        review_id: &review_id,
        workflow: &workflow,
        area: only(&picked.areas),
        incident_id: proposal.incident.as_deref(),
    };
    let mut writer = Writer::new(store);
    let mut event = about.statement(&writer, PLANNED, (by, as_json(&planned)?));
    // Two who plan the same attempt at the same moment: the second finds this id taken, and counts again.
    event.set_text(Column::EventId, attempt_id(&workflow, planned.purpose, (since, attempt)));
    let taken =
        || conflict(format!("attempt {attempt} of `{workflow}` was planned by somebody else just now; plan again"));
    let seq = writer.state_once(&event).await?.ok_or_else(taken)?;
    // The sooner a checkpoint covers the plan, the less anybody can choose it.
    if store.signer().is_some() {
        store.fold().await?;
    }
    let leaves = ground.leaves(&[seq], Source::Rows).await?;
    let plan_hash = leaves.first().map(|leaf| hex(leaf)).unwrap_or_default();
    Ok(Logged { review_id, workflow, seq, plan_hash, planned })
}

/// What a plan says before anything is counted.
fn draft(proposal: &Proposal, size: i64) -> Result<Planned> {
    let size = u64::try_from(size).map_err(|_| Error::internal("the size of the ledger is negative"))?;
    let mut entropy = proposal.entropy.clone();
    entropy.sort_by(|a, b| a.kind.cmp(&b.kind));
    let plan = Plan {
        format: FORMAT.to_owned(),
        claim: proposal.claim,
        alpha: proposal.alpha,
        attempt: 1,
        procedure: proposal.procedure,
        most_items: 0,
        strata: Vec::new(),
        frame: FrameTerms {
            predicate: proposal.predicate.clone(),
            environment: proposal.environment.clone(),
            size,
            items: 0,
            left_out: 0,
            frame_hash: String::new(),
        },
        entropy,
        planted: None,
        reviewers: proposal.reviewers.clone(),
        reviewers_per_item: proposal.reviewers_per_item,
        owner: String::new(),
    };
    Ok(Planned {
        purpose: proposal.purpose(),
        plan,
        candidate: proposal.candidate.clone(),
        stratum_by: proposal.stratum_by.clone(),
        planted_from: proposal.planted_from.clone(),
        authors: proposal.authors.clone(),
        preconditions: Vec::new(),
    })
}

/// Errors that a review survives where nobody says how many; fewer where the claim allows no more.
const ERRORS: [u64; 3] = [2, 1, 0];

/// Gives each stratum its part, and the review its size.
fn allot(plan: &mut Plan, proposal: &Proposal, strata: &[(String, u64)]) -> Result<()> {
    let lacking = || Error::invalid("so many attempts leave no error that could be allowed; ENABLE begins anew");
    let alpha = plan.test_alpha().ok_or_else(lacking)?;
    let design = |errors: u64| Design {
        claim: plan.claim,
        alpha,
        procedure: plan.procedure,
        errors,
        take_all: proposal.take_all.clone(),
        round_items: proposal.round_items,
        planted: plan.planted.as_ref().map_or(0, |planted| planted.items),
    };
    let tried = proposal.errors.map_or_else(|| ERRORS.to_vec(), |errors| vec![errors]);
    let mut tried = tried.into_iter().map(|errors| allocate(strata, &design(errors)));
    let first = tried.next().ok_or_else(|| Error::internal("no number of errors was tried"))?;
    let allocation = first.or_else(|refused| tried.find_map(Result::ok).ok_or(refused))?;
    drop(tried);
    if proposal.most_items.is_some() && plan.procedure == Procedure::Fixed {
        return Err(Error::invalid(
            "a bound of items is given for a fixed plan, whose size follows from its claim; say the errors instead",
        ));
    }
    plan.most_items = proposal.most_items.unwrap_or(allocation.most_items);
    plan.strata = allocation.strata;
    Ok(())
}

/// The one workflow of the outputs.
fn workflow_of(found: &BTreeSet<Option<String>>, asked: Option<&str>) -> Result<String> {
    let names: Vec<&str> = found.iter().map(|name| name.as_deref().unwrap_or("none")).collect();
    match (only(found), asked) {
        (Some(workflow), None) => Ok(workflow.to_owned()),
        (Some(workflow), Some(asked)) if workflow == asked => Ok(workflow.to_owned()),
        (Some(workflow), Some(asked)) => Err(Error::invalid(format!(
            "the outputs are of workflow `{workflow}`, not of `{asked}`; let the candidate pick others"
        ))),
        (None, _) => Err(Error::invalid(format!(
            "the outputs are of {} workflows, {}; review one workflow at a time, e.g. where \"workflow = '…'\"",
            names.len(),
            names.join(", ")
        ))),
    }
}

/// The one text of a set; none where there are several, or what there is says nothing.
fn only(found: &BTreeSet<Option<String>>) -> Option<&str> {
    match found.iter().collect::<Vec<_>>().as_slice() {
        [one] => one.as_deref(),
        _ => None,
    }
}

/// Refuses to plant what is judged: of that nobody knows whether it is wrong, and its mark would count twice.
fn check_apart<'a>(planted: impl Iterator<Item = &'a str>, frame: &Frame) -> Result<()> {
    match planted.filter(|id| frame.place(id).is_some()).count() {
        0 => Ok(()),
        judged => Err(Error::invalid(format!(
            "{judged} of the outputs to plant are in the frame itself; plant others, which are known to be wrong"
        ))),
    }
}

fn check_incident(incident: &incident::record::Record, workflow: &str) -> Result<()> {
    match &incident.workflow {
        Some(own) if own != workflow => Err(Error::invalid(format!(
            "incident {} is about workflow `{own}`, the outputs are of `{workflow}`; let the candidate pick those of the \
             fix",
            incident.incident_id
        ))),
        _ => Ok(()),
    }
}

fn attempt_id(workflow: &str, purpose: Purpose, (since, attempt): (Option<i64>, u32)) -> String {
    let name = seed_hash(workflow);
    let since = since.map_or_else(|| "start".to_owned(), |seq| seq.to_string());
    format!("review/{}/{}/{since}/{attempt}", purpose.words().replace(' ', "-"), &name[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[Option<&str>]) -> BTreeSet<Option<String>> {
        names.iter().map(|name| name.map(str::to_owned)).collect()
    }

    #[test]
    fn a_review_is_about_one_workflow() {
        assert_eq!(workflow_of(&set(&[Some("w")]), None).unwrap(), "w");
        assert_eq!(workflow_of(&set(&[Some("w")]), Some("w")).unwrap(), "w");
        let refused = |names: &[Option<&str>], asked| workflow_of(&set(names), asked).unwrap_err().to_string();
        assert!(refused(&[Some("w")], Some("v")).contains("not of `v`"));
        assert!(refused(&[Some("w"), Some("v")], None).contains("2 workflows, v, w"));
        assert!(refused(&[None], None).contains("none"));
    }

    #[test]
    fn the_same_attempt_has_the_same_id_and_no_other_has_it() {
        let id = |workflow: &str, purpose, since, attempt| attempt_id(workflow, purpose, (since, attempt));
        let first = id("w", Purpose::ReEnable, None, 1);
        assert_eq!(first, id("w", Purpose::ReEnable, None, 1));
        let others = [
            id("v", Purpose::ReEnable, None, 1),
            id("w", Purpose::Cadence, None, 1),
            id("w", Purpose::ReEnable, Some(1), 1),
            id("w", Purpose::ReEnable, None, 2),
        ];
        assert!(!others.contains(&first) && first.len() < 100, "{first}");
    }
}
