//! The strict reader of one canonical `ev1` entry, and of the disclosures of its sealed values.
//!
//! In: the text of an entry (an RFC 8785 subset: one flat object) and base64url disclosures (RFC 9901). Out: its
//! members, its `seq`, its leaf hash; for a disclosure salt, name and value. Invariant: a text that is accepted is
//! the only spelling of what it says: written again it has the same bytes. It must not repair anything, and its
//! messages never repeat the content of an entry. Knows neither Arrow nor the columns: a verifier stands alone, and
//! an entry with a column of tomorrow still verifies.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use sha2::{Digest, Sha256};

use super::checkpoint::decimal;
use super::hash::{Hash, leaf_hash};
use crate::error::{Error, Result};

/// Integers past 2^53 - 1 are not the same number to every JSON reader.
const SAFE_INTEGER: i64 = (1 << 53) - 1;

/// What stands under one key of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// An integer between -(2^53 - 1) and 2^53 - 1.
    Integer(i64),
    /// `true` or `false`.
    Boolean(bool),
    /// The array `inputs`: objects of strings, in the order given.
    Inputs(Vec<Vec<(Cow<'a, str>, Cow<'a, str>)>>),
}

/// One canonical entry: what the ledger hashed for one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    canonical: &'a str,
    members: Vec<(Cow<'a, str>, Value<'a>)>,
    seq: u64,
}

impl<'a> Entry<'a> {
    /// Reads the canonical text of an entry.
    ///
    /// # Errors
    /// `Damaged` when it is no flat object of strings, safe integers, booleans and `inputs`; when its keys are not
    /// ascending, unique and of `a-z 0-9 _`; when it does not say `"v":1` or has no `seq`; or when the canonical
    /// spelling of what it says is another (white space, needless escapes, `null`).
    pub fn parse(text: &'a str) -> Result<Self> {
        let Members(members): Members<'a, Value<'a>> = serde_json::from_str(text).map_err(|e| not_flat(&e))?;
        check_keys(members.iter().map(|(name, _)| &**name))?;
        members.iter().try_for_each(|(name, value)| check_value(name, value))?;
        let entry = Self { seq: seq_of(&members)?, canonical: text, members };
        if entry.get("v") != Some(&Value::Integer(1)) {
            return Err(Error::damaged("entry does not say `\"v\":1`; a newer verifier may know its version"));
        }
        if entry.to_text() != text {
            return Err(Error::damaged("entry is not in canonical form: written again, its bytes differ"));
        }
        Ok(entry)
    }

    /// Its 0-based position in the ledger.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// What stands under `name`.
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        let at = self.members.binary_search_by(|(key, _)| (**key).cmp(name)).ok()?;
        Some(&self.members[at].1)
    }

    /// The string under `name`; `None` when there is none or it is no string.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Its members in ascending order of their names.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.members.iter().map(|(name, value)| (&**name, value))
    }

    /// The canonical text, written from its members: the bytes that were read.
    pub fn to_text(&self) -> String {
        let mut out = String::with_capacity(1024);
        write_object(&self.members, write_value, &mut out);
        out
    }

    /// Its leaf hash, SHA-256(0x00 || canonical bytes), RFC 6962 section 2.1.
    pub fn leaf(&self) -> Hash {
        leaf_hash(self.canonical.as_bytes())
    }

    /// Reads a disclosure and finds its digest under `<name>_digest` of this entry.
    ///
    /// # Errors
    /// `Damaged` when it is no disclosure, or the entry holds another digest or none.
    pub fn disclosed(&self, disclosure: &str) -> Result<Disclosure> {
        let parsed = Disclosure::parse(disclosure)?;
        let key = format!("{}_digest", parsed.name);
        match self.text(&key) {
            None => Err(Error::damaged(format!("the entry has no `{key}` for what is disclosed"))),
            Some(digest) if digest != disclosure_digest(disclosure) => {
                Err(Error::damaged(format!("`{key}` of the entry is not the digest of what is disclosed")))
            }
            Some(_) => Ok(parsed),
        }
    }
}

/// A sealed value in clear, as RFC 9901 section 4.2 discloses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disclosure {
    /// The salt that keeps the digest from being guessed.
    pub salt: String,
    /// The column.
    pub name: String,
    /// The value.
    pub value: String,
}

impl Disclosure {
    /// Reads `base64url(JSON([salt, name, value]))`; any spelling of the JSON is taken, because the digest covers
    /// the text as it was handed over.
    ///
    /// # Errors
    /// `Damaged` when it is not base64url without padding of an array of three strings.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || Error::damaged("a disclosure is not base64url of a JSON array [salt, name, value] of strings");
        let json = BASE64URL.decode(text).map_err(|_| wrong())?;
        let (salt, name, value) = serde_json::from_slice(&json).map_err(|_| wrong())?;
        Ok(Self { salt, name, value })
    }

    /// The disclosure in the engine's spelling: no white space, strings escaped as RFC 8785 does.
    pub fn to_text(&self) -> String {
        let mut json = String::from("[");
        write_string(&self.salt, &mut json);
        json.push(',');
        write_string(&self.name, &mut json);
        json.push(',');
        write_string(&self.value, &mut json);
        json.push(']');
        BASE64URL.encode(json)
    }
}

/// The digest that stands for a disclosure: base64url(SHA-256(its text)), RFC 9901 section 4.2.3.
pub fn disclosure_digest(disclosure: &str) -> String {
    BASE64URL.encode(Sha256::digest(disclosure.as_bytes()))
}

fn not_flat(err: &serde_json::Error) -> Error {
    // The parser's own words would repeat the value that it did not expect.
    Error::damaged(format!(
        "entry is no flat JSON object of strings, integers, booleans and `inputs` (byte {})",
        err.column()
    ))
}

fn check_keys<'k>(keys: impl Iterator<Item = &'k str>) -> Result<()> {
    let mut last = "";
    for key in keys {
        // For such names the order of UTF-16 units, which RFC 8785 asks for, is the order of bytes.
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if key.is_empty() || !key.bytes().all(is_plain) {
            return Err(Error::damaged("entry has a key that is not made of a-z, 0-9 and _"));
        }
        if key <= last {
            return Err(Error::damaged(format!("key `{key}` of the entry does not ascend from `{last}`")));
        }
        last = key;
    }
    Ok(())
}

fn check_value(name: &str, value: &Value<'_>) -> Result<()> {
    match value {
        Value::Text(_) | Value::Boolean(_) => Ok(()),
        Value::Integer(n) if n.unsigned_abs() <= SAFE_INTEGER.unsigned_abs() => Ok(()),
        Value::Integer(_) => Err(Error::damaged(format!("`{name}` of the entry is an integer past 2^53 - 1"))),
        Value::Inputs(_) if name != "inputs" => {
            Err(Error::damaged(format!("`{name}` of the entry is an array; only `inputs` may be one")))
        }
        Value::Inputs(cells) => cells.iter().try_for_each(|cell| check_keys(cell.iter().map(|(key, _)| &**key))),
    }
}

fn seq_of(members: &[(Cow<'_, str>, Value<'_>)]) -> Result<u64> {
    let text = members.iter().find_map(|(name, value)| match value {
        Value::Text(text) if name == "seq" => Some(&**text),
        _ => None,
    });
    text.and_then(decimal)
        .filter(|seq| i64::try_from(*seq).is_ok())
        .ok_or_else(|| Error::damaged("`seq` of the entry is missing or no decimal string of an int64 from 0"))
}

fn write_object<V>(members: &[(Cow<'_, str>, V)], write: fn(&V, &mut String), out: &mut String) {
    out.push('{');
    for (i, (name, value)) in members.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_string(name, out);
        out.push(':');
        write(value, out);
    }
    out.push('}');
}

fn write_value(value: &Value<'_>, out: &mut String) {
    match value {
        Value::Text(text) => write_string(text, out),
        Value::Integer(n) => out.push_str(&n.to_string()),
        Value::Boolean(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Inputs(cells) => {
            out.push('[');
            for (i, cell) in cells.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_object(cell, |text, out| write_string(text, out), out);
            }
            out.push(']');
        }
    }
}

/// Appends `text` as a JSON string, escaped as RFC 8785 says: short escapes, lower-case `\u00xx`, nothing else.
fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for part in text.split_inclusive(|c: char| c < ' ' || c == '"' || c == '\\') {
        let last = part.chars().next_back().unwrap_or(' ');
        let short = match last {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\u{8}' => "\\b",
            '\t' => "\\t",
            '\n' => "\\n",
            '\u{c}' => "\\f",
            '\r' => "\\r",
            '\0'..='\u{1f}' => "",
            _ => {
                out.push_str(part);
                continue;
            }
        };
        // Every character that is escaped is one byte long.
        out.push_str(&part[..part.len() - 1]);
        out.push_str(short);
        if short.is_empty() {
            write!(out, "\\u{:04x}", u32::from(last)).expect("a string takes any text");
        }
    }
    out.push('"');
}

/// The members of a JSON object in the order given, repeated names included.
struct Members<'a, V>(Vec<(Cow<'a, str>, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Members<'de, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct MembersVisitor<V>(std::marker::PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for MembersVisitor<V> {
            type Value = Members<'de, V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(24);
                while let Some(Text(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor::<V>(std::marker::PhantomData))
    }
}

/// A string, borrowed where it holds no escape.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> std::result::Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(v)))
            }
            fn visit_str<E>(self, v: &str) -> std::result::Result<Self::Value, E> {
                Ok(Text(Cow::Owned(v.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct ValueVisitor;
        // What is not listed here (null, floats, objects) is refused by the defaults of the trait.
        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = Value<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, an integer, a boolean or `inputs`")
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> std::result::Result<Self::Value, E> {
                Ok(Value::Text(Cow::Borrowed(v)))
            }
            fn visit_str<E>(self, v: &str) -> std::result::Result<Self::Value, E> {
                Ok(Value::Text(Cow::Owned(v.to_owned())))
            }
            fn visit_bool<E>(self, v: bool) -> std::result::Result<Self::Value, E> {
                Ok(Value::Boolean(v))
            }
            fn visit_i64<E>(self, v: i64) -> std::result::Result<Self::Value, E> {
                Ok(Value::Integer(v))
            }
            fn visit_u64<E>(self, v: u64) -> std::result::Result<Self::Value, E> {
                // One past 2^63 is past the safe integers too, and refused as such.
                Ok(Value::Integer(i64::try_from(v).unwrap_or(i64::MAX)))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Self::Value, A::Error> {
                let mut cells = Vec::new();
                while let Some(Members(cell)) = seq.next_element::<Members<'de, Text<'de>>>()? {
                    cells.push(cell.into_iter().map(|(name, Text(text))| (name, text)).collect());
                }
                Ok(Value::Inputs(cells))
            }
        }
        deserializer.deserialize_any(ValueVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = concat!(
        r#"{"amount":"-0.50","attempt":2,"event_id":"é\u0001\"","#,
        r#""inputs":[{"record_id":"r","record_type":"t","system":"s"},{"field":"f","record_id":"r"}],"#,
        r#""occurred_at":"2026-03-01T09:00:00.123456Z","seq":"7","v":1}"#,
    );

    #[test]
    fn a_canonical_entry_is_read_and_written_again_the_same() {
        let entry = Entry::parse(GOOD).unwrap();
        assert_eq!((entry.seq(), entry.text("event_id"), entry.text("none")), (7, Some("é\u{1}\""), None));
        assert_eq!(entry.get("attempt"), Some(&Value::Integer(2)));
        assert_eq!(entry.to_text(), GOOD);
        assert_eq!(entry.leaf(), leaf_hash(GOOD.as_bytes()));
        assert_eq!(entry.members().count(), 7);
    }

    #[test]
    fn every_other_spelling_is_refused() {
        for wrong in [
            r#"{"seq":"7", "v":1}"#,
            r#" {"seq":"7","v":1}"#,
            r#"{"seq":"7","v":1} "#,
            r#"{"v":1,"seq":"7"}"#,
            r#"{"seq":"7","seq":"7","v":1}"#,
            r#"{"seq":"7","v":1.0}"#,
            r#"{"seq":"7","v":1e0}"#,
            r#"{"seq":"7","v":2}"#,
            r#"{"seq":"7","v":"1"}"#,
            r#"{"seq":"7"}"#,
            r#"{"v":1}"#,
            r#"{"seq":7,"v":1}"#,
            r#"{"seq":"07","v":1}"#,
            r#"{"seq":"+7","v":1}"#,
            r#"{"seq":"-7","v":1}"#,
            r#"{"seq":"9223372036854775808","v":1}"#,
            r#"{"a":null,"seq":"7","v":1}"#,
            r#"{"a":{},"seq":"7","v":1}"#,
            r#"{"a":[],"seq":"7","v":1}"#,
            r#"{"a":-0,"seq":"7","v":1}"#,
            r#"{"a":9007199254740992,"seq":"7","v":1}"#,
            r#"{"a":18446744073709551615,"seq":"7","v":1}"#,
            r#"{"A":"x","seq":"7","v":1}"#,
            r#"{"a":"\u0041","seq":"7","v":1}"#,
            r#"{"a":"\u001F","seq":"7","v":1}"#,
            r#"{"a":"\/","seq":"7","v":1}"#,
            r#"{"a":"\ud800","seq":"7","v":1}"#,
            r#"{"inputs":[1],"seq":"7","v":1}"#,
            r#"{"inputs":[{"system":"s","field":"f"}],"seq":"7","v":1}"#,
            r#"{"inputs":[{"field":1}],"seq":"7","v":1}"#,
            r#"[]"#,
            "",
        ] {
            assert!(Entry::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Entry::parse(r#"{"a":9007199254740991,"b":true,"inputs":[],"seq":"0","v":1}"#).is_ok());
    }

    #[test]
    fn a_message_never_repeats_the_content() {
        let error = Entry::parse(r#"{"a":12345.678,"seq":"7","v":1}"#).unwrap_err().to_string();
        assert!(error.contains("byte") && !error.contains("12345"), "{error}");
    }

    #[test]
    fn a_disclosure_belongs_to_the_digest_under_its_own_name() {
        let told = Disclosure { salt: "c2FsdA".into(), name: "comment".into(), value: "é\"\n".into() };
        let text = told.to_text();
        let digest = disclosure_digest(&text);
        let under = |key: &str| format!(r#"{{"{key}":"{digest}","seq":"7","v":1}}"#);
        let entry = under("comment_digest");
        assert_eq!(Entry::parse(&entry).unwrap().disclosed(&text).unwrap(), told);
        let other = under("error_digest");
        assert!(Entry::parse(&other).unwrap().disclosed(&text).is_err());
        let changed = Disclosure { value: "é".into(), ..told }.to_text();
        assert!(Entry::parse(&entry).unwrap().disclosed(&changed).is_err());
    }

    /// RFC 9901 section 4.2.1: the same disclosure in two spellings of its JSON.
    #[test]
    fn a_disclosure_is_read_in_any_spelling_and_digested_as_given() {
        let spaced = "WyJfMjZiYzRMVC1hYzZxMktJNmNCVzVlcyIsICJmYW1pbHlfbmFtZSIsICJNw7ZiaXVzIl0";
        let compact = "WyJfMjZiYzRMVC1hYzZxMktJNmNCVzVlcyIsImZhbWlseV9uYW1lIiwiTcO2Yml1cyJd";
        assert_eq!(disclosure_digest(spaced), "X9yH0Ajrdm1Oij4tWso9UzzKJvPoDxwmuEcO3XAdRC0");
        let told = Disclosure::parse(spaced).unwrap();
        assert_eq!((told.name.as_str(), told.value.as_str()), ("family_name", "Möbius"));
        assert_eq!(told.to_text(), compact);
        for wrong in ["", "WyJhIiwiYiJd", "WyJhIiwiYiIsImMiXQ==", "WyJhIiwiYiIsMV0", "W10\n"] {
            assert!(Disclosure::parse(wrong).is_err(), "{wrong}");
        }
    }
}
