//! What the tests of composing share: answers from JSON, and a page over them.

use super::super::dashboard::Dashboard;
use super::{Answers, Page, control_results};

pub(super) fn answers(queries: &[(&str, &str)]) -> Answers {
    queries.iter().map(|(name, rows)| ((*name).to_owned(), serde_json::from_str(rows).unwrap())).collect()
}

pub(super) fn page(answers: &Answers) -> Page<'_> {
    Page { grain: "period", answers, controls: Vec::new() }
}

/// A page that shows the controls `a_b`, `a`, `b` and `c`, as far as there are answers.
pub(super) fn with_controls(answers: &Answers) -> Page<'_> {
    let text = "title = 't'\n[[section]]\nid = 's'\ntitle = 't'\nquestion = 'q'\n[[section.block]]\nshow = 'controls'\n\
                label = 'l'\nlimit = 1\nnames = ['a_b', 'a', 'b', 'c']\n";
    let dashboard = Dashboard::parse("test", text).unwrap();
    Page { controls: control_results(&dashboard, answers), ..page(answers) }
}

/// A block's keys as a dashboard gives them.
pub(super) fn spec<T: serde::de::DeserializeOwned>(text: &str) -> T {
    toml::from_str(text).unwrap()
}
