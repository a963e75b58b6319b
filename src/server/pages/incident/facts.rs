//! The fields in which a person says something of an incident, and how they are read.
//!
//! In: fields of a form. Out: markup of the fields; what they say, for the register. Invariants: a field that is left
//! empty says nothing; of the selector that is known a field says what differs from it, and an emptied bound takes it
//! away.

use serde::Deserialize;

use super::super::layout::{Choice, Field, fields, select, text_area};
use crate::clock::rfc3339;
use crate::error::{Error, Result};
use crate::incident::asked::{Said, SelectorChange};
use crate::incident::record::Record;
use crate::policy::SEVERITIES;
use crate::query::blast::Selector;

/// Where incidents are, unless somebody says otherwise.
const PRODUCTION: &str = "production";
/// The environments that an incident may be in.
const ENVIRONMENTS: [Choice<'_>; 3] = [
    Choice { value: PRODUCTION, words: PRODUCTION },
    Choice { value: "shadow", words: "shadow" },
    Choice { value: "sandbox", words: "sandbox" },
];

/// What a form says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Facts {
    pub(super) csrf: String,
    /// Of the opening: `look` to see first what the condition reaches.
    #[serde(rename = "do")]
    pub(super) what: String,
    pub(super) title: String,
    #[serde(rename = "where")]
    pub(super) predicate: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) environment: String,
    pub(super) depth: String,
    pub(super) severity: String,
    pub(super) class: String,
    pub(super) owner: String,
    pub(super) workflow: String,
    pub(super) detected: String,
    pub(super) aware: String,
}

impl Facts {
    /// What stands in the form that changes `record`.
    pub(super) fn of(record: &Record) -> Self {
        let selector = record.selector.as_ref();
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let instant = |at: Option<i64>| at.map(rfc3339).unwrap_or_default();
        Self {
            title: text(&record.title),
            predicate: selector.map(|selector| selector.predicate.clone()).unwrap_or_default(),
            from: instant(selector.and_then(|selector| selector.from)),
            to: instant(selector.and_then(|selector| selector.to)),
            environment: selector.map_or_else(|| PRODUCTION.to_owned(), |selector| selector.environment.clone()),
            depth: selector.and_then(|selector| selector.depth).map(|depth| depth.to_string()).unwrap_or_default(),
            severity: text(&record.severity),
            class: text(&record.class),
            owner: text(&record.owner),
            workflow: text(&record.workflow),
            detected: instant(record.detected_at),
            aware: instant(record.aware_at),
            ..Self::default()
        }
    }

    /// What it says that `before`, which stood in the form, did not.
    ///
    /// # Errors
    /// Invalid when the number of steps is none.
    pub(super) fn said(&self, before: &Self) -> Result<Said> {
        let new = |now: &str, then: &str| {
            let now = now.trim();
            (now != then.trim()).then(|| now.to_owned())
        };
        let filled = |now: &str, then: &str| new(now, then).filter(|text| !text.is_empty());
        let bound = |now: &str, then: &str| new(now, then).map(|text| Some(text).filter(|text| !text.is_empty()));
        let depth = match new(&self.depth, &before.depth) {
            Some(text) if text.is_empty() => Some(None),
            Some(text) => Some(Some(steps(&text)?)),
            None => None,
        };
        Ok(Said {
            title: filled(&self.title, &before.title),
            severity: filled(&self.severity, &before.severity),
            class: filled(&self.class, &before.class),
            owner: filled(&self.owner, &before.owner),
            workflow: filled(&self.workflow, &before.workflow),
            detected_at: filled(&self.detected, &before.detected),
            aware_at: filled(&self.aware, &before.aware),
            step: None,
            note: None,
            selector: SelectorChange {
                predicate: filled(&self.predicate, &before.predicate),
                from: bound(&self.from, &before.from),
                to: bound(&self.to, &before.to),
                environment: filled(&self.environment, &before.environment),
                depth,
            },
        })
    }

    /// The selector that it names.
    ///
    /// # Errors
    /// Invalid when there is none, or something of it cannot be read.
    pub(super) fn selector(&self) -> Result<Selector> {
        let lacking = || Error::invalid("nothing says what picks the bad actions; fill in the condition");
        self.said(&Self::default())?.selector.apply(None)?.ok_or_else(lacking)
    }

    /// The fields, filled in.
    pub(super) fn markup(&self) -> String {
        let field = |name, label, value| Field { name, label, value, ..Field::default() };
        let title = Field { is_required: true, ..field("title", "What happened, in one line", &self.title) };
        let predicate = Field {
            example: "rule_version = 'r7' and field = 'owner'",
            note: "A condition over the columns of events, without a sub-query. It is tried on every event of the \
                   environment within the window.",
            is_required: true,
            ..field("where", "Condition that picks the bad actions", &self.predicate)
        };
        let when = "A day or an instant, e.g. 2026-03-01 or 2026-03-01T09:00:00Z.";
        let window = [
            Field { note: when, ..field("from", "From", &self.from) },
            Field { note: "Not included; empty: to this day.", ..field("to", "To", &self.to) },
        ];
        let depth = Field {
            input: "number",
            note: "Empty: follow the spread to its end.",
            ..field("depth", "Steps of the spread", &self.depth)
        };
        let class = Field {
            note: "personal_data, serious_incident, death and widespread_infringement have deadlines of the law; the \
                   policy in force may set others.",
            ..field("class", "Class", &self.class)
        };
        let known = [
            class,
            field("owner", "Owner, who answers for it", &self.owner),
            Field {
                note: "Its pause contains the incident.",
                ..field("workflow", "Workflow that it is about", &self.workflow)
            },
            Field { note: "Empty: now, or as known.", ..field("detected", "Detected", &self.detected) },
            Field {
                note: "From then on deadlines run. Empty: when it was detected.",
                ..field("aware", "Aware since", &self.aware)
            },
        ];
        let severities: Vec<Choice<'_>> = [Choice { value: "", words: "not said" }]
            .into_iter()
            .chain(SEVERITIES.iter().map(|value| Choice { value, words: value }))
            .collect();
        format!(
            "{}{}<div class=\"grid\">\n{}{}{}{}{}</div>\n",
            fields(&[title]),
            text_area(&predicate, 3),
            fields(&window),
            select(&field("environment", "Environment", &self.environment), &ENVIRONMENTS),
            fields(&[depth]),
            select(&field("severity", "Severity", &self.severity), &severities),
            fields(&known),
        )
    }
}

fn steps(text: &str) -> Result<u32> {
    text.parse().map_err(|_| Error::invalid("the steps of the spread are no whole number; write e.g. 2, or nothing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Facts {
        let selector = Selector { from: Some(0), depth: Some(2), ..Selector::new("a = 1") };
        Facts::of(&Record { title: Some("t".into()), selector: Some(selector), ..Record::default() })
    }

    #[test]
    fn a_form_sent_back_as_it_came_says_nothing() {
        let said = known().said(&known()).unwrap();
        assert_eq!(said, Said::default());
    }

    #[test]
    fn what_differs_is_said_and_an_emptied_bound_is_taken_away() {
        let now = Facts { title: " u ".into(), from: String::new(), depth: " ".into(), owner: "ann".into(), ..known() };
        let said = now.said(&known()).unwrap();
        assert_eq!((said.title.as_deref(), said.owner.as_deref()), (Some("u"), Some("ann")));
        assert_eq!((said.selector.from, said.selector.depth), (Some(None), Some(None)));
        assert_eq!((said.selector.predicate, said.selector.to), (None, None));
        assert!(Facts { depth: "two".into(), ..known() }.said(&known()).is_err());
    }

    #[test]
    fn an_opening_needs_a_condition() {
        assert!(Facts::default().selector().unwrap_err().to_string().contains("condition"));
        let given = Facts { predicate: "a = 1".into(), ..Facts::default() };
        assert_eq!(given.selector().unwrap(), Selector::new("a = 1"));
    }
}
