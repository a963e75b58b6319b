//! Ingest: four counts that add up, whatever comes in.

use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use probity::store::Store;

use crate::support::{counts, event, ingest, memory, stored, stored_ids};

async fn quarantine(store: &Store) -> Vec<serde_json::Value> {
    let objects = store.snapshot().await.unwrap().objects;
    let listed: Vec<_> = objects.list(None).try_collect().await.unwrap();
    let mut entries = Vec::new();
    for meta in listed.iter().filter(|m| m.location.as_ref().contains("/quarantine/")) {
        let bytes = objects.get(&meta.location).await.unwrap().bytes().await.unwrap();
        entries
            .extend(bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()));
    }
    entries
}

#[tokio::test(flavor = "multi_thread")]
async fn resending_a_batch_stores_nothing_before_and_after_a_fold() {
    let store = memory().await;
    let text: String = (0..500).map(|i| event(&i.to_string(), i * 170) + "\n").collect();
    assert_eq!(counts(&ingest(&store, &text).await), [500, 500, 0, 0, 0]);
    assert_eq!(counts(&ingest(&store, &text).await), [500, 0, 500, 0, 0]);
    store.fold().await.unwrap();
    assert_eq!(counts(&ingest(&store, &text).await), [500, 0, 500, 0, 0]);
    let again = store.share();
    assert_eq!(counts(&ingest(&again, text.lines().rev().collect::<Vec<_>>().join("\n")).await), [500, 0, 500, 0, 0]);
    assert_eq!(stored_ids(&store).await.len(), 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_ids_with_other_content_are_a_conflict_of_the_same_month_only() {
    let store = memory().await;
    let first = event("1", 0);
    let other = first.replace("\"old_value\":\"x\"", "\"old_value\":\"y\"");
    let february = other.replace("2026-01-01", "2026-02-01");
    let elsewhere = other.replace("\"source\":\"test\"", "\"source\":\"else\"");
    let spelt_otherwise = first.replace("00.000000Z", "00Z").replace("{\"event_id\"", "{ \"attempt\":1, \"event_id\"");
    let text = [&first, &other, &february, &elsewhere, &spelt_otherwise].map(|s| s.as_str()).join("\n");
    assert_eq!(counts(&ingest(&store, text).await), [5, 3, 1, 1, 0]);
    store.fold().await.unwrap();
    assert_eq!(counts(&ingest(&store, other.clone()).await), [1, 0, 0, 1, 0]);
    let entries = quarantine(&store).await;
    assert_eq!(entries.len(), 2);
    assert!(entries.iter().all(|e| e["refusal"] == "conflict" && e["raw"] == other.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_records_keep_raw_bytes_place_and_reason_and_spare_their_neighbours() {
    let store = memory().await;
    let long = format!("{{\"comment\":\"{}\"}}", "x".repeat(70_000));
    let deep = format!("{{\"extra\":{{\"a\":{}{}}}}}", "[".repeat(9_000), "]".repeat(9_000));
    let mut input: Vec<u8> = Vec::new();
    for line in [event("1", 1).as_str(), "not json", long.as_str(), deep.as_str(), "", event("2", 2).as_str()] {
        input.extend(line.as_bytes());
        input.push(b'\n');
    }
    input.extend(b"\xff\xfe{\x00binary\x00\n");
    input.extend(event("3", 3).as_bytes());
    input.extend(&event("4", 4).as_bytes()[..100]);
    let reader = Box::new(std::io::Cursor::new(input));
    let source = probity::ingest::Source::Json { name: "mixed.ndjson".into(), reader };
    let (report, outcome) = probity::ingest::ingest(&store, source, &|_, _| {}).await;
    outcome.unwrap();
    // The last line holds the third event and the beginning of the fourth: one record that is no object.
    assert_eq!(counts(&report), [7, 2, 0, 0, 5]);
    let entries = quarantine(&store).await;
    let lines: Vec<_> = entries.iter().map(|e| e["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [2, 3, 4, 7, 8]);
    assert_eq!(entries[0]["raw"], "not json");
    assert_eq!(entries[1]["raw_bytes"], long.len());
    assert_eq!(entries[1]["raw"].as_str().unwrap().len(), 65_536);
    assert!(entries[3]["raw_base64"].is_string());
    assert!(entries[0]["reason"].as_str().unwrap().contains("no JSON object"));
    assert!(entries.iter().all(|e| e["file"] == "mixed.ndjson" && e["raw_sha256"].as_str().unwrap().len() == 64));
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_by_source_and_day_are_stated_in_the_evidence() {
    let store = memory().await;
    ingest(&store, format!("{}\n{}\nbad\n", event("1", 0), event("1", 0))).await;
    let events = stored(&store).await;
    assert_eq!(events.len(), 2, "one event and one evidence.received");
}

#[tokio::test(flavor = "multi_thread")]
async fn years_at_the_ends_of_the_calendar_are_stored_or_refused() {
    let store = memory().await;
    let at = |id: &str, instant: &str| event(id, 0).replace("2026-01-01T00:00:00.000000Z", instant);
    let text =
        [at("1", "0001-01-01T00:00:00Z"), at("2", "9999-12-31T23:59:59Z"), at("3", "0000-01-01T00:00:00Z")].join("\n");
    assert_eq!(counts(&ingest(&store, text).await), [3, 1, 0, 0, 2]);
    store.fold().await.unwrap();
    assert_eq!(counts(&ingest(&store, at("1", "0001-01-01T00:00:00Z")).await), [1, 0, 1, 0, 0]);
    store.checkpoint().await.unwrap();
    assert_eq!(stored_ids(&store.share()).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudevents_come_single_and_in_batches() {
    let store = memory().await;
    let cloud = |id: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"s","type":"record.reviewed","time":"2026-01-01T00:00:00Z",
               "data":{{"workflow":"w","system":"crm","record_type":"lead","record_id":"{id}"}}}}"#
        )
    };
    let batch = format!("[{},\n{},{}]", cloud("1"), cloud("2"), cloud("1"));
    assert_eq!(counts(&ingest(&store, batch).await), [3, 2, 1, 0, 0]);
    assert_eq!(counts(&ingest(&store, cloud("3").replace('\n', " ")).await), [1, 1, 0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_holds_no_text_of_what_was_not_accepted() {
    let store = memory().await;
    let [known, new] = ["an-event-that-is-known-already", "an-event-that-is-new-by-now"];
    assert_eq!(counts(&ingest(&store, event(known, 0)).await), [1, 1, 0, 0, 0]);
    store.fold().await.unwrap();
    assert_eq!(counts(&ingest(&store, [event(known, 0), event(new, 1)].join("\n")).await), [2, 1, 1, 0, 0]);
    let objects = store.snapshot().await.unwrap().objects;
    let listed: Vec<_> = objects.list(None).try_collect().await.unwrap();
    let mut journal = Vec::new();
    for meta in listed.iter().filter(|meta| meta.location.as_ref().contains("/journal/")) {
        journal.extend(objects.get(&meta.location).await.unwrap().bytes().await.unwrap());
    }
    let holds = |text: &str| journal.windows(text.len()).any(|part| part == text.as_bytes());
    assert_eq!((holds(new), holds(known)), (true, false));
}
