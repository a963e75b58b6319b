//! Erasure: what is erased is gone to the last byte, what remains is proven as before.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use probity::auditor;
use probity::clock::DAY;
use probity::custody::{Order, erase};
use probity::error::{ErrorKind, Result};
use probity::event::Column;
use probity::ledger::pack::format::Selection as Selected;
use probity::store::Store;
use probity::store::compact::Due;
use probity::store::object::Location;
use probity::store::pack;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::command::{probity, run, run_with};
use crate::support::custody::{
    SECRETS, SUBJECT, about, all_text, filled, opened, opened_as, order, retired, signer, text_of_parquet, traces,
    verified,
};
use crate::support::faults::Faulty;
use crate::support::{T0, counts, ingest, restate};

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
