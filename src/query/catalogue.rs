//! The named queries, by name.
//!
//! In: the files under `queries/`, embedded in the binary. Out: parsed queries; views in the order in which
//! they can be made. Invariant: names are unique over all kinds, and no view needs itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::header::{Kind, NamedQuery};
use super::shipped;
use crate::error::{Error, Result};

/// All named queries.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    queries: BTreeMap<String, NamedQuery>,
    /// Names of the views, each behind those that it needs.
    views: Vec<String>,
}

impl Catalogue {
    /// The queries that ship with the program, parsed once.
    ///
    /// # Errors
    /// When a shipped file is defective, which a test rules out.
    pub fn shipped() -> Result<&'static Self> {
        static SHIPPED: OnceLock<std::result::Result<Catalogue, String>> = OnceLock::new();
        let shipped = SHIPPED.get_or_init(|| Self::of_files(shipped::FILES).map_err(|e| e.to_string()));
        shipped.as_ref().map_err(|e| Error::internal(e.clone()))
    }

    /// The queries in `files`: path under `queries/` and text.
    ///
    /// # Errors
    /// A defective header, a name used twice, views that need each other.
    pub fn of_files(files: &[(&str, &str)]) -> Result<Self> {
        let mut queries: BTreeMap<String, NamedQuery> = BTreeMap::new();
        for (file, text) in files {
            let query = NamedQuery::parse(file, text)?;
            if let Some(other) = queries.get(&query.name) {
                return Err(Error::invalid(format!("queries/{file}: the name is taken by queries/{}", other.file)));
            }
            queries.insert(query.name.clone(), query);
        }
        let views = order_of_views(&queries)?;
        Ok(Self { queries, views })
    }

    /// The query called `name`.
    ///
    /// # Errors
    /// When there is none; the message names those that look like it.
    pub fn get(&self, name: &str) -> Result<&NamedQuery> {
        self.queries.get(name).ok_or_else(|| {
            let alike: Vec<&str> = self.queries.keys().map(String::as_str).filter(|n| is_alike(n, name)).collect();
            let hint = match alike.as_slice() {
                [] => "`probity queries` lists them".to_owned(),
                names => format!("did you mean {}?", names.join(", ")),
            };
            Error::not_found(format!("there is no query `{name}`; {hint}"))
        })
    }

    /// All queries in order of name.
    pub fn list(&self) -> impl Iterator<Item = &NamedQuery> {
        self.queries.values()
    }

    /// The views, each behind those that it needs.
    pub fn views(&self) -> impl Iterator<Item = &NamedQuery> {
        self.views.iter().filter_map(|name| self.queries.get(name))
    }
}

fn is_alike(known: &str, asked: &str) -> bool {
    let parts: BTreeSet<&str> = asked.split('_').filter(|p| p.len() > 3).collect();
    known.starts_with(asked) || asked.starts_with(known) || known.split('_').any(|p| parts.contains(p))
}

fn order_of_views(queries: &BTreeMap<String, NamedQuery>) -> Result<Vec<String>> {
    let views: BTreeMap<&str, &NamedQuery> =
        queries.values().filter(|q| q.kind == Kind::View).map(|q| (q.name.as_str(), q)).collect();
    let mut waiting: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (name, query) in &views {
        let mut needs = words(query)?;
        needs.retain(|word| word != name && views.contains_key(word.as_str()));
        waiting.insert(name, needs);
    }
    let mut order: Vec<String> = Vec::new();
    while !waiting.is_empty() {
        let ready: Vec<&str> = waiting
            .iter()
            .filter(|(_, needs)| needs.iter().all(|n| order.contains(n)))
            .map(|(name, _)| *name)
            .collect();
        if ready.is_empty() {
            let names: Vec<&str> = waiting.into_keys().collect();
            return Err(Error::invalid(format!("views need each other in a circle: {}", names.join(", "))));
        }
        for name in ready {
            waiting.remove(name);
            order.push(name.to_owned());
        }
    }
    Ok(order)
}

/// The words that follow `from` or `join` in the text: every table it reads is among them.
fn words(query: &NamedQuery) -> Result<BTreeSet<String>> {
    let tokens = Tokenizer::new(&GenericDialect {}, &query.text).tokenize();
    let tokens = tokens.map_err(|e| Error::invalid(format!("queries/{}: {e}", query.file)))?;
    let significant: Vec<&Token> = tokens.iter().filter(|t| !matches!(t, Token::Whitespace(_))).collect();
    let opens = |token: &Token| match token {
        Token::Word(word) => ["from", "join"].contains(&word.value.to_ascii_lowercase().as_str()),
        _ => false,
    };
    let pairs = significant.windows(2).filter(|pair| opens(pair[0]));
    Ok(pairs
        .filter_map(|pair| match pair[1] {
            Token::Word(word) => Some(word.value.to_ascii_lowercase()),
            _ => None,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "-- question: q\n-- grain: g\n-- returns: a int64\n\n";

    #[test]
    fn views_come_behind_those_they_need() {
        let text = |sql: &str| format!("{HEAD}{sql}");
        let (a, b, c) = (text("select 1 as a"), text("select a from c join a using (a)"), text("select a from a"));
        let catalogue = Catalogue::of_files(&[("views/b.sql", &b), ("views/a.sql", &a), ("views/c.sql", &c)]).unwrap();
        assert_eq!(catalogue.views().map(|v| v.name.as_str()).collect::<Vec<_>>(), ["a", "c", "b"]);
        let circle = text("select a from b");
        let err = Catalogue::of_files(&[("views/a.sql", &circle), ("views/b.sql", &c)]).unwrap_err();
        assert_eq!(err.to_string(), "views need each other in a circle: a, b");
    }

    #[test]
    fn a_name_is_used_once() {
        let a = format!("{HEAD}select 1 as a");
        let err = Catalogue::of_files(&[("views/a.sql", &a), ("metrics/a.sql", &a)]).unwrap_err();
        assert_eq!(err.to_string(), "queries/metrics/a.sql: the name is taken by queries/views/a.sql");
    }

    #[test]
    fn an_unknown_name_is_answered_with_those_like_it() {
        let a = format!("{HEAD}select 1 as a");
        let catalogue = Catalogue::of_files(&[("metrics/approval_rate.sql", &a)]).unwrap();
        let err = catalogue.get("approval").unwrap_err();
        assert_eq!(err.to_string(), "there is no query `approval`; did you mean approval_rate?");
    }

    #[test]
    fn every_shipped_header_is_right() {
        let catalogue = Catalogue::shipped().unwrap();
        assert_eq!(catalogue.list().count(), shipped::FILES.len());
    }
}
