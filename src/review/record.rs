//! A review as its events leave it.
//!
//! In: the `review.*` events, which the engine alone writes, from the evidence or from a pack. Out: what was planned,
//! drawn, marked and decided, in the order of the ledger. Invariants: nothing is kept beside the events; a statement is
//! never edited, a later one stands beside it. Whether what they state is right is not judged here.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::decide::{Decision, Status};
use super::marks::{Mark, Marked};
use super::plan::Plan;
use super::preconditions::Condition;
use super::seed::Drawn;
use crate::clock::{Micros, rfc3339};
use crate::error::{Error, Result};
use crate::event::parse;
use crate::query::answer::Limits;
use crate::query::engine::Engine;
use crate::query::objects::{Row, count, literal, rows, text};

/// The events of a review.
pub const PLANNED: &str = "review.planned";
/// The sample was drawn.
pub const DRAWN: &str = "review.drawn";
/// A reviewer said something of an item.
pub const MARKED: &str = "review.marked";
/// An owner signed where the review stands.
pub const DECIDED: &str = "review.decided";
/// The workflow runs again.
pub const RESUMED: &str = "workflow.resumed";

/// What a review is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Whether a paused workflow may run again.
    ReEnable,
    /// The look at a sample that the policy asks for from time to time.
    Cadence,
}

impl Purpose {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::ReEnable => "before re-enabling",
            Self::Cadence => "by cadence",
        }
    }
}

/// Where planted items come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlantedFrom {
    /// A condition that picks outputs which are known to be wrong.
    pub predicate: String,
    /// The environment that they are of.
    pub environment: String,
}

/// What `review.planned` states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    /// What the review is for.
    pub purpose: Purpose,
    /// The plan.
    pub plan: Plan,
    /// What picks everything that the candidate versions did; the plan's predicate narrows it.
    pub candidate: String,
    /// The column whose values are the strata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stratum_by: Option<String>,
    /// Where planted items come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planted_from: Option<PlantedFrom>,
    /// Who made the fix, beside those whom the log names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<String>,
    /// What had to hold, and the evidence that it did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preconditions: Vec<Condition>,
}

/// The marks that a decision rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basis {
    /// The size of the ledger as of which the marks were read.
    pub size: i64,
    /// How many there are.
    pub marks: u64,
    /// Hexadecimal SHA-256 of their leaf hashes in hexadecimal digits, in the order of the ledger, a line each.
    pub marks_sha256: String,
}

/// What `review.decided` states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decided {
    /// Where the review stands.
    pub status: Status,
    /// The business owner of the area by the policy in force, who signs.
    pub owner: String,
    /// What it rests on.
    pub basis: Basis,
    /// The items that were planted, told when the review is over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub planted: Vec<String>,
    /// What still had to hold, and the evidence that it did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preconditions: Vec<Condition>,
}

/// Something that an event states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated<T> {
    /// The event.
    pub seq: i64,
    /// When.
    pub at: Micros,
    /// By whom.
    pub by: String,
    /// What.
    pub what: T,
}

impl<T> Stated<T> {
    /// When and by whom, as JSON.
    pub fn mark(&self) -> Value {
        json!({"seq": self.seq, "at": rfc3339(self.at), "by": self.by})
    }
}

/// What a reviewer said of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The mark with its place in the ledger.
    pub marked: Marked,
    /// When the reviewer opened the item, where that is known.
    pub opened_at: Option<Micros>,
    /// In words.
    pub comment: Option<String>,
}

/// A review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// Its id.
    pub review_id: String,
    /// The workflow that it is about.
    pub workflow: String,
    /// The permission area, where it is about one alone.
    pub area: Option<String>,
    /// The incident that it follows.
    pub incident_id: Option<String>,
    /// The plan.
    pub planned: Stated<Planned>,
    /// The draw.
    pub drawn: Option<Stated<Drawn>>,
    /// The marks.
    pub marks: Vec<Stated<Said>>,
    /// The decisions.
    pub decided: Vec<Stated<Decided>>,
    /// Marks that came while ENABLE was signed, which it does not count: where there are any, it shows nothing.
    pub unheard: u64,
    /// The resumption that cites it.
    pub resumed: Option<Stated<()>>,
}

/// An event of a review, wherever it was read.
#[derive(Debug, Clone, Default)]
pub struct Event {
    /// Its place in the ledger.
    pub seq: i64,
    /// Its type.
    pub event_type: String,
    /// The review.
    pub review_id: String,
    /// When it happened.
    pub at: Micros,
    /// Who caused it.
    pub by: String,
    /// The workflow.
    pub workflow: String,
    /// The permission area.
    pub area: Option<String>,
    /// The incident.
    pub incident_id: Option<String>,
    /// Who marked.
    pub reviewer: Option<String>,
    /// When the item was opened.
    pub opened_at: Option<Micros>,
    /// Words of the reviewer.
    pub comment: Option<String>,
    /// What it states; none where it is withheld.
    pub extra: Option<String>,
}

const STATEMENTS: &str = "
    select seq, event_type, review_id, occurred_at, actor_id, workflow, permission_area, incident_id, reviewer,
        review_opened_at, comment, extra
    from events
    where source = 'probity' and review_id is not null";

/// All reviews, the oldest first, without their marks.
///
/// # Errors
/// When the query fails; Damaged when an event cannot be understood.
pub async fn list(engine: &Engine) -> Result<Vec<Review>> {
    let types = [PLANNED, DRAWN, DECIDED, RESUMED].map(literal).join(", ");
    let mut known: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for event in events(engine, &format!("{STATEMENTS} and event_type in ({types}) order by seq")).await? {
        known.entry(event.review_id.clone()).or_default().push(event);
    }
    let reviews = known.into_values().filter_map(|events| Review::of(&events).transpose());
    let mut reviews = reviews.collect::<Result<Vec<Review>>>()?;
    reviews.sort_by_key(|review| review.planned.seq);
    for review in &mut reviews {
        review.unheard = unheard_of(engine, review).await?;
    }
    Ok(reviews)
}

/// Marks that the ENABLE of `review`, which was read without its marks, does not count.
async fn unheard_of(engine: &Engine, review: &Review) -> Result<u64> {
    let Some((size, seq)) = review.enabled_over().filter(|(size, seq)| size < seq) else { return Ok(0) };
    let sql = format!(
        "select count(*) as n from events where event_type = '{MARKED}' and source = 'probity' and review_id = {} \
         and seq >= {size} and seq < {seq}",
        literal(&review.review_id)
    );
    let found = rows(&engine.sql(&sql, Limits::default()).await?)?;
    Ok(found.first().and_then(|row| count(row, "n")).unwrap_or_default())
}

/// The review `id`.
///
/// # Errors
/// NotFound when there is none; Damaged when an event cannot be understood.
pub async fn one(engine: &Engine, id: &str) -> Result<Review> {
    let sql = format!("{STATEMENTS} and review_id = {} order by seq", literal(id));
    let review = Review::of(&events(engine, &sql).await?)?;
    review.ok_or_else(|| {
        Error::not_found(format!("there is no review `{id}`; `probity review list` or GET /v1/reviews names all"))
    })
}

async fn events(engine: &Engine, sql: &str) -> Result<Vec<Event>> {
    let all = Limits { rows: usize::MAX, ..Limits::default() };
    Ok(rows(&engine.sql(sql, all).await?)?.iter().map(Event::of).collect())
}

/// Text of a row's column; none where it is null or empty.
pub(super) fn words(row: &Row, column: &str) -> Option<String> {
    Some(text(row, column)).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The instant of a row's column.
pub(super) fn instant(row: &Row, column: &str) -> Option<Micros> {
    parse::instant(text(row, column)).ok()
}

/// The place of a row in the ledger.
pub(super) fn seq(row: &Row) -> i64 {
    row.get("seq").and_then(Value::as_i64).unwrap_or_default()
}

impl Event {
    fn of(row: &Row) -> Self {
        Self {
            seq: seq(row),
            event_type: text(row, "event_type").to_owned(),
            review_id: text(row, "review_id").to_owned(),
            at: instant(row, "occurred_at").unwrap_or_default(),
            by: text(row, "actor_id").to_owned(),
            workflow: text(row, "workflow").to_owned(),
            area: words(row, "permission_area"),
            incident_id: words(row, "incident_id"),
            reviewer: words(row, "reviewer"),
            opened_at: instant(row, "review_opened_at"),
            comment: words(row, "comment"),
            extra: words(row, "extra"),
        }
    }

    fn stated<T>(&self, what: T) -> Stated<T> {
        Stated { seq: self.seq, at: self.at, by: self.by.clone(), what }
    }

    fn read<T: DeserializeOwned>(&self) -> Result<Stated<T>> {
        let (id, seq) = (&self.review_id, self.seq);
        let lacking = || Error::damaged(format!("event {seq} of review `{id}` does not show what it states"));
        let unreadable = |e: serde_json::Error| {
            Error::damaged(format!("event {seq} of review `{id}` states something else than a review does")).because(e)
        };
        let what = serde_json::from_str(self.extra.as_deref().ok_or_else(lacking)?).map_err(unreadable)?;
        Ok(self.stated(what))
    }
}

impl Review {
    /// The review that `events` tell of, which are of one review and in the order of the ledger; none without a plan.
    ///
    /// # Errors
    /// Damaged when an event states something that no review does.
    pub fn of(events: &[Event]) -> Result<Option<Self>> {
        let Some(first) = events.iter().find(|event| event.event_type == PLANNED) else { return Ok(None) };
        let mut review = Self {
            review_id: first.review_id.clone(),
            workflow: first.workflow.clone(),
            area: first.area.clone(),
            incident_id: first.incident_id.clone(),
            planned: first.read()?,
            drawn: None,
            marks: Vec::new(),
            decided: Vec::new(),
            unheard: 0,
            resumed: None,
        };
        for event in events {
            match event.event_type.as_str() {
                // The first draw is the sample; nobody draws again.
                DRAWN if review.drawn.is_none() => review.drawn = Some(event.read()?),
                MARKED => review.marks.push(event.said()?),
                DECIDED => review.decided.push(event.read()?),
                RESUMED if review.resumed.is_none() => review.resumed = Some(event.stated(())),
                _ => {}
            }
        }
        review.unheard = review.enabled_over().map_or(0, |between| unheard(&review.marks, between) as u64);
        Ok(Some(review))
    }

    /// The size of the ledger that the ENABLE which was signed last rests on, and its own event.
    fn enabled_over(&self) -> Option<(i64, i64)> {
        let enabled = self.last().filter(|last| last.what.status.decision == Decision::Enable)?;
        Some((enabled.what.basis.size, enabled.seq))
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.planned.what.plan
    }

    /// The decision that was signed last.
    pub fn last(&self) -> Option<&Stated<Decided>> {
        self.decided.last()
    }

    /// The decision that ends the review; none while marks may still change it.
    pub fn end(&self) -> Option<Decision> {
        Some(self.last()?.what.status.decision).filter(|decision| is_end(*decision))
    }

    /// Where it stands: `planned`, `drawn`, `extended` or `closed`.
    pub fn state(&self) -> &'static str {
        match (self.end(), self.last(), &self.drawn) {
            (Some(_), ..) => "closed",
            (None, Some(_), _) => "extended",
            (None, None, Some(_)) => "drawn",
            (None, None, None) => "planned",
        }
    }

    /// Whether ENABLE is signed and the workflow was not resumed yet: the owner has the second event to write. Where it
    /// does not count every mark before it, it resumes nothing.
    pub fn is_to_resume(&self) -> bool {
        self.planned.what.purpose == Purpose::ReEnable
            && self.end() == Some(Decision::Enable)
            && self.resumed.is_none()
            && self.unheard == 0
    }

    /// The reviewers who must not see how marks move the numbers: one that moves nothing would tell them that its item
    /// was planted.
    pub fn blind(&self) -> &[String] {
        let plan = self.plan();
        if plan.planted.is_some() && self.end().is_none() { &plan.reviewers } else { &[] }
    }

    /// The marks that the ledger holds within its first `size` events.
    pub fn marked(&self, size: i64) -> Vec<Marked> {
        self.marks.iter().map(|mark| &mark.what.marked).filter(|marked| marked.seq < size).cloned().collect()
    }

    /// The review without its marks, as JSON.
    pub fn to_json(&self) -> Value {
        let decided = |stated: &Stated<Decided>| {
            let mut value = stated.mark();
            value["decision"] = stated.what.status.decision.name().into();
            value["owner"] = stated.what.owner.clone().into();
            value["marks"] = stated.what.basis.marks.into();
            value
        };
        let planned = &self.planned.what;
        json!({
            "review_id": self.review_id, "workflow": self.workflow, "area": self.area,
            "incident_id": self.incident_id, "purpose": planned.purpose, "state": self.state(),
            "attempt": planned.plan.attempt, "planned": self.planned.mark(),
            "drawn": self.drawn.as_ref().map(Stated::mark),
            "decided": self.decided.iter().map(decided).collect::<Vec<_>>(),
            "resumed": self.resumed.as_ref().map(Stated::mark),
        })
    }
}

impl Event {
    fn said(&self) -> Result<Stated<Said>> {
        let Stated { what: mark, .. } = self.read::<Mark>()?;
        let reviewer = self.reviewer.clone().unwrap_or_else(|| self.by.clone());
        let marked = Marked { seq: self.seq, reviewer, mark };
        Ok(self.stated(Said { marked, opened_at: self.opened_at, comment: self.comment.clone() }))
    }
}

/// Marks between the events that a decision rests on and the decision itself: somebody marked while it was signed.
pub(super) fn unheard(marks: &[Stated<Said>], (size, seq): (i64, i64)) -> usize {
    marks.iter().filter(|mark| (size..seq).contains(&mark.seq)).count()
}

/// Whether a decision ends a review; after any other it goes on, which costs nothing.
pub fn is_end(decision: Decision) -> bool {
    !matches!(decision, Decision::Extend | Decision::Census)
}

/// The attempt that the next plan of `workflow` for `purpose` is, and the decision since which attempts are counted.
///
/// Those by cadence and those before re-enabling are counted apart: an easy look at a sample must not make the
/// attempts of a paused workflow begin anew. Neither does an ENABLE that resumed nothing, since marks came while it was
/// signed.
pub fn next_attempt(reviews: &[Review], workflow: &str, purpose: Purpose) -> (u32, Option<i64>) {
    let own = || reviews.iter().filter(|r| r.workflow == workflow && r.planned.what.purpose == purpose);
    let is_enabled = |stated: &&Stated<Decided>| stated.what.status.decision == Decision::Enable;
    let is_in_force = |review: &&Review| purpose == Purpose::Cadence || review.resumed.is_some();
    let enabled = own().filter(is_in_force).flat_map(|review| &review.decided).filter(is_enabled);
    let since = enabled.map(|stated| stated.seq).max();
    let before = own().filter(|review| since.is_none_or(|seq| review.planned.seq > seq)).count();
    (u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1), since)
}

#[cfg(test)]
pub(super) mod testing {
    //! A review made by hand.

    use super::super::plan::testing::{frame, plan};
    use super::*;

    /// The event `seq` of review `rev-1`, which states `extra`.
    pub fn event(seq: i64, event_type: &str, extra: &Value) -> Event {
        Event {
            seq,
            event_type: event_type.to_owned(),
            review_id: "rev-1".to_owned(),
            by: "olga".to_owned(),
            workflow: "w".to_owned(),
            extra: Some(extra.to_string()),
            ..Event::default()
        }
    }

    /// A plan of ten items before re-enabling.
    pub fn planned() -> Planned {
        Planned {
            purpose: Purpose::ReEnable,
            plan: plan(&frame(&[("all", 10)])),
            candidate: "rule_version = 'r2'".to_owned(),
            stratum_by: None,
            planted_from: None,
            authors: Vec::new(),
            preconditions: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::plan::PlantedTerms;
    use super::super::plan::testing::frame;
    use super::super::sample::{Given, Sample};
    use super::testing::{event, planned};
    use super::*;

    fn mark(seq: i64, item: &str, word: &str) -> Event {
        let reviewer = Some("ann".to_owned());
        Event { reviewer, ..event(seq, MARKED, &json!({"item": item, "mark": word})) }
    }

    fn plan_event(seq: i64, id: &str) -> Event {
        Event { review_id: id.to_owned(), ..event(seq, PLANNED, &serde_json::to_value(planned()).unwrap()) }
    }

    #[test]
    fn a_review_is_what_its_events_say_in_their_order() {
        let events = [plan_event(4, "rev-1"), mark(6, "a", "correct"), mark(7, "a", "incorrect")];
        let review = Review::of(&events).unwrap().unwrap();
        assert_eq!((review.state(), review.planned.seq, review.marks.len()), ("planned", 4, 2));
        assert_eq!((review.marked(7).len(), review.marked(8)[1].reviewer.as_str()), (1, "ann"));
        assert_eq!(Review::of(&events[1..]).unwrap(), None);
    }

    #[test]
    fn an_event_that_states_something_else_is_named() {
        let strange = mark(6, "a", "perhaps");
        let error = Review::of(&[plan_event(4, "rev-1"), strange]).unwrap_err().to_string();
        assert!(error.contains("event 6") && error.contains("rev-1"), "{error}");
        let withheld = Event { extra: None, ..mark(6, "a", "correct") };
        assert!(Review::of(&[plan_event(4, "rev-1"), withheld]).unwrap_err().to_string().contains("does not show"));
    }

    #[test]
    fn attempts_are_counted_per_workflow_and_purpose() {
        let review = |seq: i64, id: &str| Review::of(&[plan_event(seq, id)]).unwrap().unwrap();
        let mut reviews = vec![review(1, "a"), review(5, "b"), review(9, "c")];
        reviews[1].planned.what.purpose = Purpose::Cadence;
        assert_eq!(next_attempt(&reviews, "w", Purpose::ReEnable), (3, None));
        assert_eq!(next_attempt(&reviews, "w", Purpose::Cadence), (2, None));
        assert_eq!(next_attempt(&reviews, "v", Purpose::ReEnable), (1, None));
    }

    /// ENABLE of the review that `plan` plans.
    fn enable(plan: &Event) -> Status {
        let given = Given { frame: frame(&[("all", 10)]), planted: BTreeSet::new(), without_evidence: BTreeMap::new() };
        let review = Review::of(std::slice::from_ref(plan)).unwrap().unwrap();
        let status = Sample::of(&review, given, 100).unwrap().status(&review).unwrap();
        Status { decision: Decision::Enable, ..status }
    }

    /// The event `seq` that decides by the first `size` events.
    fn decided(seq: i64, status: Status, size: i64) -> Event {
        let basis = Basis { size, marks: 0, marks_sha256: String::new() };
        let decided =
            Decided { status, owner: "olga".to_owned(), basis, planted: Vec::new(), preconditions: Vec::new() };
        event(seq, DECIDED, &serde_json::to_value(decided).unwrap())
    }

    #[test]
    fn an_enable_that_does_not_count_every_mark_before_it_is_over_and_resumes_nothing() {
        let plan = plan_event(1, "rev-1");
        let of = |events: &[Event]| Review::of(events).unwrap().unwrap();
        let heard = of(&[plan.clone(), mark(5, "a", "correct"), decided(7, enable(&plan), 6)]);
        assert!(heard.is_to_resume() && heard.unheard == 0);
        let late = of(&[plan.clone(), mark(6, "a", "incorrect"), decided(7, enable(&plan), 6)]);
        assert_eq!((late.unheard, late.is_to_resume(), late.state()), (1, false, "closed"));
        // Any other decision goes on, and the mark counts in the next one.
        let extended = Status { decision: Decision::Extend, ..enable(&plan) };
        assert_eq!(of(&[plan.clone(), mark(6, "a", "incorrect"), decided(7, extended, 6)]).unheard, 0);
    }

    #[test]
    fn reviewers_are_blind_while_planted_items_are_among_those_they_mark() {
        let plan = plan_event(1, "rev-1");
        let mut review = Review::of(std::slice::from_ref(&plan)).unwrap().unwrap();
        assert!(review.blind().is_empty());
        review.planned.what.plan.planted = Some(PlantedTerms { items: 1, ids_hash: "0".repeat(64) });
        assert_eq!(review.blind(), review.plan().reviewers);
        let over = Review::of(&[plan.clone(), decided(7, enable(&plan), 7)]).unwrap().unwrap();
        review.decided = over.decided;
        assert!(review.blind().is_empty());
    }

    #[test]
    fn attempts_begin_anew_after_an_enable_that_resumed_the_workflow() {
        let plan = plan_event(1, "a");
        let status = enable(&plan);
        let mut events = vec![plan, decided(4, status, 2)];
        let after = |events: &[Event]| {
            let mut reviews = vec![Review::of(events).unwrap().unwrap()];
            let as_enabled = next_attempt(&reviews, "w", Purpose::ReEnable);
            reviews[0].planned.what.purpose = Purpose::Cadence;
            (as_enabled, next_attempt(&reviews, "w", Purpose::Cadence))
        };
        assert_eq!(after(&events), ((2, None), (1, Some(4))));
        events.push(event(5, RESUMED, &json!({})));
        assert_eq!(after(&events), ((1, Some(4)), (1, Some(4))));
    }
}
