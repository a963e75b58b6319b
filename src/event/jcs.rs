//! JSON Canonicalization Scheme (RFC 8785) over untrusted JSON text.
//!
//! In: the text of one JSON value, valid by grammar. Out: its canonical text. Numbers are written either as
//! ECMAScript does (RFC 8785) or with the digits given. Invariant: duplicate keys, lone surrogates, numbers
//! that no double holds and nesting past [`JSON_DEPTH`] are refused, never repaired.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::parse::Reason;
use super::plain;
use crate::limits::JSON_DEPTH;

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// As ECMAScript's Number::toString, which RFC 8785 asks for.
    EcmaScript,
    /// With the digits given: identifiers longer than a double's 53 bits survive.
    AsGiven,
}

/// The members of a JSON object in the order given, repeated names included.
#[derive(Debug, Default)]
pub struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(24);
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

/// A member's name, borrowed where it holds no escape.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(v)))
            }
            fn visit_str<E>(self, v: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(v.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

/// The elements of a JSON array.
struct Elements<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ElementsVisitor;
        impl<'de> Visitor<'de> for ElementsVisitor {
            type Value = Elements<'de>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a JSON array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    elements.push(element);
                }
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_seq(ElementsVisitor)
    }
}

/// The members of the object `raw`.
///
/// # Errors
/// When it is no object or a name holds a lone surrogate.
pub fn members(raw: &str) -> Result<Vec<(Cow<'_, str>, &str)>, Reason> {
    plain::members(raw).map_or_else(|| careful_members(raw), Ok)
}

/// As [`members`], by the general parser.
pub(super) fn careful_members(raw: &str) -> Result<Vec<(Cow<'_, str>, &str)>, Reason> {
    let members = serde_json::from_str::<Members>(raw).map_err(|e| json_reason(&e))?;
    Ok(members.0.into_iter().map(|(name, value)| (name, value.get())).collect())
}

/// The elements of the array `raw`.
///
/// # Errors
/// When it is no array.
pub fn elements(raw: &str) -> Result<Vec<&str>, Reason> {
    plain::elements(raw).map_or_else(|| careful_elements(raw), Ok)
}

/// As [`elements`], by the general parser.
pub(super) fn careful_elements(raw: &str) -> Result<Vec<&str>, Reason> {
    let elements = serde_json::from_str::<Elements>(raw).map_err(|e| json_reason(&e))?;
    Ok(elements.0.into_iter().map(RawValue::get).collect())
}

/// The string `raw`, borrowed where it holds no escape.
///
/// # Errors
/// When it is no string, or holds a lone surrogate.
pub fn string(raw: &str) -> Result<Cow<'_, str>, Reason> {
    let inner = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    // `raw` is a value of a parsed text: without a backslash it is what stands between its quotes.
    if let Some(inner) = inner.filter(|inner| memchr::memchr(b'\\', inner.as_bytes()).is_none()) {
        return Ok(Cow::Borrowed(inner));
    }
    serde_json::from_str::<Name>(raw).map(|n| n.0).map_err(|e| json_reason(&e))
}

/// What serde_json found wrong, without "at line 1 column n" of a text that the reader does not see alone.
pub fn json_reason(err: &serde_json::Error) -> Reason {
    let text = err.to_string();
    match text.split_once(" at line ") {
        Some((what, _)) => format!("{what} (byte {})", err.column()),
        None => text,
    }
}

/// The canonical text of the JSON value `raw`, which is valid by grammar.
///
/// # Errors
/// See the invariant of this file.
pub fn canonical(raw: &str, numbers: Numbers) -> Result<String, Reason> {
    let mut out = String::with_capacity(raw.len());
    write_value(raw, numbers, 0, &mut out)?;
    Ok(out)
}

/// The canonical text of an object made of `members`.
///
/// # Errors
/// See the invariant of this file.
pub fn canonical_object(members: Vec<(Cow<'_, str>, &str)>, numbers: Numbers) -> Result<String, Reason> {
    let mut out = String::new();
    write_members(members, numbers, 0, &mut out)?;
    Ok(out)
}

fn write_value(text: &str, numbers: Numbers, depth: usize, out: &mut String) -> Result<(), Reason> {
    if depth > JSON_DEPTH {
        return Err(format!("is nested deeper than {JSON_DEPTH} levels"));
    }
    match text.as_bytes()[0] {
        b'{' => write_members(members(text)?, numbers, depth, out)?,
        b'[' => {
            out.push('[');
            for (i, element) in elements(text)?.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_value(element, numbers, depth + 1, out)?;
            }
            out.push(']');
        }
        b'"' => write_string(&string(text)?, out),
        b't' | b'f' | b'n' => out.push_str(text),
        _ if numbers == Numbers::AsGiven => out.push_str(text),
        _ => out.push_str(&ecmascript_number(text)?),
    }
    Ok(())
}

fn write_members(
    mut members: Vec<(Cow<'_, str>, &str)>,
    numbers: Numbers,
    depth: usize,
    out: &mut String,
) -> Result<(), Reason> {
    // RFC 8785 sorts by UTF-16 code units, which differs from byte order past U+FFFF.
    members.sort_by(|a, b| a.0.encode_utf16().cmp(b.0.encode_utf16()));
    if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err("repeats a key of a JSON object".into());
    }
    out.push('{');
    for (i, (name, value)) in members.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_string(&name, out);
        out.push(':');
        write_value(value, numbers, depth + 1, out)?;
    }
    out.push('}');
    Ok(())
}

fn ecmascript_number(text: &str) -> Result<String, Reason> {
    match text.parse::<f64>() {
        Ok(n) if n.is_finite() => Ok(ryu_js::Buffer::new().format(n).to_owned()),
        _ => Err("holds a number that no double can".into()),
    }
}

/// Whether a JSON string needs no escape: true for nearly every value, and found out sixteen bytes at a time.
fn is_plain(text: &[u8]) -> bool {
    let needs_escape = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    let mut chunks = text.chunks_exact(16);
    // Without a branch a byte, the compiler compares all bytes of a chunk at once.
    let has_escape = |chunk: &[u8]| chunk.iter().fold(false, |found, byte| found | needs_escape(byte));
    chunks.by_ref().all(|chunk| !has_escape(chunk)) && !chunks.remainder().iter().any(needs_escape)
}

/// Appends `text` as a JSON string, escaped as RFC 8785 says: short escapes, lower-case `\u00xx`, nothing else.
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    if is_plain(text.as_bytes()) {
        out.push_str(text);
        out.push('"');
        return;
    }
    let mut from = 0;
    for (i, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[from..i]);
        from = i + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            0x08 => out.push_str("\\b"),
            0x09 => out.push_str("\\t"),
            0x0a => out.push_str("\\n"),
            0x0c => out.push_str("\\f"),
            0x0d => out.push_str("\\r"),
            other => out.push_str(&format!("\\u{other:04x}")),
        }
    }
    out.push_str(&text[from..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jcs(text: &str, numbers: Numbers) -> Result<String, Reason> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|e| json_reason(&e))?;
        canonical(raw.get(), numbers)
    }

    #[test]
    fn keys_sort_by_utf16_and_numbers_follow_ecmascript() {
        let text = r#"{"\ufb33":1,"\ud83d\ude00":2,"a":[1.0,1e21,-0,0.000001,1E-7,333333333.33333329],"\u000a":"\u000f/\u00e9"}"#;
        let expected =
            "{\"\\n\":\"\\u000f/é\",\"a\":[1,1e+21,0,0.000001,1e-7,333333333.3333333],\"😀\":2,\"\u{fb33}\":1}";
        assert_eq!(jcs(text, Numbers::EcmaScript).unwrap(), expected);
    }

    #[test]
    fn digits_survive_where_they_are_kept_as_given() {
        let text = r#"{"b":12345678901234567890,"a":1.0e+5}"#;
        assert_eq!(jcs(text, Numbers::AsGiven).unwrap(), r#"{"a":1.0e+5,"b":12345678901234567890}"#);
    }

    #[test]
    fn what_no_canonical_form_holds_is_refused() {
        for text in [r#"{"a":1,"a":2}"#, r#"{"a":{"b":1,"\u0062":2}}"#, r#""\ud800""#, r#"{"\udc00":1}"#, "1e400"] {
            assert!(jcs(text, Numbers::EcmaScript).is_err(), "{text}");
        }
        let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
        assert!(jcs(&deep, Numbers::AsGiven).unwrap_err().contains("nested deeper"));
    }
}
