//! Verification of a store: what was removed, what came twice and what never came is named, and nothing else is.

use std::sync::Arc;

use arrow::array::{Int64Array, StringViewArray};
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use probity::clock::Clock;
use probity::event::erase::erase_rows;
use probity::event::{Column, Rows};
use probity::ingest::writer::Writer;
use probity::ledger::note::{Kind, Signer};
use probity::store::object::Location;
use probity::store::parquet::{self, Effort};
use probity::store::removals::{ERASED, RETIRED, hash_of_set};
use probity::store::verify::{FINDINGS, Finding, Verified};
use probity::store::{DataFile, Store};

use crate::support::{T0, counts, event, ingest, restate, stored};

/// Minutes from the start of 2026 to the middle of February.
const FEBRUARY: i64 = 45 * 24 * 60;

fn signer() -> Arc<Signer> {
    Arc::new(Signer::new("example.com/evidence", [7; 32]).unwrap())
}

async fn open(location: &Location) -> Store {
    open_with(location, Clock::simulated(T0, 7)).await
}

async fn open_with(location: &Location, clock: Clock) -> Store {
    Store::create(location.clone(), "default", clock).await.unwrap().signed_by(signer())
}

/// A store whose table holds `text`.
async fn holding(location: &Location, text: impl Into<String>) -> Store {
    let store = open(location).await;
    let [received, accepted, ..] = counts(&ingest(&store, text).await);
    assert_eq!(received, accepted);
    store.fold().await.unwrap();
    store
}

/// An event of January with more columns.
fn with(id: &str, minute: i64, more: &str) -> String {
    event(id, minute).replace(r#""workflow":"w""#, &format!(r#""workflow":"w",{more}"#)) + "\n"
}

/// Ten events of the subjects `s0` and `s1` by turns.
fn of_subjects() -> String {
    (0..10).map(|i| with(&i.to_string(), i, &format!(r#""subject_id":"s{}""#, i % 2))).collect()
}

async fn verify(location: &Location) -> Verified {
    open(location).await.verify(&[signer().verifier(Kind::Ed25519)], |_| {}).await.unwrap()
}

/// The findings but those that follow from the file's having another number of rows than the commit log states.
async fn findings(location: &Location) -> Vec<Finding> {
    let found = verify(location).await;
    assert_eq!(found.count, found.findings.len() as u64);
    found.findings.into_iter().filter(|finding| finding.kind != "file").collect()
}

fn kinds(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.kind).collect()
}

/// The place of the event with this id. Whoever opened the store before a file was replaced cannot read it any more.
async fn seq_of(location: &Location, id: &str) -> i64 {
    let events = stored(&open(location).await).await;
    events.into_iter().find(|(_, (own, _))| own == id).unwrap().0
}

/// What the engine states about `column`, folded; gives its place.
async fn state(store: &Store, event_type: &str, said: &[(Column, &str)]) -> i64 {
    let mut writer = Writer::new(store);
    let mut statement = writer.statement(event_type);
    for (column, text) in said {
        statement.set_text(*column, (*text).to_owned());
    }
    let seq = writer.state(&statement).await.unwrap();
    store.fold().await.unwrap();
    seq
}

async fn rows_of(location: &Location, file: &DataFile) -> RecordBatch {
    let rows = parquet::scan(&location.objects, file, &Column::all(), None).await.unwrap();
    parquet::sort(&rows.try_collect::<Vec<_>>().await.unwrap()).unwrap()
}

/// The data file that holds the row, and where in it.
async fn place_of(location: &Location, seq: i64) -> (DataFile, usize) {
    for file in open(location).await.snapshot().await.unwrap().files {
        let batch = rows_of(location, &file).await;
        let rows = Rows::new(&batch).unwrap();
        if let Some(row) = (0..rows.len()).find(|row| rows.long(Column::Seq, *row) == Some(seq)) {
            return (file, row);
        }
    }
    panic!("no data file holds seq {seq}");
}

async fn commits(location: &Location) -> Vec<Path> {
    let log = Path::from("store/tenants/default/events/_delta_log");
    let listed = location.objects.list(Some(&log)).map_ok(|meta| meta.location);
    let mut commits: Vec<Path> = listed.try_collect().await.unwrap();
    commits.sort();
    commits
}

/// Replaces the rows of the data file that holds the row by what `change` makes of them and of its place, as somebody
/// with access to all files would; gives the file's path.
async fn tamper(location: &Location, seq: i64, change: impl Fn(RecordBatch, usize) -> RecordBatch) -> String {
    let (file, row) = place_of(location, seq).await;
    let bytes = parquet::encode(&[change(rows_of(location, &file).await, row)], Effort::Fold).unwrap();
    restate(location, &file, bytes.to_vec()).await;
    file.path.to_string()
}

fn erased(batch: RecordBatch, row: usize) -> RecordBatch {
    erase_rows(&batch, |other| other == row).unwrap()
}

fn with_text(batch: &RecordBatch, column: Column, row: usize, text: &str) -> RecordBatch {
    let rows = Rows::new(batch).unwrap();
    let texts = (0..rows.len()).map(|other| if other == row { Some(text) } else { rows.text(column, other) });
    let mut columns = batch.columns().to_vec();
    columns[column as usize] = Arc::new(texts.collect::<StringViewArray>());
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_no_later_event_explains_is_named() {
    let without_subject: String = (0..10).map(|i| event(&i.to_string(), i) + "\n").collect();
    for (text, reason) in [(of_subjects(), "no later event"), (without_subject, "no subject")] {
        let location = Location::memory();
        let store = holding(&location, text).await;
        let seq = seq_of(&location, "4").await;
        // It is of the other subject.
        state(&store, ERASED, &[(Column::SubjectId, "s1")]).await;
        for id in ["1", "3", "5", "7", "9"] {
            tamper(&location, seq_of(&location, id).await, erased).await;
        }
        let before = findings(&location).await;
        let file = tamper(&location, seq, erased).await;
        let named: Vec<Finding> =
            findings(&location).await.into_iter().filter(|finding| !before.contains(finding)).collect();
        assert_eq!(kinds(&named), ["erased"], "{named:?}");
        assert_eq!((named[0].seq, named[0].object.as_deref()), (Some(seq), Some(file.as_str())));
        assert!(named[0].reason.contains(reason) && named[0].reason.contains("2026-01-01T00:04"), "{named:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_is_explained_by_its_event_and_named_while_it_is_not_finished() {
    let location = Location::memory();
    let store = holding(&location, of_subjects()).await;
    let by = state(&store, ERASED, &[(Column::SubjectId, "s1")]).await;
    let mut left: Vec<i64> = Vec::new();
    for id in ["1", "3", "5", "7", "9"] {
        left.push(seq_of(&location, id).await);
    }
    while let Some(seq) = left.first().copied() {
        let found = findings(&location).await;
        let seqs: Vec<i64> = found.iter().filter_map(|finding| finding.seq).collect();
        assert_eq!(seqs, left, "{found:?}");
        assert!(found.iter().all(|finding| finding.kind == "unerased"), "{found:?}");
        assert!(found[0].reason.contains(&format!("event {by} ")), "{found:?}");
        tamper(&location, seq, erased).await;
        left.remove(0);
    }
    assert!(findings(&location).await.is_empty());
    // What came after the erasure is another matter.
    let again = open_with(&location, Clock::simulated(T0, 8)).await;
    ingest(&again, with("later", 7, r#""subject_id":"s1""#)).await;
    again.fold().await.unwrap();
    assert!(findings(&location).await.is_empty());
}

/// The leaf is made of the digests that are kept where there is no salt: a value beside them may be anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_value_beside_a_kept_digest_is_named() {
    let location = Location::memory();
    holding(&location, of_subjects()).await;
    let seq = seq_of(&location, "6").await;
    let forged = |batch: RecordBatch, row: usize| {
        let batch = with_text(&erased(batch, row), Column::OldValue, row, "forged");
        with_text(&batch, Column::NewValue, row, "forged")
    };
    let file = tamper(&location, seq, forged).await;
    let found = findings(&location).await;
    assert_eq!(kinds(&found), ["edited"], "{found:?}");
    assert_eq!((found[0].seq, found[0].object.as_deref()), (Some(seq), Some(file.as_str())));
    assert!(found[0].reason.contains("without a salt"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_added_is_named() {
    let location = Location::memory();
    let store = holding(&location, of_subjects()).await;
    let size = store.table().await.unwrap().size;
    let file = tamper(&location, seq_of(&location, "0").await, |batch, row| {
        let mut columns = batch.slice(row, 1).columns().to_vec();
        columns[Column::Seq as usize] = Arc::new(Int64Array::from(vec![size]));
        let more = RecordBatch::try_new(batch.schema(), columns).unwrap();
        arrow::compute::concat_batches(&batch.schema(), [&batch, &more]).unwrap()
    })
    .await;
    let found = findings(&location).await;
    // It has the ids of the row that it was copied from, too.
    assert_eq!(kinds(&found), ["added", "ids"], "{found:?}");
    assert!(found.iter().all(|finding| finding.seq == Some(size)), "{found:?}");
    assert_eq!(found[0].object.as_deref(), Some(file.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_last_commits_are_gone_is_truncated() {
    let location = Location::memory();
    let store = open(&location).await;
    for part in 0..3 {
        let text: String = (part * 5..part * 5 + 5).map(|i| event(&i.to_string(), i) + "\n").collect();
        ingest(&store, text).await;
        store.fold().await.unwrap();
    }
    let sizes = store.log().sizes().await.unwrap();
    let [.., left, all] = sizes[..] else { panic!("{sizes:?}") };
    location.objects.delete(&commits(&location).await.pop().unwrap()).await.unwrap();
    let found = findings(&location).await;
    let rows: Vec<&Finding> = found.iter().filter(|finding| finding.kind != "tile").collect();
    assert_eq!(rows.len(), 1, "{found:?}");
    assert_eq!((rows[0].kind, rows[0].seq), ("truncated", Some(left as i64)));
    assert!(rows[0].reason.contains(&format!("{} are cut off", all - left)), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_ids_under_two_months_are_named() {
    let location = Location::memory();
    let of_another = event("same", FEBRUARY).replace(r#""source":"test""#, r#""source":"another""#);
    let text = [event("same", 10), event("other", 11), of_another, event("same", FEBRUARY + 1)].join("\n");
    let store = holding(&location, text).await;
    let mut seqs = stored(&store).await.into_iter().filter(|(_, (id, _))| id == "same").map(|(seq, _)| seq);
    let (first, _, last) = (seqs.next().unwrap(), seqs.next().unwrap(), seqs.next().unwrap());
    let found = findings(&location).await;
    assert_eq!(kinds(&found), ["ids"], "{found:?}");
    let (file, _) = place_of(&location, last).await;
    assert_eq!((found[0].seq, found[0].object.as_deref()), (Some(last), Some(file.path.as_ref())));
    for part in [format!("of seq {first}, of 2026-01"), "of 2026-02".to_owned()] {
        assert!(found[0].reason.contains(part.as_str()), "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_in_the_numbers_of_a_source_is_named_with_its_bounds() {
    let cases: [(&[i64], &[&str]); 4] = [
        (&[3, 1, 2], &[]),
        (&[1, 0, -1, -2], &[]),
        (&[7], &[]),
        (&[-3, -1, 0, 4], &["-2 to -2 (1 of them)", "1 to 3 (3 of them)"]),
    ];
    for (numbers, gaps) in cases {
        let location = Location::memory();
        let numbered = |(i, number): (i64, &i64)| with(&i.to_string(), i * 9_000, &format!(r#""source_seq":{number}"#));
        let text: String = (0..).zip(numbers).map(numbered).collect();
        // Events without a number and the numbers of another source close no gap.
        let other = with("o", 5, r#""source_seq":-2"#).replace(r#""source":"test""#, r#""source":"another""#);
        holding(&location, text + &other + &event("without", 6)).await;
        let found = verify(&location).await;
        assert!(found.gaps_judged && found.count == gaps.len() as u64, "{found:?}");
        for (finding, gap) in found.findings.iter().zip(gaps) {
            assert_eq!((finding.kind, finding.seq, finding.object.as_deref()), ("gap", None, None));
            assert!(finding.reason.contains("`test`") && finding.reason.contains(gap), "{finding:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_gaps_than_are_listed_are_counted() {
    let location = Location::memory();
    let gaps = FINDINGS as i64 + 20;
    let text: String = (0..=gaps).map(|i| with(&i.to_string(), i, &format!(r#""source_seq":{}"#, i * 2))).collect();
    holding(&location, text).await;
    let found = verify(&location).await;
    assert_eq!((found.count, found.findings.len()), (gaps as u64, FINDINGS));
}

/// A store of two months of which the first was retired, with the path of its seq set and the number of its rows.
async fn retired(location: &Location) -> (Path, u64) {
    let months = (0..20).map(|i| with(&i.to_string(), (i % 2) * FEBRUARY + i, &format!(r#""source_seq":{i}"#)));
    let store = holding(location, months.collect::<String>()).await;
    let month = "2026-01";
    let files = store.table().await.unwrap().files.to_vec();
    let files: Vec<DataFile> = files.into_iter().filter(|file| file.month == month).collect();
    let retiring = store.retiring(files).await.unwrap();
    let (rows, hash) = (retiring.seqs.len(), hash_of_set(&retiring.set));
    let by = state(&store, RETIRED, &[(Column::RecordId, month), (Column::PayloadHash, hash.as_str())]).await;
    assert!(store.retire(month, by, retiring).await.unwrap());
    (Path::from(format!("store/tenants/default/log/retired/{month}/{by:020}")), rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_a_retired_month_are_not_missing_and_its_numbers_no_gap() {
    let location = Location::memory();
    let (_, rows) = retired(&location).await;
    let found = verify(&location).await;
    assert!(found.is_ok(), "{:?}", found.findings);
    assert_eq!((found.retired, found.gaps_judged), (rows, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seq_set_explains_nothing_unless_an_event_states_it() {
    let location = Location::memory();
    let (path, _) = retired(&location).await;
    let set = location.objects.get(&path).await.unwrap().bytes().await.unwrap();
    let own = Path::from(format!("store/tenants/default/log/retired/2026-02/{:020}", 0));
    location.objects.put(&own, set.clone().into()).await.unwrap();
    let found = findings(&location).await;
    assert_eq!(kinds(&found), ["retired"], "{found:?}");
    assert_eq!(found[0].object.as_deref(), Some(own.as_ref()));
    location.objects.delete(&own).await.unwrap();
    location.objects.put(&path, set.slice(..set.len() - 1).into()).await.unwrap();
    let found = findings(&location).await;
    assert!(kinds(&found).contains(&"retired") && kinds(&found).contains(&"missing"), "{found:?}");
}
