//! The account of a review: its sample made again from the evidence, and where it stands by that.
//!
//! In: a review, the evidence or a pack of it. Out: the outputs behind the items, order, verdicts, checks, status.
//! Invariant: what the events state of frame, seed and order is computed again each time; where it does not fit, the
//! review is INVALID, and says why.

use std::collections::{BTreeMap, BTreeSet};

use super::checks::{self, Check};
use super::decide::{Case, Planted, Status};
use super::ground::Ground;
use super::leaf::Source;
use super::marks::Standing;
use super::outputs::{EVERYTHING, Output, Pick, Picked, outputs, stratum_column};
use super::plan::Measure;
use super::record::{self, Planned, PlantedFrom, Review, Stated};
use super::sample::{Given, Sample, without_sample};
use super::seed::Drawn;
use super::tally::Verdicts;
use crate::analysis::sampler::Tickets;
use crate::error::{Error, ErrorKind, Result};
use crate::event::Leaf;
use crate::ledger::hash::hex;
use crate::query::answer::Limits;
use crate::query::engine::Engine;
use crate::query::objects::{count, rows};
use crate::store::Store;

/// Heads of tickets that there may be: numbers of 19 digits.
const HEADS: u128 = 10_000_000_000_000_000_000;

/// A review with its sample.
#[derive(Debug, Clone)]
pub struct Account {
    /// What its events state.
    pub review: Review,
    /// The size of the ledger as of which its marks count.
    pub size: i64,
    /// The sample; none where the frame that was planned cannot be picked any more.
    pub sample: Option<Sample>,
    /// The outputs by their places in the frame.
    pub outputs: Vec<Output>,
    /// The outputs that were planted, by item.
    pub planted: BTreeMap<String, Output>,
    /// What the outputs say of their permission area.
    pub areas: BTreeSet<Option<String>>,
    /// Leaf hash of the plan's event, in hexadecimal digits.
    pub plan_hash: String,
    /// What was checked on the way.
    pub checks: Vec<Check>,
    /// Where it stands.
    pub status: Status,
}

/// What picks the outputs of a plan.
///
/// # Errors
/// Invalid when its strata are made by no column.
pub fn pick_of(planned: &Planned) -> Result<Pick> {
    Ok(Pick {
        candidate: planned.candidate.clone(),
        predicate: planned.plan.frame.predicate.clone(),
        environment: planned.plan.frame.environment.clone(),
        stratum_by: planned.stratum_by.as_deref().map(stratum_column).transpose()?,
        is_weighted: planned.plan.claim.of == Measure::Value,
    })
}

/// The outputs that `from` picks to be planted, by item.
///
/// # Errors
/// A condition that is none, or that picks nothing.
pub async fn planted_of(
    ground: Ground<'_>,
    engine: &Engine,
    from: &PlantedFrom,
    source: Source,
) -> Result<BTreeMap<String, Output>> {
    let pick = Pick {
        candidate: from.predicate.clone(),
        predicate: EVERYTHING.to_owned(),
        environment: from.environment.clone(),
        stratum_by: None,
        is_weighted: false,
    };
    let picked = outputs(ground, engine, &pick, source).await.map_err(|e| match e.kind() {
        ErrorKind::Invalid => Error::invalid(format!("the outputs to plant: {}", e.message())),
        _ => e,
    });
    let Picked { frame, outputs, .. } = picked?;
    Ok((0..frame.items()).map(|place| frame.id(place).to_owned()).zip(outputs).collect())
}

impl Account {
    /// The account of `review` by the marks within the first `size` events of the ledger.
    ///
    /// # Errors
    /// When the evidence cannot be read or a bound is met.
    pub async fn of(ground: Ground<'_>, review: Review, size: i64, source: Source) -> Result<Self> {
        let planned = &review.planned.what;
        let engine = ground.session(review_size(&review)?).await?;
        let picked = lost(outputs(ground, &engine, &pick_of(planned)?, source).await)?;
        let planted = match &planned.planted_from {
            Some(from) => lost(planted_of(ground, &engine, from, source).await)?,
            None => Ok(BTreeMap::new()),
        };
        let plan_hash = hex(&one_leaf(ground, review.planned.seq, source).await?);
        let mut checks = vec![checks::plan(&review, None)];
        let (picked, planted) = match (picked, planted) {
            (Ok(picked), Ok(planted)) => (picked, planted),
            (Err(e), _) | (_, Err(e)) => {
                let words = "the outputs cannot be picked any more";
                checks.push(Check::of("frame", words, vec![format!("{words}: {e}")]));
                return Self::without(review, size, (plan_hash, checks));
            }
        };
        let ids: BTreeSet<String> = planted.keys().cloned().collect();
        checks.push(checks::frame(&review, &picked.frame, Some(picked.left_out)));
        checks.push(checks::planted(&review, &ids, &picked.frame));
        if checks.iter().any(|check| check.check == "frame" && !check.findings.is_empty()) {
            return Self::without(review, size, (plan_hash, checks));
        }
        let erased = ground.erased(&planned.plan.frame.environment, size).await?;
        let without_evidence = lost_items(&picked, &erased);
        let given = Given { frame: picked.frame, planted: ids, without_evidence };
        let sample = Sample::of(&review, given, size)?;
        let signed = ground.signed_after(review.planned.seq).await?;
        checks.push(checks::seed(&review, &plan_hash, &signed));
        checks.push(checks::order(&review, &sample));
        checks.push(checks::marks(&review, &sample.given));
        let (outputs, areas) = (picked.outputs, picked.areas);
        let status = stands(&review, &sample, &checks)?;
        Ok(Self { review, size, sample: Some(sample), outputs, planted, areas, plan_hash, checks, status })
    }

    /// The account of a review whose frame is lost.
    fn without(review: Review, size: i64, (plan_hash, checks): (String, Vec<Check>)) -> Result<Self> {
        let status = without_sample(&review, checks::faults(&checks))?;
        let (outputs, planted, areas) = (Vec::new(), BTreeMap::new(), BTreeSet::from([review.area.clone()]));
        Ok(Self { review, size, sample: None, outputs, planted, areas, plan_hash, checks, status })
    }

    /// The same review as of `engine`, with the marks of today. What was picked for its plan stays picked, because
    /// conditions and prefix decide it; unless something was erased since, or another plan is found, which picks anew.
    ///
    /// # Errors
    /// As [`Account::of`], and when there is no such review.
    pub async fn renewed(&self, store: &Store, engine: &Engine) -> Result<Self> {
        let (size, review) = (engine.as_of().size, record::one(engine, &self.review.review_id).await?);
        let ground = Ground::Evidence(store);
        let is_planned = size >= self.size && review.planned == self.review.planned;
        let is_same = is_planned && !erased_since(engine, self.size).await?;
        let given = match &self.sample {
            Some(sample) if is_same => sample.given.clone(),
            _ => return Self::of(ground, review, size, Source::Tiles).await,
        };
        let sample = Sample::of(&review, given, size)?;
        let is_kept = |check: &&Check| ["plan", "frame", "planted"].contains(&check.check);
        let mut checks: Vec<Check> = self.checks.iter().filter(is_kept).cloned().collect();
        let signed = ground.signed_after(review.planned.seq).await?;
        checks.push(checks::seed(&review, &self.plan_hash, &signed));
        checks.push(checks::order(&review, &sample));
        checks.push(checks::marks(&review, &sample.given));
        let (outputs, planted) = (self.outputs.clone(), self.planted.clone());
        let (areas, plan_hash) = (self.areas.clone(), self.plan_hash.clone());
        let status = stands(&review, &sample, &checks)?;
        Ok(Self { review, size, sample: Some(sample), outputs, planted, areas, plan_hash, checks, status })
    }

    /// The same review with its sample drawn as `drawn` says.
    ///
    /// # Errors
    /// Invalid when the frame is not the one that was planned.
    pub fn drawn(self, drawn: Stated<Drawn>) -> Result<Self> {
        let mut account = self.ordered(drawn)?;
        if let Some(sample) = &account.sample {
            account.status = stands(&account.review, sample, &account.checks)?;
        }
        Ok(account)
    }

    /// The same review with its items in the order that `drawn` says; its status is still that of before.
    ///
    /// # Errors
    /// As [`Account::drawn`].
    pub(super) fn ordered(mut self, drawn: Stated<Drawn>) -> Result<Self> {
        let known = self.review.drawn.as_ref().map(|known| known.what.seed_hash.clone());
        let is_ordered = known.as_ref() == Some(&drawn.what.seed_hash);
        self.review.drawn = Some(drawn);
        if let Some(sample) = self.sample.take() {
            let sample = if is_ordered { sample } else { Sample::of(&self.review, sample.given, self.size)? };
            self.sample = Some(sample);
        }
        Ok(self)
    }

    /// The sample.
    ///
    /// # Errors
    /// Conflict when the frame that was planned cannot be picked any more.
    pub fn sample(&self) -> Result<&Sample> {
        self.sample.as_ref().ok_or_else(|| {
            let why = self.status.reasons.join("; ");
            Error::new(ErrorKind::Conflict, format!("{why}; a frame that has changed is a new attempt, plan it anew"))
        })
    }

    /// The output behind `item`, a planted one among them.
    pub fn output(&self, item: &str) -> Option<&Output> {
        let place = self.sample.as_ref().and_then(|sample| sample.given.frame.place(item));
        place.and_then(|place| self.outputs.get(place)).or_else(|| self.planted.get(item))
    }
}

impl Account {
    /// The items in the order in which reviewers see them, each once: those of the sample by their turns, and planted
    /// ones among those that the claim takes at least, at places that the seed decides.
    ///
    /// # Errors
    /// Conflict when the frame that was planned cannot be picked any more.
    pub fn turns(&self) -> Result<Vec<&str>> {
        let (sample, least) = (self.sample()?, self.least()?);
        let seed = self.review.drawn.as_ref().map_or("", |drawn| drawn.what.seed_hash.as_str());
        let tickets = Tickets::new(seed);
        let turn = |id: &str| (u128::from(tickets.head(id)) * u128::from(least) / HEADS) as usize;
        let mut planted: Vec<(usize, &str)> = self.planted.keys().map(|id| (turn(id), id.as_str())).collect();
        planted.sort_unstable();
        let mut planted = planted.into_iter().peekable();
        let (mut turns, mut seen) = (Vec::new(), BTreeSet::new());
        for (turn, id) in sample.ids().enumerate() {
            while let Some((_, known)) = planted.next_if(|(at, _)| *at <= turn) {
                turns.push(known);
            }
            // By value an item may be drawn again; it is looked at once.
            if seen.insert(id) {
                turns.push(id);
            }
        }
        turns.extend(planted.map(|(_, id)| id));
        Ok(turns)
    }

    /// The items that the claim takes at least, all of them correct; planted ones are not among them.
    ///
    /// # Errors
    /// As [`Account::turns`].
    pub fn least(&self) -> Result<u64> {
        let (sample, plan) = (self.sample()?, self.review.plan());
        let none = Verdicts::new();
        let unmarked = Case { verdicts: &none, planted: Planted::default(), ..sample.case(plan) };
        Ok(unmarked.status()?.next.unwrap_or(plan.most_items).max(1))
    }

    /// The items that wait for a mark, in the order in which reviewers see them: for one by `reviewer`, or by anybody.
    ///
    /// # Errors
    /// As [`Account::turns`].
    pub fn waiting(&self, reviewer: Option<&str>) -> Result<Vec<&str>> {
        let sample = self.sample()?;
        let is_waiting = |id: &&str| {
            let Some(verdict) = sample.verdicts.get(*id) else { return true };
            let is_done = reviewer.is_some_and(|reviewer| verdict.reviewers.iter().any(|known| known == reviewer));
            verdict.standing == Standing::Open && !is_done
        };
        Ok(self.turns()?.into_iter().filter(is_waiting).collect())
    }
}

/// Where a review stands by its sample, unless something is wrong with it.
fn stands(review: &Review, sample: &Sample, checks: &[Check]) -> Result<Status> {
    let status = sample.status(review)?;
    Ok(match checks::faults(checks) {
        faults if faults.is_empty() => status,
        faults => status.invalid(faults),
    })
}

/// Whether something was erased after the first `size` events.
async fn erased_since(engine: &Engine, size: i64) -> Result<bool> {
    let sql = format!("select count(*) as n from events where seq >= {size} and event_type = 'evidence.erased'");
    let found = rows(&engine.sql(&sql, Limits::default()).await?)?;
    Ok(found.first().and_then(|row| count(row, "n")) != Some(0))
}

/// The size of the ledger as of which the frame was picked.
fn review_size(review: &Review) -> Result<i64> {
    let size = review.plan().frame.size;
    i64::try_from(size).map_err(|_| Error::damaged(format!("the plan of `{}` names {size} events", review.review_id)))
}

/// Tells outputs that cannot be picked any more from a store that fails.
fn lost<T>(found: Result<T>) -> Result<std::result::Result<T, Error>> {
    match found {
        Err(e) if e.kind() != ErrorKind::Invalid => Err(e),
        found => Ok(found),
    }
}

async fn one_leaf(ground: Ground<'_>, seq: i64, source: Source) -> Result<Leaf> {
    let leaves = ground.leaves(&[seq], source).await?;
    leaves.first().copied().ok_or_else(|| Error::internal("an event has no leaf hash"))
}

/// The items whose values were erased, each with the event that says so: nobody can tell any more whether they are
/// right.
fn lost_items(picked: &Picked, erased: &BTreeMap<i64, i64>) -> BTreeMap<String, i64> {
    if erased.is_empty() {
        return BTreeMap::new();
    }
    let by = |(place, output): (usize, &Output)| {
        let by = erased.get(&output.seq)?;
        Some((picked.frame.id(place).to_owned(), *by))
    };
    picked.outputs.iter().enumerate().filter_map(by).collect()
}
