//! What can be asked: the named queries with their parameters, and which of them a text names.
//!
//! In: the catalogue. Out: a document for programs, or the query. Invariant: everything that ships is listed, each with
//! what it takes and gives.

use serde_json::{Value, json};

use super::catalogue::Catalogue;
use super::header::{AS_OF, Kind, NamedQuery, Param};
use crate::error::{Error, Result};

/// The query that `text` names; none when it is SQL.
///
/// # Errors
/// NotFound when there is none of that name; Invalid when it is a mapping or a view.
pub fn named(text: &str) -> Result<Option<&'static NamedQuery>> {
    let is_name = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !is_name {
        return Ok(None);
    }
    let query = Catalogue::shipped()?.get(text)?;
    match query.kind {
        Kind::Mapping => {
            let way = format!("`probity ingest --map {text} FILE` or POST /v1/events?map={text}");
            Err(Error::invalid(format!("`{text}` is a mapping; use it with {way}")))
        }
        Kind::View => Err(Error::invalid(format!(
            "`{text}` is a view; query it with SQL, e.g. \"select * from {text} limit 10\""
        ))),
        _ => Ok(Some(query)),
    }
}

/// All queries in order of name.
pub fn document(catalogue: &Catalogue) -> Value {
    catalogue.list().map(query).collect()
}

fn query(query: &NamedQuery) -> Value {
    let returns = query.returns.iter().map(|r| json!({"name": r.name, "type": r.value_type.word()}));
    json!({
        "name": query.name,
        "kind": format!("{:?}", query.kind).to_lowercase(),
        "question": query.question,
        "grain": query.grain,
        // The as-of point is asked for beside the parameters, whatever the query.
        "params": query.params.iter().filter(|p| p.name != AS_OF).map(param).collect::<Vec<_>>(),
        "returns": returns.collect::<Vec<_>>(),
    })
}

fn param(param: &Param) -> Value {
    json!({
        "name": param.name,
        "type": param.value_type.word(),
        "default": param.default.as_ref().map(ToString::to_string),
        "note": param.note,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_from_sql_and_views_from_queries() {
        assert_eq!(named("approval_rate").unwrap().map(|query| query.name.as_str()), Some("approval_rate"));
        for sql in ["select 1", "approval_rate;", "", "a b"] {
            assert!(named(sql).unwrap().is_none(), "{sql}");
        }
        for (other, word) in [("actions", "view"), ("otel_genai", "mapping"), ("approval", "did you mean")] {
            assert!(named(other).unwrap_err().to_string().contains(word), "{other}");
        }
    }

    #[test]
    fn the_list_has_every_query_once() {
        let catalogue = Catalogue::shipped().unwrap();
        let list = document(catalogue);
        assert_eq!(list.as_array().map(Vec::len), Some(catalogue.list().count()));
        let first = &list[0];
        assert!(["name", "kind", "question", "grain", "params", "returns"].iter().all(|key| first.get(key).is_some()));
        // What is listed as needed can be given.
        let mut params = list.as_array().into_iter().flatten().flat_map(|query| query["params"].as_array().unwrap());
        assert!(params.all(|param| param["name"] != AS_OF));
    }
}
