//! The blast radius of a day's bad actions: late in the log, where little follows, and early, where everything does.

use probity::query::blast::{Selector, read_instant};
use serde_json::json;

use crate::Ask;
use crate::measure::{line, peak_mib, times};
use crate::questions::opened;

/// What went wrong that day.
const PREDICATE: &str = "event_type = 'action.executed' and actor_kind = 'agent'";
/// A day near the end of a simulated log of 24 months, and one near its beginning.
const DAYS: [(&str, &str, &str); 2] =
    [("scope_in_the_last_month", "2026-10-20", "2026-10-21"), ("scope_in_the_first_month", "2024-11-20", "2024-11-21")];

/// Each run in a session of its own.
pub async fn scope(ask: &Ask) {
    let opened = opened(ask).await;
    for (name, from, to) in DAYS.iter().filter(|(name, ..)| ask.wants(name)) {
        let selector = Selector {
            from: Some(read_instant(from).expect("a day")),
            to: Some(read_instant(to).expect("a day")),
            ..Selector::new(PREDICATE)
        };
        let run = async || opened.engine().await.blast_radius(&selector).await.expect("a radius").radius;
        let (times, radius) = times(ask.runs, run).await;
        let radius = radius.expect("a run");
        let more = json!({
            "events": opened.snapshot.size, "direct": radius.direct_actions, "derived": radius.derived_actions,
            "cells": radius.cells.len(), "peak_mib": peak_mib(),
        });
        line(name, &times, more);
    }
}
