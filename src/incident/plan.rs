//! Recovery plans in the forms that others take, and whether one still holds.
//!
//! In: a scope. Out: JSON with the hash of the state that it was made from, NDJSON, CSV in the shape of a bulk update.
//! Invariant: every cell of a CSV is to be written as it stands there. A file holds records with the same fields to
//! restore, so that an empty cell means the empty value and never "leave as it is". Nothing is executed here.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Scoped;
use crate::blast::{Plan, PlanRow, Record, Remedy};
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::query::blast::{Selector, read_instant};

/// What of a row tells that its cell has changed.
const JUDGED: [&str; 8] =
    ["remedy", "state", "flags", "first_bad_seq", "last_bad_seq", "current_seq", "restore_value", "current_value"];

/// The plan of `scoped` as JSON, with what is needed to make it again.
///
/// # Errors
/// Never for a plan.
pub fn to_json(scoped: &Scoped, plan: &Plan) -> Result<Value> {
    Ok(json!({
        "plan_sha256": plan.plan_sha256,
        "selector": scoped.basis(),
        "as_of": {"size": scoped.size, "version": scoped.table_version, "root": scoped.root},
        "affected_sha256": scoped.radius.affected_sha256(),
        "rows": plan.rows.iter().map(row_as_json).collect::<Result<Vec<_>>>()?,
    }))
}

/// The rows of `plan`, one JSON object a line, each with the hash of the plan.
///
/// # Errors
/// Never for a plan.
pub fn to_ndjson(plan: &Plan) -> Result<String> {
    let mut text = String::new();
    for row in &plan.rows {
        let mut object = row_as_json(row)?;
        object["plan_sha256"] = plan.plan_sha256.clone().into();
        text.push_str(&object.to_string());
        text.push('\n');
    }
    Ok(text)
}

fn row_as_json(row: &PlanRow) -> Result<Value> {
    serde_json::to_value(row).map_err(|e| Error::internal("cannot write a recovery plan").because(e))
}

/// Number of rows by what is to be done.
pub fn remedies(plan: &Plan) -> BTreeMap<Remedy, u64> {
    let mut remedies = BTreeMap::new();
    for row in &plan.rows {
        *remedies.entry(row.remedy).or_insert(0) += 1;
    }
    remedies
}

/// Values of one record by field.
type Values<'a> = BTreeMap<&'a str, &'a str>;

/// File names and texts of the bulk updates that restore what `plan` says to restore: `id`, then a column a field. A
/// record without a named field is not in them.
pub fn to_csv(plan: &Plan) -> BTreeMap<String, String> {
    let mut records: BTreeMap<(&str, &str), BTreeMap<&str, Values<'_>>> = BTreeMap::new();
    for row in plan.rows.iter().filter(|row| row.remedy == Remedy::Restore) {
        let (Some(field), Some(value)) = (&row.field, &row.restore_value) else { continue };
        let Record { system, record_type, record_id } = &row.record;
        records.entry((system, record_type)).or_default().entry(record_id).or_default().insert(field, value);
    }
    let mut files = BTreeMap::new();
    for ((system, record_type), records) in records {
        let mut shapes: BTreeMap<Vec<&str>, Vec<(&str, Values<'_>)>> = BTreeMap::new();
        for (id, values) in records {
            shapes.entry(values.keys().copied().collect()).or_default().push((id, values));
        }
        for (number, (fields, records)) in shapes.into_iter().enumerate() {
            let suffix = if number == 0 { String::new() } else { format!("-{}", number + 1) };
            let name = format!("{}-{}{suffix}.csv", plain(system), plain(record_type));
            files.insert(name, table(&fields, &records));
        }
    }
    files
}

fn table(fields: &[&str], records: &[(&str, Values<'_>)]) -> String {
    let mut text = line(std::iter::once("id").chain(fields.iter().copied()));
    for (id, values) in records {
        text.push_str(&line(std::iter::once(*id).chain(values.values().copied())));
    }
    text
}

fn line<'a>(cells: impl Iterator<Item = &'a str>) -> String {
    let quoted = |cell: &str| {
        let is_plain = !cell.is_empty() && !cell.contains(['"', ',', '\r', '\n']) && cell.trim() == cell;
        if is_plain { cell.to_owned() } else { format!("\"{}\"", cell.replace('"', "\"\"")) }
    };
    cells.map(quoted).collect::<Vec<_>>().join(",") + "\n"
}

/// `name` as part of a file name.
fn plain(name: &str) -> String {
    let part = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    name.bytes().map(part).collect()
}

/// A plan as it was written.
#[derive(Debug)]
pub struct Written(Map<String, Value>);

impl Written {
    /// The plan in `text`.
    ///
    /// # Errors
    /// Invalid when it is none.
    pub fn parse(text: &str) -> Result<Self> {
        let none = || {
            Error::invalid(
                "this is no recovery plan; give one in JSON, as it was drawn up, with its `rows` and `plan_sha256`",
            )
        };
        let value: Value = serde_json::from_str(text).map_err(|e| none().because(e))?;
        match value {
            Value::Object(plan)
                if plan.get("rows").is_some_and(Value::is_array) && plan.contains_key("plan_sha256") =>
            {
                Ok(Self(plan))
            }
            _ => Err(none()),
        }
    }

    /// What it was made for.
    ///
    /// # Errors
    /// Invalid when the file does not say.
    pub fn selector(&self) -> Result<Selector> {
        let part = |name: &str| self.0.get("selector").and_then(|selector| selector.get(name));
        let text = |name: &str| part(name).and_then(Value::as_str);
        let lacking = |name: &str| Error::invalid(format!("the recovery plan does not say `{name}` of its selector"));
        let instant = |name: &str| -> Result<Option<Micros>> { text(name).map(read_instant).transpose() };
        Ok(Selector {
            predicate: text("where").ok_or_else(|| lacking("where"))?.to_owned(),
            from: instant("from")?,
            to: instant("to")?,
            environment: text("environment").ok_or_else(|| lacking("environment"))?.to_owned(),
            depth: part("depth").and_then(Value::as_u64).and_then(|depth| u32::try_from(depth).ok()),
        })
    }

    /// Keys of the cells that are no longer as this plan says; none when it holds as it is.
    ///
    /// # Errors
    /// Never for a plan.
    pub fn changed(&self, now: &Plan) -> Result<Vec<String>> {
        let rows = self.0.get("rows").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut then: BTreeMap<String, Value> = rows.iter().map(|row| (key(row), judged(row))).collect();
        let mut changed = Vec::new();
        for row in &now.rows {
            let row = row_as_json(row)?;
            let key = key(&row);
            if then.remove(&key) != Some(judged(&row)) {
                changed.push(key);
            }
        }
        changed.extend(then.into_keys());
        changed.sort_unstable();
        Ok(changed)
    }

    /// Whether it still holds, as JSON: `is_stale`, keys of the cells that `changed`, the hash of the plan as of now.
    ///
    /// # Errors
    /// Never for a plan.
    pub fn verdict(&self, now: &Plan) -> Result<Value> {
        let changed = self.changed(now)?;
        let is_stale = !changed.is_empty() || !self.has_hash_of(now);
        Ok(json!({"is_stale": is_stale, "changed": changed, "plan_sha256": now.plan_sha256}))
    }

    /// Whether it is the plan that `now` would be written as.
    pub fn has_hash_of(&self, now: &Plan) -> bool {
        self.0.get("plan_sha256").and_then(Value::as_str) == Some(now.plan_sha256.as_str())
    }
}

fn judged(row: &Value) -> Value {
    JUDGED.iter().map(|name| ((*name).to_owned(), row.get(*name).cloned().unwrap_or_default())).collect()
}

/// The key of a row's cell, for people.
fn key(row: &Value) -> String {
    let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let record = Record { system: text("system"), record_type: text("record_type"), record_id: text("record_id") };
    match row.get("field").and_then(Value::as_str) {
        Some(field) => format!("{}/{field}", record.key()),
        None => record.key(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blast::{Flags, State};

    fn row(id: &str, field: Option<&str>, value: &str) -> PlanRow {
        PlanRow {
            record: Record { system: "crm".into(), record_type: "lead/x".into(), record_id: id.into() },
            field: field.map(str::to_owned),
            remedy: Remedy::Restore,
            restore_value: Some(value.to_owned()),
            current_value: None,
            state: State::StillWrong,
            flags: Flags::default(),
            first_bad_seq: Some(1),
            last_bad_seq: Some(1),
            current_seq: Some(1),
        }
    }

    #[test]
    fn a_file_holds_records_with_the_same_fields() {
        let rows = vec![
            row("2", Some("owner"), ""),
            row("1", Some("owner"), "a,\"b\""),
            row("3", Some("owner"), "c"),
            row("3", Some("stage"), "d"),
            row("4", None, "e"),
            PlanRow { remedy: Remedy::Review, ..row("5", Some("owner"), "f") },
        ];
        let files = to_csv(&Plan { plan_sha256: String::new(), rows });
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        assert_eq!(names, ["crm-lead%2Fx-2.csv", "crm-lead%2Fx.csv"]);
        assert_eq!(files["crm-lead%2Fx.csv"], "id,owner\n1,\"a,\"\"b\"\"\"\n2,\"\"\n");
        assert_eq!(files["crm-lead%2Fx-2.csv"], "id,owner,stage\n3,c,d\n");
    }

    #[test]
    fn a_plan_that_was_edited_or_overtaken_is_known() {
        let plan = Plan { plan_sha256: "ab".into(), rows: vec![row("1", Some("f"), "x"), row("2", None, "y")] };
        let rows: Vec<Value> = plan.rows.iter().map(|row| row_as_json(row).unwrap()).collect();
        let text = json!({"plan_sha256": "ab", "rows": rows}).to_string();
        let written = Written::parse(&text).unwrap();
        assert!(written.has_hash_of(&plan) && written.changed(&plan).unwrap().is_empty());
        let mut now = plan.clone();
        now.rows[0].state = State::Restored;
        now.rows.pop();
        assert_eq!(written.changed(&now).unwrap(), ["crm/lead%2Fx/1/f", "crm/lead%2Fx/2"]);
        assert!(Written::parse("{}").is_err() && written.selector().is_err());
        assert!(Written::parse("{\"plan_sha256\": \"ab\", \"rows\": 7}").is_err());
        // The hash tells of the events, not of the values: what is written back is compared itself.
        let edited = Written::parse(&text.replace("\"restore_value\":\"x\"", "\"restore_value\":\"z\"")).unwrap();
        assert!(edited.has_hash_of(&plan));
        assert_eq!(edited.changed(&plan).unwrap(), ["crm/lead%2Fx/1/f"]);
    }
}
