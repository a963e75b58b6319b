//! The register of reviews: what people draw, mark and decide, each an event.
//!
//! In: a review as its events leave it, what a person says. Out: `review.drawn`, `review.marked`, `review.decided` and,
//! after ENABLE, `workflow.resumed`. Invariants: one draw a review; a mark is never edited; the owner signs, and nobody
//! else; a workflow is resumed by no word but a decision that was computed here from the marks.

use std::collections::BTreeSet;

use serde_json::json;

use super::account::Account;
use super::checkpoint::{cosignatures, first_after};
use super::checks::marks_sha256;
use super::decide::{Decision, Status};
use super::ground::Ground;
use super::leaf::{Source, leaves_of};
use super::owner;
use super::plan::Measure;
use super::preconditions::{self, Asked, Condition};
use super::record::{self, Basis, DECIDED, DRAWN, Decided, MARKED, Purpose, RESUMED, Review, Stated, is_end, unheard};
use super::seed::{Class, Drawn, Entropy, Seed};
use super::sheet::Marking;
use crate::clock::Micros;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cell, Column, Draft};
use crate::incident;
use crate::ingest::writer::Writer;
use crate::ledger::hash::hex;
use crate::limits::BATCH_EVENTS;
use crate::query::engine::Engine;
use crate::store::Store;
use crate::store::log::Sealed;

/// Characters of an id that name an item, where no other begins with them.
const SHORTEST_ID: usize = 8;
/// Characters of a comment.
const COMMENT_CHARACTERS: usize = 4_000;

/// Draws the sample of `account`: from the first checkpoint that was signed after its plan, and what the plan promised.
/// A review that was drawn already keeps its sample.
///
/// # Errors
/// Invalid when nothing signed covers the plan, or a promise is not kept; Conflict when the frame has changed, or when
/// somebody drew at the same moment; when the store fails.
pub async fn draw(store: &Store, account: Account, revealed: &[Entropy], by: &str) -> Result<Account> {
    account.sample()?;
    let id = account.review.review_id.clone();
    if let Some(drawn) = &account.review.drawn {
        let is_same = revealed.is_empty() || drawn.what.seed.entropy == sorted(revealed);
        let known = format!("the sample of `{id}` was drawn by event {} already, from other entropy", drawn.seq);
        return if is_same { Ok(account) } else { Err(conflict(known)) };
    }
    let plan = account.review.plan();
    let sealed = sealed_after(store, account.review.planned.seq, revealed).await?;
    let seed = Seed {
        origin: sealed.checkpoint.origin.clone(),
        size: sealed.checkpoint.size,
        root: hex(&sealed.checkpoint.root),
        frame_hash: plan.frame.frame_hash.clone(),
        plan_hash: account.plan_hash.clone(),
        attempt: plan.attempt,
        entropy: sorted(revealed),
    };
    seed.check(plan)?;
    let (seed_hash, class) = (seed.hash(), Class::of(plan, cosignatures(store, &sealed).await?));
    let drawn = Drawn { seed, seed_hash, class, items: 0, order_hash: String::new() };
    let stated = |drawn: Drawn, (seq, at): (i64, Micros)| Stated { seq, at, by: by.to_owned(), what: drawn };
    // The order follows from the seed; its event names it.
    let account = account.ordered(stated(drawn.clone(), (i64::MAX, 0)))?;
    let sample = account.sample()?;
    let (items, order_hash) = (sample.order.places().len() as u64, sample.order.hash(&sample.given.frame));
    let drawn = Drawn { items, order_hash, ..drawn };
    let mut writer = Writer::new(store);
    let mut event = About::of(&account.review).statement(&writer, DRAWN, (by, as_json(&drawn)?));
    event.set_text(Column::EventId, format!("review/{id}/drawn"));
    let at = event_time(&event);
    let taken = || conflict(format!("the sample of `{id}` was drawn by somebody else just now; look at it again"));
    let seq = writer.state_once(&event).await?.ok_or_else(taken)?;
    account.drawn(stated(drawn, (seq, at)))
}

/// The first checkpoint after the plan; one is signed where there is none yet, and then nothing may be revealed before.
async fn sealed_after(store: &Store, planned: i64, revealed: &[Entropy]) -> Result<Sealed> {
    if let Some(sealed) = first_after(store, planned).await? {
        return Ok(sealed);
    }
    store.fold().await?;
    let sealed = first_after(store, planned).await?.ok_or_else(|| {
        Error::invalid(
            "no signed checkpoint covers the plan, and a seed needs one; draw where the store's key is, or name it with \
             --key FILE",
        )
    })?;
    if revealed.is_empty() {
        return Ok(sealed);
    }
    Err(Error::invalid(format!(
        "the checkpoint of {} events was signed only now, and entropy is revealed after it; draw once more",
        sealed.checkpoint.size
    )))
}

fn sorted(revealed: &[Entropy]) -> Vec<Entropy> {
    let mut entropy = revealed.to_vec();
    entropy.sort_by(|a, b| a.kind.cmp(&b.kind));
    entropy
}

/// States marks of the items of `account`, none where one of them is refused; gives the `seq` of each.
///
/// # Errors
/// Invalid when one is of no item, or by nobody whom the plan names; Conflict when the review is not drawn yet or is
/// over; when the store fails.
pub async fn mark(store: &Store, account: &Account, markings: &[Marking], by: &str) -> Result<Vec<i64>> {
    let review = &account.review;
    check_open(review)?;
    let checked = markings.iter().map(|marking| checked(account, marking, by)).collect::<Result<Vec<Marking>>>()?;
    let mut writer = Writer::new(store);
    let mut events = Vec::with_capacity(checked.len());
    for Marking { mark, reviewer, opened_at, comment } in checked {
        let mut event = About::of(review).statement(&writer, MARKED, (by, as_json(&mark)?));
        event.set_text(Column::Reviewer, reviewer.unwrap_or_else(|| by.to_owned()));
        if let Some(at) = opened_at {
            event.set(Column::ReviewOpenedAt, Cell::Instant(at));
        }
        if let Some(comment) = comment {
            event.set_text(Column::Comment, comment);
        }
        events.push(event);
    }
    let mut seqs = Vec::with_capacity(events.len());
    for part in events.chunks(BATCH_EVENTS) {
        let first = writer.state_all(part).await?;
        seqs.extend(first..first + part.len() as i64);
    }
    Ok(seqs)
}

/// Refuses what comes before the draw or after the end.
fn check_open(review: &Review) -> Result<()> {
    let id = &review.review_id;
    if review.drawn.is_none() {
        let way = format!("`probity review draw {id}` or POST /v1/reviews/{id}/draw");
        return Err(conflict(format!("nothing of `{id}` is drawn yet; draw with {way}")));
    }
    match review.last().filter(|last| is_end(last.what.status.decision)) {
        Some(end) => Err(conflict(format!(
            "review `{id}` is closed: {} signed {} in event {}; plan another one",
            end.by,
            end.what.status.decision.name(),
            end.seq
        ))),
        None => Ok(()),
    }
}

/// A mark that can be stated, its item by its full id.
fn checked(account: &Account, marking: &Marking, by: &str) -> Result<Marking> {
    let plan = account.review.plan();
    let mut marking = marking.clone();
    marking.mark.item = item(account, &marking.mark.item)?;
    marking.mark.check()?;
    let reviewer = marking.reviewer.clone().unwrap_or_else(|| by.to_owned());
    if !plan.reviewers.contains(&reviewer) {
        let named = plan.reviewers.join(", ");
        let words = format!("{reviewer} is no reviewer of this review; the plan names {named}");
        return Err(Error::new(ErrorKind::Denied, words));
    }
    if marking.mark.wrong_amount.is_some() && plan.claim.of != Measure::Value {
        return Err(Error::invalid("a wrong amount is for claims by value; this one counts items, leave it out"));
    }
    let is_long = |comment: &String| comment.chars().count() > COMMENT_CHARACTERS;
    if marking.comment.as_ref().is_some_and(is_long) {
        return Err(Error::limit(format!("a comment has at most {COMMENT_CHARACTERS} characters; shorten it")));
    }
    Ok(marking)
}

/// The id of the item that `text` names: itself, or the beginning of one id of the sample.
///
/// # Errors
/// NotFound when there is none, Invalid when there are several.
fn item(account: &Account, text: &str) -> Result<String> {
    if account.output(text).is_some() {
        return Ok(text.to_owned());
    }
    let sample = account.sample()?;
    let drawn = sample.ids().chain(account.planted.keys().map(String::as_str));
    let found: BTreeSet<&str> = drawn.filter(|id| text.len() >= SHORTEST_ID && id.starts_with(text)).collect();
    match found.into_iter().collect::<Vec<_>>().as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => Err(Error::not_found(format!(
            "no item of review `{}` is called `{text}`; `probity review draw` names them, {SHORTEST_ID} characters do",
            account.review.review_id
        ))),
        several => Err(Error::invalid(format!("{} items begin with `{text}`; write more of it", several.len()))),
    }
}

/// What was decided.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The event.
    pub seq: i64,
    /// What it states.
    pub decided: Decided,
    /// The event that resumes the workflow.
    pub resumed: Option<i64>,
}

/// Decides `account` as its marks give it, signed by `by`, who must be the business owner; ENABLE resumes the workflow.
///
/// # Errors
/// Denied when somebody else signs; Invalid when ENABLE is reached and a condition does not hold any more; Conflict when
/// the review is not drawn yet or is over, or somebody decides or marks at the same moment; when the store fails.
pub async fn decide(store: &Store, engine: &Engine, account: &Account, by: &str) -> Result<Signed> {
    let review = &account.review;
    let areas = review.area.clone().map_or_else(|| account.areas.clone(), |area| BTreeSet::from([Some(area)]));
    let owner = owner::of(engine, &review.workflow, &areas).await?;
    if by != owner {
        return Err(Error::new(
            ErrorKind::Denied,
            format!("a decision about `{}` is signed by its business owner, {owner}; {by} is not", review.workflow),
        ));
    }
    if let Some(last) = review.last().filter(|last| is_enabling(review, &last.what.status)) {
        // Whoever was cut off between the two events has only the second one to write.
        check_heard(store, review, (last.what.basis.size, last.seq)).await?;
        let resumed = resume(store, review, last.seq, &last.what.status, by).await?;
        return Ok(Signed { seq: last.seq, decided: last.what.clone(), resumed: Some(resumed) });
    }
    check_open(review)?;
    let status = account.status.clone();
    let mut conditions = Vec::new();
    if status.decision == Decision::Enable {
        conditions = conditions_now(store, engine, account, &owner).await?;
        preconditions::require(&conditions)?;
    }
    let basis = basis(store, account).await?;
    let planted = if is_end(status.decision) { account.planted.keys().cloned().collect() } else { Vec::new() };
    let decided = Decided { status, owner, basis, planted, preconditions: conditions };
    let id = &review.review_id;
    let mut writer = Writer::new(store);
    let mut event = About::of(review).statement(&writer, DECIDED, (by, as_json(&decided)?));
    event.set_text(Column::EventId, format!("review/{id}/decided/{}", review.decided.len() + 1));
    event.set_text(Column::ReasonCode, decided.status.decision.name().to_owned());
    let taken = || conflict(format!("`{id}` was decided by somebody else just now; look at it again"));
    let seq = writer.state_once(&event).await?.ok_or_else(taken)?;
    let resumed = match is_enabling(review, &decided.status) {
        true => {
            check_heard(store, review, (decided.basis.size, seq)).await?;
            Some(resume(store, review, seq, &decided.status, by).await?)
        }
        false => None,
    };
    Ok(Signed { seq, decided, resumed })
}

/// Whether a decision lets a workflow run again that does not run yet.
fn is_enabling(review: &Review, status: &Status) -> bool {
    let is_paused = review.planned.what.purpose == Purpose::ReEnable && review.resumed.is_none();
    is_paused && status.decision == Decision::Enable
}

/// The conditions as they are now.
async fn conditions_now(store: &Store, engine: &Engine, account: &Account, owner: &str) -> Result<Vec<Condition>> {
    let review = &account.review;
    let Some(id) = &review.incident_id else { return Ok(Vec::new()) };
    let incident = incident::record::one(engine, id).await?;
    let (reviewers, authors) = (&review.plan().reviewers, &review.planned.what.authors);
    let workflow = &review.workflow;
    let asked = Asked { workflow, owner, reviewers, authors, outputs: &account.outputs };
    preconditions::after(store, engine, &incident, &asked).await
}

/// What a decision on `account` rests on.
async fn basis(store: &Store, account: &Account) -> Result<Basis> {
    let marks: Vec<i64> = account.review.marks.iter().map(|mark| mark.seq).filter(|seq| *seq < account.size).collect();
    let leaves = leaves_of(store, &marks, Source::Rows).await?;
    Ok(Basis { size: account.size, marks: marks.len() as u64, marks_sha256: marks_sha256(&leaves) })
}

/// Refuses to resume by an ENABLE in event `seq` that rests on the first `size` events, where marks lie between: somebody
/// marked while it was signed, and may have found an error.
async fn check_heard(store: &Store, review: &Review, (size, seq): (i64, i64)) -> Result<()> {
    if size == seq {
        return Ok(());
    }
    let id = &review.review_id;
    let engine = Ground::Evidence(store).session(seq).await?;
    match unheard(&record::one(&engine, id).await?.marks, (size, seq)) {
        0 => Ok(()),
        late => Err(conflict(format!(
            "{late} marks of `{id}` came while event {seq} was signed, and it does not count them; the workflow stays \
             paused, plan another review"
        ))),
    }
}

/// States that the workflow runs again, citing the tally.
async fn resume(store: &Store, review: &Review, decided: i64, status: &Status, by: &str) -> Result<i64> {
    let Status { items, d0, n, k, e, alpha, .. } = status;
    let tally = json!({"decided_seq": decided, "N": items, "D0": d0, "n": n, "k": k, "e": e, "alpha": alpha});
    let mut writer = Writer::new(store);
    let mut event = About::of(review).statement(&writer, RESUMED, (by, tally.to_string()));
    let id = &review.review_id;
    event.set_text(Column::EventId, format!("review/{id}/resumed"));
    let reason =
        format!("review {id} (event {decided}): {n} of {items} outputs reviewed, {k} wrong, E {e} at alpha {alpha}");
    event.set_text(Column::ReasonCode, reason);
    let taken = || conflict(format!("`{id}` resumed its workflow already; look at it again"));
    writer.state_once(&event).await?.ok_or_else(taken)
}

/// What an event of a review is about.
pub(super) struct About<'a> {
    pub(super) review_id: &'a str,
    pub(super) workflow: &'a str,
    pub(super) area: Option<&'a str>,
    pub(super) incident_id: Option<&'a str>,
}

impl<'a> About<'a> {
    fn of(review: &'a Review) -> Self {
        Self {
            review_id: &review.review_id,
            workflow: &review.workflow,
            area: review.area.as_deref(),
            incident_id: review.incident_id.as_deref(),
        }
    }

    pub(super) fn statement(
        &self,
        writer: &Writer<'_>,
        event_type: &str,
        (by, extra): (&str, String),
    ) -> Draft<'static> {
        let mut event = writer.statement(event_type);
        event.set_text(Column::ActorKind, "human");
        event.set_text(Column::ActorId, by.to_owned());
        event.set_text(Column::ReviewId, self.review_id.to_owned());
        event.set_text(Column::Workflow, self.workflow.to_owned());
        for (column, text) in [(Column::PermissionArea, self.area), (Column::IncidentId, self.incident_id)] {
            if let Some(text) = text {
                event.set_text(column, text.to_owned());
            }
        }
        event.set_text(Column::Extra, extra);
        event
    }
}

pub(super) fn as_json(what: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(what).map_err(|e| Error::internal("a statement of a review cannot be written").because(e))
}

fn event_time(event: &Draft<'_>) -> Micros {
    match event.cell(Column::OccurredAt) {
        Cell::Instant(at) => *at,
        _ => 0,
    }
}

pub(super) fn conflict(message: String) -> Error {
    Error::new(ErrorKind::Conflict, message)
}
