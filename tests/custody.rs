//! Erasure, holds, retention: what is removed is gone to the last byte, what remains is proven as before.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use probity::auditor;
use probity::clock::{Clock, DAY};
use probity::custody::hold::Selection;
use probity::custody::{Order, erase, hold, retention};
use probity::error::{ErrorKind, Result};
use probity::event::Column;
use probity::ledger::note::{Kind, Signer};
use probity::ledger::pack::format::Selection as Selected;
use probity::store::Store;
use probity::store::compact::Due;
use probity::store::object::Location;
use probity::store::pack;
use probity::store::projection::Lag;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::command::{probity, run, run_with};
use crate::support::faults::Faulty;
use crate::support::{MINUTE, T0, counts, event, ingest, restate};

const SUBJECT: &str = "person-4711";
const SECRETS: [&str; 3] = ["Elisabeth Zwickl", "+43 1 555 0188", "needs \"discretion\""];

/// An event about a person, `day` days after the start of 2026.
fn about(id: &str, subject: &str, secret: &str, day: i64) -> String {
    let at = probity::clock::rfc3339(1_767_225_600_000_000 + day * 24 * 60 * MINUTE);
    serde_json::json!({
        "event_id": id, "source": "test", "event_type": "action.executed", "occurred_at": at, "workflow": "w",
        "action_id": format!("a{id}"), "system": "crm", "record_type": "lead", "record_id": format!("r{id}"),
        "field": "name", "old_value": "", "new_value": secret, "outcome": "succeeded", "subject_id": subject,
        "note": {"also": secret},
    })
    .to_string()
}

fn order() -> Order {
    Order::new("Data Protection Office".into(), "case 17").unwrap()
}

fn signer() -> Arc<Signer> {
    Arc::new(Signer::new("example.com/evidence", [7; 32]).unwrap())
}

async fn opened(location: &Location) -> Store {
    opened_as(location, 7).await
}

/// Another process: what it draws at random is not what the first one drew.
async fn opened_as(location: &Location, seed: u64) -> Store {
    Store::create(location.clone(), "default", Clock::simulated(T0, seed)).await.unwrap().signed_by(signer())
}

/// Events about two people in two months, folded, compacted and projected, some refused, some still in the journal.
async fn filled(store: &Store) {
    for (part, secret) in SECRETS.iter().enumerate() {
        let text = [
            about(&format!("x{part}"), SUBJECT, secret, part as i64 * 20),
            about(&format!("y{part}"), "person-1", "somebody else", part as i64 * 20),
            event(&format!("z{part}"), part as i64),
        ];
        ingest(store, text.join("\n")).await;
        store.fold().await.unwrap();
    }
    store.compact(Due::Any).await.unwrap();
    store.project(Lag::None).await.unwrap();
    let refused = [
        about("x0", SUBJECT, "Lisl Zwickl", 0),
        format!(r#"{{"event_id":"q","who":"{}"}}"#, SECRETS[1]),
        r#"{"event_id":"q2","who":"nobody"}"#.to_owned(),
    ];
    ingest(store, refused.join("\n")).await;
    ingest(store, about("x9", SUBJECT, SECRETS[0], 3)).await;
}

/// Every byte of the store as text, unpacked where a format packs it: by object.
async fn all_text(objects: &Arc<dyn ObjectStore>) -> Vec<(Path, String)> {
    let mut found = Vec::new();
    let listed: Vec<Path> = objects.list(None).map_ok(|meta| meta.location).try_collect().await.unwrap();
    for path in listed {
        let bytes = objects.get(&path).await.unwrap().bytes().await.unwrap();
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        match path.extension() {
            Some("parquet") => text += &text_of_parquet(bytes),
            Some("arrow") => {
                let reader = arrow::ipc::reader::FileReader::try_new(Cursor::new(bytes), None).unwrap();
                text += &reader.map(|batch| text_of(&batch.unwrap())).collect::<String>();
            }
            _ => {}
        }
        found.push((path, text));
    }
    found
}

fn text_of_parquet(bytes: Bytes) -> String {
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    reader.build().unwrap().map(|batch| text_of(&batch.unwrap())).collect()
}

fn text_of(batch: &RecordBatch) -> String {
    let options = FormatOptions::default();
    let columns: Vec<ArrayFormatter<'_>> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    let row = |row: usize| columns.iter().map(|column| column.value(row).to_string() + "\n").collect::<String>();
    (0..batch.num_rows()).map(row).collect()
}

/// The objects in which one of the secrets is left, in any spelling.
async fn traces(objects: &Arc<dyn ObjectStore>) -> BTreeSet<String> {
    let is_in = |text: &str| {
        SECRETS.iter().any(|secret| {
            let escaped = serde_json::to_string(secret).unwrap();
            text.contains(secret) || text.contains(&escaped[1..escaped.len() - 1])
        }) || text.contains("Lisl")
    };
    let all = all_text(objects).await;
    all.into_iter().filter(|(_, text)| is_in(text)).map(|(path, _)| path.to_string()).collect()
}

async fn verified(store: &Store) {
    let found = store.verify(&[signer().verifier(Kind::Ed25519)], |_| {}).await.unwrap();
    assert!(found.is_ok(), "{:?}", found.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_of_the_store_holds_an_erased_value_and_the_root_does_not_move() {
    let location = Location::memory();
    let store = opened(&location).await;
    filled(&store).await;
    let before = traces(&location.objects).await;
    for folder in [
        "/journal/",
        "/events/occurred_month=2026-01",
        "/events/occurred_month=2026-02",
        "/projection/",
        "/quarantine/",
    ] {
        assert!(before.iter().any(|path| path.contains(folder)), "the search finds nothing in {folder}: {before:?}");
    }
    let size = store.snapshot().await.unwrap().size;
    let root = store.root_at(size).await.unwrap();
    let done = erase::erase(&store, SUBJECT, &order()).await.unwrap();
    assert_eq!((done.events, done.erased, done.quarantine), (4, 4, 2), "{done:?}");
    assert_eq!(traces(&location.objects).await, BTreeSet::new());
    assert_eq!(store.root_at(size).await.unwrap(), root);
    verified(&store).await;
    // What is about others stays, and so does the refusal that has nothing to do with it.
    let all: String = all_text(&location.objects).await.into_iter().map(|(_, text)| text).collect();
    assert!(all.contains("somebody else") && all.contains("nobody"));
    // The same order again finds nothing more, and what is sent again is known.
    let again = erase::erase(&store, SUBJECT, &order()).await.unwrap();
    assert_eq!((again.event, again.erased, again.files), (done.event, 0, 0));
    let resent = ingest(&store, about("x1", SUBJECT, SECRETS[1], 20)).await;
    assert_eq!(counts(&resent), [1, 0, 1, 0, 0]);
    assert_eq!(traces(&location.objects).await, BTreeSet::new());
    // What happens later is another matter, until somebody asks again.
    ingest(&store, about("x20", SUBJECT, SECRETS[2], 5)).await;
    store.fold().await.unwrap();
    verified(&store).await;
    assert!(!traces(&location.objects).await.is_empty());
    let later = erase::erase(&store, SUBJECT, &order()).await.unwrap();
    assert!(later.event > done.event && later.erased == 1, "{later:?}");
    assert_eq!(traces(&location.objects).await, BTreeSet::new());
    verified(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_killed_at_any_change_is_finished_by_whoever_comes_next() {
    let mut was_killed = 0;
    for changes in 0.. {
        let objects = Arc::new(Faulty::new(changes, 0));
        let location = Location { objects: objects.clone(), ..Location::memory() };
        let store = opened(&location).await;
        filled(&store).await;
        objects.die_after(Some(changes));
        let outcome = erase::erase(&store, SUBJECT, &order()).await;
        objects.die_after(None);
        let store = opened_as(&location, 8).await;
        let shared: Arc<dyn ObjectStore> = objects.clone();
        let was_this_killed = outcome.is_err();
        match outcome {
            Ok(_) => assert_eq!(traces(&shared).await, BTreeSet::new()),
            Err(_) => {
                was_killed += 1;
                let resumed = erase::resume(&store).await.unwrap();
                assert!(resumed.iter().all(|(_, outcome)| outcome.is_ok()), "{resumed:?}");
                if resumed.is_empty() {
                    // Killed before anything was promised, or after everything was done.
                    erase::erase(&store, SUBJECT, &order()).await.unwrap();
                }
                assert_eq!(traces(&shared).await, BTreeSet::new(), "killed after {changes} changes");
            }
        }
        verified(&store).await;
        assert!(store.marked_erasures().await.unwrap().is_empty());
        if !was_this_killed {
            break;
        }
    }
    assert!(was_killed > 15, "{was_killed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_erasure_and_retention_change_data() {
    let location = Location::memory();
    let store = opened(&location).await;
    filled(&store).await;
    let removes = async || {
        let all = all_text(&location.objects).await;
        let commits = all.into_iter().filter(|(path, _)| path.as_ref().contains("_delta_log/"));
        let lines: String = commits.map(|(_, text)| text + "\n").collect();
        let removes: Vec<String> =
            lines.lines().filter(|line| line.contains("\"remove\"")).map(str::to_owned).collect();
        let changing = removes.iter().filter(|line| line.contains("\"dataChange\":true")).count();
        (removes.len(), changing, lines)
    };
    let (all, changing, _) = removes().await;
    assert!(all > 0 && changing == 0, "compaction removes files and changes nothing");
    erase::erase(&store, SUBJECT, &order()).await.unwrap();
    let (_, changing, log) = removes().await;
    assert!(changing > 0);
    assert!(!log.contains(SUBJECT), "the log keeps what it says for ever");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_erased_over_a_row_that_was_changed() {
    let location = Location::memory();
    let store = opened(&location).await;
    filled(&store).await;
    store.fold().await.unwrap();
    // Somebody with access to all files edits a row about the subject.
    let snapshot = store.snapshot().await.unwrap();
    for file in &snapshot.files {
        let rows = probity::store::parquet::scan(&location.objects, file, &Column::all(), None).await.unwrap();
        let rows = probity::store::parquet::sort(&rows.try_collect::<Vec<_>>().await.unwrap()).unwrap();
        let mut columns = rows.columns().to_vec();
        let workflows = vec![Some("another"); rows.num_rows()];
        columns[Column::Workflow as usize] = Arc::new(arrow::array::StringViewArray::from(workflows));
        let rows = RecordBatch::try_new(rows.schema(), columns).unwrap();
        let bytes = probity::store::parquet::encode(&[rows], probity::store::parquet::Effort::Compact).unwrap();
        restate(&location, file, bytes.to_vec()).await;
    }
    let again = opened_as(&location, 8).await;
    let refusal = erase::erase(&again, SUBJECT, &order()).await.unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::Damaged, "{refusal}");
    assert!(refusal.to_string().contains("was changed"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_erased_for_a_reason_that_repeats_it() {
    let store = opened(&Location::memory()).await;
    filled(&store).await;
    let told = Order::new("x".into(), &format!("asked by {}", SECRETS[0])).unwrap();
    assert_eq!(erase::erase(&store, SUBJECT, &told).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(erase::erase(&store, "person-0", &order()).await.unwrap_err().kind(), ErrorKind::NotFound);
    for reason in ["", " ", "two\nlines", &"x".repeat(300)] {
        assert!(Order::new("x".into(), reason).is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_stops_what_it_is_about_and_nothing_else() {
    let select = |part: &str| {
        let mut selection = Selection::default();
        match part {
            "subject" => selection.subject = Some(SUBJECT.into()),
            "workflow" => selection.workflow = Some("w".into()),
            "range" => {
                selection.from = Some("2026-01-15T00:00:00Z".into());
                selection.to = Some("2026-02-15T00:00:00Z".into());
            }
            "other range" => selection.from = Some("2026-06-01T00:00:00Z".into()),
            "other workflow" => {
                selection.workflow = Some("v".into());
                selection.subject = Some(SUBJECT.into());
            }
            _ => selection.incident = Some("INC-1".into()),
        }
        selection
    };
    for (part, stops) in [
        ("subject", true),
        ("workflow", true),
        ("range", true),
        ("other range", false),
        ("other workflow", false),
        ("incident", false),
    ] {
        let store = opened(&Location::memory()).await;
        filled(&store).await;
        let (placed, _) = hold::place(&store, select(part), &order()).await.unwrap();
        let in_force = hold::in_force(&store).await.unwrap();
        assert_eq!(in_force.iter().map(|hold| &hold.id).collect::<Vec<_>>(), [&placed.id]);
        assert_eq!(in_force[0].selection, placed.selection);
        let outcome = erase::erase(&store, SUBJECT, &order()).await;
        assert_eq!(outcome.is_err(), stops, "{part}");
        if let Err(denied) = outcome {
            assert_eq!(denied.kind(), ErrorKind::Denied);
            assert!(denied.to_string().contains(&placed.id), "{denied}");
            hold::release(&store, &placed.id, &order()).await.unwrap();
            assert!(hold::in_force(&store).await.unwrap().is_empty());
            erase::erase(&store, SUBJECT, &order()).await.unwrap();
        }
        assert_eq!(hold::release(&store, "hold-0", &order()).await.unwrap_err().kind(), ErrorKind::NotFound);
        verified(&store).await;
    }
    let store = opened(&Location::memory()).await;
    assert!(hold::place(&store, Selection::default(), &order()).await.is_err());
    let backwards = Selection {
        from: Some("2026-02-01T00:00:00Z".into()),
        to: Some("2026-01-01T00:00:00Z".into()),
        ..Selection::default()
    };
    assert!(hold::place(&store, backwards, &order()).await.is_err());
    let nobody = Selection { subject: Some(String::new()), ..Selection::default() };
    assert!(hold::place(&store, nobody, &order()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_stops_one_unfinished_erasure_and_no_other_and_keeps_its_range() {
    let objects = Arc::new(Faulty::new(1, 0));
    let location = Location { objects: objects.clone(), ..Location::memory() };
    let store = opened(&location).await;
    filled(&store).await;
    let late = Selection {
        subject: Some(SUBJECT.into()),
        from: Some("2030-01-01".into()),
        to: Some("2031-01-01".into()),
        ..Selection::default()
    };
    let (late, _) = hold::place(&store, late, &order()).await.unwrap();
    assert_eq!(hold::count(&store, &late).await.unwrap(), 0);
    store.fold().await.unwrap();
    // The note of the erasure, and nothing more.
    objects.die_after(Some(2));
    erase::erase(&store, SUBJECT, &order()).await.unwrap_err();
    objects.die_after(None);
    let store = opened_as(&location, 8).await;
    assert_eq!(store.marked_erasures().await.unwrap().len(), 1);
    let selection = Selection { subject: Some(SUBJECT.into()), ..Selection::default() };
    let (placed, _) = hold::place(&store, selection, &order()).await.unwrap();
    assert!(hold::count(&store, &placed).await.unwrap() > 0);
    let resumed = erase::resume(&store).await.unwrap();
    assert!(matches!(&resumed[..], [(subject, Err(e))] if subject == SUBJECT && e.kind() == ErrorKind::Denied));
    erase::erase(&store, "person-1", &order()).await.unwrap();
    hold::release(&store, &placed.id, &order()).await.unwrap();
    assert!(erase::resume(&store).await.unwrap()[0].1.is_ok());
    let shared: Arc<dyn ObjectStore> = objects.clone();
    assert_eq!(traces(&shared).await, BTreeSet::new());
    let in_force = hold::in_force(&store).await.unwrap();
    assert_eq!(in_force.iter().map(|hold| &hold.selection).collect::<Vec<_>>(), [&late.selection]);
}

#[tokio::test(flavor = "multi_thread")]
async fn vacuum_leaves_the_files_of_months_under_hold() {
    let location = Location::memory();
    let store = opened(&location).await;
    filled(&store).await;
    let january = Selection { to: Some("2026-02-01T00:00:00Z".into()), ..Selection::default() };
    hold::place(&store, january, &order()).await.unwrap();
    store.clock().set(T0 + 10 * DAY);
    let holds = hold::in_force(&store).await.unwrap();
    let is_held = |month: &str| holds.iter().any(|hold| hold.touches(month));
    assert!(is_held("2026-01") && !is_held("2026-02"));
    let files = async |month: &str| {
        let all = all_text(&location.objects).await;
        let folder = format!("/occurred_month={month}/");
        all.iter().filter(|(path, _)| path.as_ref().contains(&folder)).count()
    };
    let before = files("2026-01").await;
    assert!(before > 1, "a compaction replaced files of January");
    store.vacuum(is_held).await.unwrap();
    assert_eq!(files("2026-01").await, before);
    store.vacuum(|_| false).await.unwrap();
    assert!(files("2026-01").await < before);
}

/// A store two years later, with events of three months.
async fn aged(location: &Location) -> Store {
    let store = opened(location).await;
    filled(&store).await;
    store.fold().await.unwrap();
    store.clock().set(T0 + 700 * DAY);
    ingest(&store, about("n1", "person-2", "of today", 690)).await;
    store
}

async fn retired(store: &Store, keep_days: i64) -> Result<Vec<(String, bool)>> {
    let months = retention::retire(store, keep_days, &order()).await?;
    Ok(months.into_iter().map(|month| (month.month, month.event.is_some())).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_deletes_whole_old_months_and_the_ledger_still_verifies() {
    let location = Location::memory();
    let store = aged(&location).await;
    let size = store.snapshot().await.unwrap().size;
    let root = store.root_at(size).await.unwrap();
    assert_eq!(retention::retire(&store, 182, &order()).await.unwrap_err().kind(), ErrorKind::Invalid);
    for days in [i64::MAX, i64::MIN, 150_000_000] {
        assert_eq!(retention::retire(&store, days, &order()).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert_eq!(retired(&store, 720).await.unwrap(), [("2026-01".to_owned(), false)], "recorded later than it happened");
    let months = retired(&store, 400).await.unwrap();
    assert_eq!(months, [("2026-01".to_owned(), true), ("2026-02".to_owned(), true)]);
    let all = all_text(&location.objects).await;
    let left: Vec<&Path> =
        all.iter().filter(|(_, text)| text.contains("somebody else")).map(|(path, _)| path).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(all.iter().any(|(_, text)| text.contains("of today")));
    assert_eq!(store.root_at(size).await.unwrap(), root);
    verified(&store).await;
    assert_eq!(retired(&store, 400).await.unwrap(), [], "what the engine stated is left");
    // The tree can still be made again from what is left, and goes on growing.
    store.remake_tiles().await.unwrap();
    ingest(&store, about("n2", "person-2", "of today", 691)).await;
    store.fold().await.unwrap();
    verified(&store).await;
    // A set of rows that was changed explains nothing.
    let set =
        all.iter().find(|(path, _)| path.as_ref().contains("/log/retired/")).map(|(path, _)| path.clone()).unwrap();
    let bytes = location.objects.get(&set).await.unwrap().bytes().await.unwrap();
    let mut changed = bytes.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    location.objects.put(&set, changed.into()).await.unwrap();
    let found = store.verify(&[signer().verifier(Kind::Ed25519)], |_| {}).await.unwrap();
    assert!(!found.is_ok());
    location.objects.delete(&set).await.unwrap();
    let found = store.verify(&[signer().verifier(Kind::Ed25519)], |_| {}).await.unwrap();
    assert!(found.findings.iter().any(|finding| finding.kind == "missing"), "{:?}", found.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_under_hold_is_kept() {
    let store = aged(&Location::memory()).await;
    let selection =
        Selection { subject: Some(SUBJECT.into()), to: Some("2026-01-10T00:00:00Z".into()), ..Selection::default() };
    let (placed, _) = hold::place(&store, selection, &order()).await.unwrap();
    assert_eq!(retired(&store, 400).await.unwrap(), [("2026-01".to_owned(), false), ("2026-02".to_owned(), true)]);
    verified(&store).await;
    hold::release(&store, &placed.id, &order()).await.unwrap();
    assert_eq!(retired(&store, 400).await.unwrap(), [("2026-01".to_owned(), true)]);
    verified(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retirement_killed_at_any_change_loses_nothing_that_is_kept() {
    for changes in 0.. {
        let objects = Arc::new(Faulty::new(changes, 0));
        let location = Location { objects: objects.clone(), ..Location::memory() };
        let store = aged(&location).await;
        objects.die_after(Some(changes));
        let outcome = retired(&store, 400).await;
        objects.die_after(None);
        let again = opened_as(&location, 8).await;
        again.clock().set(T0 + 700 * DAY);
        again.fold().await.unwrap();
        verified(&again).await;
        retired(&again, 400).await.unwrap();
        verified(&again).await;
        let shared: Arc<dyn ObjectStore> = objects.clone();
        let all: String = all_text(&shared).await.into_iter().map(|(_, text)| text).collect();
        assert!(all.contains("of today"));
        if outcome.is_ok() {
            assert!(changes > 5);
            break;
        }
    }
}

#[test]
fn erase_hold_and_release_on_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let text: String =
        (0..40).map(|i| about(&format!("e{i}"), &format!("p{}", i % 4), &format!("secret {i}"), i) + "\n").collect();
    std::fs::write(dir.join("e.ndjson"), text).unwrap();
    run(dir, &["init", "--origin", "evidence.example.com/crm"]).ended(0);
    run(dir, &["ingest", "e.ndjson"]).ended(0);
    run(dir, &["maintain"]).ended(0);
    let vkey = run(dir, &["init", "--json"]).ended(0).json()["vkey"].as_str().unwrap().to_owned();
    run(dir, &["export", "--from", "0", "--to", "40", "--out", "before.tar.gz"]).ended(0);
    let would = run(dir, &["erase", "--subject", "p3", "--reason", "case 1", "--dry-run", "--json"]).ended(0).json();
    assert_eq!((would["events"].as_u64(), would["values"].as_u64()), (Some(10), Some(21)), "{would}");
    let held = run(dir, &["hold", "--subject", "p3", "--reason", "dispute 9", "--json"]).ended(0).json();
    let id = held["id"].as_str().unwrap();
    let refused = run(dir, &["erase", "--subject", "p3", "--reason", "case 1"]).ended(2);
    assert!(refused.err.contains(id), "{refused:?}");
    assert!(run(dir, &["hold"]).ended(0).out.contains("dispute 9"));
    run(dir, &["release", id, "--reason", "settled"]).ended(0);
    let done = run(dir, &["erase", "--subject", "p3", "--reason", "case 1", "--by", "dpo", "--json"]).ended(0).json();
    assert_eq!(
        (done["events"].as_u64(), done["erased"].as_u64()),
        (Some(11), Some(10)),
        "the hold is about p3, too: {done}"
    );
    let sql = "select count(*) as n, count(new_value) as shown from events where subject_id = 'p3' and workflow = 'w'";
    let row = run(dir, &["query", sql, "--format", "ndjson"]).ended(0);
    assert_eq!(row.out.trim(), r#"{"n":10,"shown":0}"#);
    run(dir, &["verify", "store"]).ended(0);
    run(dir, &["verify", "pack", "before.tar.gz", "--vkey", &vkey]).ended(0);
    run(dir, &["export", "--from", "0", "--to", "40", "--out", "after"]).ended(0);
    let verdict = run(dir, &["verify", "pack", "after", "--vkey", &vkey, "--json"]).ended(0).json();
    assert_eq!(verdict["values"]["erased"].as_u64(), Some(30), "{verdict}");
    let erasures = std::fs::read_to_string(dir.join("after/erasures.ndjson")).unwrap();
    assert!(erasures.contains("evidence.erased") && erasures.lines().count() == 1, "{erasures}");
    let again = run_with(dir, &["ingest", "-", "--json"], about("e3", "p3", "secret 3", 3).as_bytes()).ended(0).json();
    assert_eq!(again["duplicate"].as_u64(), Some(1), "{again}");
    run(dir, &["erase", "--subject", "nobody", "--reason", "case 2"]).ended(2);
    run(dir, &["maintain", "retention", "--keep-days", "100"]).ended(2);
    run(dir, &["maintain", "compact", "--keep-days", "400"]).ended(2);
    run(dir, &["maintain", "retention"]).ended(0);
    run(dir, &["report", "monthly", "--month", "2026-01"]).ended(0);
}

#[test]
fn an_erasure_killed_with_kill_9_is_finished_by_the_next_maintenance() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    run(dir, &["init"]).ended(0);
    let mut random = StdRng::seed_from_u64(3);
    for round in 0..10 {
        let subject = format!("person-{round}");
        let text: String = (0..60)
            .map(|i| about(&format!("{round}-{i}"), &subject, &format!("secret of {round}"), i) + "\n")
            .collect();
        std::fs::write(dir.join("e.ndjson"), text).unwrap();
        run(dir, &["ingest", "e.ndjson"]).ended(0);
        run(dir, &["maintain"]).ended(0);
        let mut erasing = probity(dir);
        erasing.args(["erase", "--subject", &subject, "--reason", "case 1"]).stderr(std::process::Stdio::null());
        let mut erasing = erasing.spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(random.random_range(10..600)));
        erasing.kill().unwrap();
        erasing.wait().unwrap();
        run(dir, &["maintain"]).ended(0);
        // Killed before it was noted, it was never promised.
        run(dir, &["erase", "--subject", &subject, "--reason", "case 1"]).ended(0);
        run(dir, &["verify", "store"]).ended(0);
        let sql = format!("select count(new_value) as n from events where subject_id = '{subject}'");
        assert_eq!(run(dir, &["query", &sql, "--format", "ndjson"]).ended(0).out.trim(), r#"{"n":0}"#);
    }
    let files: Vec<std::path::PathBuf> = files_below(&dir.join("probity-data"));
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if file.extension().is_some_and(|extension| extension == "parquet") {
            text += &text_of_parquet(bytes.into());
        }
        assert!(!text.contains("secret of"), "{}", file.display());
    }
}

fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// The pack of a range, in a folder of its own.
async fn packed(store: &Store, rows: std::ops::Range<u64>) -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let order = pack::Order {
        rows: pack::Wanted::Range(rows.clone()),
        selection: Selected::Range { from_seq: rows.start, to_seq: rows.end },
        as_of: serde_json::Map::new(),
        withheld: Vec::new(),
        held: None,
    };
    store.pack(&order, folder.path(), &signer()).await?;
    Ok(folder)
}

fn is_valid(pack: &tempfile::TempDir) -> bool {
    let vkey = signer().vkey();
    let asked =
        auditor::Asked { pack: pack.path(), key: std::ffi::OsStr::new(&vkey), trust: None, held: None, receipt: None };
    auditor::verify(&asked).unwrap().is_ok
}

#[tokio::test(flavor = "multi_thread")]
async fn packs_stay_valid_over_compaction_erasure_retention_and_columns_that_come_and_go() {
    let location = Location::memory();
    let store = opened(&location).await;
    filled(&store).await;
    store.fold().await.unwrap();
    let size = store.snapshot().await.unwrap().size as u64;
    let before = packed(&store, 0..size).await.unwrap();
    store.compact(Due::Any).await.unwrap();
    without_empty_columns(&location, &store).await;
    let store = opened_as(&location, 8).await;
    verified(&store).await;
    let other_columns = packed(&store, 0..size).await.unwrap();
    let same = |name: &str| {
        let read = |pack: &tempfile::TempDir| std::fs::read(pack.path().join(name)).unwrap();
        read(&before) == read(&other_columns)
    };
    assert!(same("entries.ndjson") && same("nodes.ndjson"));
    erase::erase(&store, SUBJECT, &order()).await.unwrap();
    let erased = packed(&store, 0..size).await.unwrap();
    store.clock().set(T0 + 700 * DAY);
    assert_eq!(retired(&store, 400).await.unwrap().len(), 2);
    assert!([&before, &other_columns, &erased].into_iter().all(is_valid));
    let refusal = packed(&store, 0..size).await.unwrap_err();
    assert!(refusal.to_string().contains("2026-01"), "{refusal}");
}

/// Writes every data file again as a version would that did not know the columns in which nothing is set.
async fn without_empty_columns(location: &Location, store: &Store) {
    for file in &store.snapshot().await.unwrap().files {
        let bytes = location.objects.get(&file.path).await.unwrap().bytes().await.unwrap();
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        let batches: Vec<RecordBatch> = reader.build().unwrap().map(|batch| batch.unwrap()).collect();
        let is_set = |column: usize| batches.iter().any(|b| b.column(column).null_count() < b.num_rows());
        let kept: Vec<usize> = (0..batches[0].num_columns()).filter(|column| is_set(*column)).collect();
        assert!(kept.len() < batches[0].num_columns());
        let schema = Arc::new(batches[0].schema().project(&kept).unwrap());
        let mut writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), schema, None).unwrap();
        batches.iter().for_each(|batch| writer.write(&batch.project(&kept).unwrap()).unwrap());
        let bytes = writer.into_inner().unwrap();
        restate(location, file, bytes).await;
    }
}
