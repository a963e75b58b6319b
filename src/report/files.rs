//! What a report is handed out as: the page, the numbers as JSON, every table as CSV.
//!
//! In: the answers of a dashboard. Out: texts. Invariant: the JSON and the CSV hold what the page shows, and
//! depend on the evidence alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::compose::{Answers, all};
use super::dashboard::Dashboard;
use super::gather::Gathered;
use crate::ledger::hash::sha256;
use crate::query::catalogue::Catalogue;
use crate::query::objects::{RATE_PART, Row, text};

/// A finished report.
#[derive(Debug)]
pub struct Report {
    /// What its files are called, `monthly-2016-03`.
    pub name: String,
    /// The page.
    pub html: String,
    /// The numbers.
    pub json: Value,
    /// Tables by file name.
    pub csv: BTreeMap<String, String>,
    /// The headline in one line.
    pub headline: String,
}

impl Report {
    /// SHA-256 of the page.
    pub fn digest(&self) -> String {
        sha256(&self.html)
    }
}

/// A metric's result: the columns of its row, or `parts` for a mix.
fn result(rows: &[&Row]) -> Value {
    let without = |row: &Row, names: &[&str]| -> Map<String, Value> {
        row.iter().filter(|(name, _)| !names.contains(&name.as_str())).map(|(n, v)| (n.clone(), v.clone())).collect()
    };
    let Some(first) = rows.first() else { return Value::Null };
    if first.contains_key("part") {
        let part = |row: &&Row| (text(row, "part").to_owned(), row.get("numerator").cloned().unwrap_or(Value::Null));
        // A rate that lists the rest apart is its part `valid`; a mix has parts alone.
        let rate = rows.iter().find(|row| text(row, "part") == RATE_PART);
        let mut result = match rate {
            Some(rate) => without(rate, &["grain", "key", "part"]),
            None => without(first, &["grain", "key", "part", "numerator", "value", "ci_low", "ci_high"]),
        };
        result.insert("parts".to_owned(), Value::Object(rows.iter().map(part).collect()));
        return Value::Object(result);
    }
    match rows {
        [one] => Value::Object(without(one, &["grain", "key"])),
        several => several.iter().map(|row| Value::Object(without(row, &["grain", "key"]))).collect(),
    }
}

/// The metrics of `dashboard` for one key of a grain; null keys are those of the period.
pub fn metrics(dashboard: &Dashboard, answers: &Answers, grain: &str, key: &str) -> Map<String, Value> {
    let mut metrics = Map::new();
    for name in &dashboard.metrics {
        let has_grain = all(answers, name).iter().any(|row| row.contains_key("grain"));
        let is_asked = |row: &&Row| !has_grain || (text(row, "grain") == grain && text(row, "key") == key);
        let rows: Vec<&Row> = all(answers, name).iter().filter(is_asked).collect();
        if name == "exception_origin" {
            // The split of the headline is two metrics with a rate each.
            for (part, metric) in
                [("surfaced_by_ai", "exceptions_surfaced_by_ai"), ("found_by_human", "found_by_human")]
            {
                let found = rows.iter().find(|row| text(row, "part") == part);
                if let Some(mut row) = found.map(|row| (*row).clone()) {
                    row.remove("part");
                    metrics.insert(metric.to_owned(), result(&[&row]));
                }
            }
        } else if !rows.is_empty() && (has_grain || grain == "period") {
            metrics.insert(name.clone(), result(&rows));
        }
    }
    metrics
}

/// The keys of `grain` over all metrics, in order.
fn keys(dashboard: &Dashboard, answers: &Answers, grain: &str) -> Vec<String> {
    let rows = dashboard.metrics.iter().flat_map(|name| all(answers, name));
    let mut keys: Vec<String> =
        rows.filter(|row| text(row, "grain") == grain).map(|row| text(row, "key").to_owned()).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Every grain but the period: its keys with their metrics, named by `label`.
pub fn by_key(dashboard: &Dashboard, answers: &Answers, grain: &str, label: &str) -> Vec<Value> {
    let of = |key: String| json!({label: key, "metrics": metrics(dashboard, answers, grain, &key)});
    keys(dashboard, answers, grain).into_iter().map(of).collect()
}

/// The rates at every grain but period, batch and workflow: issue type, versions, reviewer, segment and others.
pub fn other_grains(dashboard: &Dashboard, answers: &Answers) -> Map<String, Value> {
    let rows = dashboard.metrics.iter().flat_map(|name| all(answers, name));
    let grains: BTreeSet<&str> = rows.map(|row| text(row, "grain")).collect();
    let others = grains.into_iter().filter(|grain| !["", "period", "batch", "workflow"].contains(grain));
    others.map(|grain| (grain.to_owned(), by_key(dashboard, answers, grain, "key").into())).collect()
}

/// The controls with their results and their violations.
pub fn controls(dashboard: &Dashboard, answers: &Answers) -> Vec<Value> {
    let one = |name: &str| {
        let rows = all(answers, &format!("control:{name}"));
        let mut result = rows.first().cloned().unwrap_or_default();
        result.insert("control".to_owned(), name.into());
        result.insert("rows".to_owned(), rows.iter().skip(1).cloned().map(Value::Object).collect());
        Value::Object(result)
    };
    dashboard.controls().into_iter().map(one).collect()
}

/// The trends by metric.
pub fn trends(dashboard: &Dashboard, answers: &Answers) -> Map<String, Value> {
    let of = |name: &str| all(answers, &format!("trend:{name}")).iter().cloned().map(Value::Object).collect();
    dashboard.trends().into_iter().map(|name| (name.to_owned(), of(name))).collect()
}

/// The answers that are no metric, by query.
pub fn tables(dashboard: &Dashboard, gathered: &Gathered) -> Map<String, Value> {
    let is_table = |name: &&String| !name.contains(':') && !dashboard.metrics.contains(name);
    let rows = |name: &String| all(&gathered.answers, name).iter().cloned().map(Value::Object).collect();
    gathered.answers.keys().filter(is_table).map(|name| (name.clone(), rows(name))).collect()
}

const RATE: [&str; 10] =
    ["grain", "key", "part", "numerator", "denominator", "value", "ci_low", "ci_high", "pending", "status"];

/// `metrics.csv` with every rate at every grain, `controls.csv`, and one file for each other query.
pub fn csv(dashboard: &Dashboard, gathered: &Gathered, catalogue: &Catalogue) -> BTreeMap<String, String> {
    let answers = &gathered.answers;
    let columns_of = |name: &str| -> Vec<String> {
        catalogue.get(name).map(|q| q.returns.iter().map(|c| c.name.clone()).collect()).unwrap_or_default()
    };
    let is_rate = |name: &str| {
        let columns = columns_of(name);
        ["grain", "key", "numerator", "denominator", "status"].iter().all(|c| columns.iter().any(|known| known == c))
    };
    let mut files = BTreeMap::new();
    let mut rates = csv_line(std::iter::once("metric").chain(RATE).map(str::to_owned));
    for name in dashboard.metrics.iter().filter(|name| is_rate(name)) {
        for row in all(answers, name) {
            rates += &csv_line(std::iter::once(name.clone()).chain(RATE.map(|c| field(row.get(c)))));
        }
    }
    files.insert("metrics.csv".to_owned(), rates);
    let named =
        |name: &&String| !(name.contains(':') || dashboard.metrics.contains(name) && columns_of(name) == RATE_COLUMNS);
    for name in answers.keys().filter(named) {
        files.insert(format!("{name}.csv"), table(&columns_of(name), all(answers, name)));
    }
    let judged = ["control", "result", "population", "violations", "untestable"].map(str::to_owned);
    let results: Vec<Row> = controls(dashboard, answers).into_iter().filter_map(|c| c.as_object().cloned()).collect();
    if !results.is_empty() {
        files.insert("controls.csv".to_owned(), table(&judged, &results));
        files.insert("violations.csv".to_owned(), violations(dashboard, answers));
    }
    files
}

/// The columns of a plain rate; a metric with others has a file of its own beside `metrics.csv`.
const RATE_COLUMNS: [&str; 9] =
    ["grain", "key", "numerator", "denominator", "value", "ci_low", "ci_high", "pending", "status"];

fn table(columns: &[String], rows: &[Row]) -> String {
    let head = csv_line(columns.iter().cloned());
    rows.iter().fold(head, |text, row| text + &csv_line(columns.iter().map(|c| field(row.get(c)))))
}

/// The violating rows of all controls.
fn violations(dashboard: &Dashboard, answers: &Answers) -> String {
    let columns = [
        "action_id",
        "seq",
        "occurred_at",
        "workflow",
        "system",
        "record_type",
        "record_id",
        "field",
        "actor",
        "detail",
    ];
    let mut text = csv_line(std::iter::once("control").chain(columns).map(str::to_owned));
    for name in dashboard.controls() {
        for row in all(answers, &format!("control:{name}")).iter().skip(1) {
            text += &csv_line(std::iter::once(name.to_owned()).chain(columns.map(|c| field(row.get(c)))));
        }
    }
    text
}

fn field(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// RFC 4180; a field that a spreadsheet would take for a formula is marked as text.
fn csv_line(fields: impl Iterator<Item = String>) -> String {
    let quoted = |field: String| {
        let is_formula =
            field.starts_with(['=', '+', '@', '\t', '\r']) || (field.starts_with('-') && field.parse::<f64>().is_err());
        let field = if is_formula { format!("'{field}") } else { field };
        if field.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
    };
    fields.map(quoted).collect::<Vec<_>>().join(",") + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_fields_are_quoted_and_formulas_defused() {
        let fields = ["a,b", "c\"d", "=1+1", "-0.5", "-x"].map(str::to_owned);
        assert_eq!(csv_line(fields.into_iter()), "\"a,b\",\"c\"\"d\",'=1+1,-0.5,'-x\r\n");
    }
}
