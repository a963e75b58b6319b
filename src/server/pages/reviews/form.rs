//! The fields in which a person plans a review, and how they are read.
//!
//! In: fields of a form. Out: markup of the fields; terms for a proposal. Invariant: a field that is left empty has the
//! default of the terms, and a review without an incident is asked for, never slipped into.

use serde::Deserialize;

use super::super::layout::{Choice, Field, fields, select, text_area};
use crate::error::{Error, Result};
use crate::review::plan::{Measure, Procedure, Promise};
use crate::review::record::PlantedFrom;
use crate::review::terms::{ALPHA, ENVIRONMENT, ROUND_ITEMS, Terms};

/// The occasion of a review that lets nothing run.
const CADENCE: &str = "cadence";
/// Where planted outputs come from, unless somebody says otherwise.
const PRODUCTION: &str = "production";

/// What the form says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Planning {
    pub(super) csrf: String,
    pub(super) occasion: String,
    pub(super) incident: String,
    pub(super) workflow: String,
    pub(super) candidate: String,
    #[serde(rename = "where")]
    pub(super) predicate: String,
    pub(super) environment: String,
    pub(super) below: String,
    pub(super) of: String,
    pub(super) alpha: String,
    pub(super) procedure: String,
    pub(super) errors: String,
    pub(super) most: String,
    pub(super) stratum: String,
    pub(super) take_all: String,
    pub(super) round: String,
    pub(super) planted: String,
    pub(super) planted_environment: String,
    pub(super) reviewers: String,
    pub(super) per_item: String,
    pub(super) authors: String,
    pub(super) beacons: String,
    pub(super) commitments: String,
}

impl Planning {
    /// The terms that it asks for.
    ///
    /// # Errors
    /// Invalid when a number or a pair is none, or the incident lacks.
    pub(super) fn terms(&self) -> Result<Terms> {
        let incident_id = filled(&self.incident);
        match (self.occasion.as_str(), &incident_id) {
            (CADENCE, Some(_)) => {
                return Err(Error::invalid("a review by cadence follows no incident; leave the incident empty"));
            }
            (CADENCE, None) | (_, Some(_)) => {}
            (_, None) => {
                return Err(Error::invalid(
                    "a review before re-enabling needs its incident; name it, or plan by cadence",
                ));
            }
        }
        let planted = filled(&self.planted).map(|predicate| PlantedFrom {
            predicate,
            environment: filled(&self.planted_environment).unwrap_or_else(|| PRODUCTION.to_owned()),
        });
        let beacons = pairs("a beacon", &self.beacons)?;
        let beacons = beacons.into_iter().map(|(kind, round)| Promise { kind, round: Some(round), commitment: None });
        let commitments = pairs("a commitment", &self.commitments)?;
        let commitments =
            commitments.into_iter().map(|(kind, hash)| Promise { kind, round: None, commitment: Some(hash) });
        Ok(Terms {
            incident_id,
            workflow: filled(&self.workflow),
            candidate: self.candidate.trim().to_owned(),
            predicate: filled(&self.predicate).unwrap_or_else(|| "true".to_owned()),
            environment: filled(&self.environment).unwrap_or_else(|| ENVIRONMENT.to_owned()),
            below: self.below.trim().to_owned(),
            of: match self.of.as_str() {
                "each_stratum" => Measure::EachStratum,
                "value" => Measure::Value,
                _ => Measure::Overall,
            },
            alpha: filled(&self.alpha).unwrap_or_else(|| ALPHA.to_owned()),
            procedure: if self.procedure == "fixed" { Procedure::Fixed } else { Procedure::Sequential },
            errors: number("errors to survive", &self.errors)?,
            most_items: number("most items", &self.most)?,
            stratum_by: filled(&self.stratum),
            take_all: lines(&self.take_all),
            round_items: number("items a round", &self.round)?.unwrap_or(ROUND_ITEMS),
            planted_from: planted,
            entropy: beacons.chain(commitments).collect(),
            reviewers: lines(&self.reviewers),
            reviewers_per_item: number("reviewers of each item", &self.per_item)?.unwrap_or(1),
            authors: lines(&self.authors),
        })
    }

    /// The fields, filled in.
    pub(super) fn markup(&self) -> String {
        [self.purpose(), self.outputs(), self.claim(), self.people(), self.further()].concat()
    }

    fn purpose(&self) -> String {
        let occasions = [
            Choice { value: "re_enable", words: "before a paused workflow runs again" },
            Choice { value: CADENCE, words: "by cadence: it lets nothing run" },
        ];
        let occasion = select(&field("occasion", "Occasion", &self.occasion), &occasions);
        let rest = [
            noted(
                field("incident", "Incident", &self.incident),
                "Its id; needed before a paused workflow runs again, empty by cadence.",
            ),
            noted(field("workflow", "Workflow", &self.workflow), "Empty: what the outputs say."),
        ];
        group("What it is for", &format!("{occasion}{}", fields(&rest)))
    }

    fn outputs(&self) -> String {
        let candidate = Field {
            example: "rule_version = 'r8'",
            is_required: true,
            ..noted(
                field("candidate", "Everything that the candidate did", &self.candidate),
                "A condition over the columns of events that picks all outputs of the versions after the fix.",
            )
        };
        let predicate = noted(
            field("where", "Narrowed to", &self.predicate),
            "Empty: all of it is judged. What a condition leaves out is counted and printed.",
        );
        let environments = [
            Choice { value: ENVIRONMENT, words: "shadow: beside the work" },
            Choice { value: PRODUCTION, words: PRODUCTION },
        ];
        group(
            "What is judged",
            &format!(
                "{}{}{}",
                text_area(&candidate, 2),
                text_area(&predicate, 2),
                select(&field("environment", "Environment", &self.environment), &environments)
            ),
        )
    }

    fn claim(&self) -> String {
        let of = [
            Choice { value: "overall", words: "all outputs together" },
            Choice { value: "each_stratum", words: "the outputs of each stratum" },
            Choice { value: "value", words: "the value at stake" },
        ];
        let procedures = [
            Choice { value: "sequential", words: "sequential: decided after any mark, going on is free" },
            Choice { value: "fixed", words: "fixed: smaller, decided once, never extended" },
        ];
        let below = Field {
            example: "5%",
            is_required: true,
            ..noted(field("below", "The rate of errors is below", &self.below), "5%, 0.05 or 1/20.")
        };
        let alpha = Field {
            example: ALPHA,
            ..noted(
                field("alpha", "Allowed error", &self.alpha),
                "The chance that a false claim is ever called true, over all attempts together.",
            )
        };
        let errors = Field {
            input: "number",
            ..noted(field("errors", "Errors to survive", &self.errors), "Empty: 2, or as many as the claim allows.")
        };
        let most = Field {
            input: "number",
            ..noted(field("most", "Most items", &self.most), "Empty: what the claim takes with so many errors.")
        };
        let grid = [
            fields(&[below]),
            select(&field("of", "Of what", &self.of), &of),
            fields(&[alpha]),
            select(&field("procedure", "Procedure", &self.procedure), &procedures),
            fields(&[errors, most]),
        ];
        group("What it is to show", &format!("<div class=\"grid\">\n{}</div>\n", grid.concat()))
    }

    fn people(&self) -> String {
        let reviewers = Field {
            is_required: true,
            ..noted(
                field("reviewers", "Reviewers, one a line", &self.reviewers),
                "By the names of their tokens. Neither an author of the fix nor an approver of the bad actions.",
            )
        };
        let each = [Choice { value: "1", words: "one" }, Choice { value: "2", words: "two" }];
        let authors = noted(
            field("authors", "Authors of the fix, one a line", &self.authors),
            "Beside those whom a config.changed event names.",
        );
        group(
            "Who judges",
            &format!(
                "{}{}{}",
                text_area(&reviewers, 3),
                select(&field("per_item", "Reviewers of each item", &self.per_item), &each),
                text_area(&authors, 2)
            ),
        )
    }

    fn further(&self) -> String {
        let strata = [
            noted(field("stratum", "Strata by column", &self.stratum), "E.g. segment; empty: one stratum."),
            Field {
                input: "number",
                ..noted(field("round", "Items a round, of all strata", &self.round), "Empty: 20.")
            },
        ];
        let whole = noted(field("take_all", "Strata reviewed in full, one a line", &self.take_all), "");
        let planted = noted(
            field("planted", "Plant outputs that are known to be wrong", &self.planted),
            "A condition; it shows what reviewers catch. Nobody can tell them from the others.",
        );
        let environment =
            noted(field("planted_environment", "Their environment", &self.planted_environment), "Empty: production.");
        let beacons = Field {
            example: "drand=4711",
            ..noted(
                field("beacons", "Public beacons, KIND=ROUND, one a line", &self.beacons),
                "Named before they exist: then nobody could choose the sample.",
            )
        };
        let commitments = noted(
            field("commitments", "Commitments, KIND=SHA256, one a line", &self.commitments),
            "Of bytes that a reviewer keeps to himself until the checkpoint is signed.",
        );
        format!(
            "<details><summary>Strata, planted items, entropy</summary>\n{}</details>\n",
            group(
                "More of the plan",
                &format!(
                    "{}{}{}{}{}{}",
                    fields(&strata),
                    text_area(&whole, 2),
                    text_area(&planted, 2),
                    fields(&[environment]),
                    text_area(&beacons, 2),
                    text_area(&commitments, 2)
                ),
            )
        )
    }
}

fn field<'a>(name: &'a str, label: &'a str, value: &'a str) -> Field<'a> {
    Field { name, label, value, ..Field::default() }
}

fn noted<'a>(field: Field<'a>, note: &'a str) -> Field<'a> {
    Field { note, ..field }
}

fn group(title: &str, inside: &str) -> String {
    format!("<fieldset>\n<legend>{title}</legend>\n{inside}</fieldset>\n")
}

fn filled(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn lines(text: &str) -> Vec<String> {
    text.lines().filter_map(filled).collect()
}

fn number(name: &str, text: &str) -> Result<Option<u64>> {
    let read = |text: String| {
        text.parse::<u64>().map_err(|_| Error::invalid(format!("{name}: this is no whole number; write e.g. 20")))
    };
    filled(text).map(read).transpose()
}

/// The lines of `KIND=VALUE`.
pub(super) fn pairs(what: &str, text: &str) -> Result<Vec<(String, String)>> {
    let pair = |line: String| {
        let pair = line.split_once('=').map(|(kind, value)| (kind.trim().to_owned(), value.trim().to_owned()));
        pair.ok_or_else(|| Error::invalid(format!("{what} lacks its equals sign; write KIND=VALUE, one a line")))
    };
    lines(text).into_iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planning() -> Planning {
        Planning {
            occasion: CADENCE.into(),
            candidate: " rule_version = 'r8' ".into(),
            below: "5%".into(),
            reviewers: "ann\r\n\r\n bob \r\n".into(),
            ..Planning::default()
        }
    }

    #[test]
    fn what_is_left_empty_has_its_default() {
        let terms = planning().terms().unwrap();
        assert_eq!((terms.candidate.as_str(), terms.predicate.as_str()), ("rule_version = 'r8'", "true"));
        assert_eq!((terms.environment.as_str(), terms.alpha.as_str()), (ENVIRONMENT, ALPHA));
        assert_eq!((terms.reviewers, terms.round_items), (vec!["ann".to_owned(), "bob".to_owned()], ROUND_ITEMS));
        assert!(terms.planted_from.is_none() && terms.entropy.is_empty());
    }

    #[test]
    fn a_review_without_an_incident_is_asked_for() {
        let enabling = Planning { occasion: "re_enable".into(), ..planning() };
        assert!(enabling.terms().unwrap_err().to_string().contains("incident"));
        assert!(Planning { incident: "inc-1".into(), ..enabling }.terms().is_ok());
        assert!(Planning { incident: "inc-1".into(), ..planning() }.terms().is_err());
    }

    #[test]
    fn numbers_and_pairs_are_read_or_refused() {
        assert!(Planning { most: "many".into(), ..planning() }.terms().is_err());
        let promised = Planning { beacons: "drand = 4711\n".into(), ..planning() }.terms().unwrap();
        assert_eq!(promised.entropy[0].round.as_deref(), Some("4711"));
        assert!(Planning { commitments: "ann".into(), ..planning() }.terms().is_err());
    }

    #[test]
    fn what_was_filled_in_comes_back() {
        let html = planning().markup();
        assert!(html.contains("rule_version = &#39;r8&#39;") && html.contains("value=\"cadence\" selected"));
    }
}
