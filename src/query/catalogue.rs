//! The named queries, by name.
//!
//! In: the files under `queries/`, embedded in the binary. Out: parsed queries; views in the order in which
//! they can be made. Invariant: names are unique over all kinds, and no view needs itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::OnceLock;

use datafusion::sql::sqlparser::ast::{ObjectName, Query, visit_relations};

use super::header::{Kind, NamedQuery};
use super::objects::literal;
use super::shipped;
use crate::error::{Error, Result};

/// All named queries.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    queries: BTreeMap<String, NamedQuery>,
    /// Names of the views, each behind those that it needs.
    views: Vec<String>,
    /// The views that each view reads.
    needs: BTreeMap<String, BTreeSet<String>>,
}

impl Catalogue {
    /// The queries that ship with the program, read once.
    ///
    /// # Errors
    /// When a shipped file is defective, which a test rules out.
    pub fn shipped() -> Result<&'static Self> {
        static SHIPPED: OnceLock<std::result::Result<Catalogue, String>> = OnceLock::new();
        let read = || Self::with(shipped::FILES, NamedQuery::read);
        let shipped = SHIPPED.get_or_init(|| read().map_err(|e| e.to_string()));
        shipped.as_ref().map_err(|e| Error::internal(e.clone()))
    }

    /// The queries in `files`: path under `queries/` and text.
    ///
    /// # Errors
    /// A defective header, a name used twice, views that need each other.
    pub fn of_files(files: &[(&str, &str)]) -> Result<Self> {
        Self::with(files, NamedQuery::parse)
    }

    fn with(files: &[(&str, &str)], read: fn(&str, &str) -> Result<NamedQuery>) -> Result<Self> {
        let mut queries: BTreeMap<String, NamedQuery> = BTreeMap::new();
        for (file, text) in files {
            let query = read(file, text)?;
            if let Some(other) = queries.get(&query.name) {
                return Err(Error::invalid(format!("queries/{file}: the name is taken by queries/{}", other.file)));
            }
            queries.insert(query.name.clone(), query);
        }
        let needs = needs_of_views(&queries);
        let views = order_of_views(&needs)?;
        Ok(Self { queries, views, needs })
    }

    /// The same queries, judging all evidence by one policy, as if it had always been in force.
    ///
    /// # Errors
    /// When the view of policies has another shape, which a test rules out.
    pub fn judging_by(&self, version: &str, document: &str) -> Result<Self> {
        let mut changed = self.clone();
        let view = changed.queries.get_mut("policies").ok_or_else(|| Error::internal("there is no view `policies`"))?;
        let head: String = view.text.lines().take_while(|l| l.starts_with("--")).map(|l| format!("{l}\n")).collect();
        let instant = |text: &str| format!("arrow_cast('{text}', 'Timestamp(Microsecond, Some(\"UTC\"))')");
        view.text = format!(
            "{head}\nselect {} as version, {} as effective_from, {} as effective_to,\n    {} as applied_at, \
             cast(null as varchar) as applied_by, false as is_default, {} as document",
            literal(version),
            instant("0001-01-01T00:00:00Z"),
            instant("9999-12-31T23:59:59.999999Z"),
            "arrow_cast(null, 'Timestamp(Microsecond, Some(\"UTC\"))')",
            literal(document),
        );
        Ok(changed)
    }

    /// Adds a query of the user's own; `file` is `folder/name.sql`.
    ///
    /// # Errors
    /// A defective header, a name that is taken, a view.
    pub fn add(&mut self, file: &str, text: &str) -> Result<()> {
        let query = NamedQuery::parse(file, text)?;
        if query.kind == Kind::View || self.queries.contains_key(&query.name) {
            return Err(Error::invalid(format!("`{}` cannot be added: a view, or the name is taken", query.name)));
        }
        self.queries.insert(query.name.clone(), query);
        Ok(())
    }

    /// The query called `name`.
    ///
    /// # Errors
    /// When there is none; the message names those that look like it.
    pub fn get(&self, name: &str) -> Result<&NamedQuery> {
        self.queries.get(name).ok_or_else(|| {
            let alike: Vec<&str> = self.queries.keys().map(String::as_str).filter(|n| is_alike(n, name)).collect();
            let hint = match alike.as_slice() {
                [] => "`probity queries` or GET /v1/queries lists them".to_owned(),
                names => format!("did you mean {}?", names.join(", ")),
            };
            Error::not_found(format!("there is no query `{name}`; {hint}"))
        })
    }

    /// All queries in order of name.
    pub fn list(&self) -> impl Iterator<Item = &NamedQuery> {
        self.queries.values()
    }

    /// The views among `words` with all that they read, each behind those that it needs.
    pub fn needed(&self, words: &BTreeSet<String>) -> Vec<&NamedQuery> {
        let mut wanted: BTreeSet<&str> = BTreeSet::new();
        // Views come behind what they need: backwards, everything that needs a view is seen before it.
        for name in self.views.iter().rev() {
            let is_read = wanted.iter().any(|reader| self.needs.get(*reader).is_some_and(|n| n.contains(name)));
            if is_read || words.contains(name) {
                wanted.insert(name);
            }
        }
        self.views().filter(|view| wanted.contains(view.name.as_str())).collect()
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

fn needs_of_views(queries: &BTreeMap<String, NamedQuery>) -> BTreeMap<String, BTreeSet<String>> {
    let views: BTreeMap<&String, &NamedQuery> = queries.iter().filter(|(_, q)| q.kind == Kind::View).collect();
    let needs = |(name, query): (&&String, &&NamedQuery)| {
        let mut needs = tables_in(query);
        needs.retain(|word| word != *name && views.contains_key(word));
        ((*name).clone(), needs)
    };
    views.iter().map(needs).collect()
}

fn order_of_views(needs: &BTreeMap<String, BTreeSet<String>>) -> Result<Vec<String>> {
    let mut waiting: BTreeMap<&str, &BTreeSet<String>> = needs.iter().map(|(name, n)| (name.as_str(), n)).collect();
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

/// The words that follow `from` or `join` in the text: every table that a shipped query reads is among them.
pub fn tables_in(query: &NamedQuery) -> BTreeSet<String> {
    let words = words(&query.text);
    let opens = |word: &str| ["from", "join"].iter().any(|opening| word.eq_ignore_ascii_case(opening));
    words.windows(2).filter(|pair| opens(pair[0])).map(|pair| pair[1].to_ascii_lowercase()).collect()
}

/// The tables that a stranger's query reads, by the last part of their names; those that it defines itself are among them.
pub fn tables_of(query: &Query) -> BTreeSet<String> {
    let mut tables = BTreeSet::new();
    let _ = visit_relations(query, |name: &ObjectName| {
        let last = name.0.last().and_then(|part| part.as_ident());
        tables.extend(last.map(|ident| ident.value.to_ascii_lowercase()));
        ControlFlow::<()>::Continue(())
    });
    tables
}

/// The words of a shipped text; whatever is no word stands between two of them as an empty one. A tokenizer of all SQL
/// takes a fifth of the time of a short command for this.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = match first {
            _ if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '\'' | '"' => rest[1..].find(first).map_or(rest.len(), |end| end + 2),
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (token, behind) = rest.split_at(length);
        if is_word(first) {
            words.push(token);
        } else if !first.is_whitespace() && !token.starts_with("--") {
            words.push("");
        }
        rest = behind;
    }
    words
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
    fn tables_follow_from_and_join_outside_of_comments_and_texts() {
        let text =
            format!("{HEAD}-- from b\nselect 'from c', \"from\" as d from E join (select 1 from f_1) as g -- join h");
        let query = NamedQuery::parse("metrics/a.sql", &text).unwrap();
        assert_eq!(tables_in(&query).into_iter().collect::<Vec<_>>(), ["", "e", "f_1"]);
    }

    #[test]
    fn an_alias_is_no_table() {
        let sql = "select count(*) as decisions from \"Events\" where seq in (select seq from public.approvals)";
        let statement = crate::query::guard::parse(sql).unwrap();
        let tables = tables_of(crate::query::guard::query_of(&statement).unwrap());
        assert_eq!(tables.into_iter().collect::<Vec<_>>(), ["approvals", "events"]);
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
    fn no_part_of_a_shipped_query_is_called_like_a_view_which_would_be_made_for_it() {
        let catalogue = Catalogue::shipped().unwrap();
        for query in catalogue.list().filter(|query| query.kind != Kind::Mapping) {
            let words = words(&query.text);
            let parts = words.windows(3).filter(|next| next[1] == "as" && next[2].is_empty()).map(|next| next[0]);
            let alike: Vec<&str> = parts.filter(|part| catalogue.needs.contains_key(*part)).collect();
            assert!(alike.is_empty(), "queries/{}: give {alike:?} another name", query.file);
        }
    }

    #[test]
    fn every_shipped_header_is_right() {
        // The shipped catalogue is read without a look at the parameters that the texts use: this is the look.
        let checked = Catalogue::of_files(shipped::FILES).unwrap();
        assert!(checked.list().eq(Catalogue::shipped().unwrap().list()));
        assert_eq!(checked.list().count(), shipped::FILES.len());
    }
}
