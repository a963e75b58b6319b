//! A policy as flat rules: one shape for every kind, so that SQL can join with them.
//!
//! In: a parsed policy. Out: one [`Rule`] per statement of it, with `*` as "any". Invariant: roles are expanded
//! to the identities that hold them, and `position` keeps the order of the document within a kind.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Policy, Workflow};
use crate::event::parse;

/// Which work a rule is about; what is left out is any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Scope {
    /// Name of the workflow.
    pub workflow: Option<String>,
    /// `permission_area`.
    pub area: Option<String>,
    /// System of record.
    pub system: Option<String>,
    /// Type of the record.
    pub record_type: Option<String>,
    /// Field of the record.
    pub field: Option<String>,
    /// `operation`.
    pub operation: Option<String>,
    /// `issue_type`.
    pub issue_type: Option<String>,
}

/// One statement of a policy; `kind` says which columns it uses.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rule {
    /// setting, approval_level, review_level, workflow, agent, allowed_field, blocked_field, permission,
    /// approval_required, approver, threshold, owner, prohibited, segment, processor, incident_rule, deadline,
    /// artefact.
    pub kind: &'static str,
    /// Place among the rules of its kind, 0-based.
    pub position: i64,
    /// What it is called.
    pub name: Option<String>,
    /// What it is about.
    pub scope: Scope,
    /// Permission level, 1..5.
    pub level: Option<i64>,
    /// Identity of an agent, a reviewer or an owner; `*` is any. Of a deadline whom it tells: authority or owner.
    pub principal: Option<String>,
    /// Amount in hundredths: an approver's most, an approval rule's least.
    pub amount: Option<i64>,
    /// ISO 4217.
    pub currency: Option<String>,
    /// A number that the kind names.
    pub number: Option<f64>,
    /// A span in hours.
    pub hours: Option<f64>,
    /// A span in days.
    pub days: Option<i64>,
    /// Words: a reason, a purpose, a region, a metric, a reference, what a deadline asks.
    pub words: Option<String>,
}

pub(super) fn flatten(policy: &Policy) -> Vec<Rule> {
    let mut rules = settings(policy);
    rules.extend(policy.workflows.iter().flat_map(of_workflow));
    rules.extend(policy.permissions.iter().map(|p| Rule { level: Some(p.level), ..scoped("permission", &p.scope) }));
    rules.extend(policy.required.iter().map(|r| Rule {
        name: Some(r.name.clone()),
        amount: cents(&r.min_amount),
        currency: r.currency.clone(),
        ..scoped("approval_required", &r.scope)
    }));
    rules.extend(approvers(policy));
    rules.extend(
        policy.thresholds.iter().map(|t| Rule { number: Some(t.min_confidence), ..scoped("threshold", &t.scope) }),
    );
    rules.extend(policy.owners.iter().flat_map(|owner| {
        let of = |name: &str, principal: &Option<String>| {
            principal.clone().map(|principal| Rule {
                name: Some(name.to_owned()),
                principal: Some(principal),
                days: owner.review_days,
                ..scoped("owner", &owner.scope)
            })
        };
        [of("business", &owner.business), of("technical", &owner.technical)].into_iter().flatten()
    }));
    rules.extend(policy.prohibited.iter().map(|p| Rule {
        name: Some(p.name.clone()),
        words: p.reason.clone(),
        ..scoped("prohibited", &p.scope)
    }));
    rules.extend(policy.segments.iter().map(|s| named("segment", &s.name)));
    rules.extend(policy.processors.iter().flat_map(|processor| {
        let region = |region: Option<String>| Rule { words: region, ..named("processor", &processor.name) };
        match processor.regions.as_slice() {
            [] => vec![region(None)],
            regions => regions.iter().map(|r| region(Some(r.clone()))).collect(),
        }
    }));
    rules.extend(policy.incident_rules.iter().map(|rule| Rule {
        scope: Scope { workflow: rule.workflow.clone(), ..Scope::default() },
        words: Some(rule.metric.clone()),
        number: rule.above.or(rule.below),
        days: Some(rule.window_days),
        ..named("incident_rule", &rule.name)
    }));
    rules.extend(policy.deadlines.iter().map(|deadline| Rule {
        principal: Some(deadline.notify.name().to_owned()),
        hours: Some(deadline.hours() as f64),
        words: Some(format!("{}: {}", deadline.article, deadline.asks)),
        ..named("deadline", &deadline.class)
    }));
    number_positions(&mut rules);
    rules
}

fn named(kind: &'static str, name: &str) -> Rule {
    Rule { kind, name: Some(name.to_owned()), ..Rule::default() }
}

fn scoped(kind: &'static str, scope: &Scope) -> Rule {
    let any = |text: &Option<String>| text.clone().filter(|t| t != "*");
    let scope = Scope {
        workflow: any(&scope.workflow),
        area: any(&scope.area),
        system: any(&scope.system),
        record_type: any(&scope.record_type),
        field: any(&scope.field),
        operation: any(&scope.operation),
        issue_type: any(&scope.issue_type),
    };
    Rule { kind, scope, ..Rule::default() }
}

fn cents(amount: &Option<String>) -> Option<i64> {
    amount.as_ref().and_then(|text| parse::amount(text).ok())
}

fn settings(policy: &Policy) -> Vec<Rule> {
    let number = |name: &str, number: f64| Rule { number: Some(number), ..named("setting", name) };
    let mut rules = vec![
        Rule { words: Some(policy.time_zone.clone()), ..named("setting", "time_zone") },
        number("maturity_days", policy.maturity_days as f64),
    ];
    let hours = policy.approval_valid_hours;
    rules.extend(hours.map(|hours| Rule { hours: Some(hours), ..named("setting", "approval_valid_hours") }));
    rules.extend(policy.bulk_limit.map(|limit| number("bulk_limit", limit as f64)));
    rules.extend(policy.retention_months.map(|months| number("retention_months", months as f64)));
    rules.extend(policy.promotion.iter().map(|(name, value)| number(&format!("promotion_{name}"), *value)));
    let level = |kind, level: i64| Rule { kind, level: Some(level), ..Rule::default() };
    rules.extend(policy.approval_levels.iter().map(|l| level("approval_level", *l)));
    rules.extend(
        policy
            .sample_review_days
            .iter()
            .map(|(l, days)| Rule { days: Some(*days), ..level("review_level", l.parse().unwrap_or_default()) }),
    );
    rules
}

fn of_workflow(workflow: &Workflow) -> Vec<Rule> {
    let scope = Scope { workflow: Some(workflow.name.clone()), ..Scope::default() };
    let mut rules = vec![Rule {
        scope: Scope { area: workflow.area.clone(), ..scope.clone() },
        level: workflow.stage,
        words: workflow.purpose.clone(),
        ..named("workflow", &workflow.name)
    }];
    rules
        .extend(workflow.agents.iter().map(|agent| Rule { principal: Some(agent.clone()), ..scoped("agent", &scope) }));
    for (kind, fields) in [("allowed_field", &workflow.allowed_fields), ("blocked_field", &workflow.blocked_fields)] {
        rules.extend(fields.iter().map(|field| scoped(kind, &of_field(&workflow.name, field))));
    }
    let class = workflow.ai_act_class.iter().map(|class| ("ai_act_class", class));
    let references = workflow.artefacts.iter().map(|(name, words)| (name.as_str(), words)).chain(class);
    rules.extend(references.map(|(name, words)| Rule {
        name: Some(name.to_owned()),
        words: Some(words.clone()),
        ..scoped("artefact", &scope)
    }));
    rules
}

/// `system/record_type/field`; parts left out at the end, and `*`, are any.
fn of_field(workflow: &str, text: &str) -> Scope {
    let mut parts = text.splitn(3, '/').map(str::to_owned);
    Scope {
        workflow: Some(workflow.to_owned()),
        system: parts.next(),
        record_type: parts.next(),
        field: parts.next(),
        ..Scope::default()
    }
}

fn approvers(policy: &Policy) -> Vec<Rule> {
    let mut rules = Vec::new();
    for approver in &policy.approvers {
        let expanded = approver.reviewers.iter().flat_map(|name| match policy.roles.get(name) {
            Some(members) => members.clone(),
            None => vec![name.clone()],
        });
        rules.extend(expanded.map(|reviewer| Rule {
            principal: Some(reviewer),
            level: approver.level,
            amount: cents(&approver.max_amount),
            currency: approver.currency.clone(),
            ..scoped("approver", &approver.scope)
        }));
    }
    rules
}

fn number_positions(rules: &mut [Rule]) {
    let mut next: BTreeMap<&str, i64> = BTreeMap::new();
    for rule in rules {
        let position = next.entry(rule.kind).or_default();
        rule.position = *position;
        *position += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_become_identities_and_stars_become_any() {
        let text = "version = \"1\"\n[roles]\nboss = [\"ana\", \"bo\"]\n[[approver]]\narea = \"*\"\nreviewers = [\"boss\", \"*\"]\nmax_amount = \"12.5\"\n";
        let rules: Vec<Rule> =
            Policy::parse(text).unwrap().rules().into_iter().filter(|r| r.kind == "approver").collect();
        let who: Vec<_> = rules.iter().map(|r| (r.position, r.principal.as_deref().unwrap())).collect();
        assert_eq!(who, [(0, "ana"), (1, "bo"), (2, "*")]);
        assert!(rules.iter().all(|r| r.scope == Scope::default() && r.amount == Some(1250)));
    }

    #[test]
    fn fields_are_read_as_system_type_and_field() {
        let text = "version = \"1\"\n[[workflow]]\nname = \"w\"\nblocked_fields = [\"crm/*/SSN\", \"erp\"]\n";
        let rules = Policy::parse(text).unwrap().rules();
        let blocked: Vec<&Scope> = rules.iter().filter(|r| r.kind == "blocked_field").map(|r| &r.scope).collect();
        let scope = |system: &str, field: Option<&str>| Scope {
            workflow: Some("w".into()),
            system: Some(system.into()),
            field: field.map(str::to_owned),
            ..Scope::default()
        };
        assert_eq!(blocked, [&scope("crm", Some("SSN")), &scope("erp", None)]);
    }
}
