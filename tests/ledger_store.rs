//! The ledger at rest: what is signed is what is stored, and whatever is changed afterwards is named.

use std::sync::Arc;

use arrow::array::StringViewArray;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use probity::clock::Clock;
use probity::event::{COLUMNS, Column};
use probity::ledger::checkpoint::Checkpoint;
use probity::ledger::hash::{Hash, empty_root, node_hash};
use probity::ledger::note::{Kind, Note, Signer};
use probity::store::compact::Due;
use probity::store::object::Location;
use probity::store::parquet::{self, Effort};
use probity::store::verify::Verified;
use probity::store::{DataFile, Store};

use crate::support::{T0, event, ingest, restate, stored};

fn signer() -> Arc<Signer> {
    Arc::new(Signer::new("example.com/evidence", [7; 32]).unwrap())
}

async fn unsigned(location: &Location) -> Store {
    Store::create(location.clone(), "default", Clock::simulated(T0, 7)).await.unwrap()
}

async fn signed(location: &Location) -> Store {
    unsigned(location).await.signed_by(signer())
}

/// A signed store of several folds over several months.
async fn filled(location: &Location) -> Store {
    let store = signed(location).await;
    for part in 0..4 {
        let events: String =
            (part * 90..part * 90 + 90).map(|i| event(&i.to_string(), (i * 7919) % 85_000) + "\n").collect();
        ingest(&store, events).await;
        store.fold().await.unwrap();
    }
    store
}

async fn verify(store: &Store) -> Verified {
    store.verify(&[signer().verifier(Kind::Ed25519)], |_| {}).await.unwrap()
}

/// The kinds of the findings, each once.
fn kinds(found: &Verified) -> Vec<&str> {
    let mut kinds: Vec<&str> = found.findings.iter().map(|finding| finding.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// The Merkle tree hash as RFC 6962 section 2.1 writes it.
fn tree_hash(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&tree_hash(left), &tree_hash(right))
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fold_signs_the_root_over_all_leaves_so_far() {
    let location = Location::memory();
    let store = filled(&location).await;
    let leaves: Vec<Hash> = stored(&store).await.into_values().map(|(_, leaf)| leaf).collect();
    let sizes = store.log().sizes().await.unwrap();
    assert!(sizes.len() >= 5 && sizes[0] == 0 && *sizes.last().unwrap() == leaves.len() as u64, "{sizes:?}");
    for size in sizes {
        let sealed = store.log().checkpoint(size).await.unwrap().unwrap();
        let note = Note::parse(&sealed.note).unwrap();
        note.verify(&[signer().verifier(Kind::Ed25519)]).unwrap();
        let root = tree_hash(&leaves[..size as usize]);
        assert_eq!(
            Checkpoint::parse(&note.text).unwrap(),
            Checkpoint { origin: "example.com/evidence".into(), size, root }
        );
    }
    let found = verify(&store).await;
    assert!(found.is_ok(), "{:?}", found.findings);
    assert_eq!((found.rows, found.signed), (leaves.len() as u64, leaves.len() as u64));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_key_signs_later_what_was_folded_without() {
    let location = Location::memory();
    let store = unsigned(&location).await;
    for part in 0..3 {
        ingest(&store, (part * 5..part * 5 + 5).map(|i| event(&i.to_string(), i) + "\n").collect::<String>()).await;
        store.fold().await.unwrap();
    }
    assert!(store.log().newest().await.unwrap().is_none());
    let store = signed(&location).await;
    store.fold().await.unwrap();
    assert_eq!(store.log().sizes().await.unwrap().len(), 4, "the empty tree and three commits");
    assert!(verify(&store).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_keeps_the_ledger() {
    let location = Location::memory();
    let store = filled(&location).await;
    let before = store.log().newest().await.unwrap().unwrap().checkpoint;
    assert!(store.compact(Due::Any).await.unwrap().replaced > 0);
    store.fold().await.unwrap();
    assert_eq!(store.log().newest().await.unwrap().unwrap().checkpoint, before);
    assert!(verify(&store).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_or_cut_tiles_are_made_again_from_the_rows() {
    let location = Location::memory();
    filled(&location).await;
    let edge = paths(&location, "tile/0/001.p").await.pop().unwrap();
    location.objects.put(&edge, vec![0; 32].into()).await.unwrap();
    location.objects.delete(&paths(&location, "tile/0").await[0]).await.unwrap();
    let again = signed(&location).await;
    assert!(!verify(&again).await.is_ok());
    ingest(&again, event("one more", 5)).await;
    again.fold().await.unwrap();
    let found = verify(&again).await;
    assert_eq!(
        (kinds(&found), found.count),
        (vec!["tile"], 1),
        "a fold mends the edge of the tree: {:?}",
        found.findings
    );
    again.remake_tiles().await.unwrap();
    let found = verify(&signed(&location).await).await;
    assert!(found.is_ok(), "{:?}", found.findings);
}

/// Paths below `log/`.
async fn paths(location: &Location, folder: &str) -> Vec<Path> {
    let below = Path::from(format!("store/tenants/default/log/{folder}"));
    let mut paths: Vec<Path> =
        location.objects.list(Some(&below)).map_ok(|meta| meta.location).try_collect().await.unwrap();
    paths.sort();
    paths
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_checkpoints_are_named_two_in_a_row_too() {
    for removed in [vec![0], vec![2], vec![1, 2], vec![2, 3], vec![4]] {
        let location = Location::memory();
        let store = filled(&location).await;
        let all = paths(&location, "checkpoints").await;
        for index in &removed {
            location.objects.delete(&all[*index]).await.unwrap();
        }
        let found = verify(&store).await;
        assert_eq!((kinds(&found), found.count), (vec!["checkpoint"], removed.len() as u64), "{removed:?}");
        let named: Vec<&str> = found.findings.iter().filter_map(|f| f.object.as_deref()).collect();
        assert!(removed.iter().all(|index| named.contains(&all[*index].as_ref())), "{named:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_signed_by_somebody_else_or_of_another_tree_is_named() {
    let location = Location::memory();
    let store = filled(&location).await;
    let (path, size) = (paths(&location, "checkpoints").await[2].clone(), store.log().sizes().await.unwrap()[2]);
    let stranger = Signer::new("example.com/evidence", [8; 32]).unwrap();
    for (signer, kind) in [(stranger, "signature"), (Arc::unwrap_or_clone(signer()), "checkpoint")] {
        let text = Checkpoint { origin: "example.com/evidence".into(), size, root: [1; 32] }.to_text();
        let note = Note::signed(&text, &signer).unwrap().to_string();
        location.objects.put(&path, note.into()).await.unwrap();
        assert!(kinds(&verify(&store).await).contains(&kind));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_rolled_back_is_refused() {
    let location = Location::memory();
    let store = filled(&location).await;
    let size = store.log().sizes().await.unwrap().pop().unwrap();
    // A checkpoint of a larger tree, as is left when the table alone is restored from a backup.
    let text = Checkpoint { origin: "example.com/evidence".into(), size: size + 3, root: [1; 32] }.to_text();
    let note = Note::signed(&text, &signer()).unwrap().to_string();
    let path = Path::from(format!("store/tenants/default/log/checkpoints/{:020}", size + 3));
    location.objects.put(&path, note.into()).await.unwrap();
    let again = signed(&location).await;
    let refusal = again.fold().await.unwrap_err().to_string();
    assert!(refusal.contains("rolled back"), "{refusal}");
    assert_eq!(kinds(&verify(&again).await), ["truncated"]);
}

/// Replaces the rows of the first data file by what `change` makes of them, as somebody with access to all files would.
async fn tamper(location: &Location, store: &Store, change: impl Fn(RecordBatch) -> RecordBatch) -> DataFile {
    let file = store.snapshot().await.unwrap().files[0].clone();
    let all: Vec<Column> = COLUMNS.iter().map(|c| c.column).collect();
    let rows = parquet::scan(&location.objects, &file, &all, None).await.unwrap();
    let rows = parquet::sort(&rows.try_collect::<Vec<_>>().await.unwrap()).unwrap();
    let bytes = parquet::encode(&[change(rows)], Effort::Fold).unwrap();
    restate(location, &file, bytes.to_vec()).await;
    file
}

fn with_workflow(rows: &RecordBatch, row: usize, workflow: &str) -> RecordBatch {
    let at = rows.schema().index_of("workflow").unwrap();
    let old = rows.column(at).as_any().downcast_ref::<StringViewArray>().unwrap();
    let new: StringViewArray =
        old.iter().enumerate().map(|(i, text)| if i == row { Some(workflow) } else { text }).collect();
    let mut columns = rows.columns().to_vec();
    columns[at] = Arc::new(new);
    RecordBatch::try_new(rows.schema(), columns).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_a_deleted_and_a_repeated_row_are_named() {
    type Change = fn(RecordBatch) -> RecordBatch;
    let without = |rows: RecordBatch| rows.slice(1, rows.num_rows() - 1);
    let repeated =
        |rows: RecordBatch| arrow::compute::concat_batches(&rows.schema(), [&rows.slice(0, 1), &rows]).unwrap();
    let swapped = |rows: RecordBatch| {
        let seq = rows.schema().index_of("seq").unwrap();
        let mut columns = rows.columns().to_vec();
        let order = arrow::array::UInt32Array::from_iter_values([1, 0].into_iter().chain(2..rows.num_rows() as u32));
        columns[seq] = arrow::compute::take(&columns[seq], &order, None).unwrap();
        RecordBatch::try_new(rows.schema(), columns).unwrap()
    };
    let cases: [(&str, Change, u64); 4] = [
        ("edited", |rows| with_workflow(&rows, 3, "another"), 1),
        ("missing", without, 1),
        ("twice", repeated, 1),
        ("edited", swapped, 2),
    ];
    for (kind, change, count) in cases {
        let location = Location::memory();
        let store = filled(&location).await;
        let file = tamper(&location, &store, change).await;
        let found = verify(&signed(&location).await).await;
        // With another number of rows the file is not the one that the commit log states, either.
        let rows: Vec<_> = found.findings.iter().filter(|finding| finding.kind != "file").collect();
        assert!(rows.iter().all(|finding| finding.kind == kind && finding.seq.is_some()), "{:?}", found.findings);
        assert_eq!(rows.len() as u64, count, "{:?}", found.findings);
        let finding = rows[0];
        assert!(kind == "missing" || finding.object.as_deref() == Some(file.path.as_ref()), "{finding:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recovery_signs_nothing_over_rows_that_were_edited() {
    let location = Location::memory();
    let store = filled(&location).await;
    let tiles = paths(&location, "tile").await;
    tamper(&location, &store, |rows| with_workflow(&rows, 3, "another")).await;
    // Whoever edits rows takes the end of the tree away, so that it has to be made again.
    for edge in paths(&location, "tile/0/001.p").await {
        location.objects.delete(&edge).await.unwrap();
    }
    let before = store.log().sizes().await.unwrap();
    let again = signed(&location).await;
    ingest(&again, event("one more", 5)).await;
    let refusal = again.fold().await.unwrap_err().to_string();
    assert!(refusal.contains("evidence was changed"), "{refusal}");
    assert_eq!(again.log().sizes().await.unwrap(), before, "nothing more was signed");
    assert!(location.objects.get(&tiles[0]).await.is_ok(), "the tiles of before are kept");
    assert!(kinds(&verify(&again).await).contains(&"edited"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_signed_on_top_of_a_checkpoint_that_somebody_else_signed() {
    let location = Location::memory();
    filled(&location).await;
    let path = paths(&location, "checkpoints").await.pop().unwrap();
    let size = path.filename().unwrap().parse().unwrap();
    let stranger = Signer::new("example.com/evidence", [8; 32]).unwrap();
    let text = Checkpoint { origin: "example.com/evidence".into(), size, root: [1; 32] }.to_text();
    location.objects.put(&path, Note::signed(&text, &stranger).unwrap().to_string().into()).await.unwrap();
    let again = signed(&location).await;
    ingest(&again, event("one more", 5)).await;
    let refusal = again.fold().await.unwrap_err().to_string();
    assert!(refusal.contains("nothing is signed on top of it"), "{refusal}");
}
