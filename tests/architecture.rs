//! Architecture: modules import only from the lines above their own, and foreign crates have one home.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const LINES: [&[&str]; 11] = [
    &["error", "limits", "clock"],
    &["ledger"],
    &["event", "analysis"],
    &["policy", "blast", "simulate", "auditor", "witness"],
    &["store"],
    &["ingest", "query"],
    &["incident"],
    &["access", "custody", "review"],
    &["report"],
    &["server"],
    &["cli"],
];

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, out: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("testing.rs") {
                out.push((path.clone(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut out = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut out);
    out
}

/// The room of a file: its folder under `src`, or its own name.
fn room(path: &Path) -> String {
    let below = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    below.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// The text before the unit tests, without comments.
fn code(text: &str) -> String {
    let before = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    before.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_room_imports_only_from_the_lines_above_it() {
    let level: BTreeMap<&str, usize> =
        LINES.iter().enumerate().flat_map(|(i, rooms)| rooms.iter().map(move |r| (*r, i))).collect();
    for (path, text) in sources() {
        let own = room(&path);
        let Some(own_level) = level.get(own.as_str()) else { continue };
        for (other, other_level) in &level {
            let is_imported =
                code(&text).contains(&format!("crate::{other}::")) || code(&text).contains(&format!("crate::{other};"));
            assert!(
                !is_imported || *other == own || other_level < own_level,
                "{} imports `{other}`, which is not above `{own}`; move the code or pass the value in",
                path.display()
            );
        }
    }
}

#[test]
fn a_foreign_crate_has_one_home() {
    let homes: [(&str, &[&str]); 6] = [
        ("deltalake", &["store/table.rs"]),
        ("datafusion", &["query/", "ingest/mapping.rs"]),
        ("axum", &["server/", "witness/server.rs"]),
        ("clap", &["cli/"]),
        ("plotters", &["report/"]),
        ("indicatif", &["cli/"]),
    ];
    for (path, text) in sources() {
        for (krate, allowed) in homes {
            let uses = code(&text).lines().any(|line| line.trim_start().starts_with(&format!("use {krate}::")));
            let is_home = allowed.iter().any(|home| path.to_str().unwrap().contains(&format!("src/{home}")));
            assert!(!uses || is_home, "{} uses {krate}, whose home is {}", path.display(), allowed.join(" or "));
        }
    }
}

#[test]
fn time_and_randomness_have_one_door() {
    for (path, text) in sources() {
        let is_door = path.ends_with("clock.rs");
        for word in ["Utc::now", "SystemTime::now", "getrandom::", "rand::rng"] {
            assert!(is_door || !code(&text).contains(word), "{} reads `{word}`; ask crate::clock", path.display());
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!"), "{} has no header", path.display());
    }
}
