//! What is discussed one by one: findings, and the cards of a batch packet.

use serde_json::Value;

use super::tables::{cell, kind};
use super::{Page, flag, with_rest, words};
use crate::query::objects::{Row, text};
use crate::report::dashboard::{CardsSpec, ColumnSpec, FindingsSpec};
use crate::report::document::{Block, Card, Cards, Cell, Entry, Finding, Findings, Flag, Kind, Side, Tone};
use crate::report::format;

impl Page<'_> {
    pub(super) fn findings(&self, spec: &FindingsSpec) -> Block {
        let rows = self.wanted(&spec.query, &spec.filter);
        let shown = spec.limit.unwrap_or(usize::MAX).min(rows.len());
        let is_asked = self.answers.contains_key(&spec.query);
        Block::Findings(Findings {
            label: spec.label.clone(),
            findings: rows[..shown].iter().map(|row| finding(row)).collect(),
            empty: if is_asked { spec.empty.clone() } else { format::NO_DATA.to_owned() },
            note: with_rest(shown, rows.len(), ""),
            source: spec.query.clone(),
        })
    }

    /// Rows of the same group share a card, in the order in which the groups first appear.
    pub(super) fn cards(&self, spec: &CardsSpec) -> Block {
        let mut groups: Vec<(String, Vec<&Row>)> = Vec::new();
        for row in self.rows(&spec.query) {
            let name = text(row, &spec.group);
            match groups.iter_mut().find(|(group, _)| group == name) {
                Some((_, rows)) => rows.push(row),
                None => groups.push((name.to_owned(), vec![row])),
            }
        }
        let shown = spec.limit.unwrap_or(usize::MAX).min(groups.len());
        let card = |(title, rows): &(String, Vec<&Row>)| Card {
            title: title.clone(),
            entries: rows.iter().map(|row| entry(row, spec)).collect(),
        };
        Block::Cards(Cards {
            label: spec.label.clone(),
            cards: groups[..shown].iter().map(card).collect(),
            empty: spec.empty.clone(),
            note: with_rest(shown, groups.len(), ""),
            source: spec.query.clone(),
        })
    }
}

fn finding(row: &Row) -> Finding {
    let fact = |(label, column): (&str, &str)| {
        let value = text(row, column);
        (!value.is_empty()).then(|| (label.to_owned(), value.to_owned()))
    };
    let severity = text(row, "severity");
    let owner = match text(row, "owner") {
        "" => "nobody named".to_owned(),
        name => name.to_owned(),
    };
    let rule = text(row, "rule");
    let about = [("Workflow", "workflow"), ("About", "subject")].into_iter().filter_map(fact);
    let found = (!rule.is_empty()).then(|| ("Found by".to_owned(), words(rule)));
    Finding {
        severity: flag(severity).or_else(|| (!severity.is_empty()).then(|| Flag::new(Tone::Watch, words(severity)))),
        statement: text(row, "statement").to_owned(),
        facts: about.chain([("Owner".to_owned(), owner)]).chain(found).collect(),
        advice: text(row, "advice").to_owned(),
    }
}

fn entry(row: &Row, spec: &CardsSpec) -> Entry {
    let names = spec.title.iter().map(|column| words(text(row, column))).filter(|name| !name.is_empty());
    let values = [&spec.change[0], &spec.change[1]].map(|column| row.get(column).and_then(Value::as_str));
    let state = text(row, &spec.state);
    let is_empty = state.is_empty();
    let side = |columns: &[ColumnSpec]| {
        let value = |column: &ColumnSpec| {
            let value = cell(row, column);
            let is_left_out = column.is_optional && (value == Cell::Missing || value == Cell::Text(String::new()));
            (!is_left_out).then(|| (column.label.clone(), value, kind(column.kind)))
        };
        columns.iter().filter_map(value).collect::<Vec<(String, Cell, Kind)>>()
    };
    Entry {
        title: names.collect::<Vec<_>>().join(" · "),
        state: flag(state).or_else(|| (!is_empty).then(|| Flag::new(Tone::Plain, words(state)))),
        change: (values != [None, None]).then(|| (values[0].map(str::to_owned), values[1].map(str::to_owned))),
        sides: spec.sides.iter().map(|s| Side { label: s.label.clone(), values: side(&s.columns) }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{answers, page, spec};
    use super::*;

    #[test]
    fn a_finding_without_an_owner_says_so() {
        let answers =
            answers(&[("q", r#"[{"severity":"high","statement":"s","owner":null,"rule":"too_many","advice":"a"}]"#)]);
        let Block::Findings(list) = page(&answers).findings(&spec("query='q'\nlabel='l'")) else { panic!() };
        let facts = [("Owner", "nobody named"), ("Found by", "too many")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(list.findings[0].facts, facts);
        assert_eq!(list.findings[0].severity, Some(Flag::new(Tone::Bad, "high")));
    }

    #[test]
    fn no_finding_is_not_the_same_as_no_answer() {
        let answers = answers(&[("q", "[]")]);
        let empty = |query: &str| {
            let keys = format!("query='{query}'\nlabel='l'\nempty='nothing found'");
            let Block::Findings(list) = page(&answers).findings(&spec(&keys)) else { panic!() };
            list.empty
        };
        assert_eq!([empty("q"), empty("absent")], ["nothing found", format::NO_DATA]);
    }

    #[test]
    fn actions_on_one_record_share_a_card_wherever_they_stand() {
        let rows = r#"[{"record":"r1","issue_type":"stale_owner","old_value":"a","new_value":null,"result":"failed"},
                       {"record":"r2"},{"record":"r1","issue_type":"duplicate","note":"n"}]"#;
        let answers = answers(&[("q", rows)]);
        let keys = "query='q'\nlabel='l'\ngroup='record'\ntitle=['issue_type']\nstate='result'\nchange=['old_value','new_value']\n\
                    sides=[{label='S',columns=[{name='note',label='Note',is_optional=true},{name='who',label='Who'}]}]";
        let Block::Cards(list) = page(&answers).cards(&spec(keys)) else { panic!() };
        assert_eq!(list.cards.iter().map(|c| c.entries.len()).collect::<Vec<_>>(), [2, 1]);
        let [first, second] = list.cards[0].entries.as_slice() else { panic!() };
        assert_eq!((first.title.as_str(), &first.change), ("stale owner", &Some((Some("a".to_owned()), None))));
        assert_eq!((second.change.as_ref(), second.sides[0].values.len()), (None, 2));
        assert_eq!(first.sides[0].values.len(), 1, "an optional value that is missing is left out");
    }
}
