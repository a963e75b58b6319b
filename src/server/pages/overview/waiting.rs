//! What needs somebody: incidents with their next step and deadline, reviews that are on, workflows that stand still.
//!
//! In: a session. Out: markup. Invariant: titles and owners are words of persons; who may not see sealed values gets
//! none of them. Nothing is scoped here, so that it stays quick.

use crate::clock::{HOUR, Micros, rfc3339};
use crate::error::Result;
use crate::incident::brief::Brief;
use crate::incident::record::{self, Standing};
use crate::query::catalogue::Catalogue;
use crate::query::engine::Engine;
use crate::query::objects::{self, Row};
use crate::query::params::Params;
use crate::report::document::{Kind, Tone};
use crate::report::format;
use crate::report::withheld::Sight;
use crate::review::record::{self as reviews, Review};
use crate::server::cache::step;
use crate::server::pages::incident::next_of;
use crate::server::pages::layout;

/// Incidents whose next step is looked up, the newest first.
const INCIDENTS: usize = 20;
/// Reviews shown, the newest first.
const REVIEWS: usize = 20;
/// Workflows shown; those that stand still first, then the busiest of late.
const WORKFLOWS: usize = 12;

/// All of it.
///
/// # Errors
/// When the evidence cannot be read or a bound is met.
pub(super) async fn markup(engine: &Engine, sight: Sight) -> Result<String> {
    step("looking at incidents");
    let incidents = incidents(engine, sight).await?;
    step("looking at reviews");
    let reviews = reviews_on(engine).await?;
    step("looking at workflows");
    let workflows = workflows(engine).await?;
    Ok(format!("{incidents}<div class=\"columns\">\n{reviews}{workflows}</div>\n"))
}

async fn incidents(engine: &Engine, sight: Sight) -> Result<String> {
    let mut open = record::list(engine).await?;
    open.retain(|record| record.state != Standing::Closed);
    open.reverse();
    let further = open.len().saturating_sub(INCIDENTS);
    let mut briefs = Vec::new();
    for record in open.into_iter().take(INCIDENTS) {
        briefs.push(Brief::of(engine, record).await?);
    }
    briefs.sort_by_key(|brief| (brief.due_at().is_none(), brief.due_at()));
    let columns = [
        ("Incident", Kind::Code),
        ("State", Kind::Text),
        ("Workflow", Kind::Text),
        ("Next step", Kind::Text),
        ("Deadline", Kind::Text),
    ];
    let now = engine.as_of().at;
    let rows: Vec<Vec<String>> = briefs.iter().map(|brief| incident(brief, now, sight)).collect();
    let mut body = layout::worklist(&columns, &rows, "No incident is open.");
    if further > 0 {
        let all = layout::link("/incidents", "all incidents");
        body += &format!("<p class=\"note\">{} older ones are open too: {all}.</p>\n", format::count(further as u64));
    }
    Ok(layout::section("incidents", "Open incidents", &body))
}

fn incident(brief: &Brief, now: Micros, sight: Sight) -> Vec<String> {
    let record = &brief.record;
    let id = layout::link(&layout::path(&["incidents", &record.incident_id]), &record.incident_id);
    let title = record.title.as_deref().filter(|_| sight == Sight::Shown);
    let title = title.map_or_else(String::new, |title| format!("<br>{}", layout::escape(title)));
    let workflow = record.workflow.as_deref().map_or_else(String::new, |workflow| {
        let (tone, words) = match brief.is_paused {
            Some(true) => (Tone::Good, "paused"),
            _ => (Tone::Watch, "not paused"),
        };
        format!("{} {}", layout::escape(workflow), layout::badge(tone, words))
    });
    let deadline = brief.deadline.as_ref().map_or_else(String::new, |deadline| {
        let article = layout::escape(&deadline.article);
        match deadline.due_at {
            Some(due) if due < now => {
                format!("{} {} {article}", layout::badge(Tone::Bad, "passed"), layout::time(&rfc3339(due)))
            }
            Some(due) => {
                let left = format::hours(Some((due - now) as f64 / HOUR as f64));
                format!("{} (in {left}) {article}", layout::time(&rfc3339(due)))
            }
            None => format!("not known since when: {article}"),
        }
    });
    let severity = record.severity.as_deref().map_or_else(String::new, |word| format!(" {}", layout::escape(word)));
    let state = format!("{}{severity}", layout::state(record.state.name()));
    vec![format!("{id}{title}"), state, workflow, next_of(brief), deadline]
}

async fn reviews_on(engine: &Engine) -> Result<String> {
    let mut on = reviews::list(engine).await?;
    on.retain(|review| review.end().is_none() || review.is_to_resume());
    on.reverse();
    let rows: Vec<Vec<String>> = on.iter().take(REVIEWS).map(review).collect();
    let columns = [("Review", Kind::Code), ("Workflow", Kind::Text), ("What is next", Kind::Text)];
    let mut body = layout::worklist(&columns, &rows, "No sample review is on.");
    if on.len() > REVIEWS {
        body += &format!("<p class=\"note\">{}</p>\n", layout::link("/reviews", "All reviews"));
    }
    Ok(layout::section("reviews", "Reviews that are on", &body))
}

fn review(review: &Review) -> Vec<String> {
    let next = match review.state() {
        "planned" => "draw the sample",
        "drawn" => "mark the items, then decide",
        "closed" => "resume the workflow: ENABLE is signed, and it does not run yet",
        _ => "mark further items, or decide",
    };
    vec![
        layout::link(&layout::path(&["reviews", &review.review_id]), &review.review_id),
        layout::escape(&review.workflow),
        next.to_owned(),
    ]
}

async fn workflows(engine: &Engine) -> Result<String> {
    let answer = engine.run(Catalogue::shipped()?.get("workflows")?, &Params::new()).await?;
    let mut all = objects::rows(&answer)?;
    // In order of their newest event; those that stand still come first.
    all.sort_by_key(|row| !is_paused(row));
    let rows: Vec<Vec<String>> = all.iter().take(WORKFLOWS).map(workflow).collect();
    let columns =
        [("Workflow", Kind::Text), ("State", Kind::Text), ("Newest event", Kind::Time), ("Events", Kind::Count)];
    let mut body = layout::worklist(&columns, &rows, "No workflow has an event in production.");
    if all.len() > WORKFLOWS {
        let link = layout::link("/query/workflows?as_of=", "all of them");
        body +=
            &format!("<p class=\"note\">The first {WORKFLOWS} of {}: {link}.</p>\n", format::count(all.len() as u64));
    }
    Ok(layout::section("workflows", "Workflows", &body))
}

fn is_paused(row: &Row) -> bool {
    row.get("is_paused").and_then(serde_json::Value::as_bool).unwrap_or_default()
}

fn workflow(row: &Row) -> Vec<String> {
    let state = if is_paused(row) {
        let since = layout::time(objects::text(row, "signal_at"));
        format!("{} since {since}", layout::badge(Tone::Watch, "paused"))
    } else {
        // No log can show that it runs: only that nobody paused it.
        layout::badge(Tone::Plain, "not paused")
    };
    vec![
        layout::escape(objects::text(row, "workflow")),
        state,
        layout::time(objects::text(row, "last_at")),
        objects::count(row, "events").map_or_else(String::new, format::count),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::clocks::deadlines;
    use crate::incident::record::Record;

    fn brief(aware_at: i64) -> Brief {
        let record = Record {
            incident_id: "inc-1".into(),
            title: Some("<secret>".into()),
            class: Some("personal_data".into()),
            aware_at: Some(aware_at),
            workflow: Some("w".into()),
            ..Record::default()
        };
        let deadline = deadlines(&record, None, 0).into_iter().next();
        Brief { record, next: None, is_paused: Some(false), deadline }
    }

    #[test]
    fn a_deadline_says_how_long_it_still_runs_or_that_it_has_passed() {
        let shown = |now: i64| incident(&brief(0), now, Sight::Shown)[4].replace('\u{a0}', " ");
        assert!(shown(70 * HOUR).contains("(in 2.0 h)"), "{}", shown(70 * HOUR));
        assert!(shown(73 * HOUR).contains("passed"));
    }

    #[test]
    fn words_of_persons_are_shown_to_those_alone_who_may_see_them() {
        assert!(incident(&brief(0), 0, Sight::Shown)[0].contains("&lt;secret&gt;"));
        assert!(!incident(&brief(0), 0, Sight::Withheld).concat().contains("secret"));
    }
}
