//! OpenTelemetry traces: what an OTLP/HTTP exporter sends becomes events.
//!
//! In: exports of spans as JSON or protobuf, packed or not. Out: the answer of the protocol in the form of the request.
//! A mapping makes the events, `otel_genai` unless the server was started with another; it reads one document a span,
//! with resource and scope repeated, so that an export of any number of spans fits into the bound of a record.
//! Invariants: answered once everything is durable; the same export again stores nothing; spans that are refused are
//! counted in the answer and stand in the quarantine. Busy is 429 and a failing store 503, which exporters take for
//! "again".
//!
//! A span that is longer than a record may be is sent without its messages: prompts, answers and the events of the span.
//! Spans of one trace that come in different requests do not know of each other; send whole traces where the mapping
//! reads more than one span.

use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use prost::Message;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::asking::{Asked, JSON, Misfit};
use super::otlp_proto::{ExportRequest, ExportResponse, PartialSuccess, RpcStatus};
use super::received::{Received, Shown, Taken, mapped, media_type, take};
use crate::access::role::May;
use crate::error::{Error, Result};
use crate::ingest::decode::Incoming;
use crate::ingest::spool::Shape;
use crate::limits::{EVENTS_BODY_BYTES, RECORD_BYTES, SPANS_BYTES};
use crate::server::caller::Caller;
use crate::server::problem::{Problem, Reply, Told, within};
use crate::server::route::{About, Answer, Body, Param, Place, Route};
use crate::server::state::App;
use crate::store::object::Location;

const PROTOBUF: &str = "application/x-protobuf";
/// How refusals name the spans of an export.
const FILE: &str = "otlp";
/// Attributes that hold what was said to a model and by it, which makes spans long.
const MESSAGES: [&str; 14] = [
    "gen_ai.completion",
    "gen_ai.input.messages",
    "gen_ai.output",
    "gen_ai.output.messages",
    "gen_ai.prompt",
    "gen_ai.retrieval.documents",
    "gen_ai.retrieval.query.text",
    "gen_ai.system_instructions",
    "gen_ai.tool.call.result",
    "gen_ai.tool.definitions",
    "input.value",
    "llm.input_messages",
    "llm.output_messages",
    "output.value",
];

const ABOUT: About = About {
    summary: "Store OpenTelemetry spans as events (OTLP/HTTP); answered once they are durable, and safe to repeat.",
    params: &[Param {
        name: "Content-Encoding",
        place: Place::Header,
        is_required: false,
        schema: "string",
        note: "gzip or identity; the bound counts unpacked bytes too",
    }],
    body: Some(Body { types: &[JSON, PROTOBUF], schema: "", note: "an ExportTraceServiceRequest" }),
    answers: &[
        Answer {
            status: 200,
            types: &[JSON, PROTOBUF],
            schema: "OtlpAnswer",
            note: "an ExportTraceServiceResponse; `partialSuccess` tells how many spans were refused",
        },
        failure(400, "the body is no export of spans; do not send it again"),
        failure(413, "the body is too long; send it in parts"),
        failure(429, "too much waits to be written; send it again after Retry-After seconds"),
        failure(503, "the store fails or the server ends; send it again after Retry-After seconds"),
    ],
};

/// What went wrong, as the protocol says it.
const fn failure(status: u16, note: &'static str) -> Answer {
    Answer { status, types: &[JSON, PROTOBUF], schema: "OtlpStatus", note }
}

/// The routes of this file: the address of its own, and the one that exporters append to a plain host.
pub fn routes() -> Vec<Route> {
    ["/v1/otlp/v1/traces", "/v1/traces"]
        .map(|path| Route::post(path, Some(May::Write), traces).body_limit(EVENTS_BODY_BYTES).about(ABOUT))
        .into()
}

/// The form of a request, and of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Protobuf,
}

async fn traces(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    asked: Asked,
    received: std::result::Result<Received, Problem>,
) -> Reply {
    let form = match media_type(&headers).as_str() {
        JSON => Form::Json,
        PROTOBUF => Form::Protobuf,
        _ => {
            let words = format!("the Content-Type is neither {JSON} nor {PROTOBUF}");
            return Err(Error::invalid(words).because(Misfit::Body).into());
        }
    };
    let taken = match received {
        Ok(received) => stored(&app, &caller, asked, (received, form)).await.map_err(Problem),
        Err(problem) => Err(problem),
    };
    Ok(match taken {
        Ok(taken) => told(form, &taken),
        Err(problem) => failed(form, problem, &app.setup().location),
    })
}

async fn stored(app: &App, caller: &Caller, asked: Asked, (received, form): (Received, Form)) -> Result<Taken> {
    asked.only(&[])?;
    let splitting = tokio::task::spawn_blocking(move || match form {
        Form::Json => of_json(&received.bytes),
        Form::Protobuf => of_protobuf(&received.bytes),
    });
    let lines = splitting.await.map_err(|e| Error::internal("reading spans died").because(e))??;
    if lines.is_empty() {
        return take(caller, Incoming::only_refused(Vec::new()), Shown::Refused).await;
    }
    let source = (lines.into(), Shape::Json);
    let incoming = mapped(source, FILE, app.otlp_mapping(), caller.tenant.store().clock()).await?;
    take(caller, incoming, Shown::Refused).await
}

/// Documents of one span each, one a line.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    /// Adds a span with its resource and scope, each JSON.
    fn add(&mut self, resource: &str, scope: &str, span: &str) -> Result<()> {
        let document = |span: &str| {
            format!(
                "{{\"resourceSpans\":[{{\"resource\":{resource},\"scopeSpans\":[{{\"scope\":{scope},\"spans\":[{span}]}}]}}]}}"
            )
        };
        let mut line = document(span);
        if line.len() > RECORD_BYTES
            && let Some(short) = without_messages(span)
        {
            line = document(&short);
        }
        if self.0.len() + line.len() > SPANS_BYTES {
            return Err(Error::limit(format!(
                "the export becomes more than {SPANS_BYTES} bytes when each span stands alone; send it in parts"
            )));
        }
        // Line ends stand between the parts of a document only: in a text they are escaped.
        self.0.extend(line.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
        self.0.push(b'\n');
        Ok(())
    }
}

/// A span without what was said in it; none where it is no object.
fn without_messages(span: &str) -> Option<String> {
    let mut span: Value = serde_json::from_str(span).ok()?;
    let members = span.as_object_mut()?;
    members.remove("events");
    if let Some(attributes) = members.get_mut("attributes").and_then(Value::as_array_mut) {
        attributes.retain(|attribute| attribute["key"].as_str().is_none_or(|key| !MESSAGES.contains(&key)));
    }
    Some(span.to_string())
}

/// An export as JSON, its parts as they were sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Export<'a> {
    #[serde(borrow, default)]
    resource_spans: Option<Vec<OfResource<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfResource<'a> {
    #[serde(borrow, default)]
    resource: Option<&'a RawValue>,
    #[serde(borrow, default)]
    scope_spans: Option<Vec<OfScope<'a>>>,
}

#[derive(Deserialize)]
struct OfScope<'a> {
    #[serde(borrow, default)]
    scope: Option<&'a RawValue>,
    #[serde(borrow, default)]
    spans: Option<Vec<&'a RawValue>>,
}

fn of_json(body: &[u8]) -> Result<Vec<u8>> {
    let wrong = |at: String| Error::invalid(format!("the body is no export of spans as OTLP/JSON has it{at}"));
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(wrong("; it is one object with `resourceSpans`".to_owned()));
    }
    let export: Export<'_> = serde_json::from_slice(body)
        .map_err(|e| wrong(format!(", from line {}, column {} on", e.line(), e.column())))?;
    let of = |value: Option<&RawValue>| value.map_or("{}", RawValue::get).to_owned();
    let mut lines = Lines::default();
    for of_resource in export.resource_spans.unwrap_or_default() {
        let resource = of(of_resource.resource);
        for of_scope in of_resource.scope_spans.unwrap_or_default() {
            let scope = of(of_scope.scope);
            for span in of_scope.spans.unwrap_or_default() {
                lines.add(&resource, &scope, span.get())?;
            }
        }
    }
    Ok(lines.0)
}

fn of_protobuf(body: &[u8]) -> Result<Vec<u8>> {
    let export = ExportRequest::decode(body)
        .map_err(|_| Error::invalid("the body is no ExportTraceServiceRequest; is it cut off, or another signal?"))?;
    let mut lines = Lines::default();
    for of_resource in &export.resource_spans {
        let resource = of_resource.resource.as_ref().map_or_else(|| json!({}), |resource| resource.json()).to_string();
        for of_scope in &of_resource.scope_spans {
            let scope = of_scope.scope.as_ref().map_or_else(|| json!({}), |scope| scope.json()).to_string();
            for span in &of_scope.spans {
                lines.add(&resource, &scope, &span.json().to_string())?;
            }
        }
    }
    Ok(lines.0)
}

/// The answer to an export that was taken in.
fn told(form: Form, taken: &Taken) -> Response {
    let (rejected, reasons) = taken.refusals();
    let message = reasons.join("; ");
    match (form, rejected) {
        // Where nothing was refused the protocol has the field unset.
        (Form::Json, 0) => ([(CONTENT_TYPE, JSON)], "{}".to_owned()).into_response(),
        (Form::Json, _) => {
            let partial = json!({"rejectedSpans": rejected.to_string(), "errorMessage": message});
            ([(CONTENT_TYPE, JSON)], json!({"partialSuccess": partial}).to_string()).into_response()
        }
        (Form::Protobuf, _) => {
            let partial = PartialSuccess { rejected_spans: rejected as i64, error_message: message };
            let response = ExportResponse { partial_success: (rejected > 0).then_some(partial) };
            ([(CONTENT_TYPE, PROTOBUF)], response.encode_to_vec()).into_response()
        }
    }
}

/// What went wrong, as the protocol says it: status and headers of the problem, a `google.rpc.Status` as the body, which
/// tells as little of where `store` lies as the document of a problem.
fn failed(form: Form, problem: Problem, store: &Location) -> Response {
    let problem = within(problem.into_response(), store);
    let message = problem.extensions().get::<Told>().map(|told| told.message.clone()).unwrap_or_default();
    let status = RpcStatus { code: rpc_code(problem.status()), message };
    let (media_type, body) = match form {
        Form::Json => (JSON, json!({"code": status.code, "message": status.message}).to_string().into_bytes()),
        Form::Protobuf => (PROTOBUF, status.encode_to_vec()),
    };
    let (mut parts, _) = problem.into_parts();
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    Response::from_parts(parts, body.into())
}

/// The code of `google.rpc.Code` that a status stands for.
fn rpc_code(status: StatusCode) -> i32 {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE => 3,
        StatusCode::NOT_FOUND => 5,
        StatusCode::FORBIDDEN => 7,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS => 8,
        StatusCode::CONFLICT => 10,
        StatusCode::SERVICE_UNAVAILABLE => 14,
        _ => 13,
    }
}

#[cfg(test)]
mod tests {
    use super::super::otlp_proto::{AnyValue, Held, KeyValue, Resource, ResourceSpans, ScopeSpans, Span};
    use super::*;

    fn documents(lines: &[u8]) -> Vec<Value> {
        lines
            .split(|byte| *byte == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| serde_json::from_slice(l).unwrap())
            .collect()
    }

    #[test]
    fn each_span_stands_alone_with_its_resource_and_scope() {
        let body = r#"{"resourceSpans": [
            {"resource": {"attributes": [
                {"key": "service.name", "value": {"stringValue": "a"}}]},
             "scopeSpans": [{"scope": {"name": "lib"}, "spans": [{"spanId": "01", "startTimeUnixNano": "1"},
                                                                 {"spanId": "02", "big": 12345678901234567890123}]},
                            {"spans": [{"spanId": "03"}]}]},
            {"scopeSpans": null}, {}]}"#;
        let lines = of_json(body.as_bytes()).unwrap();
        assert!(String::from_utf8_lossy(&lines).contains("12345678901234567890123"), "digits stay as they were sent");
        let found = documents(&lines);
        let ids: Vec<&str> =
            found.iter().filter_map(|d| d.pointer("/resourceSpans/0/scopeSpans/0/spans/0/spanId")?.as_str()).collect();
        assert_eq!(ids, ["01", "02", "03"]);
        let scope = |d: &Value| d.pointer("/resourceSpans/0/scopeSpans/0/scope").cloned();
        assert_eq!(
            found.iter().map(scope).collect::<Vec<_>>(),
            [Some(json!({"name": "lib"})), Some(json!({"name": "lib"})), Some(json!({}))]
        );
        assert!(of_json(b"{}").unwrap().is_empty());
        for bad in ["", "[]", "{\"resourceSpans\": 1}", "{\"resourceSpans\": [{\"scopeSpans\": [{\"spans\": [{]}]}]}"] {
            let message = of_json(bad.as_bytes()).unwrap_err().to_string();
            assert!(message.contains("OTLP/JSON"), "{message}");
        }
    }

    #[test]
    fn protobuf_and_json_of_the_same_export_give_the_same_lines() {
        let attribute = |key: &str, text: &str| {
            let value = Some(AnyValue { held: Some(Held::Text(text.to_owned())) });
            KeyValue { key: key.to_owned(), value }
        };
        let span = Span { span_id: vec![1; 8], name: "x\ny".to_owned(), ..Span::default() };
        let resource = Resource { attributes: vec![attribute("service.name", "a")], ..Resource::default() };
        let scopes = vec![ScopeSpans { spans: vec![span.clone()], ..ScopeSpans::default() }];
        let of_resource = ResourceSpans { resource: Some(resource), scope_spans: scopes, ..ResourceSpans::default() };
        let export = ExportRequest { resource_spans: vec![of_resource] };
        let json = json!({"resourceSpans": [{
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "a"}}]},
            "scopeSpans": [{"scope": {}, "spans": [span.json()]}],
        }]});
        let by_protobuf = of_protobuf(&export.encode_to_vec()).unwrap();
        assert_eq!(documents(&by_protobuf), documents(&of_json(json.to_string().as_bytes()).unwrap()));
        assert!(of_protobuf(b"\xff\xff\xff").is_err());
    }

    #[test]
    fn a_span_that_is_too_long_is_kept_without_its_messages() {
        let attribute = |key: &str, text: &str| json!({"key": key, "value": {"stringValue": text}});
        let long = "x".repeat(RECORD_BYTES);
        let span = json!({
            "spanId": "01", "events": [{"name": long}],
            "attributes": [attribute("gen_ai.tool.name", "update"), attribute("gen_ai.input.messages", &long)],
        });
        let export = |span: &Value| json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).to_string();
        let found = documents(&of_json(export(&span).as_bytes()).unwrap());
        let kept = found[0].pointer("/resourceSpans/0/scopeSpans/0/spans/0").unwrap();
        assert_eq!(*kept, json!({"spanId": "01", "attributes": [attribute("gen_ai.tool.name", "update")]}));
        let short = json!({"spanId": "01", "events": [], "attributes": [attribute("gen_ai.input.messages", "hi")]});
        let found = documents(&of_json(export(&short).as_bytes()).unwrap());
        assert_eq!(*found[0].pointer("/resourceSpans/0/scopeSpans/0/spans/0").unwrap(), short);
    }

    #[test]
    fn a_failure_is_a_status_in_the_form_of_the_request() {
        for form in [Form::Json, Form::Protobuf] {
            let response = failed(form, Problem(Error::unavailable("the disk is full")), &Location::memory());
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(response.headers().contains_key("retry-after"));
            let expected = if form == Form::Json { JSON } else { PROTOBUF };
            assert_eq!(response.headers()[CONTENT_TYPE], expected);
        }
        assert_eq!(rpc_code(StatusCode::SERVICE_UNAVAILABLE), 14);
    }

    #[tokio::test]
    async fn a_failure_tells_where_the_store_lies_to_the_log_only() {
        let store = Location { directory: Some("/srv/store".into()), ..Location::memory() };
        for form in [Form::Json, Form::Protobuf] {
            let lost = Error::unavailable("cannot write /srv/store/tenants/t/journal/7");
            let response = failed(form, Problem(lost), &store);
            let hidden = response.extensions().get::<Told>().and_then(|told| told.hidden.clone());
            assert!(hidden.is_some_and(|text| text.contains("/srv/store")));
            let body = axum::body::to_bytes(response.into_body(), 1_000).await.unwrap();
            let message = match form {
                Form::Json => serde_json::from_slice::<Value>(&body).unwrap()["message"].as_str().map(str::to_owned),
                Form::Protobuf => RpcStatus::decode(body).ok().map(|status| status.message),
            };
            assert_eq!(message.as_deref(), Some("cannot write tenants/t/journal/7"));
        }
    }
}
