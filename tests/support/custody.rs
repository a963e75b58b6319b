//! A store about persons, and the search for what may be left of them.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use probity::clock::Clock;
use probity::custody::{Order, retention};
use probity::error::Result;
use probity::ledger::note::{Kind, Signer};
use probity::store::Store;
use probity::store::compact::Due;
use probity::store::object::Location;
use probity::store::projection::Lag;

use super::{MINUTE, T0, event, ingest};

pub const SUBJECT: &str = "person-4711";
pub const SECRETS: [&str; 3] = ["Elisabeth Zwickl", "+43 1 555 0188", "needs \"discretion\""];

/// An event about a person, `day` days after the start of 2026.
pub fn about(id: &str, subject: &str, secret: &str, day: i64) -> String {
    let at = probity::clock::rfc3339(1_767_225_600_000_000 + day * 24 * 60 * MINUTE);
    serde_json::json!({
        "event_id": id, "source": "test", "event_type": "action.executed", "occurred_at": at, "workflow": "w",
        "action_id": format!("a{id}"), "system": "crm", "record_type": "lead", "record_id": format!("r{id}"),
        "field": "name", "old_value": "", "new_value": secret, "outcome": "succeeded", "subject_id": subject,
        "note": {"also": secret},
    })
    .to_string()
}

pub fn order() -> Order {
    Order::new("Data Protection Office".into(), "case 17").unwrap()
}

pub fn signer() -> Arc<Signer> {
    Arc::new(Signer::new("example.com/evidence", [7; 32]).unwrap())
}

pub async fn opened(location: &Location) -> Store {
    opened_as(location, 7).await
}

/// Another process: what it draws at random is not what the first one drew.
pub async fn opened_as(location: &Location, seed: u64) -> Store {
    Store::create(location.clone(), "default", Clock::simulated(T0, seed)).await.unwrap().signed_by(signer())
}

/// Events about two people in two months, folded, compacted and projected, some refused, some still in the journal.
pub async fn filled(store: &Store) {
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
pub async fn all_text(objects: &Arc<dyn ObjectStore>) -> Vec<(Path, String)> {
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

pub fn text_of_parquet(bytes: Bytes) -> String {
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    reader.build().unwrap().map(|batch| text_of(&batch.unwrap())).collect()
}

pub fn text_of(batch: &RecordBatch) -> String {
    let options = FormatOptions::default();
    let columns: Vec<ArrayFormatter<'_>> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    let row = |row: usize| columns.iter().map(|column| column.value(row).to_string() + "\n").collect::<String>();
    (0..batch.num_rows()).map(row).collect()
}

/// The objects in which one of the secrets is left, in any spelling.
pub async fn traces(objects: &Arc<dyn ObjectStore>) -> BTreeSet<String> {
    let is_in = |text: &str| {
        SECRETS.iter().any(|secret| {
            let escaped = serde_json::to_string(secret).unwrap();
            text.contains(secret) || text.contains(&escaped[1..escaped.len() - 1])
        }) || text.contains("Lisl")
    };
    let all = all_text(objects).await;
    all.into_iter().filter(|(_, text)| is_in(text)).map(|(path, _)| path.to_string()).collect()
}

pub async fn verified(store: &Store) {
    let found = store.verify(&[signer().verifier(Kind::Ed25519)], |_| {}).await.unwrap();
    assert!(found.is_ok(), "{:?}", found.findings);
}

pub async fn retired(store: &Store, keep_days: i64) -> Result<Vec<(String, bool)>> {
    let months = retention::retire(store, keep_days, &order()).await?;
    Ok(months.into_iter().map(|month| (month.month, month.event.is_some())).collect())
}
