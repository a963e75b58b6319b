//! OTLP traces as protobuf: the messages that an export of spans is made of, and the same in OTLP's JSON.
//!
//! In: bytes of an `ExportTraceServiceRequest`. Out: its JSON form as `opentelemetry-proto` maps it: ids hexadecimal,
//! other bytes base64, 64-bit integers as text, enumerations as numbers. Invariant: a field that is set is in the JSON;
//! one that is not known to these messages is passed over, as protobuf would have it. Also the two messages of an answer.
//! It knows nothing of events.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost::{Message, Oneof};
use serde_json::{Map, Value, json};

use crate::ledger::hash::hex;

/// What an exporter sends.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) resource_spans: Vec<ResourceSpans>,
}

/// The spans of one resource.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    pub(super) resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub(super) scope_spans: Vec<ScopeSpans>,
    #[prost(string, tag = "3")]
    pub(super) schema_url: String,
}

/// What made the spans.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub(super) attributes: Vec<KeyValue>,
    #[prost(uint32, tag = "2")]
    pub(super) dropped_attributes_count: u32,
}

/// The spans of one instrumentation scope.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    pub(super) scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    pub(super) spans: Vec<Span>,
    #[prost(string, tag = "3")]
    pub(super) schema_url: String,
}

/// The library that wrote the spans.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Scope {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) version: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) attributes: Vec<KeyValue>,
    #[prost(uint32, tag = "4")]
    pub(super) dropped_attributes_count: u32,
}

/// One span.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Span {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    pub(super) trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    pub(super) name: String,
    #[prost(int32, tag = "6")]
    pub(super) kind: i32,
    #[prost(fixed64, tag = "7")]
    pub(super) start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    pub(super) end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    pub(super) attributes: Vec<KeyValue>,
    #[prost(uint32, tag = "10")]
    pub(super) dropped_attributes_count: u32,
    #[prost(message, repeated, tag = "11")]
    pub(super) events: Vec<SpanEvent>,
    #[prost(uint32, tag = "12")]
    pub(super) dropped_events_count: u32,
    #[prost(message, repeated, tag = "13")]
    pub(super) links: Vec<Link>,
    #[prost(uint32, tag = "14")]
    pub(super) dropped_links_count: u32,
    #[prost(message, optional, tag = "15")]
    pub(super) status: Option<SpanStatus>,
    #[prost(fixed32, tag = "16")]
    pub(super) flags: u32,
}

/// Something that happened within a span.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SpanEvent {
    #[prost(fixed64, tag = "1")]
    pub(super) time_unix_nano: u64,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) attributes: Vec<KeyValue>,
    #[prost(uint32, tag = "4")]
    pub(super) dropped_attributes_count: u32,
}

/// Another span that this one is about.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Link {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    pub(super) trace_state: String,
    #[prost(message, repeated, tag = "4")]
    pub(super) attributes: Vec<KeyValue>,
    #[prost(uint32, tag = "5")]
    pub(super) dropped_attributes_count: u32,
    #[prost(fixed32, tag = "6")]
    pub(super) flags: u32,
}

/// How a span ended.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SpanStatus {
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(int32, tag = "3")]
    pub(super) code: i32,
}

/// An attribute.
#[derive(Clone, PartialEq, Message)]
pub(super) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(message, optional, tag = "2")]
    pub(super) value: Option<AnyValue>,
}

/// The value of an attribute.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AnyValue {
    #[prost(oneof = "Held", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub(super) held: Option<Held>,
}

/// What a value is.
#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Held {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Truth(bool),
    #[prost(int64, tag = "3")]
    Integer(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    Array(ArrayValue),
    #[prost(message, tag = "6")]
    Members(KeyValueList),
    #[prost(bytes = "vec", tag = "7")]
    Bytes(Vec<u8>),
}

/// A list of values.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ArrayValue {
    #[prost(message, repeated, tag = "1")]
    pub(super) values: Vec<AnyValue>,
}

/// A map of values.
#[derive(Clone, PartialEq, Message)]
pub(super) struct KeyValueList {
    #[prost(message, repeated, tag = "1")]
    pub(super) values: Vec<KeyValue>,
}

/// What an exporter is answered.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) partial_success: Option<PartialSuccess>,
}

/// What of an export was refused.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub(super) rejected_spans: i64,
    #[prost(string, tag = "2")]
    pub(super) error_message: String,
}

/// What an exporter is answered when nothing was taken: `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
}

impl Resource {
    /// Its JSON form.
    pub(super) fn json(&self) -> Value {
        set([
            ("attributes", attributes(&self.attributes)),
            count("droppedAttributesCount", self.dropped_attributes_count),
        ])
    }
}

impl Scope {
    /// Its JSON form.
    pub(super) fn json(&self) -> Value {
        set([
            ("name", text(&self.name)),
            ("version", text(&self.version)),
            ("attributes", attributes(&self.attributes)),
            count("droppedAttributesCount", self.dropped_attributes_count),
        ])
    }
}

impl Span {
    /// Its JSON form.
    pub(super) fn json(&self) -> Value {
        set([
            ("traceId", id(&self.trace_id)),
            ("spanId", id(&self.span_id)),
            ("traceState", text(&self.trace_state)),
            ("parentSpanId", id(&self.parent_span_id)),
            ("flags", number(self.flags)),
            ("name", text(&self.name)),
            ("kind", (self.kind != 0).then(|| json!(self.kind))),
            ("startTimeUnixNano", instant(self.start_time_unix_nano)),
            ("endTimeUnixNano", instant(self.end_time_unix_nano)),
            ("attributes", attributes(&self.attributes)),
            count("droppedAttributesCount", self.dropped_attributes_count),
            ("events", list(&self.events, SpanEvent::json)),
            count("droppedEventsCount", self.dropped_events_count),
            ("links", list(&self.links, Link::json)),
            count("droppedLinksCount", self.dropped_links_count),
            ("status", self.status.as_ref().map(SpanStatus::json)),
        ])
    }
}

impl SpanEvent {
    fn json(&self) -> Value {
        set([
            ("timeUnixNano", instant(self.time_unix_nano)),
            ("name", text(&self.name)),
            ("attributes", attributes(&self.attributes)),
            count("droppedAttributesCount", self.dropped_attributes_count),
        ])
    }
}

impl Link {
    fn json(&self) -> Value {
        set([
            ("traceId", id(&self.trace_id)),
            ("spanId", id(&self.span_id)),
            ("traceState", text(&self.trace_state)),
            ("attributes", attributes(&self.attributes)),
            count("droppedAttributesCount", self.dropped_attributes_count),
            ("flags", number(self.flags)),
        ])
    }
}

impl SpanStatus {
    fn json(&self) -> Value {
        set([("message", text(&self.message)), ("code", (self.code != 0).then(|| json!(self.code)))])
    }
}

impl KeyValue {
    fn json(&self) -> Value {
        set([("key", Some(json!(self.key))), ("value", self.value.as_ref().map(AnyValue::json))])
    }
}

impl AnyValue {
    fn json(&self) -> Value {
        match &self.held {
            None => json!({}),
            Some(Held::Text(text)) => json!({"stringValue": text}),
            Some(Held::Truth(truth)) => json!({"boolValue": truth}),
            Some(Held::Integer(integer)) => json!({"intValue": integer.to_string()}),
            Some(Held::Double(double)) => json!({"doubleValue": double_json(*double)}),
            Some(Held::Array(array)) => {
                json!({"arrayValue": {"values": array.values.iter().map(Self::json).collect::<Vec<_>>()}})
            }
            Some(Held::Members(members)) => {
                json!({"kvlistValue": {"values": members.values.iter().map(KeyValue::json).collect::<Vec<_>>()}})
            }
            Some(Held::Bytes(bytes)) => json!({"bytesValue": BASE64.encode(bytes)}),
        }
    }
}

/// What JSON numbers cannot say is text, as the JSON form of protobuf has it.
fn double_json(double: f64) -> Value {
    match double {
        _ if double.is_nan() => json!("NaN"),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        _ => json!(double),
    }
}

/// The members that have a value.
fn set<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let set = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(set.collect::<Map<String, Value>>())
}

fn id(bytes: &[u8]) -> Option<Value> {
    (!bytes.is_empty()).then(|| json!(hex(bytes)))
}

fn text(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| json!(text))
}

fn instant(nanoseconds: u64) -> Option<Value> {
    (nanoseconds != 0).then(|| json!(nanoseconds.to_string()))
}

fn number(number: u32) -> Option<Value> {
    (number != 0).then(|| json!(number))
}

fn count(name: &'static str, dropped: u32) -> (&'static str, Option<Value>) {
    (name, number(dropped))
}

fn attributes(attributes: &[KeyValue]) -> Option<Value> {
    list(attributes, KeyValue::json)
}

fn list<T>(items: &[T], json: impl Fn(&T) -> Value) -> Option<Value> {
    (!items.is_empty()).then(|| items.iter().map(json).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(held: Held) -> Option<AnyValue> {
        Some(AnyValue { held: Some(held) })
    }

    fn attribute(key: &str, held: Held) -> KeyValue {
        KeyValue { key: key.to_owned(), value: value(held) }
    }

    #[test]
    fn a_span_has_the_json_of_the_protocol() {
        let list = ArrayValue { values: vec![AnyValue { held: Some(Held::Truth(true)) }, AnyValue { held: None }] };
        let members = KeyValueList { values: vec![attribute("n", Held::Double(f64::INFINITY))] };
        let span = Span {
            trace_id: vec![0xab; 16],
            span_id: vec![1; 8],
            name: "execute_tool".to_owned(),
            kind: 3,
            start_time_unix_nano: 1_772_355_600_000_000_001,
            attributes: vec![
                attribute("text", Held::Text("a\"b".to_owned())),
                attribute("large", Held::Integer(i64::MAX)),
                attribute("list", Held::Array(list)),
                attribute("map", Held::Members(members)),
                attribute("bytes", Held::Bytes(vec![0xff, 0])),
            ],
            status: Some(SpanStatus { message: "no".to_owned(), code: 2 }),
            ..Span::default()
        };
        let read = Span::decode(span.encode_to_vec().as_slice()).unwrap();
        assert_eq!(read, span);
        let expected = json!({
            "traceId": "ab".repeat(16), "spanId": "01".repeat(8), "name": "execute_tool", "kind": 3,
            "startTimeUnixNano": "1772355600000000001",
            "attributes": [
                {"key": "text", "value": {"stringValue": "a\"b"}},
                {"key": "large", "value": {"intValue": "9223372036854775807"}},
                {"key": "list", "value": {"arrayValue": {"values": [{"boolValue": true}, {}]}}},
                {"key": "map", "value": {"kvlistValue": {"values": [{"key": "n", "value": {"doubleValue": "Infinity"}}]}}},
                {"key": "bytes", "value": {"bytesValue": "/wA="}},
            ],
            "status": {"message": "no", "code": 2},
        });
        assert_eq!(read.json(), expected);
        assert_eq!([f64::NAN, f64::NEG_INFINITY, 0.5].map(double_json), [json!("NaN"), json!("-Infinity"), json!(0.5)]);
    }

    #[test]
    fn an_answer_without_anything_refused_is_empty() {
        assert!(ExportResponse { partial_success: None }.encode_to_vec().is_empty());
    }

    #[test]
    fn values_within_values_without_end_are_refused() {
        let mut nested = AnyValue { held: Some(Held::Truth(true)) };
        for _ in 0..200 {
            nested = AnyValue { held: Some(Held::Array(ArrayValue { values: vec![nested] })) };
        }
        assert!(AnyValue::decode(nested.encode_to_vec().as_slice()).is_err());
    }
}
