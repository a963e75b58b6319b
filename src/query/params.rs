//! Values given to the parameters of a named query.
//!
//! In: names and texts as the caller wrote them, and the query's declarations. Out: one typed value for each
//! declared parameter. Invariant: nothing undeclared, nothing missing, nothing of another type.

use std::collections::BTreeMap;

use super::header::{AS_OF, NamedQuery, Param};
use super::types::{ParamValue, ValueType};
use crate::clock::Micros;
use crate::error::{Error, Result};

/// Texts given for parameters, by name.
pub type Params = BTreeMap<String, String>;

/// Parameters with values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bound(BTreeMap<String, (ValueType, ParamValue)>);

impl Bound {
    /// The values for `query`: those given, else the defaults; `as_of` is the session's.
    ///
    /// # Errors
    /// A missing, unknown or badly written parameter.
    pub fn new(query: &NamedQuery, given: &Params, as_of: Micros) -> Result<Self> {
        let name = &query.name;
        let known: Vec<&str> = query.params.iter().map(|p| p.name.as_str()).collect();
        for given in given.keys().map(String::as_str) {
            if given == AS_OF {
                let hint = "the as-of point is that of the question as a whole; give it with --as-of, over HTTP as \
                            `as_of` beside the parameters";
                return Err(Error::invalid(format!(
                    "query `{name}`: parameter `{AS_OF}` cannot be given here; {hint}"
                )));
            }
            if !known.contains(&given) {
                let takes = if known.is_empty() {
                    "it takes none".to_owned()
                } else {
                    format!("it takes {}", known.join(", "))
                };
                return Err(Error::invalid(format!("query `{name}`: there is no parameter `{given}`; {takes}")));
            }
        }
        let mut bound = Self::as_of(as_of);
        for param in query.params.iter().filter(|p| p.name != AS_OF) {
            bound.0.insert(param.name.clone(), (param.value_type, value(name, param, given.get(&param.name))?));
        }
        Ok(bound)
    }

    /// Only the as-of instant, for SQL without declarations.
    pub fn as_of(at: Micros) -> Self {
        Self(BTreeMap::from([(AS_OF.to_owned(), (ValueType::Timestamp, ParamValue::Timestamp(at)))]))
    }

    /// Type and value of the parameter called `name`.
    pub fn get(&self, name: &str) -> Option<(ValueType, &ParamValue)> {
        self.0.get(name).map(|(value_type, value)| (*value_type, value))
    }

    /// The values by name, as they are printed beside a result.
    pub fn values(&self) -> BTreeMap<&str, &ParamValue> {
        self.0.iter().map(|(name, (_, value))| (name.as_str(), value)).collect()
    }
}

fn value(query: &str, param: &Param, given: Option<&String>) -> Result<ParamValue> {
    let name = &param.name;
    let example = param.value_type.example(name);
    match (given, &param.default) {
        // Names carry their unit: a span of days is at least one and at most a century.
        (Some(text), _)
            if name.ends_with("_days") && !text.parse().is_ok_and(|days: i64| (1..=36_525).contains(&days)) =>
        {
            Err(Error::invalid(format!(
                "query `{query}`: parameter `{name}` is no number of days in 1..36525; give e.g. {name}=30"
            )))
        }
        (Some(text), _) => param.value_type.value(text).ok_or_else(|| {
            Error::invalid(format!(
                "query `{query}`: parameter `{name}` is no {}; give {example}",
                param.value_type.word()
            ))
        }),
        (None, Some(default)) => Ok(default.clone()),
        (None, None) => Err(Error::invalid(format!("query `{query}`: parameter `{name}` is missing; give {example}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(given: &[(&str, &str)]) -> Result<Bound> {
        let text = "-- question: q\n-- grain: g\n-- params: since timestamp\n--         n int64 = 30\n-- returns: a int64\nselect $since, $n, $as_of";
        let query = NamedQuery::parse("metrics/x.sql", text)?;
        let given = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Bound::new(&query, &given, 5)
    }

    #[test]
    fn each_parameter_has_its_value_or_a_clear_refusal() {
        let bound = bind(&[("since", "1970-01-01T00:00:01Z")]).unwrap();
        assert_eq!(bound.get("since").unwrap().1, &ParamValue::Timestamp(1_000_000));
        assert_eq!(bound.get("n").unwrap().1, &ParamValue::Int64(30));
        assert_eq!(bound.get("as_of").unwrap().1, &ParamValue::Timestamp(5));
        let refusal = |given: &[(&str, &str)]| bind(given).unwrap_err().to_string();
        assert_eq!(
            refusal(&[]),
            "query `x`: parameter `since` is missing; give an RFC 3339 instant, e.g. since=2026-11-01T00:00:00Z"
        );
        assert_eq!(
            refusal(&[("since", "soon")]),
            "query `x`: parameter `since` is no timestamp; give an RFC 3339 instant, e.g. since=2026-11-01T00:00:00Z"
        );
        assert_eq!(refusal(&[("until", "x")]), "query `x`: there is no parameter `until`; it takes since, n");
        assert!(
            refusal(&[("as_of", "x")]).ends_with("give it with --as-of, over HTTP as `as_of` beside the parameters")
        );
    }
}
