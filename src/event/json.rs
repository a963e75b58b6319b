//! Events as JSON: the native form and CloudEvents 1.0.
//!
//! In: the bytes of one record. Out: a draft, not yet checked, or the reason for refusing it. Invariant: what
//! the text says is either in a column, in `extra`, or the record is refused; nothing is dropped or guessed.

use std::borrow::Cow;

use super::columns::{Column, Kind, SUPPLIED};
use super::draft::{Cell, Draft, Input};
use super::jcs::{self, Numbers};
use super::parse::Reason;

type Member<'a> = (Cow<'a, str>, &'a str);

/// Reads one record.
///
/// # Errors
/// Bytes that are no UTF-8 or no JSON object, a repeated key, a value of the wrong type, a column that only
/// the engine sets.
pub fn decode(record: &[u8]) -> Result<Draft<'_>, Reason> {
    let text = std::str::from_utf8(record).map_err(|e| not_utf8(record, e.valid_up_to()))?;
    let members = jcs::members(text).map_err(|why| match text.trim_start().as_bytes().first() {
        Some(b'{') => format!("is no complete JSON object: {why}"),
        _ => "is no JSON object".to_owned(),
    })?;
    let members = if members.iter().any(|(name, _)| name == "specversion") { open_envelope(members)? } else { members };
    fill(members)
}

fn not_utf8(record: &[u8], at: usize) -> Reason {
    let hint = if record.contains(&0) { "; it looks like UTF-16 or binary data" } else { "" };
    format!("is not UTF-8 at byte {at}{hint}")
}

/// CloudEvents 1.0: renames the context attributes and puts the members of `data` beside them.
fn open_envelope(members: Vec<Member<'_>>) -> Result<Vec<Member<'_>>, Reason> {
    let mut open = Vec::with_capacity(members.len() + 16);
    for (name, value) in members {
        match name.as_ref() {
            "specversion" if value == "\"1.0\"" => {}
            "specversion" => return Err("CloudEvents `specversion` is not \"1.0\"".into()),
            "id" => open.push((Cow::Borrowed("event_id"), value)),
            "type" => open.push((Cow::Borrowed("event_type"), value)),
            "time" => open.push((Cow::Borrowed("occurred_at"), value)),
            "data" if value == "null" => {}
            "data" => open.extend(jcs::members(value).map_err(|_| "CloudEvents `data` is no JSON object")?),
            "data_base64" => return Err("CloudEvents `data_base64` is not read; send `data` as JSON".into()),
            "datacontenttype" if is_json_type(value) => {}
            "datacontenttype" => return Err("CloudEvents `datacontenttype` is not JSON".into()),
            _ => open.push((name, value)),
        }
    }
    Ok(open)
}

fn is_json_type(raw: &str) -> bool {
    let Ok(text) = jcs::string(raw) else { return false };
    let media = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media == "application/json" || media == "text/json" || media.ends_with("+json")
}

fn fill<'a>(members: Vec<Member<'a>>) -> Result<Draft<'a>, Reason> {
    let mut draft = Draft::default();
    let mut seen = [false; SUPPLIED];
    let mut unknown: Vec<Member<'a>> = Vec::new();
    for (name, value) in members {
        match Column::named(&name) {
            Some(column) if column as usize >= SUPPLIED => {
                return Err(format!("`{}` is assigned by the engine", column.name()));
            }
            Some(column) => {
                if std::mem::replace(&mut seen[column as usize], true) {
                    return Err(format!("`{}` is given twice", column.name()));
                }
                match column {
                    Column::Extra if value != "null" => {
                        unknown.extend(jcs::members(value).map_err(|_| "`extra` is no JSON object".to_owned())?)
                    }
                    Column::Extra => {}
                    _ => read_column(&mut draft, column, value)?,
                }
            }
            None if name.ends_with("_digest") => {
                return Err("a key that ends in `_digest` is assigned by the engine".into());
            }
            None => unknown.push((name, value)),
        }
    }
    if !unknown.is_empty() {
        let extra = jcs::canonical_object(unknown, Numbers::AsGiven).map_err(|why| format!("an unknown key {why}"))?;
        draft.set_text(Column::Extra, extra);
    }
    Ok(draft)
}

fn read_column<'a>(draft: &mut Draft<'a>, column: Column, text: &'a str) -> Result<(), Reason> {
    let name = column.name();
    let is_value = matches!(column, Column::OldValue | Column::NewValue);
    match text.as_bytes()[0] {
        b'"' => {
            let value = jcs::string(text).map_err(|why| format!("`{name}`: {why}"))?;
            match column.spec().kind {
                Kind::Inputs => Err(format!("`{name}` is no array")),
                _ => draft.read(column, value),
            }
        }
        b'n' if is_value => draft.read(column, Cow::Borrowed("")),
        b'n' => Ok(()),
        _ if is_value => {
            let value = jcs::canonical(text, Numbers::EcmaScript).map_err(|why| format!("`{name}` {why}"))?;
            draft.read(column, Cow::Owned(value))
        }
        b'[' if column == Column::Inputs => {
            let inputs = read_inputs(text)?;
            draft.set(column, if inputs.is_empty() { Cell::Absent } else { Cell::Inputs(inputs) });
            Ok(())
        }
        b'-' | b'0'..=b'9' if is_number(column.spec().kind) => draft.read(column, Cow::Borrowed(text)),
        _ => Err(format!("`{name}` must be {}", expected(column.spec().kind))),
    }
}

fn is_number(kind: Kind) -> bool {
    matches!(kind, Kind::Int64 | Kind::Int32 | Kind::Int8 | Kind::Amount | Kind::Ratio)
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Inputs => "an array of objects",
        kind if is_number(kind) => "a number",
        _ => "a string",
    }
}

/// Reads the JSON array of an `inputs` column.
///
/// # Errors
/// Entries that are no objects, have other keys than the four, or repeat one.
pub fn read_inputs(raw: &str) -> Result<Vec<Input>, Reason> {
    let entries = jcs::elements(raw).map_err(|_| "`inputs` is no array".to_owned())?;
    entries.into_iter().map(read_input).collect()
}

fn read_input(raw: &str) -> Result<Input, Reason> {
    let mut input = Input::default();
    let mut seen = [false; 4];
    for (name, value) in jcs::members(raw).map_err(|_| "an entry of `inputs` is no object".to_owned())? {
        let (at, slot) = match name.as_ref() {
            "system" => (0, &mut input.system),
            "record_type" => (1, &mut input.record_type),
            "record_id" => (2, &mut input.record_id),
            "field" => (3, &mut input.field),
            _ => return Err("an entry of `inputs` has a key beside system, record_type, record_id, field".into()),
        };
        if std::mem::replace(&mut seen[at], true) {
            return Err(format!("an entry of `inputs` gives `{name}` twice"));
        }
        if value != "null" {
            let text = jcs::string(value).map_err(|_| format!("`inputs`.`{name}` must be a string"))?;
            *slot = Some(text.into_owned()).filter(|t| !t.is_empty());
        }
    }
    if [&input.system, &input.record_type, &input.record_id].iter().any(|part| part.is_none()) {
        return Err("an entry of `inputs` lacks system, record_type or record_id".into());
    }
    if input.record_id.as_deref().is_some_and(|id| id.chars().any(char::is_control)) {
        return Err("`inputs`.`record_id` holds a control character".into());
    }
    Ok(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> String {
        decode(text.as_bytes()).map(|_| ()).unwrap_err()
    }

    #[test]
    fn values_of_records_may_be_any_json() {
        for (json, expected) in [
            ("\"a\"", Some("a")),
            ("\"\"", Some("")),
            ("null", Some("")),
            ("1.0", Some("1")),
            ("true", Some("true")),
            (r#"{"b":[2e0],"a":null}"#, Some(r#"{"a":null,"b":[2]}"#)),
        ] {
            let text = format!(r#"{{"old_value":{json}}}"#);
            let draft = decode(text.as_bytes()).unwrap();
            assert_eq!(draft.text(Column::OldValue), expected, "{json}");
            assert_eq!(*draft.cell(Column::NewValue), Cell::Absent);
        }
    }

    #[test]
    fn unknown_keys_become_one_sorted_object_with_their_digits() {
        let draft = decode(br#"{"z":1.50,"extra":{"a":12345678901234567890},"workflow":"w","m":null}"#).unwrap();
        assert_eq!(draft.text(Column::Extra), Some(r#"{"a":12345678901234567890,"m":null,"z":1.50}"#));
        assert!(reason(r#"{"a":1,"extra":{"a":2}}"#).contains("repeats a key"));
        assert!(reason(r#"{"extra":[1]}"#).contains("`extra` is no JSON object"));
        assert_eq!(*decode(br#"{"extra":{}}"#).unwrap().cell(Column::Extra), Cell::Absent);
    }

    #[test]
    fn cloudevents_map_to_the_columns() {
        let draft = decode(
            br#"{"specversion":"1.0","id":"7","source":"s","type":"action.proposed","time":"2026-03-01T09:00:00Z",
                "subject":"x","datacontenttype":"application/json; charset=utf-8","data":{"action_id":"a"}}"#,
        )
        .unwrap();
        assert_eq!(draft.text(Column::EventId), Some("7"));
        assert_eq!(draft.text(Column::EventType), Some("action.proposed"));
        assert_eq!(draft.text(Column::ActionId), Some("a"));
        assert_eq!(draft.text(Column::Extra), Some(r#"{"subject":"x"}"#));
        assert!(reason(r#"{"specversion":"0.3","id":"7"}"#).contains("specversion"));
        assert!(reason(r#"{"specversion":"1.0","id":"7","data":{"event_id":"8"}}"#).contains("given twice"));
        assert!(reason(r#"{"specversion":"1.0","data_base64":"AA=="}"#).contains("data_base64"));
    }

    #[test]
    fn malformed_records_are_refused_with_the_place() {
        for (text, expected) in [
            (r#"{"event_id":"a","event_id":"b"}"#, "`event_id` is given twice"),
            (r#"{"event_id":"\ud800"}"#, "`event_id`"),
            (r#"{"event_id":7}"#, "`event_id` must be a string"),
            (r#"{"amount":true}"#, "`amount` must be a number"),
            (r#"{"attempt":4.0}"#, "`attempt` is no integer"),
            (r#"{"amount":1.234}"#, "`amount` has more than two decimals"),
            (r#"{"confidence":1.5}"#, "`confidence` is outside 0..1"),
            (r#"{"seq":1}"#, "`seq` is assigned by the engine"),
            (r#"{"comment_digest":"x"}"#, "assigned by the engine"),
            (r#"{"occurred_at":"2026-03-01T09:00:00"}"#, "zone is missing"),
            (r#"{"inputs":[{"system":"a","record_type":"b","record_id":"c","x":1}]}"#, "has a key beside"),
            (r#"{"inputs":[{"system":"a"}]}"#, "lacks"),
            (r#"{"inputs":"a"}"#, "`inputs` is no array"),
            (r#"{"event_id":"a""#, "is no complete JSON object"),
            ("[1]", "is no JSON object"),
            ("", "is no JSON object"),
            (r#"{"a":1} x"#, "is no complete JSON object"),
        ] {
            assert!(reason(text).contains(expected), "{text}: {}", reason(text));
        }
        assert!(decode(b"{\"a\xff").unwrap_err().contains("not UTF-8 at byte 3"));
        assert!(decode(&[0xff, 0xfe, b'{', 0]).unwrap_err().contains("UTF-16"));
    }

    #[test]
    fn deep_json_is_refused_without_exhausting_the_stack() {
        let deep = format!(r#"{{"x":{}1{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
        assert!(reason(&deep).contains("nested deeper"));
    }
}
