//! `/openapi.json`: the API as OpenAPI 3.1, made from the routes themselves.
//!
//! In: every route of the server with what it says of itself, and `schemas.json`. Out: one JSON document. Invariant:
//! there is no second list of routes: what is not served is not documented, and what is served for programs is. A test
//! holds that every name resolves.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use super::asking::JSON;
use crate::access::role::{May, Role};
use crate::error::{Error, Result};
use crate::server::problem::{PROBLEM_TYPE, Reply};
use crate::server::route::{About, Answer, Body, Kind, Param, Place, Route};

const PATH: &str = "/openapi.json";
/// JSON Schemas of all bodies and answers by name.
const SCHEMAS: &str = include_str!("../schemas.json");
/// Where a name of a schema leads.
const SCHEMA_ROOT: &str = "#/components/schemas/";
/// What is said of an answer whose route says nothing of it.
const UNSAID: &str = "The answer.";

const ABOUT: About = About {
    summary: "This document: the API as OpenAPI 3.1.",
    params: &[],
    body: None,
    answers: &[Answer { status: 200, types: &[JSON], schema: "", note: "An OpenAPI 3.1 document." }],
};

/// The route of this document. It tells of the program and of no evidence, so that reading it is not stated.
pub fn routes() -> Vec<Route> {
    vec![Route::get(PATH, Some(May::Read), openapi).about(ABOUT)]
}

async fn openapi() -> Reply {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = match TEXT.get() {
        Some(text) => text,
        None => {
            let made = document(&crate::server::routes())?.to_string();
            TEXT.get_or_init(|| made)
        }
    };
    Ok(([(CONTENT_TYPE, JSON)], text.as_str()).into_response())
}

/// The document of `routes`.
///
/// # Errors
/// When `schemas.json` is no JSON object, which a test rules out.
pub fn document(routes: &[Route]) -> Result<Value> {
    let schemas: Map<String, Value> =
        serde_json::from_str(SCHEMAS).map_err(|e| Error::internal("schemas.json is no JSON object").because(e))?;
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for route in routes.iter().filter(|route| route.kind == Kind::Api) {
        let method = route.method.as_str().to_ascii_lowercase();
        paths.entry(plain_path(route.path)).or_default().insert(method, operation(route));
    }
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Probity",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {"problem": problem()},
            "securitySchemes": {
                "bearer": {
                    "type": "http", "scheme": "bearer",
                    "description": "A token of `probity token create`. It names the tenant and the role.",
                },
                "session": {
                    "type": "apiKey", "in": "cookie", "name": "probity_session",
                    "description": "The session of the pages, which a login with a token begins; under TLS the cookie \
                                    is `__Host-probity_session`.",
                },
            },
        },
    }))
}

/// What every caller has to know.
const INTRODUCTION: &str = "The evidence engine for AI agents that change business records.\n\n\
    The tenant comes from the token, never from the request. Every read is written into the evidence as \
    `evidence.queried` before the answer leaves. Sealed values (old_value, new_value, error, comment, extra and what \
    is made of them) are absent for tokens that do not see them; such a document says `\"sealed\": \"withheld\"`. \
    Errors are problem documents (RFC 9457); 429 and 503 carry Retry-After. Long work answers 202 and goes on: ask \
    the same address again.";

/// A path as OpenAPI writes it.
fn plain_path(path: &str) -> String {
    path.replace("{*", "{")
}

fn operation(route: &Route) -> Value {
    let About { summary, params, body, answers } = route.about;
    let mut operation = Map::new();
    operation.insert("operationId".to_owned(), operation_id(route).into());
    operation.insert("tags".to_owned(), json!([tag(route.path)]));
    operation.insert("summary".to_owned(), summary.into());
    operation.insert("description".to_owned(), who(route.needs).into());
    if route.needs.is_none() {
        operation.insert("security".to_owned(), json!([]));
    }
    if !params.is_empty() {
        operation.insert("parameters".to_owned(), params.iter().map(parameter).collect());
    }
    if let Some(body) = body {
        operation.insert("requestBody".to_owned(), request_body(&body, route.body_bytes));
    }
    operation.insert("responses".to_owned(), responses(answers));
    Value::Object(operation)
}

/// Method and path in one word.
fn operation_id(route: &Route) -> String {
    let words = route.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty() && *word != "v1");
    let words: Vec<&str> = words.collect();
    format!("{}_{}", route.method.as_str().to_ascii_lowercase(), words.join("_"))
}

/// What a path is about: its first word.
fn tag(path: &str) -> &str {
    let path = path.strip_prefix("/v1").unwrap_or(path).trim_start_matches('/');
    path.split(['/', '.']).next().unwrap_or(path)
}

/// Who may ask.
fn who(needs: Option<May>) -> String {
    let Some(needs) = needs else { return "Open to everybody.".to_owned() };
    let roles: Vec<&str> = Role::ALL.into_iter().filter(|role| role.may(needs)).map(Role::word).collect();
    format!("Needs the right to {}: role {}.", needs.word(), roles.join(", "))
}

fn parameter(param: &Param) -> Value {
    let place = match param.place {
        Place::Path => "path",
        Place::Query => "query",
        Place::Header => "header",
    };
    json!({
        "name": param.name, "in": place, "required": param.is_required, "description": param.note,
        "schema": schema_of(param.schema),
    })
}

/// The schema that a word means: a plain type, or one of `schemas.json`; everything where it says nothing.
fn schema_of(word: &str) -> Value {
    match word {
        "" => json!({}),
        "string" => json!({"type": "string"}),
        "boolean" => json!({"type": "boolean"}),
        "int64" => json!({"type": "integer", "format": "int64"}),
        "timestamp" => json!({"type": "string", "format": "date-time"}),
        "date" => json!({"type": "string", "format": "date"}),
        name => json!({"$ref": format!("{SCHEMA_ROOT}{name}")}),
    }
}

/// The media types with their schema, which is that of what is written in JSON.
fn content(types: &[&str], schema: &str) -> Value {
    let of = |media_type: &&str| {
        let is_json = media_type.ends_with("json") && !media_type.contains("ndjson");
        let held = match (is_json, media_type.starts_with("text/")) {
            (true, _) => json!({"schema": schema_of(schema)}),
            (false, true) => json!({"schema": {"type": "string"}}),
            (false, false) => json!({}),
        };
        ((*media_type).to_owned(), held)
    };
    Value::Object(types.iter().map(of).collect())
}

fn request_body(body: &Body, bytes: usize) -> Value {
    let note = body.note.strip_suffix('.').unwrap_or(body.note);
    let description = format!("{note}. At most {bytes} bytes.");
    json!({"description": description, "required": true, "content": content(body.types, body.schema)})
}

/// The answers by status; several of one status hold what each holds. Every route may answer with a problem.
fn responses(answers: &[Answer]) -> Value {
    let mut responses: BTreeMap<String, Value> = BTreeMap::new();
    for answer in answers {
        let entry = responses.entry(answer.status.to_string()).or_insert_with(|| json!({"description": ""}));
        let said = entry["description"].as_str().unwrap_or_default().to_owned();
        let notes: Vec<&str> = [said.as_str(), answer.note].into_iter().filter(|note| !note.is_empty()).collect();
        entry["description"] = if notes.is_empty() { UNSAID.into() } else { notes.join(" ").into() };
        if let (Value::Object(types), false) = (content(answer.types, answer.schema), answer.types.is_empty()) {
            let mut known = entry["content"].as_object().cloned().unwrap_or_default();
            known.extend(types);
            entry["content"] = Value::Object(known);
        }
        if matches!(answer.status, 429 | 503) {
            entry["headers"] = json!({"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}});
        }
        if answer.status == 202 {
            entry["headers"] = json!({
                "Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}},
                "Location": {"description": "Where to ask again.", "schema": {"type": "string"}},
            });
        }
    }
    responses.insert("default".to_owned(), json!({"$ref": "#/components/responses/problem"}));
    json!(responses)
}

/// The answer to what went wrong.
fn problem() -> Value {
    json!({
        "description": "What went wrong, and what to do. 400: change the request. 401: send a token. 403: this token \
                        may not. 404: there is no such thing. 406: accept another form. 409: somebody was first, read \
                        again. 413: ask for less. 415: send another type of body. 429 and 503: come again after \
                        Retry-After seconds. 500: stop and look at the server.",
        "headers": {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}},
        "content": {PROBLEM_TYPE: {"schema": schema_of("Problem")}},
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn whole() -> (Vec<Route>, Value) {
        let routes = crate::server::routes();
        let document = document(&routes).unwrap();
        (routes, document)
    }

    /// Every `$ref` of `value`.
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_resolves_and_every_schema_is_used() {
        let (_, document) = whole();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for reference in &found {
            let pointer =
                reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads out of the document"));
            assert!(
                document.pointer(pointer).is_some(),
                "{reference} leads nowhere; add it to src/server/schemas.json"
            );
        }
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(
                found.contains(&format!("{SCHEMA_ROOT}{name}")),
                "nothing uses the schema `{name}` of schemas.json"
            );
        }
    }

    #[test]
    fn every_route_for_programs_is_documented_once() {
        let (routes, document) = whole();
        let (mut operations, mut served) = (0, BTreeSet::new());
        for route in routes.iter().filter(|route| route.kind == Kind::Api) {
            let method = route.method.as_str().to_ascii_lowercase();
            let operation = &document["paths"][plain_path(route.path)][&method];
            assert!(served.insert((route.path, method.clone())), "{method} {} is served twice", route.path);
            assert_eq!(operation["operationId"], operation_id(route));
            assert!(
                operation["summary"].as_str().is_some_and(|s| !s.is_empty()),
                "{method} {} says nothing",
                route.path
            );
            let answers = operation["responses"].as_object().unwrap();
            assert!(answers.len() > 1, "{method} {} names no answer but a problem", route.path);
        }
        for path in document["paths"].as_object().unwrap().values() {
            operations += path.as_object().unwrap().len();
        }
        assert_eq!(operations, served.len());
    }

    #[test]
    fn operation_ids_are_unique() {
        let (routes, _) = whole();
        let ids: Vec<String> = routes.iter().filter(|route| route.kind == Kind::Api).map(operation_id).collect();
        let distinct: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len(), "{ids:?}");
    }

    #[test]
    fn the_parameters_of_a_path_are_those_that_are_described() {
        for route in crate::server::routes().iter().filter(|route| route.kind == Kind::Api) {
            let path = plain_path(route.path);
            let named: BTreeSet<&str> = path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
            let params = route.about.params.iter();
            let described: BTreeSet<&str> = params
                .filter(|param| param.place == Place::Path && param.is_required)
                .map(|param| param.name)
                .collect();
            assert_eq!(named, described, "{} {}", route.method, route.path);
        }
    }

    #[test]
    fn who_may_ask_is_said_by_roles() {
        assert_eq!(who(None), "Open to everybody.");
        let said = request_body(&Body { types: &[JSON], schema: "", note: "A note." }, 7);
        assert_eq!(said["description"], "A note. At most 7 bytes.");
        assert_eq!(who(Some(May::Respond)), "Needs the right to respond: role responder, admin.");
        assert_eq!((tag("/v1/incidents/{id}"), tag("/healthz"), tag(PATH)), ("incidents", "healthz", "openapi"));
    }
}
