//! The answer of an incident's report, and its course over time.
//!
//! In: the account. Out: two sections. Invariant: the answer comes first, with its doubts beside it; a number that
//! nobody knows is said to be unknown.

use serde_json::Value;

use super::{list, number, section, short, words};
use crate::report::charts::{Pair, columns};
use crate::report::document::{Block, Chart, Flag, Headline, Section, Tile, Tone};
use crate::report::format;

/// How much is affected, how much of it is wrong, whether it has stopped, what the first candidate for its cause is,
/// and how sure all that is.
pub(super) fn answer(account: &Value) -> Section {
    let certainty = words(account, "/scope/certainty");
    let records = number(account, "/scope/records");
    let large = records.map_or_else(|| format::NO_DATA.to_owned(), |n| format!("{certainty} {}", format::count(n)));
    let cells = number(account, "/scope/cells").unwrap_or(0);
    let headline = Headline {
        label: "Records affected".to_owned(),
        value: large,
        detail: format!("{} cells", format::count(cells)),
        ..Headline::default()
    };
    let doubts: Vec<String> = list(account, "/doubts")
        .iter()
        .filter_map(Value::as_str)
        .map(|doubt| format!("Not certain: {doubt}."))
        .collect();
    let sure = match (records, doubts.is_empty()) {
        (None, _) => "Nothing says what picks the bad actions, so that nothing could be counted.",
        (_, true) => "The counts are exact: no source has a gap, no event came late, every outcome is known.",
        (_, false) => "The counts are lower bounds, for these reasons:",
    };
    let mut blocks = vec![Block::Headline(headline), Block::Tiles(states(account)), Block::Text(pause(account))];
    blocks.extend(suspect(account).map(Block::Text));
    blocks.push(Block::Text(sure.to_owned()));
    if !doubts.is_empty() {
        blocks.push(Block::List(doubts));
    }
    let question = "How much is affected, how much of it is wrong now, and has it stopped?";
    section("answer", "The answer", question, blocks)
}

/// The cells by their state; the tiles add up to all of them.
fn states(account: &Value) -> Vec<Tile> {
    let tile = |label: &str, value: Option<u64>, (tone, words): (Tone, &str)| Tile {
        label: label.to_owned(),
        value: value.map_or_else(|| format::NO_DATA.to_owned(), format::count),
        detail: "cells".to_owned(),
        status: value.filter(|n| *n > 0).map(|_| Flag::new(tone, words)),
        source: String::new(),
    };
    let state = |name: &str| number(account, &format!("/scope/states/{name}"));
    let unchanged =
        state("no_effect").zip(state("not_applied")).map(|(no_effect, not_applied)| no_effect + not_applied);
    vec![
        tile("Still wrong", state("still_wrong"), (Tone::Bad, "the bad value stands")),
        tile("Overwritten", state("overwritten"), (Tone::Watch, "others wrote since")),
        tile("Restored", state("restored"), (Tone::Good, "the old value is back")),
        tile("Lost", number(account, "/lost"), (Tone::Bad, "deleted or irreversible")),
        tile("Unknown", state("unknown"), (Tone::Watch, "nobody knows what stands")),
        tile("Never changed", unchanged, (Tone::Plain, "it failed, or had no effect")),
    ]
}

/// Whether the workflow stands still, and whether it goes on all the same.
fn pause(account: &Value) -> String {
    let at = |pointer: &str| short(&words(account, pointer));
    let still = match account.pointer("/is_paused").and_then(Value::as_bool) {
        None if at("/last_bad_at").is_empty() => return "No pause of the workflow is in the log.".to_owned(),
        None => {
            return format!(
                "No pause of the workflow is in the log. The last bad write was at {}.",
                at("/last_bad_at")
            );
        }
        Some(true) => format!("The workflow is paused since {}.", at("/paused/at")),
        Some(false) => {
            format!("The workflow was paused at {} and resumed at {}.", at("/paused/at"), at("/resumed/at"))
        }
    };
    let after = match number(account, "/cells_after_pause") {
        None => "Whether the selector still writes is not known.".to_owned(),
        Some(0) => "No cell was written wrongly since the pause.".to_owned(),
        Some(cells) => format!("{} cells were written wrongly after the pause.", format::count(cells)),
    };
    format!("{still} {after}")
}

/// The candidate with the strongest evidence, where chance is no explanation for it.
fn suspect(account: &Value) -> Option<String> {
    let first = list(account, "/causes/causes").first().filter(|cause| cause["is_signal"] == true)?;
    let count = |value: &Value, name: &str| number(value, name).unwrap_or(0);
    let (bad, all) = (count(account, "/causes/bad"), count(account, "/causes/all"));
    let named = if first["is_selected"] == true { "; the selector itself names it" } else { "" };
    Some(format!(
        "First candidate for the cause: {} {}, in {} bad actions and {} of all that they are compared with{named}.",
        words(first, "/dimension").replace('_', " "),
        words(first, "/value"),
        format::of(count(first, "/bad"), bad),
        format::of(count(first, "/all"), all)
    ))
}

/// When bad writes happened, and what was done when.
pub(super) fn course(account: &Value) -> Section {
    let pair = |day: &Value| Pair {
        label: words(day, "/day"),
        counts: number(day, "/cells").zip(number(day, "/still_wrong")),
    };
    let pairs: Vec<Pair> = list(account, "/days").iter().map(pair).collect();
    let title = "Cells by the day of their first bad write";
    let marks = [
        ("first bad write", "/first_bad_at"),
        ("last bad write", "/last_bad_at"),
        ("detected", "/detected_at"),
        ("opened", "/opened_at"),
        ("paused", "/paused/at"),
        ("last roll-back", "/rolled_back/at"),
        ("closed", "/closed_at"),
    ];
    let marks: Vec<String> = marks
        .into_iter()
        .map(|(name, pointer)| (name, words(account, pointer)))
        .filter(|(_, at)| !at.is_empty())
        .map(|(name, at)| format!("{name} {}", short(&at)))
        .collect();
    let chart = Chart {
        title: title.to_owned(),
        caption: format!("On the way: {}.", marks.join(", ")),
        svg: columns(title, ("cells", "still wrong now"), &pairs),
        source: String::new(),
    };
    section("course", "The course", "When did it happen, and when was what done?", vec![Block::Chart(chart)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_tiles_add_up_to_the_cells() {
        let states = json!({
            "not_applied": 1, "no_effect": 2, "irreversible": 4, "deleted": 8, "unknown": 16, "restored": 32,
            "overwritten": 64, "still_wrong": 128,
        });
        let all = states.as_object().unwrap().values().filter_map(Value::as_u64).sum::<u64>();
        let tiles = super::states(&json!({"lost": 12, "scope": {"records": 1, "states": states}}));
        let shown: u64 = tiles.iter().map(|tile| tile.value.parse::<u64>().unwrap()).sum();
        assert_eq!((shown, tiles.len()), (all, 6));
        assert!(super::states(&json!({})).iter().all(|tile| tile.value == format::NO_DATA && tile.status.is_none()));
    }
}
