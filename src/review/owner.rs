//! Who answers for a workflow: the business owner of its area, who signs what a review has shown.
//!
//! In: a workflow, permission areas, the policy in force at the as-of instant. Out: one name. Invariant: the rule that
//! names most wins, then the one listed first, as everywhere in a policy; nobody is guessed where the policy is silent.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::query::answer::Limits;
use crate::query::engine::Engine;
use crate::query::objects::{Row, count, rows, text};

const OWNERS: &str = "
    select principal, workflow, area, specificity, precedence
    from policy_rules
    where kind = 'owner' and name = 'business' and principal is not null and principal <> '*'
      and effective_from <= $as_of and effective_to > $as_of
    order by precedence";

/// The business owner of `workflow` in all of `areas`.
///
/// # Errors
/// Invalid when the policy in force names none, or not the same one for all areas; when the query fails.
pub async fn of(engine: &Engine, workflow: &str, areas: &BTreeSet<Option<String>>) -> Result<String> {
    let rules = rows(&engine.sql(OWNERS, Limits::default()).await?)?;
    among(&rules, workflow, areas)
}

fn among(rules: &[Row], workflow: &str, areas: &BTreeSet<Option<String>>) -> Result<String> {
    let mut named: BTreeSet<&str> = BTreeSet::new();
    for area in areas {
        let about = |area: &Option<String>| area.as_deref().map_or_else(String::new, |area| format!(", area `{area}`"));
        let owner = best(rules, workflow, area.as_deref()).ok_or_else(|| {
            Error::invalid(format!(
                "the policy in force names no business owner of workflow `{workflow}`{}; add an [[owner]] to it, who \
                 signs the decision",
                about(area)
            ))
        })?;
        named.insert(owner);
    }
    match named.iter().collect::<Vec<_>>().as_slice() {
        [one] => Ok((**one).to_owned()),
        several => Err(Error::invalid(format!(
            "the outputs are in areas of different owners, {}; review the areas apart, e.g. where \
             \"permission_area = '…'\"",
            several.iter().map(|name| **name).collect::<Vec<_>>().join(", ")
        ))),
    }
}

/// The owner by the rule that wins.
fn best<'a>(rules: &'a [Row], workflow: &str, area: Option<&str>) -> Option<&'a str> {
    let fits = |row: &&Row| {
        let is_of = |column: &str, wanted: Option<&str>| {
            let said = text(row, column);
            said.is_empty() || wanted == Some(said)
        };
        is_of("workflow", Some(workflow)) && is_of("area", area)
    };
    let winner = rules.iter().filter(fits).min_by_key(|row| count(row, "precedence"));
    winner.map(|row| text(row, "principal"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(principal: &str, workflow: Option<&str>, area: Option<&str>, precedence: u64) -> Row {
        let rule = json!({"principal": principal, "workflow": workflow, "area": area, "precedence": precedence});
        rule.as_object().cloned().unwrap_or_default()
    }

    fn areas(names: &[Option<&str>]) -> BTreeSet<Option<String>> {
        names.iter().map(|name| name.map(str::to_owned)).collect()
    }

    #[test]
    fn the_rule_that_names_most_wins_and_silence_is_an_error() {
        let rules = [
            rule("olga", Some("w"), Some("crm"), 5_000_000),
            rule("otto", None, Some("crm"), 6_000_000),
            rule("ole", None, None, 7_000_003),
        ];
        let of = |workflow: &str, names: &[Option<&str>]| among(&rules, workflow, &areas(names));
        assert_eq!(of("w", &[Some("crm")]).unwrap(), "olga");
        assert_eq!(of("v", &[Some("crm")]).unwrap(), "otto");
        assert_eq!(of("v", &[None, Some("pay")]).unwrap(), "ole");
        assert!(of("w", &[Some("crm"), None]).unwrap_err().to_string().contains("ole, olga"));
        let none = among(&rules[..2], "v", &areas(&[Some("pay")])).unwrap_err().to_string();
        assert!(none.contains("area `pay`") && none.contains("[[owner]]"), "{none}");
    }
}
