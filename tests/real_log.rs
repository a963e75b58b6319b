//! The ServiceNow log: 141,712 rows of a real company, with numbers that were known before.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use flate2::read::GzDecoder;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::command::{run, run_with};

const LOG: &[u8] = include_bytes!("fixtures/incident_event_log/incident_event_log.csv.gz");
const ALL_TIME: [&str; 4] = ["-p", "period_start=2016-01-01T00:00:00Z", "-p", "period_end=2018-01-01T00:00:00Z"];

/// A folder with the demo store and its report, made once.
pub fn demo() -> &'static Path {
    static DEMO: OnceLock<TempDir> = OnceLock::new();
    let folder = DEMO.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let ran = run(folder.path(), &["demo"]).ended(0);
        assert_eq!(ran.out.trim(), "report/monthly-2016-03.html");
        assert!(ran.err.contains("182,209 received: 182,209 accepted"), "{}", ran.err);
        folder
    });
    folder.path()
}

fn rate(args: &[&str]) -> (u64, u64) {
    let query = ["query", "routing_exception_rate", "--store", "probity-demo", "--json"];
    let answer = run(demo(), &[&query[..], args].concat()).ended(0).json();
    let column = |name: &str| answer["columns"].as_array().unwrap().iter().position(|c| c == name).unwrap();
    let row = answer["rows"].as_array().unwrap().iter().find(|row| row[column("grain")] == "period").unwrap();
    (row[column("numerator")].as_u64().unwrap(), row[column("denominator")].as_u64().unwrap())
}

#[test]
fn the_known_numbers_come_out() {
    assert_eq!(rate(&ALL_TIME), (9_379, 24_545));
    assert_eq!(rate(&[&ALL_TIME[..], &["-p", "maturity_days=3650"]].concat()), (9_575, 24_545));
    let march = ["-p", "period_start=2016-03-01T00:00:00Z", "-p", "period_end=2016-04-01T00:00:00Z"];
    assert_eq!(rate(&march), (3_740, 8_828));
    let sql = "select event_type, count(*) from events group by event_type order by event_type";
    let counts = run(demo(), &["query", sql, "--store", "probity-demo", "--format", "csv"]).ended(0).out;
    for line in ["action.executed,138577", "record.corrected,19087", "record.reviewed,24545"] {
        assert!(counts.contains(line), "{counts}");
    }
}

#[test]
fn the_review_says_the_same_in_every_form() {
    let read = |name: &str| std::fs::read_to_string(demo().join("report").join(name)).unwrap();
    let html = read("monthly-2016-03.html");
    assert!(html.contains("42.4\u{a0}%") && html.contains("3,740") && html.contains("8,828"));
    assert!(!html.contains("<script") && !html.contains("http-equiv=\"refresh\""));
    let json: Value = serde_json::from_str(&read("monthly-2016-03.json")).unwrap();
    let headline = &json["metrics"]["routing_exception_rate"];
    assert_eq!((headline["numerator"].as_u64(), headline["denominator"].as_u64()), (Some(3_740), Some(8_828)));
    assert_eq!(headline["status"], "ok");
    let split = |name: &str| json["metrics"][name]["numerator"].as_u64().unwrap();
    assert_eq!(split("exceptions_surfaced_by_ai") + split("found_by_human"), 3_740);
    assert_eq!(json["batches"][0]["batch_id"], "2016-03");
    assert!(read("monthly-2016-03-metrics.csv").contains("routing_exception_rate,period,,,3740,8828,0.4236"));
}

#[test]
fn an_empty_month_says_no_data() {
    let ran =
        run(demo(), &["report", "monthly", "--month", "2015-01", "--store", "probity-demo", "--out", "empty"]).ended(0);
    assert!(ran.err.contains("no data"), "{}", ran.err);
    let html = std::fs::read_to_string(demo().join("empty/monthly-2015-01.html")).unwrap();
    assert!(html.contains("no data") && !html.contains("NaN"));
    let json: Value =
        serde_json::from_str(&std::fs::read_to_string(demo().join("empty/monthly-2015-01.json")).unwrap()).unwrap();
    assert_eq!(json["metrics"]["routing_exception_rate"]["status"], "no_data");
    assert_eq!(json["metrics"]["routing_exception_rate"]["value"], Value::Null);
}

/// The log with its incidents in another order; the rows of one incident stay as they are.
fn shuffled_log(seed: u64) -> Vec<u8> {
    let mut text = String::new();
    GzDecoder::new(LOG).read_to_string(&mut text).unwrap();
    let (header, body) = text.split_once('\n').unwrap();
    let mut incidents: Vec<Vec<&str>> = Vec::new();
    for line in body.lines() {
        let number = line.split(',').next();
        match incidents.last_mut() {
            Some(rows) if rows[0].split(',').next() == number => rows.push(line),
            _ => incidents.push(vec![line]),
        }
    }
    incidents.shuffle(&mut StdRng::seed_from_u64(seed));
    let lines = incidents.concat();
    format!("{header}\n{}\n", lines.join("\n")).into_bytes()
}

#[test]
fn the_shuffled_log_is_all_duplicates_and_changes_no_byte_of_the_review() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.csv.gz");
    std::fs::write(&log, LOG).unwrap();
    let map = ["--map", "servicenow_incident_log", "--json"];
    let ingest = |file: &str, input: &[u8]| {
        run_with(folder.path(), &[&["ingest", file][..], &map].concat(), input).ended(0).json()
    };
    let report = || {
        let json = run(folder.path(), &["report", "monthly", "--month", "2016-03", "--json"]).ended(0).json();
        (json["metrics"].to_string(), json["batches"].to_string())
    };
    assert_eq!(ingest("log.csv.gz", b"")["accepted"], 182_209);
    let before = report();
    let path: PathBuf = folder.path().join("shuffled.csv");
    std::fs::write(&path, shuffled_log(1)).unwrap();
    let second = ingest("shuffled.csv", b"");
    assert_eq!((second["duplicate"].as_u64(), second["accepted"].as_u64()), (Some(182_209), Some(0)));
    assert_eq!(report(), before);
    run(folder.path(), &["maintain"]).ended(0);
    assert_eq!(report(), before);
}
