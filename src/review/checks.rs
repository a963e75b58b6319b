//! The checks of a review: what anybody can compute again, and whether it is what the events state.
//!
//! In: a review, its sample, hashes and checkpoints from whoever read them. Out: one check each, with what is wrong.
//! Invariants: nothing is believed because an event says so; what cannot be checked here is said to be unchecked, never
//! passed. Pure, the same for the evidence and for a pack.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::decide::{Decision, Status};
use super::frame::Frame;
use super::ground::Signed;
use super::plan::{Plan, planted_hash};
use super::record::{Decided, Review, Stated, is_end, unheard};
use super::sample::{Given, Sample};
use super::seed::Class;
use crate::analysis::sampler::seed_hash;
use crate::event::Leaf;
use crate::ledger::hash::hex;

/// Findings of one check that are told; the rest are counted.
const FINDINGS: usize = 20;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is as stated.
    Passed,
    /// It is not.
    Failed,
    /// It cannot be told from what is at hand.
    NotChecked,
}

impl Outcome {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::NotChecked => "not_checked",
        }
    }
}

/// A check.
#[derive(Debug, Clone)]
pub struct Check {
    /// What is checked.
    pub check: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// What was found, in words.
    pub words: String,
    /// What is wrong.
    pub findings: Vec<String>,
}

impl Check {
    /// A check that passes unless something is wrong.
    pub fn of(check: &'static str, words: impl Into<String>, findings: Vec<String>) -> Self {
        let outcome = if findings.is_empty() { Outcome::Passed } else { Outcome::Failed };
        Self { check, outcome, words: words.into(), findings }
    }

    /// A check for which something lacks.
    pub fn not_checked(check: &'static str, words: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::NotChecked, words: words.into(), findings: Vec::new() }
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "check": self.check, "outcome": self.outcome.name(), "words": self.words, "findings": self.findings,
        })
    }
}

/// What is wrong by all of `checks`, in sentences.
pub fn faults(checks: &[Check]) -> Vec<String> {
    checks.iter().flat_map(|check| &check.findings).cloned().collect()
}

/// `findings`, cut where there are too many to read.
fn told(mut findings: Vec<String>) -> Vec<String> {
    let more = findings.len().saturating_sub(FINDINGS);
    findings.truncate(FINDINGS);
    if more > 0 {
        findings.push(format!("and {more} more of this kind"));
    }
    findings
}

/// The plan can be carried out, is of the attempt that it says, and was logged before the draw.
pub fn plan(review: &Review, attempt: Option<u32>) -> Check {
    let plan = review.plan();
    let mut findings: Vec<String> = plan.check_terms().err().map(|e| e.to_string()).into_iter().collect();
    if let Some(counted) = attempt.filter(|counted| *counted != plan.attempt) {
        findings.push(format!("the plan says attempt {}, the ledger counts {counted}", plan.attempt));
    }
    if let Some(drawn) = &review.drawn
        && drawn.seq < review.planned.seq
    {
        findings.push(format!("event {} draws before event {} plans", drawn.seq, review.planned.seq));
    }
    let counted = if attempt.is_some() { ", as the ledger counts" } else { "; earlier ones are not at hand" };
    Check::of("plan", format!("event {}, attempt {}{counted}", review.planned.seq, plan.attempt), findings)
}

/// The frame is the one that was planned.
pub fn frame(review: &Review, frame: &Frame, left_out: Option<u64>) -> Check {
    let plan = review.plan();
    let mut findings = Vec::new();
    if let Err(e) = plan.check(frame) {
        findings.push(format!(
            "{e}: the plan is about {} items with hash {}, the evidence gives {} with hash {}; evidence was erased, \
             retired or changed",
            plan.frame.items,
            plan.frame.frame_hash,
            frame.items(),
            frame.hash()
        ));
    }
    if let Some(left_out) = left_out.filter(|left_out| *left_out != plan.frame.left_out) {
        findings.push(format!(
            "the plan leaves out {} outputs of the candidate, the evidence says {left_out}",
            plan.frame.left_out
        ));
    }
    Check::of("frame", format!("{} items, SHA-256 {}", frame.items(), frame.hash()), findings)
}

/// The seed is made of the plan, the frame, the first checkpoint after the plan and the entropy that was promised.
pub fn seed(review: &Review, plan_hash: &str, signed: &Signed) -> Check {
    let Some(drawn) = &review.drawn else { return Check::not_checked("seed", "nothing is drawn yet") };
    let (plan, stated) = (review.plan(), &drawn.what);
    let seed = &stated.seed;
    let mut findings: Vec<String> = seed.check(plan).err().map(|e| e.to_string()).into_iter().collect();
    if seed.plan_hash != plan_hash {
        findings.push(format!("the seed names the plan {}, the plan's leaf hash is {plan_hash}", seed.plan_hash));
    }
    if seed.hash() != stated.seed_hash {
        findings.push(format!("the parts of the seed hash to {}, not to {}", seed.hash(), stated.seed_hash));
    }
    if !super::checkpoint::covers(seed.size, review.planned.seq) {
        findings.push(format!("the checkpoint of {} events does not cover event {}", seed.size, review.planned.seq));
    }
    match signed {
        Signed::First { origin, size, root, .. } if (origin, *size, root) != (&seed.origin, seed.size, &seed.root) => {
            findings.push(format!(
                "the first checkpoint after the plan is of {size} events of {origin} with root {root}, the seed names \
                 {} events of {} with root {}",
                seed.size, seed.origin, seed.root
            ));
        }
        Signed::Missing => findings.push("no checkpoint was signed after the plan".to_owned()),
        _ => {}
    }
    findings.extend(class(plan, stated.class, signed));
    let first =
        if matches!(signed, Signed::Unknown) { "; whether it is the first after the plan is not at hand" } else { "" };
    Check::of("seed", format!("SHA-256 {}, from the checkpoint of {} events{first}", seed.hash(), seed.size), findings)
}

/// What is wrong with the class that the draw states: cosignatures may have come since, but none has gone.
fn class(plan: &Plan, stated: Class, signed: &Signed) -> Option<String> {
    let least = Class::of(plan, 0);
    let is_as_stated = match (least, signed) {
        (Class::A | Class::B, _) => stated == least,
        (_, Signed::First { cosigners: 0, .. }) => stated == Class::D,
        _ => matches!(stated, Class::C | Class::D),
    };
    (!is_as_stated).then(|| format!("the draw states class {stated:?}, plan and checkpoint give {least:?}"))
}

/// The order is the one that the seed gives.
pub fn order(review: &Review, sample: &Sample) -> Check {
    let Some(drawn) = &review.drawn else { return Check::not_checked("order", "nothing is drawn yet") };
    let hash = sample.order.hash(&sample.given.frame);
    let mut findings = Vec::new();
    if hash != drawn.what.order_hash {
        findings.push(format!(
            "the seed gives an order with hash {hash}, event {} states {}",
            drawn.seq, drawn.what.order_hash
        ));
    }
    if sample.order.places().len() as u64 != drawn.what.items {
        findings.push(format!(
            "the order has {} items, event {} states {}",
            sample.order.places().len(),
            drawn.seq,
            drawn.what.items
        ));
    }
    Check::of("order", format!("{} items, SHA-256 {hash}", sample.order.places().len()), findings)
}

/// The planted items are those that the plan committed to, and none of them is judged.
pub fn planted(review: &Review, planted: &BTreeSet<String>, frame: &Frame) -> Check {
    let Some(terms) = &review.plan().planted else { return Check::of("planted", "none", Vec::new()) };
    let mut findings = Vec::new();
    if planted_hash(planted.iter().map(String::as_str)) != terms.ids_hash || planted.len() as u64 != terms.items {
        findings.push(format!(
            "{} planted items are found, not the {} that the plan committed to",
            planted.len(),
            terms.items
        ));
    }
    let judged = planted.iter().filter(|id| frame.place(id).is_some()).count();
    if judged > 0 {
        findings.push(format!("{judged} planted items are in the frame"));
    }
    Check::of("planted", format!("{} items outside of the frame", planted.len()), findings)
}

/// Every mark is by a reviewer of the plan, of an item of the review, after the draw and before the end.
pub fn marks(review: &Review, given: &Given) -> Check {
    let plan = review.plan();
    let drawn = review.drawn.as_ref().map(|drawn| drawn.seq);
    let end = review.decided.iter().find(|stated| is_end(stated.what.status.decision)).map(|stated| stated.seq);
    let mut findings = Vec::new();
    for mark in &review.marks {
        let marked = &mark.what.marked;
        let (seq, item) = (marked.seq, &marked.mark.item);
        if !plan.reviewers.contains(&marked.reviewer) {
            findings.push(format!("event {seq} is a mark by {}, whom the plan does not name", marked.reviewer));
        }
        if given.frame.place(item).is_none() && !given.planted.contains(item) {
            findings.push(format!("event {seq} marks `{item}`, which is no item of the review"));
        }
        if drawn.is_none_or(|drawn| seq < drawn) {
            findings.push(format!("event {seq} marks before the draw"));
        }
        if end.is_some_and(|end| seq > end) {
            findings.push(format!("event {seq} marks after the review was closed"));
        }
        findings.extend(marked.mark.check().err().map(|e| format!("event {seq}: {e}")));
    }
    let by_others = by_others(review);
    let entered =
        if by_others > 0 { format!(", {by_others} stated by others than their reviewers") } else { String::new() };
    Check::of("marks", format!("{} marks{entered}", review.marks.len()), told(findings))
}

/// Marks that somebody else than the reviewer stated: a sheet may be brought by one person for all, which is told.
pub(super) fn by_others(review: &Review) -> usize {
    review.marks.iter().filter(|stated| stated.by != stated.what.marked.reviewer).count()
}

/// Hexadecimal SHA-256 of leaf hashes, a line of hexadecimal digits each.
pub fn marks_sha256(leaves: &[Leaf]) -> String {
    seed_hash(&leaves.iter().map(|leaf| format!("{}\n", hex(leaf))).collect::<String>())
}

/// Each decision is what its marks give, rests on all of them, and is signed by the owner.
///
/// `leaves` are the leaf hashes of the marks of `review`, in their order.
pub fn decisions(review: &Review, sample: &Sample, leaves: &[Leaf]) -> Check {
    let findings = review.decided.iter().flat_map(|stated| decision(review, sample, leaves, stated)).collect();
    let words = match review.last() {
        None => "none yet".to_owned(),
        Some(last) => {
            let Status { n, k, e, decision, .. } = &last.what.status;
            format!("{}: n = {n}, k = {k}, E = {e}, event {} by {}", decision.name(), last.seq, last.by)
        }
    };
    Check::of("decision", words, findings)
}

fn decision(review: &Review, sample: &Sample, leaves: &[Leaf], stated: &Stated<Decided>) -> Vec<String> {
    let (seq, decided) = (stated.seq, &stated.what);
    let mut findings = Vec::new();
    if stated.by != decided.owner {
        findings.push(format!("event {seq} is signed by {}, not by the owner, {}", stated.by, decided.owner));
    }
    let own = review.marks.iter().take_while(|mark| mark.seq < decided.basis.size).count();
    let hash = marks_sha256(&leaves[..own.min(leaves.len())]);
    if own as u64 != decided.basis.marks || hash != decided.basis.marks_sha256 {
        findings.push(format!(
            "event {seq} rests on {} marks with SHA-256 {}, the ledger holds {own} with {hash}",
            decided.basis.marks, decided.basis.marks_sha256
        ));
    }
    if decided.status.decision == Decision::Invalid {
        return findings;
    }
    let late = unheard(&review.marks, (decided.basis.size, seq));
    if late > 0 && decided.status.decision == Decision::Enable {
        findings.push(format!("event {seq} enables without {late} marks that came before it"));
    }
    if review.drawn.as_ref().is_none_or(|drawn| drawn.seq > seq) {
        findings.push(format!("event {seq} decides before the draw"));
    }
    match sample.status_at(review, decided.basis.size) {
        Err(e) => findings.push(format!("the decision of event {seq} cannot be computed again: {e}")),
        Ok(again) => {
            let different = differences(&decided.status, &again);
            findings.extend(different.into_iter().map(|what| format!("event {seq} states {what}")));
        }
    }
    findings
}

/// What `stated` says otherwise than `again`. The words of the reasons are the program's and may change.
fn differences(stated: &Status, again: &Status) -> Vec<String> {
    let values = |status: &Status| -> Map<String, Value> {
        let value = serde_json::to_value(status).unwrap_or_default();
        value.as_object().cloned().unwrap_or_default()
    };
    let (stated, again) = (values(stated), values(again));
    let other = |name: &str| again.get(name).unwrap_or(&Value::Null);
    let is_different = |(name, value): &(&String, &Value)| *name != "reasons" && other(name) != *value;
    let words = |(name, value): (&String, &Value)| format!("{name} = {value}, the marks give {}", other(name));
    stated.iter().filter(is_different).map(words).collect()
}

/// The workflow was resumed by this review only after ENABLE.
pub fn resumption(review: &Review) -> Check {
    let enabled = review.decided.iter().find(|stated| stated.what.status.decision == Decision::Enable);
    let Some(resumed) = &review.resumed else {
        return match (enabled, &review.incident_id) {
            (Some(_), Some(_)) => {
                Check::of("resumption", "ENABLE was signed, and the workflow is not resumed yet", Vec::new())
            }
            _ => Check::of("resumption", "none", Vec::new()),
        };
    };
    let mut findings = Vec::new();
    if enabled.is_none_or(|enabled| enabled.seq > resumed.seq) {
        findings.push(format!("event {} resumes the workflow, and no ENABLE came before", resumed.seq));
    }
    Check::of("resumption", format!("event {} by {}", resumed.seq, resumed.by), findings)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::plan::testing::frame;
    use super::super::record::testing::{event, planned};
    use super::super::record::{Basis, DECIDED, Event, MARKED, PLANNED};
    use super::*;

    #[test]
    fn enable_rests_on_every_mark_before_it() {
        let mark = |seq: i64| {
            let extra = json!({"item": format!("all-000{seq}"), "mark": "correct"});
            Event { reviewer: Some("ann".to_owned()), ..event(seq, MARKED, &extra) }
        };
        let events = vec![event(1, PLANNED, &serde_json::to_value(planned()).unwrap()), mark(5), mark(6)];
        let review = Review::of(&events).unwrap().unwrap();
        let given = Given { frame: frame(&[("all", 10)]), planted: BTreeSet::new(), without_evidence: BTreeMap::new() };
        let sample = Sample::of(&review, given, 100).unwrap();
        let is_told = |size: i64, decision: Decision| {
            let status = Status { decision, ..sample.status(&review).unwrap() };
            let basis = Basis { size, marks: 0, marks_sha256: String::new() };
            let owner = "olga".to_owned();
            let decided = Decided { status, owner, basis, planted: Vec::new(), preconditions: Vec::new() };
            let mut events = events.clone();
            events.push(event(7, DECIDED, &serde_json::to_value(decided).unwrap()));
            let check = decisions(&Review::of(&events).unwrap().unwrap(), &sample, &[]);
            check.findings.iter().any(|finding| finding.contains("without 1 marks that came before it"))
        };
        assert!(is_told(6, Decision::Enable) && !is_told(7, Decision::Enable));
        // Any other decision lets nothing run, and the mark counts in the next one.
        assert!(!is_told(6, Decision::Extend));
    }
}
