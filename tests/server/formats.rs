//! One question in every format: the same rows, streamed, and ended with whoever asked.

use std::io::{Cursor, Write};

use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::json::LineDelimitedWriter;
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use probity::limits::SERVER_BODY_BYTES;
use serde_json::{Value, json};

use super::world::World;
use crate::support::event;
use crate::support::http::{Request, encoded};
use crate::support::server::wait_for;

const SQL: &str = "select seq, event_id, record_id, attempt, confidence, amount, occurred_at, batch_id from events where \
                   source = 'test' order by seq";
const FORMATS: [&str; 5] = [
    "application/json",
    "application/x-ndjson",
    "text/csv",
    "application/vnd.apache.arrow.stream",
    "application/vnd.apache.parquet",
];

/// Rows of named columns as text; an absent value is empty.
type Rows = Vec<Vec<String>>;

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => spelt(text),
        other => spelt(&other.to_string()),
    }
}

/// Instants and numbers in one form: writers spell them differently.
fn spelt(text: &str) -> String {
    let instant = probity::event::parse::instant(text).map(|micros| micros as f64).ok();
    match instant.or_else(|| text.parse::<f64>().ok()) {
        Some(number) => number.to_string(),
        None => text.to_owned(),
    }
}

fn of_objects(text: &str, columns: &[String]) -> Rows {
    let objects = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    objects.map(|object| columns.iter().map(|column| plain(&object[column])).collect()).collect()
}

fn of_batches(batches: &[RecordBatch], columns: &[String]) -> Rows {
    // The reader of zones may not be there, and an instant is a number.
    let instants = |column: &ArrayRef| match column.data_type() {
        DataType::Timestamp(..) => cast(column, &DataType::Int64).unwrap(),
        _ => column.clone(),
    };
    let mut text = Vec::new();
    let mut writer = LineDelimitedWriter::new(&mut text);
    for batch in batches {
        let named = batch.schema();
        let names = named.fields().iter().map(|field| field.name().as_str());
        writer.write(&RecordBatch::try_from_iter(names.zip(batch.columns().iter().map(instants))).unwrap()).unwrap();
    }
    writer.finish().unwrap();
    of_objects(&String::from_utf8(text).unwrap(), columns)
}

/// Fields of RFC 4180.
fn of_csv(text: &str) -> Rows {
    let (mut rows, mut row, mut field, mut is_quoted) = (Rows::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if is_quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => row.push(std::mem::take(&mut field)),
            '\n' if !is_quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            '\r' if !is_quoted => {}
            other => field.push(other),
        }
    }
    rows
}

fn decoded(format: &str, body: &[u8], columns: &[String]) -> Rows {
    let text = || String::from_utf8(body.to_vec()).unwrap();
    match format {
        "application/json" => {
            let document: Value = serde_json::from_slice(body).unwrap();
            let named: Vec<String> = serde_json::from_value(document["columns"].clone()).unwrap();
            assert_eq!(named, columns);
            let rows: Vec<Vec<Value>> = serde_json::from_value(document["rows"].clone()).unwrap();
            rows.iter().map(|row| row.iter().map(plain).collect()).collect()
        }
        "application/x-ndjson" => of_objects(&text(), columns),
        "text/csv" => {
            let mut rows = of_csv(&text());
            assert_eq!(rows.remove(0), columns);
            rows.iter().map(|row| row.iter().map(|field| spelt(field)).collect()).collect()
        }
        "application/vnd.apache.arrow.stream" => {
            let reader = arrow::ipc::reader::StreamReader::try_new(Cursor::new(body), None).unwrap();
            of_batches(&reader.map(Result::unwrap).collect::<Vec<_>>(), columns)
        }
        "application/vnd.apache.parquet" => {
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::copy_from_slice(body)).unwrap();
            of_batches(&reader.build().unwrap().map(Result::unwrap).collect::<Vec<_>>(), columns)
        }
        other => panic!("the test reads no {other}"),
    }
}

#[test]
fn every_format_gives_the_same_rows() {
    let world = World::empty(&[]);
    let mut lines: Vec<String> = (0..300).map(|i| event(&i.to_string(), i)).collect();
    for (id, record) in [("q1", "a \\\"quoted\\\" one"), ("q2", "one, two"), ("q3", "größe ✓ 漢字"), ("q4", "=1+1")]
    {
        let more = format!("\"record_id\":\"{record}\",\"confidence\":0.25,\"amount\":\"12.50\",\"currency\":\"EUR\"");
        lines.push(event(id, 5).replace(&format!("\"record_id\":\"r{id}\""), &more));
    }
    world.served.ingest(world.token("ingest"), &lines.join("\n")).is(200);
    let columns: Vec<String> =
        ["seq", "event_id", "record_id", "attempt", "confidence", "amount", "occurred_at", "batch_id"]
            .map(str::to_owned)
            .to_vec();
    let mut expected: Option<Rows> = None;
    for format in FORMATS {
        let request = Request::json("/v1/query", &json!({"query": SQL})).by(world.token("analyst"));
        let answer = world.served.ask(&request.with("accept", format)).is(200);
        assert!(answer.header("content-type").starts_with(format), "{format}: {}", answer.header("content-type"));
        let rows = decoded(format, &answer.body, &columns);
        assert_eq!(rows.len(), 304, "{format}");
        let expected = expected.get_or_insert_with(|| rows.clone());
        for (row, wanted) in rows.iter().zip(expected.iter()) {
            assert_eq!(row, wanted, "{format}");
        }
    }
    // The same by name, with parameters in the address and in a document.
    let by_address = world.served.get(world.token("analyst"), "/v1/query/months").is(200).json();
    let by_document =
        world.served.post(world.token("analyst"), "/v1/query", &json!({"query": "months"})).is(200).json();
    assert_eq!(by_address["rows"], by_document["rows"]);
    assert_eq!(by_address["columns"], by_document["columns"]);
    let command = world.run(&["query", "months", "--json"]).ended(0).json();
    assert_eq!((&by_address["columns"], &by_address["rows"]), (&command["columns"], &command["rows"]));
    let word =
        Request::get("/v1/query/months?format=csv").by(world.token("analyst")).with("accept", "application/json");
    assert!(world.served.ask(&word).is(200).header("content-type").starts_with("text/csv"));
    world.served.get(world.token("analyst"), "/v1/query/months?format=xlsx").is(400);
}

#[test]
fn what_does_not_fit_is_refused_with_what_would() {
    let world = World::small(3, &[]);
    let token = world.token("admin");
    for (target, form) in [
        ("/v1/query/months", "text/csv"),
        ("/v1/events/0", "text/plain"),
        ("/v1/reports/monthly/2026-01", "text/html"),
        ("/v1/reports/batch/b-1", "text/html"),
    ] {
        let request = Request::get(target).by(token).with("accept", "image/png, application/json;q=0");
        let refused = world.served.ask(&request).is(406);
        assert_eq!(refused.header("content-type"), "application/problem+json");
        assert!(refused.text().contains(form), "{target}: {}", refused.text());
    }
    let question = json!({"query": "months"});
    for target in ["/v1/query?x=1", "/v1/packs?x=1"] {
        let document = if target.contains("query") { question.clone() } else { json!({}) };
        let refused = world.served.post(token, target, &document).is(400);
        assert!(refused.text().contains("no parameter `x`"), "{target}: {}", refused.text());
    }
    let plain = Request::post("/v1/query", "text/plain", question.to_string()).by(token);
    world.served.ask(&plain).is(415);
    world.served.ask(&Request::json("/v1/query", &question).by(token).with("content-encoding", "gzip")).is(415);
    let long = Request::post("/v1/query", "application/json", vec![b' '; SERVER_BODY_BYTES + 1]).by(token);
    let refused = world.served.ask(&long).is(413);
    assert!(refused.text().contains("/openapi.json") && refused.header("connection") == "close", "{refused:?}");
    // Who asks over HTTP is not sent to the options of a command alone.
    for (target, way) in [
        ("/v1/incidents/none", "GET /v1/incidents"),
        ("/v1/reviews/none", "GET /v1/reviews"),
        ("/v1/query/qqqq", "GET /v1/queries"),
        ("/v1/query/months?as_of=v99", "as-of point"),
    ] {
        let missing = world.served.get(token, target).is(404).text();
        assert!(missing.contains(way) && !missing.contains("--") && !missing.contains("ernel"), "{target}: {missing}");
    }
    let odd = world.served.get(token, "/v1/events/first").is(400).text();
    assert!(odd.contains("`first` in the path is no number"), "{odd}");
}

#[test]
fn the_past_is_read_as_it_was() {
    let world = World::small(5, &[]);
    let count = |as_of: &str| {
        let asked = json!({"query": "select count(*) as n from events", "as_of": as_of});
        world.served.post(world.token("analyst"), "/v1/query", &asked).is(200).json()["rows"][0][0].clone()
    };
    assert_eq!(count("3"), 3);
    world.served.ingest(world.token("ingest"), &event("later", 9)).is(200);
    assert_eq!(count("3"), 3);
    let target = format!("/v1/records/crm/lead/{}?as_of=3", encoded("rlater"));
    let then = world.served.get(world.token("analyst"), &target);
    assert!(then.status == 404 || !then.text().contains("\"later\""), "{}", then.text());
    let beyond = json!({"query": "select 1", "as_of": "99999999"});
    assert_eq!(world.served.post(world.token("analyst"), "/v1/query", &beyond).status, 400);
}

/// Counts what comes, and keeps the end of it.
#[derive(Default)]
struct Sink {
    bytes: u64,
    lines: u64,
    end: Vec<u8>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes += bytes.len() as u64;
        self.lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.end = bytes[bytes.len().saturating_sub(256)..].to_vec();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_million_rows_stream_in_bounded_memory() {
    let world = World::small(1_000, &[]);
    world.served.rows(world.token("analyst"), "select count(*) from events");
    let sql = "select a.seq as one, b.seq as other, a.event_id || '/' || b.event_id || '/' || a.record_id as joined from events \
               a, events b where a.event_id <> '-marked' and b.event_id <> '-marked' and a.source = 'test' and b.source = \
               'test'";
    for format in ["application/x-ndjson", "application/vnd.apache.arrow.stream", "application/json"] {
        let (before, _) = world.served.memory_mib();
        let request = Request::json("/v1/query", &json!({"query": sql, "limit": 1_000_000})).by(world.token("analyst"));
        let mut connection = world.served.connection();
        let head = connection.begin(&request.with("accept", format)).unwrap();
        assert_eq!(head.status, 200);
        let mut sink = Sink::default();
        connection.finish(&head, &mut sink).unwrap();
        if format == "application/x-ndjson" {
            assert_eq!(sink.lines, 1_000_000);
        }
        assert!(sink.bytes > 15_000_000, "{format}: {} bytes", sink.bytes);
        let (_, most) = world.served.memory_mib();
        assert!(most < before + 300, "{format}: {before} MiB before, {most} at most");
    }
}

#[test]
fn a_truncated_answer_says_so_and_an_error_on_the_way_cuts_it_off() {
    let world = World::small(1_000, &[]);
    let ask = |sql: &str, limit: u64| {
        let request = Request::json("/v1/query", &json!({"query": sql, "limit": limit})).by(world.token("analyst"));
        world.served.ask(&request)
    };
    let cut = ask("select seq from events order by seq", 10).is(200).json();
    assert_eq!((cut["rows"].as_array().unwrap().len(), &cut["truncated"]), (10, &json!(true)), "{cut}");
    let whole = ask("select seq from events order by seq limit 10", 10).is(200).json();
    assert_ne!(whole["truncated"], true, "{whole}");
    // The last of many rows cannot be computed: whoever took the first ones must not take them for all.
    let sql = "select 1 / (998 - a.seq) + b.seq as x from events a, events b where a.event_id <> \
               '-marked' and a.source = 'test' and b.source = 'test'";
    let request = Request::json("/v1/query", &json!({"query": sql})).by(world.token("analyst"));
    let mut connection = world.served.connection();
    let head = connection.begin(&request.with("accept", "application/x-ndjson")).unwrap();
    let mut sink = Sink::default();
    match (head.status, connection.finish(&head, &mut sink)) {
        (200, outcome) => {
            assert!(outcome.is_err(), "it ended as if it were whole: {}", String::from_utf8_lossy(&sink.end))
        }
        (status, _) => assert!((400..500).contains(&status), "{status}"),
    }
}

#[test]
fn who_goes_away_ends_his_question_and_meanwhile_holds_up_nothing_but_sql() {
    let world = World::small(400, &[]);
    let sql = "select count(*) from evidence a, evidence b, evidence c, evidence d, evidence e where a.seq + b.seq + c.seq + \
               d.seq + e.seq = -1";
    let request = Request::json("/v1/query", &json!({"query": sql})).by(world.token("analyst"));
    let before = world.served.processor_seconds();
    // Two are at work, the third waits for its place.
    let mut connections: Vec<_> = (0..3).map(|_| world.served.connection()).collect();
    for connection in &mut connections {
        connection.send(&request).unwrap();
    }
    wait_for("questions at work", || (world.served.processor_seconds() > before + 1.0).then_some(()));
    for _ in 0..5 {
        world.served.get(world.token("analyst"), "/v1/records/crm/lead/r7").is(200);
        world.served.get(world.token("analyst"), "/v1/query/months").is(200);
    }
    drop(connections);
    // The places for questions are free again, and nothing computes on.
    let rows = world.served.rows(world.token("analyst"), "select count(*) from events where source = 'test'");
    assert_eq!(rows[0][0], 401);
    let mut last = (std::time::Instant::now(), world.served.processor_seconds());
    wait_for("a server at rest", || {
        if last.0.elapsed() < std::time::Duration::from_millis(300) {
            return None;
        }
        let used = world.served.processor_seconds() - last.1;
        last = (std::time::Instant::now(), last.1 + used);
        (used < 0.1).then_some(())
    });
}
