//! The canonical form `ev1` of an event and its leaf hash: the bytes that the ledger commits to.
//!
//! In: a row as stored. Out: JSON bytes in the RFC 8785 subset described in the README of the fixtures, and
//! SHA-256(0x00 || bytes) as in RFC 6962. Invariant: the bytes depend on the stored values alone, so that a row
//! read back after compaction, schema growth or erasure has the same leaf. Sealed values enter as salted
//! digests only (the disclosures of RFC 9901).

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::batch::{Rows, Value};
use super::columns::{COLUMNS, Column, Role, SEALED};
use super::jcs::write_string;
use crate::clock::{Micros, write_rfc3339};
use crate::ledger::hash::{Hash, leaf_hash};

/// A leaf hash of the ledger.
pub type Leaf = Hash;

/// What stands under one key of the canonical form.
#[derive(Clone, Copy)]
enum Source {
    Version,
    Column(Column),
    Digest { value: Column, kept: Column },
}

/// A key of the canonical form.
struct Key {
    /// A comma, the name and a colon.
    opening: String,
    source: Source,
}

/// The keys in ascending byte order; names are ASCII, so this is the order of RFC 8785 as well.
static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let is_plain = |column: Column| match column.spec().role {
        Role::Open => true,
        Role::Sealed => false,
        Role::Assigned => matches!(column, Column::Seq | Column::RecordedAt),
    };
    let plain = COLUMNS.iter().filter(|c| is_plain(c.column)).map(|c| (c.name, Source::Column(c.column)));
    let digests = SEALED.iter().map(|(value, kept)| (kept.name(), Source::Digest { value: *value, kept: *kept }));
    let mut keys: Vec<_> = plain.chain(digests).chain([("v", Source::Version)]).collect();
    keys.sort_by_key(|(name, _)| *name);
    keys.into_iter().map(|(name, source)| Key { opening: format!(",\"{name}\":"), source }).collect()
});

/// Writes the canonical form of `row` into `out`, which is emptied first.
pub fn write_canonical(rows: &Rows<'_>, row: usize, out: &mut String) {
    write_keys(&used_keys(rows), rows, row, out);
}

/// The keys that some row of `rows` has: a batch uses half of them.
fn used_keys(rows: &Rows<'_>) -> Vec<&'static Key> {
    let is_used = |key: &&Key| match key.source {
        Source::Version => true,
        Source::Column(column) => rows.is_used(column),
        Source::Digest { value, kept } => rows.is_used(value) || rows.is_used(kept),
    };
    KEYS.iter().filter(is_used).collect()
}

fn write_keys(keys: &[&Key], rows: &Rows<'_>, row: usize, out: &mut String) {
    out.clear();
    out.push('{');
    for key in keys {
        match key.source {
            Source::Version => {
                open(key, out);
                out.push('1');
            }
            Source::Column(column) => {
                if let Some(value) = rows.value(column, row) {
                    open(key, out);
                    write_value(value, out);
                }
            }
            Source::Digest { value, kept } => {
                if let Some(digest) = row_digest(rows, row, value, kept) {
                    open(key, out);
                    write_string(&digest, out);
                }
            }
        }
    }
    out.push('}');
}

fn open(key: &Key, out: &mut String) {
    let is_first = out.len() == 1;
    out.push_str(&key.opening[usize::from(is_first)..]);
}

/// The leaf hashes of all rows, in row order.
pub fn leaves(rows: &Rows<'_>) -> Vec<Leaf> {
    let mut canonical = String::with_capacity(1024);
    let keys = used_keys(rows);
    let leaf = |row| {
        write_keys(&keys, rows, row, &mut canonical);
        leaf_hash(canonical.as_bytes())
    };
    (0..rows.len()).map(leaf).collect()
}

/// The disclosure of a sealed value, `JSON([salt, column, value])`, before base64url; RFC 9901 section 4.2.
pub fn disclosure(salt: &[u8], column: Column, value: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(salt).expect("HMAC takes a key of any length");
    mac.update(column.name().as_bytes());
    // Room for what stands around the value as well: there is one for every sealed value that is hashed.
    let mut json = String::with_capacity(64 + value.len());
    json.push_str("[\"");
    BASE64URL.encode_string(&mac.finalize().into_bytes()[..16], &mut json);
    json.push_str("\",\"");
    json.push_str(column.name());
    json.push_str("\",");
    write_string(value, &mut json);
    json.push(']');
    json
}

/// The digest that stands for a sealed value: base64url(SHA-256(base64url(disclosure))).
pub fn digest(salt: &[u8], column: Column, value: &str) -> String {
    let disclosure = BASE64URL.encode(disclosure(salt, column, value));
    BASE64URL.encode(Sha256::digest(disclosure.as_bytes()))
}

fn row_digest(rows: &Rows<'_>, row: usize, value: Column, kept: Column) -> Option<String> {
    match (rows.text(value, row), rows.salt(row)) {
        (Some(text), Some(salt)) => Some(digest(salt, value, text)),
        _ => rows.text(kept, row).map(str::to_owned),
    }
}

fn write_value(value: Value<'_>, out: &mut String) {
    match value {
        Value::Text(text) => write_string(text, out),
        Value::Instant(at) => write_instant(at, out),
        Value::Long(n) => {
            out.push('"');
            out.push_str(itoa::Buffer::new().format(n));
            out.push('"');
        }
        Value::Short(n) => out.push_str(itoa::Buffer::new().format(n)),
        Value::Amount(n) => write_string(&amount(n), out),
        Value::Ratio(n) => write_string(ryu_js::Buffer::new().format(n), out),
        Value::Bytes(bytes) => write_string(&BASE64URL.encode(bytes), out),
        Value::Inputs(inputs) => {
            let (parts, range) = (inputs.parts(), inputs.range());
            const KEYS_IN_ORDER: [(usize, &str); 4] =
                [(3, "field"), (2, "record_id"), (1, "record_type"), (0, "system")];
            out.push('[');
            for i in range.clone() {
                out.push_str(if i > range.start { ",{" } else { "{" });
                let mut separator = "";
                for (part, name) in KEYS_IN_ORDER {
                    if !arrow::array::Array::is_null(parts[part], i) {
                        out.push_str(separator);
                        out.push('"');
                        out.push_str(name);
                        out.push_str("\":");
                        write_string(parts[part].value(i), out);
                        separator = ",";
                    }
                }
                out.push('}');
            }
            out.push(']');
        }
    }
}

fn write_instant(at: Micros, out: &mut String) {
    out.push('"');
    write_rfc3339(at, out);
    out.push('"');
}

/// Hundredths as a decimal string with two digits.
pub fn amount(hundredths: i128) -> String {
    let sign = if hundredths < 0 { "-" } else { "" };
    let unsigned = hundredths.unsigned_abs();
    format!("{sign}{}.{:02}", unsigned / 100, unsigned % 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::event::batch::{BatchBuilder, assign};
    use crate::event::json;

    fn canonical(text: &str) -> String {
        let mut builder = BatchBuilder::default();
        builder.append(&json::decode(text.as_bytes()).unwrap());
        let stored = assign(&builder.finish(), 7, 1_772_355_600_000_000, &Clock::fixed(0)).unwrap();
        let mut out = String::new();
        write_canonical(&Rows::new(&stored).unwrap(), 0, &mut out);
        out
    }

    #[test]
    fn every_type_has_its_canonical_spelling() {
        let text = canonical(
            r#"{"event_id":"é\u0001\"","occurred_at":"2026-03-01T09:00:00.1234567Z","source_seq":-5,"attempt":2,
               "permission_level":3,"amount":-0.5,"confidence":0.870,"threshold":-0.0,
               "inputs":[{"system":"s","record_id":"r","record_type":"t"},{"field":"f","system":"s","record_id":"r","record_type":"t"}]}"#,
        );
        let expected = concat!(
            r#"{"amount":"-0.50","attempt":2,"confidence":"0.87","event_id":"é\u0001\"","#,
            r#""inputs":[{"record_id":"r","record_type":"t","system":"s"},{"field":"f","record_id":"r","record_type":"t","system":"s"}],"#,
            r#""occurred_at":"2026-03-01T09:00:00.123456Z","permission_level":3,"#,
            r#""recorded_at":"2026-03-01T09:00:00.000000Z","seq":"7","source_seq":"-5","threshold":"0","v":1}"#,
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn sealed_values_enter_as_digests_only() {
        let text = canonical(
            r#"{"event_id":"1","occurred_at":"2026-03-01T09:00:00Z","old_value":"top secret","comment":"hush"}"#,
        );
        assert!(!text.contains("secret") && !text.contains("hush"));
        assert!(text.contains("\"comment_digest\":\"") && text.contains("\"old_value_digest\":\""));
    }

    /// Computed apart from this program: Python's json with sorted keys, hmac and hashlib.
    #[test]
    fn digests_and_leaf_equal_an_independent_computation() {
        let text = canonical(
            r#"{"event_id":"1","occurred_at":"2026-03-01T09:00:00Z","old_value":"top secret","comment":"é\"\n"}"#,
        );
        let expected = concat!(
            r#"{"comment_digest":"NISFe1VdQtz0j6AcF29NE9OrciHKxM2CwRBk8tEIKYE","event_id":"1","#,
            r#""occurred_at":"2026-03-01T09:00:00.000000Z","#,
            r#""old_value_digest":"4uqyEx7kZPXLuCCaQ8Z1H8qJjzJYEYi3uBS80CHWsJc","#,
            r#""recorded_at":"2026-03-01T09:00:00.000000Z","seq":"7","v":1}"#,
        );
        assert_eq!(text, expected);
        let leaf: String = leaf_hash(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(leaf, "85561214b74de1b9d1c0400f47f5cc179b1f9c850e3f609b2806e98ea1d39ff3");
    }

    #[test]
    fn rows_of_a_batch_have_the_leaves_that_they_have_alone() {
        let mut builder = BatchBuilder::default();
        for row in 0..9 {
            let more = ["", r#","comment":"hush""#, r#","amount":1.5,"old_value":"x""#, r#","field":"f""#][row % 4];
            let text = format!(r#"{{"event_id":"{row}","occurred_at":"2026-03-01T09:00:00Z"{more}}}"#);
            builder.append(&json::decode(text.as_bytes()).unwrap());
        }
        let stored = assign(&builder.finish(), 7, 1_772_355_600_000_000, &Clock::fixed(0)).unwrap();
        let rows = Rows::new(&stored).unwrap();
        let alone = (0..rows.len()).map(|row| leaves(&Rows::new(&stored.slice(row, 1)).unwrap())[0]);
        assert_eq!(leaves(&rows), alone.collect::<Vec<_>>());
    }

    #[test]
    fn the_leaf_of_nothing_is_that_of_rfc_6962() {
        let hex: String = leaf_hash(b"").iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    }
}
