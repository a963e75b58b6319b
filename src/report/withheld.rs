//! Documents for those who may not see sealed values: the same without the texts that only sealed columns hold.
//!
//! In: the JSON of an incident, a scope, a plan, a review or its items. Out: the same with null in the place of values
//! of records, of what persons wrote in their own words, and of conditions that may quote either; `sealed` says so.
//! Invariant: whatever is made from the document afterwards, page or file, holds none of them. Counts, states, names
//! and instants stay. It judges nobody: the caller says who sees what.

use serde_json::{Map, Value};

pub use crate::query::dossier::Sight;
use crate::query::engine::Engine;

impl Sight {
    /// Says in `document` that sealed values were withheld from it, where they were.
    pub fn mark(self, document: &mut Value) {
        if let (Self::Withheld, Value::Object(members)) = (self, document) {
            members.insert("sealed".to_owned(), WITHHELD.into());
        }
    }

    /// The same on a page.
    pub fn fact(self) -> Option<(String, String)> {
        (self == Self::Withheld).then(|| ("Sealed values".to_owned(), WITHHELD.to_owned()))
    }
}

/// The sessions that a report reads through.
#[derive(Debug, Clone, Copy)]
pub struct Eyes<'a> {
    /// Sees sealed values: for the policies in force, and for what was issued before.
    pub whole: &'a Engine,
    /// Sees what the reader may see: for every question that the report prints.
    pub seen: &'a Engine,
}

impl<'a> Eyes<'a> {
    /// Those of a reader who may see everything.
    pub fn open(engine: &'a Engine) -> Self {
        Self { whole: engine, seen: engine }
    }

    /// What the reader may see.
    pub fn sight(self) -> Sight {
        if std::ptr::eq(self.whole, self.seen) { Sight::Shown } else { Sight::Withheld }
    }
}

/// What `sealed` says in a document without them.
pub const WITHHELD: &str = "withheld";

/// Members that hold values of records, or words of persons, wherever they stand.
const SEALED: [&str; 14] = [
    "old_value",
    "new_value",
    "bad_value",
    "current_value",
    "restore_value",
    "history_value",
    "error",
    "comment",
    "extra",
    "note",
    "where",
    "predicate",
    "candidate",
    "document",
];

/// Members that hold such a text only beside another one: (member, the one that tells).
const BESIDE: [(&str, &str); 6] = [
    ("title", "incident_id"),
    ("class", "incident_id"),
    ("owner", "incident_id"),
    ("rule", "is_complete"),
    ("from", "hours_before"),
    ("to", "hours_before"),
];

/// Takes the sealed texts out of `document`, and says so in it; leaves it as it is for who may see them.
pub fn withhold(document: &mut Value, sight: Sight) {
    if sight == Sight::Shown {
        return;
    }
    clear(document);
    sight.mark(document);
}

fn clear(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let told: Vec<&str> =
                BESIDE.iter().filter(|(_, by)| members.contains_key(*by)).map(|(name, _)| *name).collect();
            told.into_iter().chain(SEALED).for_each(|name| hide(members, name));
            members.values_mut().for_each(clear);
        }
        Value::Array(values) => values.iter_mut().for_each(clear),
        _ => {}
    }
}

fn hide(members: &mut Map<String, Value>, name: &str) {
    if let Some(value) = members.get_mut(name) {
        *value = Value::Null;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECRET: &str = "Zmarker";

    #[test]
    fn no_sealed_text_is_left_at_any_depth_and_the_rest_stays() {
        let whole = json!({
            "incident_id": "inc-1", "title": SECRET, "class": SECRET, "owner": SECRET, "state": "open",
            "selector": {"where": SECRET, "from": "2026-03-01"},
            "scope": {"selector": {"where": SECRET}, "items": [{"field": "f", "old_value": SECRET, "bad_value": SECRET}]},
            "notes": [{"note": SECRET, "by": "ann"}], "steps": [{"step": "pause", "title": "pause", "note": SECRET}],
            "guardrail": {"replay": {"rule": SECRET, "is_complete": true}},
            "causes": {"causes": [{"change": {"from": SECRET, "to": SECRET, "hours_before": 1.0, "by": "bo"}}]},
            "plan": {"frame": {"predicate": SECRET, "items": 7}}, "candidate": SECRET,
        });
        let mut cleared = whole.clone();
        withhold(&mut cleared, Sight::Withheld);
        assert!(!cleared.to_string().contains(SECRET), "{cleared}");
        assert_eq!((&cleared["sealed"], &cleared["state"]), (&WITHHELD.into(), &"open".into()));
        assert_eq!(cleared.pointer("/selector/from"), Some(&"2026-03-01".into()));
        assert_eq!(cleared.pointer("/steps/0/title"), Some(&"pause".into()));
        assert_eq!(cleared.pointer("/plan/frame/items"), Some(&7.into()));
        let mut seen = whole.clone();
        withhold(&mut seen, Sight::Shown);
        assert_eq!(seen, whole);
    }
}
