//! The policy: what agents may do, who approves it, who owns it; one TOML document, versioned.
//!
//! In: the text of a document. Out: a [`Policy`], or what is wrong with which line, and the flat [`Rule`]s that
//! SQL joins with. Invariant: a document that parses can be judged by; nothing in it is ignored. Pure: which
//! document was in force when is a question to the evidence, answered by `queries/views/policies.sql`.

mod deadlines;
mod rules;
pub mod ruling;

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::event::parse;
use crate::limits::POLICY_BYTES;
pub use deadlines::{Deadline, Notify};
pub use rules::{Rule, Scope};

/// `field` of the `config.changed` event that applies a policy.
pub const FIELD: &str = "policy";
/// The policy that holds until one is applied.
pub const BUILT_IN: &str = include_str!("../../queries/policies/default.toml");

/// A policy document.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its name among the versions, e.g. `2026-03`.
    pub version: String,
    /// What it is about, for people.
    #[serde(default)]
    pub title: String,
    /// Since when it holds; left out only by the built-in one.
    effective_from: Option<toml::value::Datetime>,
    /// IANA zone of the month borders.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// Days that corrections and verdicts count after the cohort event.
    #[serde(default = "default_maturity")]
    pub maturity_days: i64,
    /// Levels that need a valid approval.
    #[serde(default)]
    approval_levels: Vec<i64>,
    /// Level → days between two sample reviews.
    #[serde(default)]
    sample_review_days: BTreeMap<String, i64>,
    approval_valid_hours: Option<f64>,
    bulk_limit: Option<i64>,
    retention_months: Option<i64>,
    #[serde(default)]
    roles: BTreeMap<String, Vec<String>>,
    #[serde(default, rename = "workflow")]
    workflows: Vec<Workflow>,
    #[serde(default, rename = "permission")]
    permissions: Vec<Permission>,
    #[serde(default, rename = "approval_required")]
    required: Vec<Required>,
    #[serde(default, rename = "approver")]
    approvers: Vec<Approver>,
    #[serde(default, rename = "threshold")]
    thresholds: Vec<Threshold>,
    #[serde(default, rename = "owner")]
    owners: Vec<Owner>,
    #[serde(default, rename = "prohibited")]
    prohibited: Vec<Prohibited>,
    #[serde(default, rename = "segment")]
    segments: Vec<Named>,
    #[serde(default, rename = "processor")]
    processors: Vec<Processor>,
    /// Metrics whose value opens a draft incident.
    #[serde(default, rename = "incident_rule")]
    pub incident_rules: Vec<IncidentRule>,
    /// Whom to tell of an incident, and until when.
    #[serde(default, rename = "deadline")]
    pub deadlines: Vec<Deadline>,
    #[serde(default)]
    promotion: BTreeMap<String, f64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Workflow {
    name: String,
    purpose: Option<String>,
    area: Option<String>,
    stage: Option<i64>,
    #[serde(default)]
    agents: Vec<String>,
    #[serde(default)]
    allowed_fields: Vec<String>,
    #[serde(default)]
    blocked_fields: Vec<String>,
    ai_act_class: Option<String>,
    #[serde(default)]
    artefacts: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Permission {
    level: i64,
    #[serde(flatten)]
    scope: Scope,
}

#[derive(Debug, Clone, Deserialize)]
struct Required {
    name: String,
    min_amount: Option<String>,
    currency: Option<String>,
    #[serde(flatten)]
    scope: Scope,
}

#[derive(Debug, Clone, Deserialize)]
struct Approver {
    reviewers: Vec<String>,
    level: Option<i64>,
    max_amount: Option<String>,
    currency: Option<String>,
    #[serde(flatten)]
    scope: Scope,
}

#[derive(Debug, Clone, Deserialize)]
struct Threshold {
    min_confidence: f64,
    #[serde(flatten)]
    scope: Scope,
}

#[derive(Debug, Clone, Deserialize)]
struct Owner {
    business: Option<String>,
    technical: Option<String>,
    review_days: Option<i64>,
    #[serde(flatten)]
    scope: Scope,
}

#[derive(Debug, Clone, Deserialize)]
struct Prohibited {
    name: String,
    reason: Option<String>,
    #[serde(flatten)]
    scope: Scope,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Processor {
    name: String,
    #[serde(default)]
    regions: Vec<String>,
}

/// A metric whose value opens a draft incident.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IncidentRule {
    /// What has happened, for people.
    pub name: String,
    /// Name of a query in `queries/metrics`.
    pub metric: String,
    /// The workflow judged; left out: all together.
    pub workflow: Option<String>,
    /// Fires above this value,
    pub above: Option<f64>,
    /// or below this one.
    pub below: Option<f64>,
    /// Denominator from which on the value says something.
    #[serde(default = "default_count")]
    pub min_count: i64,
    /// Days up to the as-of instant that are looked at.
    #[serde(default = "default_maturity")]
    pub window_days: i64,
    /// Class of the incident.
    pub class: String,
    /// Severity of the incident.
    #[serde(default = "default_severity")]
    pub severity: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn default_maturity() -> i64 {
    30
}

fn default_count() -> i64 {
    30
}

fn default_severity() -> String {
    "medium".to_owned()
}

/// How grave an incident is.
pub const SEVERITIES: [&str; 4] = ["low", "medium", "high", "critical"];
/// What the numbers must show before a workflow goes one level up.
const PROMOTION: [&str; 4] =
    ["min_decisions", "min_approval_rate", "max_false_discovery_rate", "min_approval_coverage"];

impl Policy {
    /// Parses a document and checks that it can be judged by.
    ///
    /// # Errors
    /// Invalid, with the line where it is known; Limit when the text is too long for one event.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > POLICY_BYTES {
            let have = text.len();
            return Err(Error::limit(format!("the policy has {have} bytes, the limit is {POLICY_BYTES}; shorten it")));
        }
        let unreadable = |e: toml::de::Error| {
            let line = e.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            Error::invalid(format!("the policy cannot be read: line {line}: {}", e.message()))
        };
        check_keys(&toml::from_str(text).map_err(unreadable)?)?;
        let policy: Self = toml::from_str(text).map_err(unreadable)?;
        match policy.complaints().as_slice() {
            [] => Ok(policy),
            complaints => Err(Error::invalid(format!("the policy is not usable: {}", complaints.join("; ")))),
        }
    }

    /// The policy that holds until one is applied.
    ///
    /// # Errors
    /// Never, which a test shows.
    pub fn built_in() -> Result<Self> {
        Self::parse(BUILT_IN)
    }

    /// The instant from which on it holds; the built-in one holds from the start.
    pub fn effective_from(&self) -> Option<Micros> {
        self.effective_from.as_ref().and_then(|at| parse::instant(&at.to_string()).ok())
    }

    /// Its rules, flat, in the order of [`Rule`]'s kinds.
    pub fn rules(&self) -> Vec<Rule> {
        rules::flatten(self)
    }

    /// Everything wrong with it, in words.
    fn complaints(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut require = |holds: bool, what: String| {
            if !holds {
                wrong.push(what);
            }
        };
        let is_name = !self.version.trim().is_empty() && self.version.len() <= 100;
        let is_plain = self.version.chars().all(|c| !c.is_control());
        require(is_name && is_plain, "`version` is a name of at most 100 bytes without control characters".to_owned());
        let is_instant = self.effective_from.is_none() || self.effective_from().is_some();
        require(is_instant, "`effective_from` needs date, time and zone, e.g. 2026-03-01T00:00:00Z".to_owned());
        let zone = &self.time_zone;
        require(zone.parse::<chrono_tz::Tz>().is_ok(), format!("`time_zone` `{zone}` is no IANA zone"));
        self.complain_of_numbers(&mut require);
        let sampled = self.sample_review_days.keys().map(|level| level.parse().unwrap_or(0));
        let staged = self.workflows.iter().filter_map(|w| w.stage);
        let permitted = self.permissions.iter().map(|p| p.level);
        let approving = self.approvers.iter().filter_map(|a| a.level);
        let levels =
            self.approval_levels.iter().copied().chain(sampled).chain(staged).chain(permitted).chain(approving);
        for level in levels {
            require((1..=5).contains(&level), format!("level {level} is not in 1..5"));
        }
        for name in self.promotion.keys() {
            require(
                PROMOTION.contains(&name.as_str()),
                format!("[promotion] knows {}, not `{name}`", PROMOTION.join(", ")),
            );
        }
        for threshold in &self.thresholds {
            let at_least = threshold.min_confidence;
            require((0.0..=1.0).contains(&at_least), format!("min_confidence {at_least} is not in 0..1"));
        }
        let texts = self.approvers.iter().map(|a| &a.max_amount).chain(self.required.iter().map(|r| &r.min_amount));
        for text in texts.flatten() {
            require(
                parse::amount(text).is_ok_and(|cents| cents >= 0),
                format!("amount `{text}` is no number of 0 or more with at most two decimals"),
            );
        }
        for (role, members) in &self.roles {
            require(!members.is_empty(), format!("role `{role}` has no members"));
        }
        for approver in &self.approvers {
            require(!approver.reviewers.is_empty(), "an [[approver]] names no `reviewers`".to_owned());
        }
        let mut names: Vec<&str> = self.workflows.iter().map(|w| w.name.as_str()).collect();
        names.sort_unstable();
        for pair in names.windows(2).filter(|pair| pair[0] == pair[1]) {
            require(false, format!("workflow `{}` is described twice", pair[0]));
        }
        for (number, rule) in self.incident_rules.iter().enumerate() {
            let is_first = self.incident_rules[..number].iter().all(|other| other.name != rule.name);
            require(is_first, format!("two incident rules are called `{}`", rule.name));
            let limit = rule.above.or(rule.below).unwrap_or(0.0);
            require(limit.is_finite(), format!("incident rule `{}`: the limit is no number", rule.name));
            require(!rule.class.trim().is_empty(), format!("incident rule `{}`: `class` is empty", rule.name));
            let is_severity = SEVERITIES.contains(&rule.severity.as_str());
            require(
                is_severity,
                format!("incident rule `{}`: severity is one of {}", rule.name, SEVERITIES.join(", ")),
            );
            let has_one = rule.above.is_some() != rule.below.is_some();
            require(has_one, format!("incident rule `{}` needs `above` or `below`, one of them", rule.name));
            require((1..=36_525).contains(&rule.window_days), format!("incident rule `{}`: window_days", rule.name));
        }
        wrong.extend(deadlines::complaints(&self.deadlines));
        wrong
    }

    fn complain_of_numbers(&self, require: &mut impl FnMut(bool, String)) {
        let days = |days: &i64| (1..=36_525).contains(days);
        require(days(&self.maturity_days), "`maturity_days` is not in 1..36525".to_owned());
        let sampled = self.sample_review_days.values().all(days);
        require(sampled, "[sample_review_days] holds days outside 1..36525".to_owned());
        let reviewed = self.owners.iter().filter_map(|owner| owner.review_days.as_ref()).all(days);
        require(reviewed, "`review_days` of an owner is not in 1..36525".to_owned());
        let hours = self.approval_valid_hours.unwrap_or(1.0);
        require(hours > 0.0 && hours <= 876_600.0, "`approval_valid_hours` is not in 0..876600".to_owned());
        require(self.bulk_limit.is_none_or(|limit| limit >= 0), "`bulk_limit` is negative".to_owned());
        let months = self.retention_months.unwrap_or(1);
        require((1..=1_200).contains(&months), "`retention_months` is not in 1..1200".to_owned());
        for (name, value) in &self.promotion {
            let is_fit = if name == "min_decisions" { *value >= 0.0 } else { (0.0..=1.0).contains(value) };
            require(is_fit, format!("[promotion] `{name}` = {value}: shares are in 0..1, counts not negative"));
        }
    }
}

/// The keys of the tables that name a scope; serde cannot refuse others where one struct is flattened into another.
const SCOPED: [(&str, &[&str]); 6] = [
    ("permission", &["level"]),
    ("approval_required", &["name", "min_amount", "currency"]),
    ("approver", &["reviewers", "level", "max_amount", "currency"]),
    ("threshold", &["min_confidence"]),
    ("owner", &["business", "technical", "review_days"]),
    ("prohibited", &["name", "reason"]),
];
const SCOPE: [&str; 7] = ["workflow", "area", "system", "record_type", "field", "operation", "issue_type"];

fn check_keys(document: &toml::Table) -> Result<()> {
    for (table, own) in SCOPED {
        let entries = document.get(table).and_then(|v| v.as_array()).into_iter().flatten();
        for (number, entry) in entries.enumerate() {
            let mut keys = entry.as_table().into_iter().flat_map(|t| t.keys());
            if let Some(key) = keys.find(|key| !own.contains(&key.as_str()) && !SCOPE.contains(&key.as_str())) {
                let known = own.iter().chain(&SCOPE).copied().collect::<Vec<_>>().join(", ");
                let number = number + 1;
                return Err(Error::invalid(format!(
                    "the policy cannot be read: [[{table}]] number {number}: unknown field `{key}`, expected one of {known}"
                )));
            }
        }
    }
    Ok(())
}

impl IncidentRule {
    /// Whether a value over so many items opens an incident.
    pub fn fires(&self, value: Option<f64>, denominator: i64) -> bool {
        let Some(value) = value.filter(|_| denominator >= self.min_count) else { return false };
        self.above.is_some_and(|limit| value > limit) || self.below.is_some_and(|limit| value < limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REVOPS: &str = include_str!("../../queries/policies/revops.toml");

    #[test]
    fn the_shipped_policies_can_be_judged_by() {
        let built_in = Policy::built_in().unwrap();
        assert_eq!((built_in.effective_from(), built_in.time_zone.as_str()), (None, "UTC"));
        let revops = Policy::parse(REVOPS).unwrap();
        assert!(revops.effective_from().is_some() && !revops.incident_rules.is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_or_its_name() {
        let complaint = |text: &str| Policy::parse(text).unwrap_err().to_string();
        assert!(complaint("version = \"1\"\n\ncolour = 3\n").contains("line 3: unknown field `colour`"));
        let text = "version = \"1\"\ntime_zone = \"Mars/Olympus\"\napproval_levels = [7]\n[[workflow]]\nname = \"a\"\n[[workflow]]\nname = \"a\"\n";
        let message = complaint(text);
        for part in ["`Mars/Olympus` is no IANA zone", "level 7 is not in 1..5", "workflow `a` is described twice"] {
            assert!(message.contains(part), "{message}");
        }
        assert!(complaint("version = \"1\"\neffective_from = 2026-03-01\n").contains("needs date, time and zone"));
        let scoped = "version = \"1\"\n[[prohibited]]\nname = \"x\"\nsytem = \"crm\"\n";
        assert!(complaint(scoped).contains("unknown field `sytem`"), "{}", complaint(scoped));
    }

    #[test]
    fn a_number_that_no_control_could_compute_with_is_refused() {
        let rule = |rest: &str| format!("[[incident_rule]]\nname = \"x\"\nmetric = \"m\"\n{rest}\n");
        for (text, why) in [
            ("[sample_review_days]\n3 = 0\n".to_owned(), "sample_review_days"),
            ("[[owner]]\nbusiness = \"b\"\nreview_days = 99999999999\n".to_owned(), "review_days"),
            ("bulk_limit = -1\n".to_owned(), "bulk_limit"),
            ("approval_valid_hours = nan\n".to_owned(), "approval_valid_hours"),
            ("[promotion]\nmin_approval_rate = 70.0\n".to_owned(), "min_approval_rate"),
            ("[roles]\nboss = []\n".to_owned(), "role `boss`"),
            ("[[approver]]\nreviewers = []\n".to_owned(), "reviewers"),
            (rule("above = 0.1\nclass = \"\""), "class"),
            (rule("above = nan\nclass = \"c\""), "limit"),
            (rule("above = 1\nclass = \"c\"\nseverity = \"bananas\""), "severity"),
            (rule("above = 1\nclass = \"c\"") + &rule("above = 2\nclass = \"c\""), "two incident rules"),
        ] {
            let message = Policy::parse(&format!("version = \"1\"\n{text}")).unwrap_err().to_string();
            assert!(message.contains(why), "{text}: {message}");
        }
    }

    #[test]
    fn a_rule_fires_on_enough_items_beyond_its_limit_only() {
        let text =
            "version = \"1\"\n[[incident_rule]]\nname = \"x\"\nmetric = \"m\"\nabove = 0.2\nclass = \"quality\"\n";
        let rule = &Policy::parse(text).unwrap().incident_rules[0];
        assert!(rule.fires(Some(0.21), 30));
        assert!(!rule.fires(Some(0.2), 30) && !rule.fires(Some(0.9), 29) && !rule.fires(None, 30));
    }
}
