//! The reviewer's desk: which items wait for whom, and what is shown of them.
//!
//! In: the account of a review, a reviewer. Out: the items that wait, with what their actions did; marks as they are
//! sent. Invariant: nothing shown tells what anybody said of an item, nor which items were planted. It states nothing.

use serde::Deserialize;
use serde_json::{Value, json};

use super::account::Account;
use super::items;
use super::marks::{Mark, Word};
use super::outputs::Output;
use super::sheet::{self, Marking};
use crate::clock::{Micros, rfc3339};
use crate::error::{Error, Result};
use crate::query::engine::Engine;
use crate::query::objects::Row;

/// What would tell planted items from the others: they are of another version, and may have been executed.
const TELLING: [&str; 9] =
    ["seq", "action_id", "rule_version", "prompt_version", "model_version", "run_id", "batch_id", "outcome", "error"];

/// The items that wait, and the first of them as they are shown.
#[derive(Debug, Clone)]
pub struct Desk {
    /// All that wait, in the order in which reviewers see them.
    pub waiting: usize,
    /// The first of them, with what their actions did; `item` is the id.
    pub items: Vec<Row>,
}

impl Desk {
    /// The first `limit` items of `account` that wait for `reviewer`, or for anybody.
    ///
    /// # Errors
    /// Conflict when the frame that was planned cannot be picked any more; when a query fails or a bound is met.
    pub async fn of(engine: &Engine, account: &Account, reviewer: Option<&str>, limit: usize) -> Result<Self> {
        let waiting = account.waiting(reviewer)?;
        let shown: Vec<&str> = waiting.iter().take(limit).copied().collect();
        Ok(Self { waiting: waiting.len(), items: shown_items(engine, account, &shown).await? })
    }

    /// As JSON, with what `account` says of seed and progress.
    pub fn to_json(&self, account: &Account) -> Value {
        json!({
            "review_id": account.review.review_id,
            "seed": account.review.drawn.as_ref().map(|drawn| &drawn.what),
            "items": self.items, "waiting": self.waiting,
            "next": account.status.next, "decision": account.status.decision,
        })
    }
}

/// What is shown of the items `ids`, in their order; planted ones look like all others.
///
/// # Errors
/// When a query fails or a bound is met.
pub async fn shown_items(engine: &Engine, account: &Account, ids: &[&str]) -> Result<Vec<Row>> {
    let planned = &account.review.planned.what;
    let own = planned.plan.frame.environment.as_str();
    let other = planned.planted_from.as_ref().map_or(own, |from| from.environment.as_str());
    let mut rows = vec![Row::new(); ids.len()];
    for (environment, is_planted) in [(own, false), (other, true)] {
        let places: Vec<usize> =
            (0..ids.len()).filter(|place| account.planted.contains_key(ids[*place]) == is_planted).collect();
        let outputs: Vec<&Output> = places.iter().filter_map(|place| account.output(ids[*place])).collect();
        for (place, row) in places.iter().zip(items::told(engine, environment, &outputs).await?) {
            rows[*place] = row;
        }
    }
    for (row, id) in rows.iter_mut().zip(ids) {
        row.insert("item".to_owned(), (*id).into());
        if planned.planted_from.is_some() {
            row.retain(|name, _| !TELLING.contains(&name.as_str()));
        }
    }
    Ok(rows)
}

/// Marks as they are sent: by whoever sends them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    /// At least one.
    pub marks: Vec<SentMark>,
}

/// A mark as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentMark {
    /// The id of the item, or the beginning of it.
    pub item: String,
    /// What the reviewer says of it.
    pub mark: Word,
    /// By value: how much of the item's value is wrong.
    pub wrong_amount: Option<String>,
    /// When the reviewer opened the item.
    pub review_opened_at: Option<String>,
    /// Words about it.
    pub comment: Option<String>,
}

impl Sent {
    /// The marks that they are, as of the instant `now`.
    ///
    /// # Errors
    /// Invalid when there is none, an amount does not belong to its mark, or an instant is none or lies in the future.
    pub fn markings(&self, now: Micros) -> Result<Vec<Marking>> {
        if self.marks.is_empty() {
            return Err(Error::invalid("there is no mark; send one for each item that was judged"));
        }
        self.marks.iter().map(|sent| sent.marking(now)).collect()
    }
}

impl SentMark {
    fn marking(&self, now: Micros) -> Result<Marking> {
        let mark = Mark { item: self.item.trim().to_owned(), mark: self.mark, wrong_amount: self.wrong_amount.clone() };
        mark.check()?;
        let opened_at = self.review_opened_at.as_deref().map(sheet::opened_at).transpose()?;
        if opened_at.is_some_and(|at| at > now) {
            return Err(Error::invalid(format!(
                "`review_opened_at` lies in the future; it is {} by the clock here",
                rfc3339(now)
            )));
        }
        Ok(Marking { mark, reviewer: None, opened_at, comment: self.comment.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_those_of_whoever_sends_them() {
        let sent = |text: &str| serde_json::from_str::<Sent>(text);
        let one =
            sent(r#"{"marks": [{"item": " aa11 ", "mark": "correct", "review_opened_at": "1970-01-01T00:00:01Z"}]}"#);
        let marking = one.unwrap().markings(2_000_000).unwrap().remove(0);
        assert_eq!((marking.mark.item.as_str(), marking.reviewer, marking.opened_at), ("aa11", None, Some(1_000_000)));
        assert!(sent(r#"{"marks": [{"item": "a", "mark": "correct", "reviewer": "bob"}]}"#).is_err());
        let refused = |text: &str| sent(text).unwrap().markings(2_000_000).unwrap_err().to_string();
        assert!(refused(r#"{"marks": []}"#).contains("no mark"));
        let late = r#"{"marks": [{"item": "a", "mark": "correct", "review_opened_at": "1970-01-01T00:00:03Z"}]}"#;
        assert!(refused(late).contains("future"));
        let amount = r#"{"marks": [{"item": "a", "mark": "correct", "wrong_amount": "1.00"}]}"#;
        assert!(refused(amount).contains("not marked incorrect"));
    }
}
