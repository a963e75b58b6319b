//! Issued reports: what was said first stays beside what is said today.
//!
//! In: a finished report, the reports issued before. Out: the event that states that a report was issued, and the first
//! values of its numbers. Invariant: values are compared only when they were asked for with the same parameters.

use serde_json::{Map, Value, json};

use super::compose::Answers;
use super::files::Report;
use crate::error::Result;
use crate::event::Column;
use crate::ingest::writer::Writer;
use crate::query::catalogue::Catalogue;
use crate::query::engine::Engine;
use crate::query::objects::{RATE_PART, Row, rows, text};
use crate::query::params::Params;
use crate::store::Store;

/// The first report of its kind, subject and parameters that was issued.
#[derive(Debug, Clone)]
pub struct FirstIssue {
    /// When.
    pub issued_at: String,
    /// By whom.
    pub issued_by: String,
    /// Its numbers by metric.
    pub metrics: Map<String, Value>,
}

impl FirstIssue {
    /// Finds it, if there is one.
    ///
    /// # Errors
    /// When the query fails.
    pub async fn find(engine: &Engine, report: &str, subject: &str, params: &Params) -> Result<Option<Self>> {
        let answer = engine.run(Catalogue::shipped()?.get("issued_reports")?, &Params::new()).await?;
        // The zone is the policy's: when it moves a month's borders, what was issued stays what was issued.
        let asked = |params: Params| params.into_iter().filter(|(name, _)| name != "time_zone").collect::<Params>();
        let wanted = asked(params.clone());
        let same = |row: &Row| {
            let given: Option<Params> = serde_json::from_str(text(row, "params")).ok();
            let is_same = given.map(asked).as_ref() == Some(&wanted);
            text(row, "report") == report && text(row, "subject") == subject && is_same
        };
        let first = rows(&answer)?.into_iter().find(same);
        Ok(first.map(|row| Self {
            issued_at: text(&row, "issued_at").to_owned(),
            issued_by: text(&row, "issued_by").to_owned(),
            metrics: serde_json::from_str(text(&row, "metrics")).unwrap_or_default(),
        }))
    }

    /// Puts the first values beside those of today, in the rows of `grain`.
    pub fn put_beside(&self, answers: &mut Answers, grain: &str) {
        for (metric, first) in &self.metrics {
            let Some(first) = first.as_object().filter(|first| first.contains_key("numerator")) else { continue };
            let is_rate = |row: &Row| !row.contains_key("part") || text(row, "part") == RATE_PART;
            let of_grain = |row: &&mut Row| text(row, "grain") == grain && is_rate(row);
            for row in answers.get_mut(metric).into_iter().flatten().filter(of_grain) {
                let mut said: Map<String, Value> = ["numerator", "denominator", "value"]
                    .into_iter()
                    .map(|name| (name.to_owned(), first.get(name).cloned().unwrap_or(Value::Null)))
                    .collect();
                said.insert("issued_at".to_owned(), self.issued_at.clone().into());
                row.insert("first_issued".to_owned(), Value::Object(said));
            }
        }
    }
}

/// States that `by` issued `report`, so that later ones show its numbers beside their own; gives the event's `seq`.
///
/// # Errors
/// When the store fails.
pub async fn state(store: &Store, report: &Report, by: &str) -> Result<i64> {
    let mut writer = Writer::new(store);
    let mut event = writer.statement("report.issued");
    event.set_text(Column::ActorKind, "human");
    event.set_text(Column::ActorId, by.to_owned());
    event.set_text(Column::Extra, statement(report));
    writer.state(&event).await
}

/// `extra` of the event that states that `report` was issued.
fn statement(report: &Report) -> String {
    let of = |name: &str| report.json.get(name).cloned().unwrap_or(Value::Null);
    let mut metrics = of("metrics");
    for metric in metrics.as_object_mut().into_iter().flat_map(Map::values_mut) {
        if let Some(metric) = metric.as_object_mut() {
            metric.retain(|name, _| ["numerator", "denominator", "value", "parts", "status"].contains(&name.as_str()));
        }
    }
    json!({
        "report": of("report"), "subject": of("subject"), "params": of("params"), "as_of": of("as_of"),
        "metrics": metrics, "sha256": report.digest(),
    })
    .to_string()
}
