//! OTLP over HTTP: spans become the events that the mapping makes of the same spans in a file, in either encoding.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::protobuf;
use super::world::World;
use crate::support::http::Request;

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/presets/otel_genai").join(name)
}

/// The exports of the hand-made sample, as one request.
fn export() -> Value {
    let text = std::fs::read_to_string(fixture("otlp.ndjson")).unwrap();
    let documents = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let parts: Vec<Value> =
        documents.flat_map(|document| document["resourceSpans"].as_array().cloned().unwrap_or_default()).collect();
    json!({"resourceSpans": parts})
}

/// Every column that a source supplies, of every event that was sent.
fn events(world: &World) -> Vec<Vec<Value>> {
    let columns = "event_id, source, event_type, occurred_at, environment, workflow, run_id, trace_id, action_id, attempt, \
                   actor_kind, actor_id, model_version, system, record_type, record_id, operation, new_value, processor, \
                   reason_code, payload_hash, outcome, error, comment, extra";
    world.rows(&format!("select {columns} from events where source <> 'probity' order by source, event_id"))
}

/// What the command makes of the same spans, one resource a line.
fn by_command(document: &Value) -> (World, Value) {
    let world = World::empty(&[]);
    let parts = document["resourceSpans"].as_array().unwrap();
    let lines: Vec<String> = parts.iter().map(|part| json!({"resourceSpans": [part]}).to_string()).collect();
    std::fs::write(world.dir().join("spans.ndjson"), lines.join("\n")).unwrap();
    let told = world.run(&["ingest", "spans.ndjson", "--map", "otel_genai", "--json"]).json();
    (world, told)
}

#[test]
fn spans_in_json_and_in_protobuf_give_the_events_of_the_mapping() {
    let document = export();
    let (file, told) = by_command(&document);
    let expected = events(&file);
    assert!(expected.len() > 5, "{told}");
    let rejected = told["rejected"].as_u64().unwrap();
    let (world, mut refused) = (World::empty(&[]), 0);
    for target in ["/v1/traces", "/v1/otlp/v1/traces"] {
        let request = Request::post(target, JSON, document.to_string()).by(world.token("ingest"));
        let answer = world.served.ask(&request).is(200);
        assert!(answer.header("content-type").starts_with(JSON), "{answer:?}");
        let answer = answer.json();
        let told = &answer["partialSuccess"]["rejectedSpans"];
        refused = told.as_str().map_or(told.as_u64(), |text| text.parse().ok()).unwrap_or(0);
        // A span may stand for several events.
        assert!((1..=rejected).contains(&refused), "{answer}");
        assert_eq!(events(&world), expected, "{target}");
    }
    let request = Request::post("/v1/traces", PROTOBUF, protobuf::export(&document)).by(world.token("ingest"));
    let answer = world.served.ask(&request).is(200);
    assert_eq!((answer.header("content-type"), rejected_spans(&answer.body)), (PROTOBUF, refused));
    // Other content under the same ids would be a conflict, and more events mean other ids.
    assert_eq!(events(&world), expected);
    let fresh = World::empty(&[]);
    let request = Request::post("/v1/traces", PROTOBUF, protobuf::export(&document)).by(fresh.token("ingest"));
    fresh.served.ask(&request).is(200);
    assert_eq!(events(&fresh), expected);
}

/// Field 1 of `ExportTracePartialSuccess` in field 1 of the answer.
fn rejected_spans(body: &[u8]) -> u64 {
    let [0x0a, rest @ ..] = body else { return 0 };
    // The length of the message takes several bytes where its text is long.
    let length = rest.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    match rest[length..] {
        [0x08, count, ..] => u64::from(count),
        _ => 0,
    }
}

#[test]
fn an_export_of_many_spans_is_larger_than_a_record_and_passes() {
    let world = World::empty(&[]);
    let mut document = export();
    let spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array_mut().unwrap();
    let tool = spans.iter().find(|span| span.to_string().contains("crm.update_lead")).unwrap().clone();
    *spans = (0..400)
        .map(|i| {
            let mut span = tool.clone();
            span["spanId"] = json!(format!("{:016x}", 0x1000 + i));
            let attributes = span["attributes"].as_array_mut().unwrap();
            attributes.retain(|entry| entry["key"] != "gen_ai.tool.call.id");
            let call = json!({"stringValue": format!("call-{i}")});
            attributes.push(json!({"key": "gen_ai.tool.call.id", "value": call}));
            span
        })
        .collect();
    assert!(document.to_string().len() > 2 * 64 * 1024);
    for (content_type, body) in [(JSON, document.to_string().into_bytes()), (PROTOBUF, protobuf::export(&document))] {
        let request = Request::post("/v1/traces", content_type, body).by(world.token("ingest"));
        world.served.ask(&request).is(200);
    }
    let sql = "select count(distinct trace_id || event_id) from events where event_type = 'action.executed'";
    assert!(world.rows(sql)[0][0].as_i64().unwrap() >= 400);
}

#[test]
fn what_is_no_export_is_refused_and_the_server_lives() {
    let world = World::empty(&[]);
    for (content_type, body) in [
        (JSON, &b"{\"resourceSpans\": 7}"[..]),
        (JSON, b"[[[[[["),
        (PROTOBUF, b"\x0a\xff\xff\xff\xff\x0f"),
        (PROTOBUF, b"\x0a\x05\x12\x03\x12\x01"),
        ("text/plain", b"{}"),
    ] {
        let request = Request::post("/v1/traces", content_type, body).by(world.token("ingest"));
        let answer = world.served.ask(&request);
        assert!((400..500).contains(&answer.status), "{body:?}: {} {}", answer.status, answer.text());
        world.served.assert_lives("what is no export");
    }
    // It is told in the form of the request, also where the body could not even be unpacked.
    for (content_type, coding, status) in [(JSON, "gzip", 400), (PROTOBUF, "gzip", 400), (PROTOBUF, "br", 415)] {
        let request = Request::post("/v1/traces", content_type, b"no gzip").with("content-encoding", coding);
        let answer = world.served.ask(&request.by(world.token("ingest"))).is(status);
        assert_eq!(answer.header("content-type"), content_type, "{coding}");
    }
    let request = Request::post("/v1/traces", JSON, export().to_string()).by(world.token("analyst"));
    world.served.ask(&request).is(403);
    assert_eq!(events(&world).len(), 0);
}

#[test]
fn a_mapping_of_ones_own_takes_the_place_of_the_shipped_one() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries/mappings/otel_genai.sql");
    let own = tempfile::tempdir().unwrap();
    let file = own.path().join("own.sql");
    let text = std::fs::read_to_string(shipped).unwrap();
    assert!(text.contains("'tools'"), "the test changes what the mapping calls a tool's system");
    std::fs::write(&file, text.replace("'tools'", "'own tools'")).unwrap();
    let world = World::empty(&["--otlp-map", file.to_str().unwrap()]);
    let request = Request::post("/v1/traces", JSON, export().to_string()).by(world.token("ingest"));
    world.served.ask(&request).is(200);
    let systems = world.rows("select distinct system from events where source <> 'probity'");
    assert!(systems.iter().any(|row| row[0] == "own tools"), "{systems:?}");
}
