//! What a reviewer sees of an item: the record, the change, why it was proposed, what was read for it.
//!
//! In: outputs. Out: one row each, with what the events of its action say last. Invariant: nothing of what anybody
//! said of it is in it, whether he decided, labelled or reviewed. It judges nothing.

use std::collections::BTreeMap;

use serde_json::Value;

use super::outputs::Output;
use crate::error::Result;
use crate::query::answer::Limits;
use crate::query::engine::Engine;
use crate::query::objects::{Row, literal, rows, text};

/// Bytes of the names of actions in one question; far below those of a whole one.
const NAMED_BYTES: usize = 16 * 1024;
/// Actions in one question: so many the index of the files finds without reading them.
const NAMED_ACTIONS: usize = 64;
/// What is told of an action.
const TOLD: &str = "system, record_type, record_id, field, operation, issue_type, old_value, new_value, reason_code, \
                    confidence, cast(amount as varchar) as amount, currency, inputs, prompt_version, rule_version, \
                    model_version, run_id, batch_id, outcome, error";

/// The events that tell what an agent did; decisions and labels are what others said of it.
const WORK: &str = "'action.proposed', 'action.evaluated', 'action.executed'";

/// What is to be told of `outputs`, in their order: what the events of each action in `environment` say last.
///
/// # Errors
/// When a query fails or a bound is met.
pub async fn told(engine: &Engine, environment: &str, outputs: &[&Output]) -> Result<Vec<Row>> {
    let mut known: BTreeMap<String, Row> = BTreeMap::new();
    for part in parts(outputs) {
        let names: Vec<String> = part.iter().map(|output| literal(&output.action_id)).collect();
        let sql = format!(
            "select action_id, {TOLD} from events where environment = {} and event_type in ({WORK}) and action_id in \
             ({}) order by event_order",
            literal(environment),
            names.join(", ")
        );
        for row in rows(&engine.sql(&sql, Limits::default()).await?)? {
            let id = text(&row, "action_id").to_owned();
            add(known.entry(id).or_default(), row);
        }
    }
    let told = |output: &&Output| {
        let mut row = known.get(&*output.action_id).cloned().unwrap_or_default();
        row.insert("seq".to_owned(), output.seq.into());
        row.insert("action_id".to_owned(), output.action_id.to_string().into());
        row
    };
    Ok(outputs.iter().map(told).collect())
}

/// What a later event says takes the place of what was said before; what it does not say stays.
fn add(known: &mut Row, said: Row) {
    for (name, value) in said {
        let is_said = !value.is_null();
        let kept = known.entry(name).or_insert(Value::Null);
        if is_said {
            *kept = value;
        }
    }
}

/// The outputs in parts whose names fit into a question.
fn parts<'a, 'b>(outputs: &'a [&'b Output]) -> Vec<&'a [&'b Output]> {
    let (mut parts, mut from, mut bytes) = (Vec::new(), 0, 0);
    for (place, output) in outputs.iter().enumerate() {
        bytes += output.action_id.len() + 4;
        if place > from && (bytes > NAMED_BYTES || place - from == NAMED_ACTIONS) {
            parts.push(&outputs[from..place]);
            (from, bytes) = (place, output.action_id.len() + 4);
        }
    }
    if from < outputs.len() {
        parts.push(&outputs[from..]);
    }
    parts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_said_last_is_told_and_silence_takes_nothing_away() {
        let row = |value: Value| value.as_object().cloned().unwrap_or_default();
        let mut known = Row::new();
        add(&mut known, row(json!({"field": "owner", "new_value": "a", "error": null})));
        add(&mut known, row(json!({"field": null, "new_value": "b"})));
        assert_eq!(Value::Object(known), json!({"field": "owner", "new_value": "b", "error": null}));
    }

    #[test]
    fn every_output_is_asked_about_once_within_the_bounds_of_a_question() {
        let of = |count: usize, bytes: usize| -> Vec<Output> {
            (0..count).map(|seq| Output { seq: seq as i64, action_id: "x".repeat(bytes).into() }).collect()
        };
        for (outputs, expected) in
            [(of(0, 5), 0), (of(1, 50_000), 1), (of(64, 5), 1), (of(65, 5), 2), (of(3, 9_000), 3)]
        {
            let all: Vec<&Output> = outputs.iter().collect();
            let parts = parts(&all);
            assert_eq!(parts.len(), expected);
            assert!(parts.concat().iter().map(|output| output.seq).eq(0..outputs.len() as i64));
        }
    }
}
