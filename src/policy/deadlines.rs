//! The deadlines that a policy sets: whom to tell of an incident of a class, and how long that may take.
//!
//! In: the `[[deadline]]` tables of a document. Out: what is wrong with them, in words. Invariant: a class has one
//! deadline at most for each who is told: one step of an incident meets it, and a second one would be met unseen. Pure.

use serde::Deserialize;

/// Hours of the longest deadline, a hundred years.
const MOST_HOURS: i64 = 876_600;
/// Characters of a class, an article, a demand.
const LINE_CHARACTERS: usize = 256;

/// Whom a deadline asks to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notify {
    /// The authority that the law names.
    Authority,
    /// Who owns the records or the workflow.
    Owner,
}

impl Notify {
    /// Its name in documents, rules and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::Owner => "owner",
        }
    }
}

/// A deadline for the notice of an incident.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deadline {
    /// The class of incidents that has it.
    pub class: String,
    hours: Option<i64>,
    days: Option<i64>,
    /// Whom it asks to tell.
    pub notify: Notify,
    /// Where that is written: a law, a contract, a rule of the house.
    pub article: String,
    /// What it asks to do.
    pub asks: String,
}

impl Deadline {
    /// Hours from when the organisation became aware of the incident.
    pub fn hours(&self) -> i64 {
        self.hours.or(self.days.map(|days| days.saturating_mul(24))).unwrap_or_default()
    }
}

/// Everything wrong with `deadlines`, in words.
pub(super) fn complaints(deadlines: &[Deadline]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, deadline) in deadlines.iter().enumerate() {
        let mut require = |holds: bool, what: String| {
            if !holds {
                wrong.push(format!("[[deadline]] number {}: {what}", number + 1));
            }
        };
        let lines = [("class", &deadline.class), ("article", &deadline.article), ("asks", &deadline.asks)];
        for (name, text) in lines {
            require(is_line(text), format!("`{name}` is no line of 1 to {LINE_CHARACTERS} characters"));
        }
        let has_one = deadline.hours.is_some() != deadline.days.is_some();
        require(has_one, "it needs `hours` or `days`, one of them".to_owned());
        let is_span = (1..=MOST_HOURS).contains(&deadline.hours());
        require(!has_one || is_span, format!("it does not last 1 to {MOST_HOURS} hours"));
        let is_same = |other: &Deadline| other.class == deadline.class && other.notify == deadline.notify;
        let whom = deadline.notify.name();
        require(
            !deadlines[..number].iter().any(is_same),
            format!("one above has its class and tells the {whom} too; one step meets both, so keep the shorter"),
        );
    }
    wrong
}

fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= LINE_CHARACTERS && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    fn parsed(deadlines: &[String]) -> Result<Vec<Deadline>, String> {
        let text = deadlines.iter().map(|deadline| format!("[[deadline]]\n{deadline}\n")).collect::<String>();
        Policy::parse(&format!("version = \"1\"\n{text}")).map(|policy| policy.deadlines).map_err(|e| e.to_string())
    }

    fn deadline(class: &str, span: &str, notify: &str) -> String {
        format!("class = \"{class}\"\n{span}\nnotify = \"{notify}\"\narticle = \"rule 7\"\nasks = \"tell them\"")
    }

    #[test]
    fn hours_and_days_are_the_same_measure() {
        let set = [deadline("a", "hours = 48", "owner"), deadline("a", "days = 2", "authority")];
        let read = parsed(&set).unwrap();
        assert_eq!(read.iter().map(Deadline::hours).collect::<Vec<_>>(), [48, 48]);
        assert_eq!(read.iter().map(|d| d.notify.name()).collect::<Vec<_>>(), ["owner", "authority"]);
    }

    #[test]
    fn a_deadline_that_nobody_could_keep_or_judge_is_refused_with_its_place() {
        let good = || deadline("a", "hours = 4", "owner");
        for (set, why) in [
            (vec![deadline("a", "hours = 4", "press")], "unknown variant `press`"),
            (vec![deadline("a", "hours = 1.5", "owner")], "expected i64"),
            (vec![deadline("a", "hours = 0", "owner")], "number 1: it does not last 1 to 876600 hours"),
            (vec![deadline("a", "days = 9223372036854775807", "owner")], "does not last"),
            (vec![deadline("a", "", "owner")], "`hours` or `days`"),
            (vec![deadline("a", "hours = 4\ndays = 1", "owner")], "`hours` or `days`"),
            (vec![deadline(" ", "hours = 4", "owner")], "`class` is no line"),
            (vec![good().replace("rule 7", "")], "`article` is no line"),
            (vec![good().replace("tell them", "a\\nb")], "`asks` is no line"),
            (vec![good() + "\nwhom = \"x\""], "unknown field `whom`"),
            (vec![good(), good()], "number 2: one above has its class and tells the owner too"),
        ] {
            let message = parsed(&set).unwrap_err();
            assert!(message.contains(why), "{set:?}: {message}");
        }
    }

    #[test]
    fn a_deadline_is_a_rule_that_sql_can_read() {
        let text = format!("version = \"1\"\n[[deadline]]\n{}\n", deadline("a", "days = 2", "owner"));
        let rules = Policy::parse(&text).unwrap().rules();
        let rule = rules.iter().find(|rule| rule.kind == "deadline").unwrap();
        assert_eq!((rule.name.as_deref(), rule.principal.as_deref()), (Some("a"), Some("owner")));
        assert_eq!((rule.hours, rule.words.as_deref()), (Some(48.0), Some("rule 7: tell them")));
    }
}
