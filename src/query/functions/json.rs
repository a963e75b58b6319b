//! Reading JSON that a column holds as text, by RFC 6901 pointer.
//!
//! In: columns of JSON text and pointers such as `/data/0/name`. Out: text; objects and arrays as compact JSON.
//! Invariant: what is no JSON, or has nothing at the pointer, is null; nothing is repeated in an error.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringBuilder};
use arrow::datatypes::{DataType, Field};
use datafusion::common::Result;
use serde_json::Value;

use super::FunctionNote;
use super::scalar::{Scalar, takes_texts, texts};

pub(super) const NOTES: &[FunctionNote] = &[
    FunctionNote {
        call: "json_text(json, pointer)",
        gives: "the value at an RFC 6901 pointer: text as it is, objects and arrays as JSON; else null",
    },
    FunctionNote { call: "json_list(json, pointer)", gives: "the elements of the array there, each in the same form" },
    FunctionNote { call: "json_keys(json, pointer)", gives: "the keys of the object there, in order of name" },
];

pub(super) fn functions() -> Vec<Scalar> {
    let list = || DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
    let function = |name, returns, run| Scalar { name, signature: takes_texts(2), returns, run };
    vec![
        function("json_text", DataType::Utf8, json_text),
        function("json_list", list(), json_list),
        function("json_keys", list(), json_keys),
    ]
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Calls `each` with what every row holds at its pointer.
fn at_pointers(columns: &[ArrayRef], mut each: impl FnMut(Option<&Value>)) -> Result<()> {
    let (texts, pointers) = (texts(&columns[0])?, texts(&columns[1])?);
    // A mapping asks many things of one text: it is parsed once per run of equal rows.
    let mut parsed: Option<(&str, Option<Value>)> = None;
    for (text, pointer) in texts.iter().zip(&pointers) {
        let (Some(text), Some(pointer)) = (text, pointer) else {
            each(None);
            continue;
        };
        if parsed.as_ref().is_none_or(|(known, _)| *known != text) {
            parsed = Some((text, serde_json::from_str(text).ok()));
        }
        let value = parsed.as_ref().and_then(|(_, value)| value.as_ref()).and_then(|value| value.pointer(pointer));
        each(value);
    }
    Ok(())
}

fn json_text(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let mut found = StringBuilder::new();
    at_pointers(columns, |value| found.append_option(value.and_then(text_of)))?;
    Ok(Arc::new(found.finish()))
}

fn json_list(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let mut found = ListBuilder::new(StringBuilder::new());
    at_pointers(columns, |value| match value {
        Some(Value::Array(items)) => found.append_value(items.iter().map(text_of)),
        _ => found.append_null(),
    })?;
    Ok(Arc::new(found.finish()))
}

fn json_keys(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let mut found = ListBuilder::new(StringBuilder::new());
    at_pointers(columns, |value| match value {
        Some(Value::Object(map)) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            found.append_value(keys.into_iter().map(Some));
        }
        _ => found.append_null(),
    })?;
    Ok(Arc::new(found.finish()))
}

#[cfg(test)]
mod tests {
    use super::super::testing::text;

    #[tokio::test]
    async fn what_is_at_the_pointer_or_null() {
        let shown = text(
            r#"select json_text(j, '/a/0/b') as s, json_text(j, '/a') as t, json_text(j, '/n') as n, json_text(j, '/z') as z,
                      json_list(j, '/a') as l, json_keys(j, '') as k, json_list(j, '/n') as nl, json_text('{', '') as bad
               from (values ('{"n":null,"a":[{"b":"x y"},2,"w"]}')) as t(j)"#,
        )
        .await;
        assert!(
            shown.contains(r#"| x y | [{"b":"x y"},2,"w"] |   |   | [{"b":"x y"}, 2, w] | [a, n] |    |     |"#),
            "{shown}"
        );
    }
}
