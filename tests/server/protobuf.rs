//! OTLP as protobuf, written from its JSON by hand: numbers of fields as in `opentelemetry/proto/trace/v1/trace.proto`.

use serde_json::Value;

/// The bytes of an `ExportTraceServiceRequest`.
pub fn export(document: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    each(document, "resourceSpans", |part| message(&mut out, 1, &resource_spans(part)));
    out
}

fn resource_spans(part: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let mut resource = Vec::new();
    attributes(&mut resource, 1, &part["resource"]);
    message(&mut out, 1, &resource);
    each(part, "scopeSpans", |scope| {
        let mut name = Vec::new();
        text(&mut name, 1, &scope["scope"]["name"]);
        text(&mut name, 2, &scope["scope"]["version"]);
        let mut spans = Vec::new();
        message(&mut spans, 1, &name);
        each(scope, "spans", |one| message(&mut spans, 2, &span(one)));
        message(&mut out, 2, &spans);
    });
    out
}

fn span(span: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for (field, name) in [(1, "traceId"), (2, "spanId"), (4, "parentSpanId")] {
        let bytes = hex(span[name].as_str().unwrap_or_default());
        if !bytes.is_empty() {
            message(&mut out, field, &bytes);
        }
    }
    text(&mut out, 5, &span["name"]);
    if let Some(kind) = span["kind"].as_u64() {
        number(&mut out, 6, kind);
    }
    for (field, name) in [(7, "startTimeUnixNano"), (8, "endTimeUnixNano")] {
        if let Some(instant) = span[name].as_str().and_then(|text| text.parse::<u64>().ok()) {
            tag(&mut out, field, 1);
            out.extend(instant.to_le_bytes());
        }
    }
    attributes(&mut out, 9, span);
    let mut status = Vec::new();
    text(&mut status, 2, &span["status"]["message"]);
    // JSON may name the code instead.
    let named = (span["status"]["code"] == "STATUS_CODE_ERROR").then_some(2);
    if let Some(code) = span["status"]["code"].as_u64().or(named) {
        number(&mut status, 3, code);
    }
    message(&mut out, 15, &status);
    out
}

fn attributes(out: &mut Vec<u8>, field: u64, holder: &Value) {
    each(holder, "attributes", |entry| message(out, field, &key_value(entry)));
}

fn key_value(entry: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    text(&mut out, 1, &entry["key"]);
    message(&mut out, 2, &any(&entry["value"]));
    out
}

fn any(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let Some((kind, value)) = value.as_object().and_then(|value| value.iter().next()) else { return out };
    let mut list = Vec::new();
    match kind.as_str() {
        "stringValue" => message(&mut out, 1, value.as_str().unwrap().as_bytes()),
        "boolValue" => number(&mut out, 2, u64::from(value == true)),
        "intValue" => number(&mut out, 3, value.as_str().unwrap().parse::<i64>().unwrap().cast_unsigned()),
        "doubleValue" => {
            tag(&mut out, 4, 1);
            out.extend(value.as_f64().unwrap().to_le_bytes());
        }
        "arrayValue" => {
            each(value, "values", |entry| message(&mut list, 1, &any(entry)));
            message(&mut out, 5, &list);
        }
        "kvlistValue" => {
            each(value, "values", |entry| message(&mut list, 1, &key_value(entry)));
            message(&mut out, 6, &list);
        }
        other => panic!("no value of OTLP: {other}"),
    }
    out
}

fn each(holder: &Value, name: &str, work: impl FnMut(&Value)) {
    holder[name].as_array().into_iter().flatten().for_each(work);
}

fn text(out: &mut Vec<u8>, field: u64, value: &Value) {
    if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
        message(out, field, text.as_bytes());
    }
}

fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    tag(out, field, 0);
    varint(out, value);
}

fn message(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    tag(out, field, 2);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn tag(out: &mut Vec<u8>, field: u64, wire_type: u64) {
    varint(out, (field << 3) | wire_type);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}
