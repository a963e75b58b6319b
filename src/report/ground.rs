//! The ground that the numbers of a report stand on: period, prefix of the ledger, parameters, policy.
//!
//! In: what a report asks, the policies in force meanwhile. Out: facts for its first page. Invariant: a policy
//! that was applied after it took effect says so, and the built-in one is never passed off as applied.

use serde_json::Value;

use super::gather::Ask;
use super::issued::FirstIssue;
use super::{compose, format};
use crate::clock::{Micros, rfc3339};
use crate::error::Result;
use crate::policy::Policy;
use crate::query::answer::Limits;
use crate::query::engine::Engine;
use crate::query::objects::{Row, rows, text};

/// The policies in force during a stretch of time.
pub struct Policies {
    /// The one in force at its start, which draws borders and says how long later facts count.
    pub first: Policy,
    /// All of them: version, since when, applied when and by whom.
    rows: Vec<Row>,
}

impl Policies {
    /// Those in force from `start` to before `end`.
    ///
    /// # Errors
    /// When the query fails.
    pub async fn during(engine: &Engine, start: Micros, end: Micros) -> Result<Self> {
        let sql = format!(
            "select version, effective_from, effective_to, applied_at, applied_by, is_default, document from policies \
             where effective_from < timestamp '{}' and effective_to > timestamp '{}' order by effective_from",
            rfc3339(end),
            rfc3339(start),
        );
        let rows = rows(&engine.sql(&sql, Limits::default()).await?)?;
        let first = match rows.first() {
            Some(row) => Policy::parse(text(row, "document"))?,
            None => Policy::built_in()?,
        };
        Ok(Self { first, rows })
    }

    /// Without their texts.
    pub fn json(&self) -> Vec<Value> {
        let mut rows: Vec<Row> = self.rows.clone();
        rows.iter_mut().for_each(|row| drop(row.remove("document")));
        rows.into_iter().map(Value::Object).collect()
    }

    fn facts(&self) -> impl Iterator<Item = (String, String)> {
        self.rows.iter().map(|row| {
            let version = text(row, "version");
            let words = match (row.get("is_default").and_then(Value::as_bool), text(row, "applied_at")) {
                (Some(true), _) => format!("{version}: no policy was applied, the built-in default holds"),
                (_, at) => {
                    let (from, by) = (text(row, "effective_from"), text(row, "applied_by"));
                    let late = if at > from { ", later than it took effect" } else { "" };
                    format!("{version}, in force from {}, applied by {by} on {}{late}", day(from), day(at))
                }
            };
            ("Policy".to_owned(), words)
        })
    }
}

fn day(instant: &str) -> &str {
    instant.get(..10).unwrap_or(instant)
}

/// Without the fraction of a second where there is none.
fn short(at: Micros) -> String {
    rfc3339(at).replace(".000000Z", "Z")
}

/// What a reader must know to ask the same again.
pub fn facts(ask: &Ask<'_>, policies: &Policies, issued: Option<&FirstIssue>) -> Vec<(String, String)> {
    let as_of = ask.engine.as_of();
    let version = if ask.engine.version() < 0 { "none yet".to_owned() } else { format!("v{}", ask.engine.version()) };
    let mut facts = vec![
        ("Period".to_owned(), format!("{} to {}", short(ask.period.start), short(ask.period.end))),
        ("As of".to_owned(), rfc3339(as_of.at)),
        ("Ledger size".to_owned(), format!("{} events", format::count(as_of.size as u64))),
        ("Table version".to_owned(), version),
    ];
    facts.extend(ask.params.iter().map(|(name, value)| (compose::first_upper(name), value.clone())));
    facts.extend(policies.facts());
    facts.extend(
        issued.map(|first| ("First issued".to_owned(), format!("{} by {}", day(&first.issued_at), first.issued_by))),
    );
    facts
}
