//! What a person says of an incident, as it is typed or sent: read in one way by the command line and the server.
//!
//! In: texts, from options or from JSON. Out: selectors, and changes for the register. Invariant: what is not given
//! stays as it was; a bound that is given as null is taken back. It states nothing.

use serde::{Deserialize, Deserializer};

use super::register::Change;
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::query::blast::{Selector, read_environment, read_instant};

/// A selector as a person writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectorText {
    /// Condition over the columns of `events` that picks the bad actions.
    #[serde(rename = "where")]
    pub predicate: String,
    /// Events from this day or instant on.
    pub from: Option<String>,
    /// Events before this day or instant.
    pub to: Option<String>,
    /// Events of this environment; none for production.
    pub environment: Option<String>,
    /// Steps after which the spread stops; none: never.
    pub depth: Option<u32>,
}

impl SelectorText {
    /// The selector that it means.
    ///
    /// # Errors
    /// When an instant or the environment is none, or the window is empty.
    pub fn read(&self) -> Result<Selector> {
        let mut selector = Selector { depth: self.depth, ..Selector::new(self.predicate.clone()) };
        selector.from = read_bound(self.from.as_deref())?;
        selector.to = read_bound(self.to.as_deref())?;
        if let Some(environment) = &self.environment {
            selector.environment = read_environment(environment)?;
        }
        check_window(&selector)?;
        Ok(selector)
    }
}

/// What changes of a selector; each part by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelectorChange {
    /// Another condition.
    #[serde(rename = "where")]
    pub predicate: Option<String>,
    /// Another beginning; an inner none takes it away.
    #[serde(deserialize_with = "said")]
    pub from: Option<Option<String>>,
    /// Another end; an inner none takes it away.
    #[serde(deserialize_with = "said")]
    pub to: Option<Option<String>>,
    /// Another environment.
    pub environment: Option<String>,
    /// Another number of steps; an inner none follows the spread to its end.
    #[serde(deserialize_with = "said")]
    pub depth: Option<Option<u32>>,
}

/// A member that is there, null or not: an absent one says nothing.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(member: D) -> std::result::Result<Option<Option<T>>, D::Error> {
    Option::deserialize(member).map(Some)
}

impl SelectorChange {
    /// The selector `known` with what this gives of it; none where this gives nothing.
    ///
    /// # Errors
    /// Invalid when there is no selector yet and no condition is given, when an instant or the environment is none, or
    /// when the window is empty.
    pub fn apply(&self, known: Option<&Selector>) -> Result<Option<Selector>> {
        if *self == Self::default() {
            return Ok(None);
        }
        let mut selector = match (known, &self.predicate) {
            (Some(known), None) => known.clone(),
            (Some(known), Some(predicate)) => Selector { predicate: predicate.clone(), ..known.clone() },
            (None, Some(predicate)) => Selector::new(predicate.clone()),
            (None, None) => {
                return Err(Error::invalid(
                    "nothing says what picks the bad actions of this incident; give its `where`",
                ));
            }
        };
        if let Some(from) = &self.from {
            selector.from = read_bound(from.as_deref())?;
        }
        if let Some(to) = &self.to {
            selector.to = read_bound(to.as_deref())?;
        }
        if let Some(environment) = &self.environment {
            selector.environment = read_environment(environment)?;
        }
        if let Some(depth) = self.depth {
            selector.depth = depth;
        }
        check_window(&selector)?;
        Ok(Some(selector))
    }
}

/// What a person says of an incident, when it is opened or later.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Said {
    /// What happened, in a line.
    pub title: Option<String>,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: Option<String>,
    /// What kind it is.
    pub class: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// The workflow that it is about.
    pub workflow: Option<String>,
    /// When it was detected.
    pub detected_at: Option<String>,
    /// When the organisation became aware of it.
    pub aware_at: Option<String>,
    /// One of the steps, which this says is done.
    pub step: Option<String>,
    /// Words about it.
    pub note: Option<String>,
    /// What picks the bad actions.
    pub selector: SelectorChange,
}

impl Said {
    /// What opens an incident.
    ///
    /// # Errors
    /// Invalid when a step or a note is given, or something cannot be read.
    pub fn opening(&self) -> Result<Change> {
        if self.step.is_some() || self.note.is_some() {
            return Err(Error::invalid("a step or a note is stated of an incident that is open; open it without"));
        }
        self.change(None)
    }

    /// What changes of an incident whose selector is `known`.
    ///
    /// # Errors
    /// Invalid when something cannot be read.
    pub fn change(&self, known: Option<&Selector>) -> Result<Change> {
        Ok(Change {
            title: self.title.clone(),
            severity: self.severity.clone(),
            class: self.class.clone(),
            owner: self.owner.clone(),
            workflow: self.workflow.clone(),
            selector: self.selector.apply(known)?,
            detected_at: read_bound(self.detected_at.as_deref())?,
            aware_at: read_bound(self.aware_at.as_deref())?,
            step: self.step.clone(),
            note: self.note.clone(),
        })
    }
}

fn read_bound(text: Option<&str>) -> Result<Option<Micros>> {
    text.map(read_instant).transpose()
}

fn check_window(selector: &Selector) -> Result<()> {
    match selector.from.zip(selector.to) {
        Some((from, to)) if from >= to => Err(Error::invalid("`from` is not before `to`; the window holds no instant")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(text: &str) -> SelectorChange {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_part_that_is_not_given_stays_and_null_takes_a_bound_away() {
        let known = Selector { from: Some(5), depth: Some(2), ..Selector::new("a") };
        assert_eq!(change("{}").apply(Some(&known)).unwrap(), None);
        let kept = change(r#"{"where": "b"}"#).apply(Some(&known)).unwrap().unwrap();
        assert_eq!(kept, Selector { predicate: "b".to_owned(), ..known.clone() });
        let taken = change(r#"{"from": null, "depth": null}"#).apply(Some(&known)).unwrap().unwrap();
        assert_eq!(taken, Selector::new("a"));
        assert!(change(r#"{"depth": 1}"#).apply(None).unwrap_err().to_string().contains("`where`"));
        assert!(serde_json::from_str::<SelectorChange>(r#"{"wher": "b"}"#).is_err());
    }

    #[test]
    fn a_window_that_holds_no_instant_is_refused() {
        let text = r#"{"where": "true", "from": "2026-03-02", "to": "2026-03-01"}"#;
        let selector: SelectorText = serde_json::from_str(text).unwrap();
        assert!(selector.read().unwrap_err().to_string().contains("no instant"));
        assert!(change(text).apply(None).is_err());
        let whole: SelectorText = serde_json::from_str(r#"{"where": "true"}"#).unwrap();
        assert_eq!(whole.read().unwrap(), Selector::new("true"));
    }

    #[test]
    fn an_opening_has_no_step_yet() {
        let said: Said = serde_json::from_str(r#"{"title": "t", "selector": {"where": "true"}}"#).unwrap();
        assert_eq!(said.opening().unwrap().selector, Some(Selector::new("true")));
        let said = Said { step: Some("pause".to_owned()), ..said };
        assert!(said.opening().is_err() && said.change(None).is_ok());
    }
}
