//! The clocks of an incident, and the deadlines of law and policy.
//!
//! In: instants that the evidence or a person gives, the policy in force at the detection. Out: hours from one to
//! another, and what was due when. Invariant: an instant that nobody knows gives no number. Pure: the present comes in as
//! a parameter. It gives no legal advice: whether a class of incidents applies is for a person to say.

use serde_json::{Value, json};

use super::record::Record;
use super::steps::{NOTIFY_AUTHORITY, NOTIFY_OWNER, Seen, stated};
use crate::clock::{HOUR, Micros, rfc3339};
use crate::policy::{self, Notify, Policy};

/// A time to something.
#[derive(Debug, Clone, PartialEq)]
pub struct Clock {
    /// To what: `detect`, `contain`, `scope`, `notify`, `recover`.
    pub clock: &'static str,
    /// From when to when, in words.
    pub title: &'static str,
    /// Its begin.
    pub from: Option<Micros>,
    /// Its end.
    pub to: Option<Micros>,
}

impl Clock {
    /// The hours between; none where an end is unknown or lies before the begin.
    pub fn hours(&self) -> Option<f64> {
        let between = self.from.zip(self.to).map(|(from, to)| to - from);
        between.filter(|between| *between >= 0).map(|between| between as f64 / HOUR as f64)
    }

    /// Whether its end came before its begin: a breaker may stop a workflow that nobody has complained of yet.
    pub fn is_early(&self) -> bool {
        self.from.zip(self.to).is_some_and(|(from, to)| to < from)
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "clock": self.clock, "title": self.title, "from": self.from.map(rfc3339), "to": self.to.map(rfc3339),
            "hours": self.hours(), "is_early": self.is_early(),
        })
    }
}

/// The clocks of `record`: detection runs from the first bad write, everything else from the detection.
pub fn clocks(record: &Record, seen: &Seen, first_bad_at: Option<Micros>) -> Vec<Clock> {
    let detected = record.detected_at;
    let clock = |(clock, title), from, to| Clock { clock, title, from, to };
    vec![
        clock(("detect", "first bad write to detection"), first_bad_at, detected),
        clock(("contain", "detection to pause"), detected, seen.paused.as_ref().map(|mark| mark.at)),
        clock(("scope", "detection to the first frozen scope"), detected, record.scopes.first().map(|first| first.at)),
        clock(
            ("notify", "detection to notice of the owner"),
            detected,
            stated(record, NOTIFY_OWNER).map(|mark| mark.at),
        ),
        clock(("recover", "detection to the last cell put right"), detected, seen.recovered_at),
    ]
}

/// What the law asks to tell an authority of a class of incidents, counted from when the organisation became aware.
#[derive(Debug, Clone, Copy)]
struct Law {
    class: &'static str,
    hours: i64,
    article: &'static str,
    asks: &'static str,
}

/// Regulation (EU) 2016/679 and Regulation (EU) 2024/1689.
const LAWS: [Law; 4] = [
    Law {
        class: "personal_data",
        hours: 72,
        article: "GDPR article 33(1)",
        asks: "notify the supervisory authority of a personal data breach",
    },
    Law {
        class: "serious_incident",
        hours: 15 * 24,
        article: "EU AI Act article 73(2)",
        asks: "report a serious incident to the market surveillance authority",
    },
    Law {
        class: "death",
        hours: 10 * 24,
        article: "EU AI Act article 73(4)",
        asks: "report the death of a person to the market surveillance authority",
    },
    Law {
        class: "widespread_infringement",
        hours: 2 * 24,
        article: "EU AI Act article 73(3)",
        asks: "report a widespread infringement or a disruption of critical infrastructure to the market surveillance \
               authority",
    },
];

/// A deadline of one incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadline {
    /// Whom it asks to tell.
    pub notify: Notify,
    /// Where that is written.
    pub article: String,
    /// What it asks.
    pub asks: String,
    /// Hours that it gives.
    pub hours: i64,
    /// The version of the policy that sets it; none where it is the law's alone.
    pub policy_version: Option<String>,
    /// When it ends; none where nobody said since when the organisation is aware.
    pub due_at: Option<Micros>,
    /// When a person stated that whom it names was told.
    pub notified_at: Option<Micros>,
    /// Whether it ended before that, or before now while nobody was told.
    pub has_passed: bool,
}

impl Deadline {
    fn of_law(law: &Law) -> Self {
        Self {
            notify: Notify::Authority,
            article: law.article.to_owned(),
            asks: law.asks.to_owned(),
            hours: law.hours,
            policy_version: None,
            due_at: None,
            notified_at: None,
            has_passed: false,
        }
    }

    fn set_by(policy: &Policy, deadline: &policy::Deadline) -> Self {
        Self {
            notify: deadline.notify,
            article: deadline.article.clone(),
            asks: deadline.asks.clone(),
            hours: deadline.hours(),
            policy_version: Some(policy.version.clone()),
            due_at: None,
            notified_at: None,
            has_passed: false,
        }
    }

    /// The same for `record`, as of `now`.
    fn counted(self, record: &Record, now: Micros) -> Self {
        let step = match self.notify {
            Notify::Authority => NOTIFY_AUTHORITY,
            Notify::Owner => NOTIFY_OWNER,
        };
        let notified_at = stated(record, step).map(|mark| mark.at);
        let due_at = record.aware_at.map(|aware| aware + self.hours * HOUR);
        let has_passed = due_at.is_some_and(|due| notified_at.unwrap_or(now) > due);
        Self { due_at, notified_at, has_passed, ..self }
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "notify": self.notify.name(), "article": self.article, "asks": self.asks, "hours": self.hours,
            "policy_version": self.policy_version, "due_at": self.due_at.map(rfc3339),
            "notified_at": self.notified_at.map(rfc3339), "has_passed": self.has_passed,
        })
    }
}

/// The deadlines that the class of `record` has by law and by `policy`, as of `now`. A deadline of the policy takes the
/// place of the law's where it is for the same class and tells the authority too; one for the owner stands beside it.
pub fn deadlines(record: &Record, policy: Option<&Policy>, now: Micros) -> Vec<Deadline> {
    let is_own = |class: &str| record.class.as_deref() == Some(class);
    let of_policy = |policy: &Policy| -> Vec<Deadline> {
        let own = policy.deadlines.iter().filter(|deadline| is_own(&deadline.class));
        own.map(|deadline| Deadline::set_by(policy, deadline)).collect()
    };
    let set = policy.map(of_policy).unwrap_or_default();
    let is_replaced = set.iter().any(|deadline| deadline.notify == Notify::Authority);
    let laws = LAWS.iter().filter(|law| is_own(law.class) && !is_replaced).map(Deadline::of_law);
    laws.chain(set).map(|deadline| deadline.counted(record, now)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::record::Note;
    use super::*;

    fn of_class(class: &str) -> Record {
        Record { class: Some(class.to_owned()), aware_at: Some(0), ..Record::default() }
    }

    #[test]
    fn each_class_has_the_hours_of_its_article() {
        let hours = |class: &str| deadlines(&of_class(class), None, 0).iter().map(|d| d.hours).collect::<Vec<_>>();
        let of_law = ["personal_data", "serious_incident", "death", "widespread_infringement"].map(hours);
        assert_eq!(of_law, [[72], [360], [240], [48]]);
        assert!(hours("quality").is_empty());
    }

    #[test]
    fn a_deadline_passes_unless_the_authority_was_told_in_time() {
        let mut record = of_class("personal_data");
        let passed = |record: &Record, now: Micros| deadlines(record, None, now)[0].has_passed;
        assert!(!passed(&record, 72 * HOUR) && passed(&record, 72 * HOUR + 1));
        let told = |step: &str, at: Micros| Note { step: Some(step.into()), note: None, seq: 1, at, by: "p".into() };
        record.notes = vec![told("notify_owner", 1)];
        assert!(passed(&record, 73 * HOUR), "the owner is not the authority");
        record.notes = vec![told(NOTIFY_AUTHORITY, 71 * HOUR)];
        assert!(!passed(&record, 99 * HOUR));
        record.notes = vec![told(NOTIFY_AUTHORITY, 73 * HOUR)];
        assert!(passed(&record, 99 * HOUR));
        record.aware_at = None;
        assert!(!passed(&record, 99 * HOUR) && deadlines(&record, None, 0)[0].due_at.is_none());
    }

    fn policy(deadlines: &[(&str, u32, &str)]) -> Policy {
        let table = |(class, hours, notify): &(&str, u32, &str)| {
            format!(
                "[[deadline]]\nclass = \"{class}\"\nhours = {hours}\nnotify = \"{notify}\"\narticle = \"rule 7\"\n\
                 asks = \"tell\"\n"
            )
        };
        let tables: Vec<String> = deadlines.iter().map(table).collect();
        Policy::parse(&format!("version = \"v\"\n{}", tables.concat())).unwrap()
    }

    #[test]
    fn a_policy_takes_the_place_of_the_law_for_the_authority_of_its_class_alone() {
        let policy = policy(&[("personal_data", 24, "authority"), ("death", 4, "owner"), ("quality", 8, "owner")]);
        let of = |class: &str| {
            let found = deadlines(&of_class(class), Some(&policy), 0);
            found.into_iter().map(|d| (d.notify.name(), d.hours, d.policy_version.is_some())).collect::<Vec<_>>()
        };
        assert_eq!(of("personal_data"), [("authority", 24, true)]);
        assert_eq!(of("death"), [("authority", 240, false), ("owner", 4, true)]);
        assert_eq!(of("quality"), [("owner", 8, true)]);
        assert_eq!(of("serious_incident"), [("authority", 360, false)]);
        assert!(of("operation").is_empty() && deadlines(&Record::default(), Some(&policy), 0).is_empty());
    }

    #[test]
    fn a_deadline_is_met_by_the_notice_to_whom_it_names() {
        let policy = policy(&[("death", 4, "owner")]);
        let told = |step: &str| Note { step: Some(step.into()), note: None, seq: 1, at: HOUR, by: "p".into() };
        let late = |step: &str| {
            let record = Record { notes: vec![told(step)], ..of_class("death") };
            let found = deadlines(&record, Some(&policy), 999 * HOUR);
            found.iter().map(|deadline| deadline.has_passed).collect::<Vec<_>>()
        };
        assert_eq!(late(NOTIFY_OWNER), [true, false]);
        assert_eq!(late(NOTIFY_AUTHORITY), [false, true]);
        assert_eq!(late("pause"), [true, true]);
    }

    #[test]
    fn an_unknown_instant_gives_no_hours() {
        let clock = |from, to| Clock { clock: "c", title: "t", from, to };
        let hours = |from, to| clock(from, to).hours();
        assert_eq!(
            (hours(Some(0), Some(HOUR / 2)), hours(None, Some(1)), hours(Some(2), Some(1))),
            (Some(0.5), None, None)
        );
        let is_early = |from, to| clock(from, to).is_early();
        assert!(is_early(Some(2), Some(1)) && !is_early(Some(1), Some(1)) && !is_early(None, Some(1)));
    }
}
