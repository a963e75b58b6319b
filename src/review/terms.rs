//! What a person asks of a review, as it is typed or sent: read in one way by the command line and the server.
//!
//! In: texts and numbers, from options or from JSON. Out: a proposal. Invariant: a rate is read
//! exactly, in any of its forms; what is not given has the default that is documented here. It plans nothing.

use serde::Deserialize;

use super::outputs::EVERYTHING;
use super::plan::{Claim, Measure, Procedure, Promise};
use super::proposal::Proposal;
use super::record::PlantedFrom;
use crate::analysis::fraction::Fraction;
use crate::error::{Error, Result};

/// Items that all strata together give a round, about, where nobody says how many.
pub const ROUND_ITEMS: u64 = 20;
/// The error that all attempts together are allowed, where nobody says it.
pub const ALPHA: &str = "0.05";
/// The environment of the outputs, where nobody says it.
pub const ENVIRONMENT: &str = "shadow";

/// What is asked of a review.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// The incident whose workflow is to run again; null for a review by cadence.
    pub incident_id: Option<String>,
    /// The workflow, which the outputs must be of; none for what they say.
    pub workflow: Option<String>,
    /// Condition that picks everything the candidate versions did.
    pub candidate: String,
    /// Condition that narrows it to what is judged.
    #[serde(rename = "where", default = "everything")]
    pub predicate: String,
    /// Outputs of this environment.
    #[serde(default = "shadow")]
    pub environment: String,
    /// The rate that the claim stays below: 5%, 0.05 or 1/20.
    pub below: String,
    /// What it is the rate of.
    #[serde(default = "overall")]
    pub of: Measure,
    /// The error that all attempts together are allowed.
    #[serde(default = "allowed")]
    pub alpha: String,
    /// When it may be decided.
    #[serde(default = "sequential")]
    pub procedure: Procedure,
    /// Errors that it should survive; none for two, or as many as the claim allows.
    pub errors: Option<u64>,
    /// Items, or draws by value, that may be reviewed; none for what the claim takes with so many errors.
    pub most_items: Option<u64>,
    /// Column whose values are the strata.
    pub stratum_by: Option<String>,
    /// Strata that are reviewed in full.
    #[serde(default)]
    pub take_all: Vec<String>,
    /// Items that all strata together give a round, about.
    #[serde(default = "round")]
    pub round_items: u64,
    /// Outputs that are known to be wrong, to be put among the items.
    pub planted_from: Option<PlantedFrom>,
    /// What goes into the seed beside the checkpoint.
    #[serde(default)]
    pub entropy: Vec<Promise>,
    /// Who may mark.
    pub reviewers: Vec<String>,
    /// How many of them mark each item: 1 or 2.
    #[serde(default = "one")]
    pub reviewers_per_item: u64,
    /// Who made the fix, beside those whom the log names.
    #[serde(default)]
    pub authors: Vec<String>,
}

fn everything() -> String {
    EVERYTHING.to_owned()
}

fn shadow() -> String {
    ENVIRONMENT.to_owned()
}

fn overall() -> Measure {
    Measure::Overall
}

fn allowed() -> String {
    ALPHA.to_owned()
}

fn sequential() -> Procedure {
    Procedure::Sequential
}

fn round() -> u64 {
    ROUND_ITEMS
}

fn one() -> u64 {
    1
}

impl Terms {
    /// The proposal that they are.
    ///
    /// # Errors
    /// Invalid when a rate is none.
    pub fn proposal(&self) -> Result<Proposal> {
        Ok(Proposal {
            incident: self.incident_id.clone(),
            workflow: self.workflow.clone(),
            candidate: self.candidate.clone(),
            predicate: self.predicate.clone(),
            environment: self.environment.clone(),
            stratum_by: self.stratum_by.clone(),
            claim: Claim { below: rate("below", &self.below)?, of: self.of },
            alpha: rate("alpha", &self.alpha)?,
            procedure: self.procedure,
            errors: self.errors,
            take_all: self.take_all.clone(),
            round_items: self.round_items,
            most_items: self.most_items,
            planted_from: self.planted_from.clone(),
            entropy: self.entropy.clone(),
            reviewers: self.reviewers.clone(),
            reviewers_per_item: self.reviewers_per_item,
            authors: self.authors.clone(),
        })
    }
}

/// The rate that `text` means: 5%, 0.05 or 1/20; `name` is what it was given as.
///
/// # Errors
/// Invalid, with the three forms, for any other text.
pub fn rate(name: &str, text: &str) -> Result<Fraction> {
    let read = match text.strip_suffix('%') {
        Some(percent) => Fraction::parse(percent.trim()).and_then(|rate| rate.divided_by(100)),
        None => Fraction::parse(text),
    };
    read.ok_or_else(|| Error::invalid(format!("{name} `{text}` is no rate; write 5%, 0.05 or 1/20")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_same_in_all_its_forms() {
        let twentieth = Fraction::new(1, 20).unwrap();
        for text in ["5%", "5 %", "0.05", "1/20", "5.0%"] {
            assert_eq!(rate("below", text).unwrap(), twentieth, "{text}");
        }
        for text in ["", "five", "-5%", "%", "1/0"] {
            assert!(rate("below", text).unwrap_err().to_string().contains("1/20"), "{text}");
        }
    }

    #[test]
    fn what_is_not_sent_has_its_default_and_what_is_unknown_is_refused() {
        let text = r#"{"candidate": "rule_version = 'r8'", "below": "5%", "reviewers": ["ann"]}"#;
        let terms: Terms = serde_json::from_str(text).unwrap();
        let proposal = terms.proposal().unwrap();
        assert_eq!((proposal.incident, proposal.environment.as_str()), (None, ENVIRONMENT));
        assert_eq!((proposal.predicate.as_str(), proposal.round_items), (EVERYTHING, ROUND_ITEMS));
        assert_eq!((proposal.procedure, proposal.claim.of), (Procedure::Sequential, Measure::Overall));
        let entropy =
            r#"{"candidate": "true", "below": "1/20", "reviewers": [], "entropy": [{"kind": "drand", "round": "7"}]}"#;
        let terms: Terms = serde_json::from_str(entropy).unwrap();
        assert_eq!(terms.entropy[0].round.as_deref(), Some("7"));
        assert!(serde_json::from_str::<Terms>(r#"{"candidate": "true", "below": "1/20"}"#).is_err());
        assert!(serde_json::from_str::<Terms>(&text.replace("below", "beneath")).is_err());
    }
}
