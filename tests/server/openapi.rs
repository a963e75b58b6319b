//! The OpenAPI document: complete, and true of what the routes answer.

use std::collections::BTreeSet;

use probity::server::route::Kind;
use serde_json::Value;

use super::matrix::{finished, request};
use super::world::World;
use crate::support::http::Request;

fn document(world: &World) -> Value {
    let answer = world.served.ask(&Request::get("/openapi.json").by(world.token("analyst"))).is(200);
    assert!(answer.header("content-type").starts_with("application/json"));
    answer.json()
}

/// The path as the document writes it: a rest of a path is a parameter like any other.
fn written(path: &str) -> String {
    path.replace("{*", "{")
}

#[test]
fn it_has_every_route_once_and_every_reference_leads_somewhere() {
    let world = World::empty(&[]);
    let document = document(&world);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut documented = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys().filter(|name| *name != "parameters") {
            documented.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let routes = probity::server::routes();
    let api = routes.iter().filter(|route| route.kind == Kind::Api);
    let missing: Vec<String> = api
        .map(|route| format!("{} {}", route.method, written(route.path)))
        .filter(|line| !documented.contains(line))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    let mut references = Vec::new();
    collect(&document, &mut references);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    for scheme in ["http", "apiKey"] {
        let schemes = document["components"]["securitySchemes"].as_object().unwrap();
        assert!(schemes.values().any(|given| given["type"] == scheme), "{scheme}");
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            references.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| collect(member, references));
        }
        Value::Array(members) => members.iter().for_each(|member| collect(member, references)),
        _ => {}
    }
}

#[test]
fn every_route_answers_with_a_status_and_a_type_that_it_documents() {
    let world = World::full();
    let document = document(&world);
    for route in probity::server::routes().iter().filter(|route| route.kind == Kind::Api) {
        let answer = finished(&world, &request(&world, route).by(world.token("admin")));
        let operation = &document["paths"][written(route.path)][route.method.as_str().to_lowercase()];
        let place = format!("{} {}", route.method, route.path);
        let own = &operation["responses"][answer.status.to_string()];
        assert!(answer.status < 500, "{place}: {}", answer.text());
        assert!(own.is_object() || answer.status >= 400, "{place}: {} {}", answer.status, answer.text());
        assert!(operation["responses"]["default"].is_object(), "{place}");
        let given = answer.header("content-type").split(';').next().unwrap();
        if let Some(types) = own["content"].as_object().filter(|types| !types.is_empty()) {
            assert!(types.contains_key(given), "{place} {}: {given} is none of {:?}", answer.status, types.keys());
        }
        if answer.status >= 400 {
            assert_eq!(given, "application/problem+json", "{place}: {}", answer.text());
        }
        if own["content"][given]["schema"].is_object() && given == "application/json" {
            let mut wrong = Vec::new();
            check(&document, &own["content"][given]["schema"], &answer.json(), &mut (String::new(), &mut wrong));
            assert!(wrong.is_empty(), "{place}: {wrong:?}\n{}", answer.text());
        }
    }
}

/// Compares a value with the part of JSON Schema that our documents use; what is wrong is told with its place.
fn check(document: &Value, schema: &Value, value: &Value, at: &mut (String, &mut Vec<String>)) {
    if let Some(reference) = schema["$ref"].as_str() {
        return check(document, document.pointer(&reference[1..]).unwrap(), value, at);
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !types.is_empty() && !types.iter().any(|name| is_of_type(name, value)) {
        return at.1.push(format!("{}: {value} is no {types:?}", at.0));
    }
    for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.is_object() && value.get(required).is_none() {
            at.1.push(format!("{}: `{required}` is missing", at.0));
        }
    }
    if let Some(allowed) = schema["enum"].as_array().filter(|allowed| !allowed.contains(value)) {
        at.1.push(format!("{}: {value} is none of {allowed:?}", at.0));
    }
    let members = value.as_object().into_iter().flatten();
    for (name, member) in members {
        if schema["properties"][name].is_object() {
            within(document, &schema["properties"][name], (name, member), at);
        }
    }
    if schema["items"].is_object() {
        for (place, member) in value.as_array().into_iter().flatten().enumerate() {
            within(document, &schema["items"], (&place.to_string(), member), at);
        }
    }
}

fn within(document: &Value, schema: &Value, (name, value): (&str, &Value), at: &mut (String, &mut Vec<String>)) {
    let length = at.0.len();
    at.0 += &format!("/{name}");
    check(document, schema, value, at);
    at.0.truncate(length);
}

fn is_of_type(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type of JSON Schema: {other}"),
    }
}
