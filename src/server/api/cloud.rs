//! CloudEvents in the binary form of HTTP: the attributes are headers, the body is the data.
//!
//! In: the headers and the body of a request. Out: the same event in its structured form, which is read like any other.
//! Invariants: the data stays as it was sent, to the byte; an attribute is decoded once, as the binding of CloudEvents
//! 1.0 to HTTP says. What an attribute may hold is decided where events are read.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue};
use serde_json::value::{RawValue, to_raw_value};

use super::asking::{JSON, Misfit};
use crate::error::{Error, Result};

/// What the names of headers with attributes begin with.
const PREFIX: &str = "ce-";
/// The header that says that there are attributes.
const VERSION: &str = "ce-specversion";
/// What the media types of structured events begin with: headers beside them are copies.
const STRUCTURED: &str = "application/cloudevents";

/// Whether the body of a request is the data of a CloudEvent whose attributes are headers.
pub(super) fn is_binary(headers: &HeaderMap, media_type: &str) -> bool {
    headers.contains_key(VERSION) && !media_type.starts_with(STRUCTURED)
}

/// The event of such a request as one JSON document.
///
/// # Errors
/// Invalid when an attribute is given twice or is no text, or the data is no JSON, by [`Misfit::Body`] where it does not
/// say that it is.
pub(super) fn structured(headers: &HeaderMap, media_type: &str, body: &[u8]) -> Result<Bytes> {
    let mut members: BTreeMap<String, Box<RawValue>> = BTreeMap::new();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix(PREFIX) else { continue };
        let text = to_raw_value(&attribute(name, value)?).map_err(unwritable)?;
        if members.insert(name.to_owned(), text).is_some() {
            return Err(Error::invalid(format!("the header {PREFIX}{name} is given twice")));
        }
    }
    if members.contains_key("data") || members.contains_key("data_base64") {
        return Err(Error::invalid("the data of a CloudEvent in binary form is the body; send no header for it"));
    }
    if !body.trim_ascii().is_empty() {
        if !is_json(media_type) {
            let words = "the data of a CloudEvent is read as JSON alone; send it with Content-Type: application/json";
            return Err(Error::invalid(words).because(Misfit::Body));
        }
        let data: Box<RawValue> = serde_json::from_slice(body)
            .map_err(|e| Error::invalid("the body, which is the data of a CloudEvent, is no JSON").because(e))?;
        members.insert("data".to_owned(), data);
    }
    serde_json::to_vec(&members).map(Bytes::from).map_err(unwritable)
}

fn unwritable(cause: serde_json::Error) -> Error {
    Error::internal("a CloudEvent cannot be written as JSON").because(cause)
}

fn is_json(media_type: &str) -> bool {
    media_type == JSON || media_type == "text/json" || media_type.ends_with("+json")
}

/// The text of an attribute: without the quotes around it, percent-decoded once.
fn attribute(name: &str, value: &HeaderValue) -> Result<String> {
    let bytes = unquoted(value.as_bytes());
    let mut text = Vec::with_capacity(bytes.len());
    let mut rest = bytes.as_slice();
    while let Some((byte, behind)) = rest.split_first() {
        let escaped = match (byte, behind) {
            (b'%', [high, low, behind @ ..]) => of_hex(*high, *low).map(|byte| (byte, behind)),
            _ => None,
        };
        let (byte, behind) = escaped.unwrap_or((*byte, behind));
        text.push(byte);
        rest = behind;
    }
    String::from_utf8(text)
        .map_err(|_| Error::invalid(format!("the header {PREFIX}{name} is no percent-encoded UTF-8")))
}

/// What stands in a pair of double quotes, where the value has one.
fn unquoted(value: &[u8]) -> Vec<u8> {
    let [b'"', inner @ .., b'"'] = value else { return value.to_vec() };
    let (mut text, mut is_escaped) = (Vec::with_capacity(inner.len()), false);
    for byte in inner {
        is_escaped = *byte == b'\\' && !is_escaped;
        if !is_escaped {
            text.push(*byte);
        }
    }
    text
}

fn of_hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;
    use serde_json::{Value, json};

    use super::*;

    fn read(headers: &[(&'static str, &str)], media_type: &str, body: &str) -> Result<Value> {
        let mut map = HeaderMap::new();
        for &(name, value) in headers {
            map.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        assert!(is_binary(&map, media_type) && !is_binary(&map, "application/cloudevents+json"));
        let bytes = structured(&map, media_type, body.as_bytes())?;
        Ok(serde_json::from_slice(&bytes).unwrap())
    }

    #[test]
    fn attributes_are_members_beside_the_data() {
        let headers = [
            ("ce-specversion", "1.0"),
            ("ce-id", "a%20b%E2%82%AC 100%"),
            ("ce-source", r#""quoted \"x\" \\""#),
            ("content-language", "de"),
        ];
        let told = read(&headers, "application/json", r#" {"amount": 1.50} "#).unwrap();
        let expected = json!({
            "specversion": "1.0", "id": "a b\u{20ac} 100%", "source": r#"quoted "x" \"#, "data": {"amount": 1.50},
        });
        assert_eq!(told, expected);
        assert_eq!(read(&headers[..1], "", " ").unwrap(), json!({"specversion": "1.0"}));
    }

    #[test]
    fn data_stays_as_it_was_sent() {
        let mut headers = HeaderMap::new();
        headers.insert("ce-specversion", HeaderValue::from_static("1.0"));
        let bytes = structured(&headers, "application/json", br#"{"n":12345678901234567890.10,"n":1}"#).unwrap();
        assert_eq!(bytes, br#"{"data":{"n":12345678901234567890.10,"n":1},"specversion":"1.0"}"#.as_slice());
    }

    #[test]
    fn what_is_no_such_event_is_refused() {
        let version = ("ce-specversion", "1.0");
        for (headers, media_type, body, words) in [
            (vec![version, ("ce-id", "1"), ("ce-id", "2")], "", "", "twice"),
            (vec![version, ("ce-id", "%FF")], "", "", "UTF-8"),
            (vec![version, ("ce-data", "{}")], "", "", "is the body"),
            (vec![version], "application/json", "{", "no JSON"),
            (vec![version], "text/plain", "x", "Content-Type"),
        ] {
            let refused = read(&headers, media_type, body).unwrap_err().to_string();
            assert!(refused.contains(words), "{refused}");
        }
    }
}
