//! What a policy asks of an action: its level, and whether a person has to approve it.
//!
//! In: the rules of a policy, what is known of an action. Out: a [`Ruling`]. Invariant: what is missing is never
//! taken for a no: a rule that names an attribute which the action lacks may apply, and where it alone would ask for
//! approval the need is not known. Pure.

use super::rules::{Rule, Scope};

/// What is known of an action, as far as rules ask for it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Case<'a> {
    /// Name of the workflow.
    pub workflow: Option<&'a str>,
    /// `permission_area`.
    pub area: Option<&'a str>,
    /// `permission_level` that the agent reports.
    pub level: Option<i64>,
    /// System of record.
    pub system: Option<&'a str>,
    /// Type of the record.
    pub record_type: Option<&'a str>,
    /// Field of the record.
    pub field: Option<&'a str>,
    /// `operation`.
    pub operation: Option<&'a str>,
    /// `issue_type`.
    pub issue_type: Option<&'a str>,
    /// Amount in hundredths.
    pub amount: Option<i128>,
    /// ISO 4217.
    pub currency: Option<&'a str>,
    /// `policy_outcome`.
    pub policy_outcome: Option<&'a str>,
}

/// What a policy says of a case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ruling {
    /// Level by the permission rule that wins, else as reported.
    pub level: Option<i64>,
    /// Whether that level needs approval; none: not known.
    pub is_level_in_need: Option<bool>,
    /// Whether approval is needed, by agent, level or rule; none: not known.
    pub needs_approval: Option<bool>,
    /// Why, in words.
    pub because: Option<String>,
}

/// The rules of one policy that say what needs approval.
#[derive(Debug)]
pub struct Judge {
    permissions: Vec<Ranked>,
    requirements: Vec<Ranked>,
    /// Levels that need approval; none where the policy names none.
    levels: Option<Vec<i64>>,
}

/// A rule and its rank: the lowest that matches wins.
#[derive(Debug)]
struct Ranked {
    precedence: i64,
    rule: Rule,
}

impl Judge {
    /// A judge by `rules`.
    pub fn new(rules: Vec<Rule>) -> Self {
        let levels: Vec<i64> =
            rules.iter().filter(|r| r.kind == "approval_level").filter_map(|rule| rule.level).collect();
        let has_levels = rules.iter().any(|r| r.kind == "approval_level");
        let (mut permissions, mut requirements) = (Vec::new(), Vec::new());
        for rule in rules {
            let precedence = (7 - specificity(&rule.scope)) * 1_000_000 + rule.position;
            match rule.kind {
                "permission" => permissions.push(Ranked { precedence, rule }),
                "approval_required" => requirements.push(Ranked { precedence, rule }),
                _ => {}
            }
        }
        permissions.sort_by_key(|ranked| ranked.precedence);
        requirements.sort_by_key(|ranked| ranked.precedence);
        Self { permissions, requirements, levels: has_levels.then_some(levels) }
    }

    /// What the policy says of `case`.
    pub fn rule(&self, case: &Case<'_>) -> Ruling {
        let permission = self.permissions.iter().find(|ranked| matches(&ranked.rule, case) == Some(true));
        let level = permission.and_then(|ranked| ranked.rule.level).or(case.level);
        let is_level_in_need = self.is_in_need(level, permission, case);
        let requirement = self.requirements.iter().find(|ranked| matches(&ranked.rule, case) == Some(true));
        let rule_name = requirement.and_then(|ranked| ranked.rule.name.as_deref());
        let may_be_required = self.requirements.iter().any(|ranked| matches(&ranked.rule, case).is_none());
        let is_asked = case.policy_outcome == Some("approval_required");
        let needs_approval = match is_level_in_need {
            _ if is_asked || rule_name.is_some() => Some(true),
            Some(true) => Some(true),
            _ if may_be_required => None,
            level => level,
        };
        let reasons = [
            is_asked.then(|| "policy_outcome approval_required".to_owned()),
            level.filter(|_| is_level_in_need == Some(true)).map(|level| format!("level {level}")),
            rule_name.map(str::to_owned),
        ];
        let reasons: Vec<String> = reasons.into_iter().flatten().collect();
        let because = (!reasons.is_empty()).then(|| reasons.join("; "));
        Ruling { level, is_level_in_need, needs_approval, because }
    }

    /// Whether `level` needs approval, when a permission rule that may apply could still raise it.
    fn is_in_need(&self, level: Option<i64>, permission: Option<&Ranked>, case: &Case<'_>) -> Option<bool> {
        let Some(levels) = &self.levels else { return Some(false) };
        if level.is_some_and(|level| levels.contains(&level)) {
            return Some(true);
        }
        let is_asking = |ranked: &&Ranked| ranked.rule.level.is_some_and(|level| levels.contains(&level));
        let possible = self.permissions.iter().filter(is_asking).find(|ranked| matches(&ranked.rule, case).is_none());
        let is_open = possible.is_some_and(|p| permission.is_none_or(|won| p.precedence < won.precedence));
        if is_open { None } else { level.map(|_| false) }
    }
}

fn specificity(scope: &Scope) -> i64 {
    let Scope { workflow, area, system, record_type, field, operation, issue_type } = scope;
    [workflow, area, system, record_type, field, operation, issue_type].iter().filter(|part| part.is_some()).count()
        as i64
}

/// Whether `rule` is about `case`; none: not known.
fn matches(rule: &Rule, case: &Case<'_>) -> Option<bool> {
    let scope = &rule.scope;
    let parts = [
        (&scope.workflow, case.workflow),
        (&scope.area, case.area),
        (&scope.system, case.system),
        (&scope.record_type, case.record_type),
        (&scope.field, case.field),
        (&scope.operation, case.operation),
        (&scope.issue_type, case.issue_type),
    ];
    let mut known = is_enough(rule, case);
    for (wanted, found) in parts {
        let part = match (wanted, found) {
            (None, _) => Some(true),
            (Some(_), None) => None,
            (Some(wanted), Some(found)) => Some(wanted == found),
        };
        match part {
            Some(false) => return Some(false),
            None if known == Some(true) => known = None,
            _ => {}
        }
    }
    known
}

/// Whether the amount reaches the least that the rule names; in another currency it cannot be compared and does.
fn is_enough(rule: &Rule, case: &Case<'_>) -> Option<bool> {
    let Some(least) = rule.amount else { return Some(true) };
    let amount = case.amount?;
    let is_other = rule.currency.as_deref().is_some_and(|currency| currency != case.currency.unwrap_or_default());
    Some(amount >= i128::from(least) || is_other)
}

#[cfg(test)]
mod tests {
    use super::super::Policy;
    use super::*;

    fn judge(text: &str) -> Judge {
        Judge::new(Policy::parse(text).unwrap().rules())
    }

    const TWO: &str = "version = \"1\"\napproval_levels = [4, 5]\n[[permission]]\nlevel = 4\nfield = \"owner\"\n\
        [[permission]]\nlevel = 2\nsystem = \"crm\"\n[[approval_required]]\nname = \"large\"\nmin_amount = \"100.00\"\ncurrency = \"EUR\"";

    #[test]
    fn the_more_special_permission_wins_and_the_report_of_the_agent_comes_last() {
        let judge = judge(TWO);
        let case = Case {
            system: Some("crm"),
            field: Some("owner"),
            amount: Some(0),
            currency: Some("EUR"),
            ..Case::default()
        };
        let ruling = judge.rule(&case);
        assert_eq!((ruling.level, ruling.needs_approval), (Some(4), Some(true)));
        assert_eq!(ruling.because.as_deref(), Some("level 4"));
        let ruling = judge.rule(&Case { field: Some("name"), level: Some(5), system: Some("erp"), ..case });
        assert_eq!((ruling.level, ruling.is_level_in_need), (Some(5), Some(true)));
        let ruling = judge.rule(&Case { field: Some("name"), ..case });
        assert_eq!((ruling.level, ruling.needs_approval, ruling.because), (Some(2), Some(false), None));
    }

    #[test]
    fn what_is_missing_is_not_known_instead_of_not_needed() {
        let judge = judge(TWO);
        let case = Case { system: Some("crm"), amount: Some(0), currency: Some("EUR"), ..Case::default() };
        assert_eq!(judge.rule(&case).is_level_in_need, None, "the field may be `owner`");
        let known = Case { field: Some("name"), ..case };
        assert_eq!(judge.rule(&Case { amount: None, ..known }).needs_approval, None, "the amount may be large");
        let other = judge.rule(&Case { currency: Some("USD"), ..known });
        assert_eq!(other.because.as_deref(), Some("large"), "another currency cannot be compared");
    }
}
