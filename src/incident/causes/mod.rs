//! What may have caused an incident: values that are more frequent among the bad actions than among the others.
//!
//! In: the bad actions, the actions of the time around them. Out: versions, agents, approvers, sources and whatever
//! else actions have, each with its shares, its lift, and the configuration change that came before. Invariants: every
//! count is exact; a value that every action has alike is none; one that chance alone could have brought about is
//! marked so. It names candidates and convicts nobody.
//!
//! Lift alone would put a value first that two bad actions share by chance. So the order is that of the evidence: the
//! log-likelihood ratio of the table "with the value or without" against "bad or not" (Dunning 1993, "Accurate Methods
//! for the Statistics of Surprise and Coincidence"), which is the largest where a value has all of the bad actions and
//! none of the others. Of equals the one that was seen last for the first time goes first: what is new at work goes
//! before what was there all along. Whether it could be chance is said by the exact hypergeometric tail, adjusted for
//! the number of values that were looked at (Holm 1979).

mod changes;
mod counts;

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::Scoped;
use super::comparison::{Comparison, DAYS_BEFORE, PRODUCTION};
use super::record::instant;
use crate::analysis::multiple::holm;
use crate::analysis::tails::Hypergeometric;
use crate::clock::{Micros, rfc3339};
use crate::error::{Error, Result};
use crate::query::answer::Limits;
use crate::query::engine::Engine;
use crate::query::objects::{literal, rows};
use changes::Asked;
pub use changes::Changed;
use counts::{Counts, Tally};

/// Candidates that are told.
const LISTED: usize = 40;
/// Adjusted probability up to which a value is more than chance.
const ERROR: f64 = 0.05;
/// The first use of longer values is not looked up: a question would not hold them.
const ASKED_BYTES: usize = 512;

/// A value that may have to do with the incident.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    /// What kind of value: `rule_version`, `approver` and so on.
    pub dimension: &'static str,
    /// The value.
    pub value: String,
    /// Bad actions with it.
    pub bad: u64,
    /// All actions with it, the bad ones too.
    pub all: u64,
    /// Its share among the bad actions over its share among all.
    pub lift: f64,
    /// Log-likelihood ratio.
    pub evidence: f64,
    /// How probable so many bad actions with it were by chance, adjusted for the number of values.
    pub p_value: f64,
    /// Whether the selector itself names it: then it is among the bad actions by definition.
    pub is_selected: bool,
    /// When the first bad action with it was proposed.
    pub first_bad_at: Micros,
    /// When the first action with it was proposed, in the whole log; none where that was not looked up.
    pub first_seen_at: Option<Micros>,
    /// The last change of the configuration before that concerns it.
    pub change: Option<Changed>,
    /// Its place among the kinds of values.
    kind: usize,
}

impl Cause {
    /// Whether chance alone is no explanation.
    pub fn is_signal(&self) -> bool {
        self.p_value <= ERROR
    }

    /// Whether the change before it brought this very value.
    fn is_announced(&self) -> bool {
        self.change.as_ref().is_some_and(|change| change.names(self.dimension, &self.value))
    }

    /// The strongest evidence first; of equals the newest, then one that a change announced.
    fn order(&self, other: &Self) -> Ordering {
        let by_evidence = other.evidence.total_cmp(&self.evidence).then(other.lift.total_cmp(&self.lift));
        by_evidence
            .then(other.first_seen_at.cmp(&self.first_seen_at))
            .then(other.is_announced().cmp(&self.is_announced()))
            .then(self.kind.cmp(&other.kind))
            .then_with(|| self.value.cmp(&other.value))
    }
}

/// The candidates, and what they were compared with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Causes {
    /// When the actions were proposed that were compared; none where there was nothing to compare.
    pub period: Option<(Micros, Micros)>,
    /// Whether executed actions alone were compared, since all bad ones were.
    pub is_of_executed: bool,
    /// Bad actions.
    pub bad: u64,
    /// All actions, the bad ones too.
    pub all: u64,
    /// Values of bad actions that were looked at.
    pub values: u64,
    /// The candidates, the strongest evidence first.
    pub causes: Vec<Cause>,
    /// Candidates with less evidence that are not among them.
    pub left_out: u64,
    /// Why there is none, in words.
    pub lack: Option<&'static str>,
}

impl Causes {
    /// Without candidates, for a reason.
    pub fn none(lack: &'static str) -> Self {
        Self { lack: Some(lack), ..Self::default() }
    }

    /// The candidates for `scoped`, compared as `comparison` says.
    ///
    /// # Errors
    /// When a query fails or a bound is met.
    pub(super) async fn of(engine: &Engine, scoped: &Scoped, comparison: Option<&Comparison<'_>>) -> Result<Self> {
        let Some(comparison) = comparison else {
            let is_compared = scoped.selector.environment == PRODUCTION;
            return Ok(Self::none(if is_compared {
                "the selector picks no action"
            } else {
                "actions of production alone are compared, and the selector is about another environment"
            }));
        };
        let counts = Counts::of(engine, comparison).await?;
        let mut found = Self {
            period: Some(comparison.period),
            is_of_executed: comparison.is_of_executed,
            bad: counts.bad,
            all: counts.all,
            ..Self::default()
        };
        found.rank(counts.values())?;
        let known = changes::before(engine, comparison.period.1).await?;
        first_uses(engine, &mut found.causes).await?;
        for cause in &mut found.causes {
            let (dimension, value, first_bad_at) = (cause.dimension, cause.value.as_str(), cause.first_bad_at);
            cause.change = changes::last(&known, Asked { dimension, value, first_bad_at }, &comparison.workflows);
            cause.is_selected = is_named(&scoped.selector.predicate, dimension, value);
        }
        found.causes.sort_by(Cause::order);
        Ok(found)
    }

    /// Takes those of `values` that are more frequent among the bad actions than among the others.
    fn rank(&mut self, values: Vec<(usize, String, Tally)>) -> Result<()> {
        self.values = values.len() as u64;
        if self.bad == self.all {
            self.lack = Some("every action of the period is bad, so that there is nothing to compare with");
            return Ok(());
        }
        let chances: Vec<f64> = values.iter().map(|(_, _, tally)| self.chance(tally)).collect();
        let chances = holm(&chances).ok_or_else(|| Error::internal("a chance lies outside 0 to 1"))?;
        let candidates = values.into_iter().zip(chances).filter(|((_, _, tally), _)| self.is_candidate(tally));
        let mut causes: Vec<Cause> = candidates
            .map(|((kind, value, tally), p_value)| Cause {
                dimension: counts::name(kind),
                value,
                bad: tally.bad,
                all: tally.all,
                lift: share(tally.bad, self.bad) / share(tally.all, self.all),
                evidence: self.evidence(&tally),
                p_value,
                is_selected: false,
                first_bad_at: tally.first_bad_at.unwrap_or_default(),
                first_seen_at: None,
                change: None,
                kind,
            })
            .collect();
        causes.sort_by(Cause::order);
        self.left_out = causes.len().saturating_sub(LISTED) as u64;
        causes.truncate(LISTED);
        self.lack = causes.is_empty().then_some("no value stands out among the bad actions");
        self.causes = causes;
        Ok(())
    }

    /// Whether a value is half as frequent again among the bad actions as among the others, at least; of several bad
    /// actions one alone says nothing.
    fn is_candidate(&self, tally: &Tally) -> bool {
        let [with, others_with, bad, others] =
            [tally.bad, tally.all - tally.bad, self.bad, self.all - self.bad].map(u128::from);
        tally.bad >= self.bad.min(2) && 2 * with * others >= 3 * others_with * bad
    }

    /// How probable it is that as many of the bad actions have a value, had they been drawn at random from all.
    fn chance(&self, tally: &Tally) -> f64 {
        let draw = Hypergeometric::new(self.all as i64, tally.all as i64, self.bad as i64);
        draw.map_or(1.0, |draw| draw.high(tally.bad as i64)).clamp(0.0, 1.0)
    }

    /// Twice the logarithm of how much likelier the table is with two shares than with one.
    fn evidence(&self, tally: &Tally) -> f64 {
        let (bad, others) = (self.bad as f64, (self.all - self.bad) as f64);
        let (with, without) = (tally.all as f64, (self.all - tally.all) as f64);
        let cells = [
            (tally.bad, bad, with),
            (self.bad - tally.bad, bad, without),
            (tally.all - tally.bad, others, with),
            (self.all - self.bad - (tally.all - tally.bad), others, without),
        ];
        let term = |(n, row, column): (u64, f64, f64)| match n {
            0 => 0.0,
            n => n as f64 * (n as f64 * self.all as f64 / (row * column)).ln(),
        };
        2.0 * cells.into_iter().map(term).sum::<f64>()
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        let cause = |cause: &Cause| {
            json!({
                "dimension": cause.dimension, "value": cause.value, "bad": cause.bad, "all": cause.all,
                "share_of_bad": share(cause.bad, self.bad), "share_of_all": share(cause.all, self.all),
                "lift": cause.lift, "evidence": cause.evidence, "p_value": cause.p_value,
                "is_signal": cause.is_signal(), "is_selected": cause.is_selected,
                "first_bad_at": rfc3339(cause.first_bad_at), "first_seen_at": cause.first_seen_at.map(rfc3339),
                "change": cause.change.as_ref().map(|change| change.to_json(cause.first_bad_at)),
                "is_announced": cause.is_announced(),
            })
        };
        json!({
            "period_start": self.period.map(|(start, _)| rfc3339(start)),
            "period_end": self.period.map(|(_, end)| rfc3339(end)),
            "days_before": DAYS_BEFORE, "is_of_executed": self.is_of_executed, "bad": self.bad, "all": self.all,
            "values": self.values, "causes": self.causes.iter().map(cause).collect::<Vec<_>>(),
            "left_out": self.left_out, "lack": self.lack,
        })
    }
}

/// Whether `predicate` names the value, and the column of events that holds values of this kind: an area or a batch
/// may be called as its workflow is.
fn is_named(predicate: &str, dimension: &str, value: &str) -> bool {
    let column = match dimension {
        "agent" | "executed_by" => "actor_id",
        "approver" => "reviewer",
        "source_record" => "inputs",
        column => column,
    };
    predicate.contains(&literal(value)) && predicate.to_lowercase().contains(column)
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

/// Looks up when the values of `causes` were first at work.
async fn first_uses(engine: &Engine, causes: &mut [Cause]) -> Result<()> {
    let asked = causes.iter().enumerate().filter(|(_, cause)| cause.value.len() <= ASKED_BYTES);
    let columns: Vec<String> = asked
        .filter_map(|(i, cause)| Some((i, counts::expression(cause.kind)?, literal(&cause.value))))
        .map(|(i, expression, value)| format!("min(cohort_at) filter (where {expression} = {value}) as first_{i}"))
        .collect();
    if columns.is_empty() {
        return Ok(());
    }
    let sql = format!("select {} from actions", columns.join(", "));
    let answer = rows(&engine.sql(&sql, Limits::default()).await?)?;
    let Some(row) = answer.first() else { return Ok(()) };
    for (i, cause) in causes.iter_mut().enumerate() {
        cause.first_seen_at = instant(row, &format!("first_{i}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(bad: u64, all: u64) -> Tally {
        Tally { bad, all, first_bad_at: Some(7) }
    }

    fn ranked((bad, all): (u64, u64), values: &[(usize, &str, u64, u64)]) -> Causes {
        let mut causes = Causes { bad, all, ..Causes::default() };
        let values = values.iter().map(|(kind, value, bad, all)| (*kind, (*value).to_owned(), tally(*bad, *all)));
        causes.rank(values.collect()).unwrap();
        causes
    }

    fn names(causes: &Causes) -> Vec<&str> {
        causes.causes.iter().map(|cause| cause.value.as_str()).collect()
    }

    #[test]
    fn what_all_bad_actions_share_goes_before_what_two_of_them_share_by_chance() {
        let found = ranked(
            (80, 400),
            &[(0, "common", 80, 400), (1, "cause", 80, 90), (8, "workflow", 80, 200), (9, "two", 2, 2)],
        );
        assert_eq!(names(&found), ["cause", "workflow", "two"]);
        let [cause, _, two] = &found.causes[..] else { panic!("{found:?}") };
        assert!(two.lift > cause.lift && !two.is_signal() && cause.is_signal());
        assert!((cause.lift - 400.0 / 90.0).abs() < 1e-12, "{cause:?}");
    }

    #[test]
    fn evidence_and_chance_are_those_of_the_formulas() {
        let found = ranked((3, 10), &[(0, "v", 3, 4), (1, "w", 2, 4)]);
        // 3 ln(3·10/(3·4)) + 1 ln(1·10/(7·4)) + 6 ln(6·10/(7·6)), twice; the tail is C(4,3)/C(10,3) = 1/30.
        let expected = 2.0 * (3.0 * 2.5_f64.ln() + (10.0_f64 / 28.0).ln() + 6.0 * (60.0_f64 / 42.0).ln());
        let v = &found.causes[0];
        assert!((v.evidence - expected).abs() < 1e-12, "{v:?}");
        assert!((v.p_value - 2.0 / 30.0).abs() < 1e-12, "Holm doubles the smaller of two: {v:?}");
    }

    #[test]
    fn a_selector_names_a_value_of_a_column_and_not_another_one_that_is_called_so() {
        let predicate = "WORKFLOW = 'enrichment' and actor_id = 'bot'";
        assert!(is_named(predicate, "workflow", "enrichment") && is_named(predicate, "agent", "bot"));
        assert!(!is_named(predicate, "permission_area", "enrichment") && !is_named(predicate, "approver", "bot"));
        assert!(!is_named(predicate, "workflow", "enrich"));
    }

    #[test]
    fn nothing_to_compare_with_is_said() {
        let lack = |found: Causes| (found.causes.len(), found.lack.map(|words| words.contains("every action")));
        assert_eq!(lack(ranked((5, 5), &[(0, "v", 5, 5)])), (0, Some(true)));
        assert_eq!(lack(ranked((0, 0), &[])), (0, Some(true)));
        assert_eq!(lack(ranked((2, 9), &[])), (0, Some(false)));
        assert_eq!(names(&ranked((1, 9), &[(0, "v", 1, 1)])), ["v"], "of one bad action everything is told");
        assert!(names(&ranked((2, 9), &[(0, "v", 1, 1)])).is_empty());
    }

    #[test]
    fn of_equals_the_newest_goes_first_then_what_was_announced_then_versions() {
        let mut found =
            ranked((4, 40), &[(4, "agent", 4, 4), (1, "rule", 4, 4), (2, "model", 4, 4), (8, "flow", 4, 4)]);
        assert_eq!(names(&found), ["rule", "model", "agent", "flow"]);
        for cause in &mut found.causes {
            cause.first_seen_at = Some(if cause.value == "flow" { 9 } else { 1 });
            let announced =
                Changed { what: Some("model_version".into()), to: Some("model".into()), ..Changed::default() };
            cause.change = Some(announced);
        }
        found.causes.sort_by(Cause::order);
        assert_eq!(names(&found), ["flow", "model", "rule", "agent"]);
    }

    #[test]
    fn no_more_candidates_than_are_listed_and_the_rest_is_counted() {
        let values: Vec<String> = (0..LISTED + 5).map(|i| format!("v{i:02}")).collect();
        let values: Vec<(usize, &str, u64, u64)> = values.iter().map(|value| (0, value.as_str(), 2, 2)).collect();
        let found = ranked((90, 900), &values);
        assert_eq!((found.causes.len(), found.left_out, found.values), (LISTED, 5, LISTED as u64 + 5));
    }
}
