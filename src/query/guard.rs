//! What SQL of strangers may be: one reading query of bounded size over the tables of its session.
//!
//! In: SQL text. Out: its syntax tree, or a refusal that says what to change. Invariant: nothing is planned
//! before its text, its tree and its expansion are within the bounds below, so that no text can exhaust the
//! stack or the memory of the planner. It reads no data and knows no file.

use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, ObjectName, ObjectNamePart, Query, Select, SetExpr, Statement as SqlStatement, TableFactor,
    Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::condition::bounded;
use crate::error::{Error, Result};
use crate::limits::{SQL_BYTES, SQL_DEPTH, SQL_OPERATORS};

/// Tokens of one SQL text, white space aside.
pub const SQL_TOKENS: usize = 16 * 1024;
/// Bytes of one literal or name: a literal is repeated for every row that it is joined to.
pub const SQL_LITERAL_BYTES: usize = 8 * 1024;
/// Arms of UNION, INTERSECT and EXCEPT in one text: each nests the plan by one level.
pub const SQL_ARMS: usize = 200;
/// Entries of one IN list.
pub const SQL_IN_LIST: usize = 4 * 1024;
/// Tables and SELECTs that a text holds once its common table expressions and views are written out.
pub const SQL_PARTS: u64 = 1_000;
/// Functions that stand in FROM, and for how many tables each counts: a call reads the evidence twice.
pub const TABLE_FUNCTIONS: [(&str, u64); 1] = [("blast_radius", 100)];
/// Grouping sets of one GROUP BY: a cube over n columns has 2^n.
pub const SQL_GROUPING_SETS: usize = 64;
/// Parts of one dotted name.
const NAME_PARTS: usize = 8;
/// Stack that planning needs for the deepest text that passes, with room to spare.
pub const PLANNING_STACK_BYTES: usize = 64 * 1024 * 1024;

/// How much stands behind a name that a query may read: 1 for a table, more for a view.
pub trait Tables {
    /// The number for `name`, `None` when there is no such table.
    fn weight(&self, name: &str) -> Option<u64>;
    /// The names that exist, for a message.
    fn names(&self) -> Vec<String>;
}

/// Checks the size and the shape of `sql` without building anything from it.
///
/// # Errors
/// When a bound is exceeded or the text cannot be split into tokens.
pub fn check_text(sql: &str) -> Result<()> {
    if sql.len() > SQL_BYTES {
        return Err(too_many("bytes", sql.len(), SQL_BYTES));
    }
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize();
    let tokens = tokens.map_err(|e| Error::invalid(format!("this is no SQL: {e}")))?;
    let mut shape = Shape::default();
    for token in &tokens {
        if !matches!(token, Token::Whitespace(_)) {
            shape.add(token)?;
        }
    }
    if shape.tokens == 0 {
        return Err(Error::invalid("the text holds no SQL; write one SELECT"));
    }
    Ok(())
}

#[derive(Default)]
struct Shape {
    tokens: usize,
    operators: usize,
    arms: usize,
    depth: usize,
    cases: usize,
    dots: usize,
    was_dot: bool,
}

impl Shape {
    fn add(&mut self, token: &Token) -> Result<()> {
        self.tokens += 1;
        match token {
            Token::LParen | Token::LBrace => self.depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => self.depth = self.depth.saturating_sub(1),
            // A subscript nests the expression before it, as an operator does.
            Token::LBracket => {
                self.depth += 1;
                self.operators += 1;
            }
            Token::Word(word) => self.add_word(word.keyword),
            Token::Comma | Token::SemiColon | Token::Number(..) | Token::Placeholder(_) | Token::EOF => {}
            Token::Period => {}
            other if literal_bytes(other).is_some() => {}
            _ => self.operators += 1,
        }
        match token {
            Token::Period => self.dots += 1,
            Token::Word(_) => {}
            _ => self.dots = 0,
        }
        // Two words in a row end a dotted name.
        if matches!(token, Token::Word(_)) && !self.was_dot {
            self.dots = 0;
        }
        self.was_dot = matches!(token, Token::Period);
        let bytes = match token {
            Token::Word(word) => word.value.len(),
            other => literal_bytes(other).unwrap_or(0),
        };
        self.check(bytes)
    }

    fn add_word(&mut self, keyword: Keyword) {
        match keyword {
            Keyword::AND
            | Keyword::OR
            | Keyword::NOT
            | Keyword::XOR
            | Keyword::IS
            | Keyword::IN
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::SIMILAR
            | Keyword::REGEXP
            | Keyword::RLIKE
            | Keyword::BETWEEN
            | Keyword::DIV
            | Keyword::COLLATE
            | Keyword::AT
            | Keyword::OVERLAPS
            | Keyword::PRIOR
            | Keyword::INTERVAL => self.operators += 1,
            Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT | Keyword::MINUS => self.arms += 1,
            Keyword::CASE => self.cases += 1,
            Keyword::END => self.cases = self.cases.saturating_sub(1),
            _ => {}
        }
    }

    fn check(&self, literal_bytes: usize) -> Result<()> {
        let bounds = [
            ("tokens", self.tokens, SQL_TOKENS),
            ("operators", self.operators, SQL_OPERATORS),
            ("UNION, INTERSECT and EXCEPT", self.arms, SQL_ARMS),
            ("levels of nesting", self.depth + self.cases, SQL_DEPTH),
            ("parts in a name", self.dots + 1, NAME_PARTS),
            ("bytes in a literal or name", literal_bytes, SQL_LITERAL_BYTES),
        ];
        match bounds.iter().find(|(_, found, bound)| found > bound) {
            Some((what, found, bound)) => Err(too_many(what, *found, *bound)),
            None => Ok(()),
        }
    }
}

fn literal_bytes(token: &Token) -> Option<usize> {
    Some(match token {
        Token::SingleQuotedString(s)
        | Token::DoubleQuotedString(s)
        | Token::TripleSingleQuotedString(s)
        | Token::TripleDoubleQuotedString(s)
        | Token::NationalStringLiteral(s)
        | Token::EscapedStringLiteral(s)
        | Token::UnicodeStringLiteral(s)
        | Token::HexStringLiteral(s)
        | Token::SingleQuotedByteStringLiteral(s)
        | Token::DoubleQuotedByteStringLiteral(s)
        | Token::SingleQuotedRawStringLiteral(s)
        | Token::DoubleQuotedRawStringLiteral(s) => s.len(),
        Token::DollarQuotedString(s) => s.value.len(),
        _ => return None,
    })
}

pub(super) fn too_many(what: &str, found: usize, bound: usize) -> Error {
    Error::limit(format!("the SQL has {found} {what}, the limit is {bound}; split it or write it shorter"))
}

/// Parses `sql`, which must have passed [`check_text`], as one query or EXPLAIN of one.
///
/// # Errors
/// Bad syntax, no or several statements, any other statement.
pub fn parse(sql: &str) -> Result<Statement> {
    let parser = DFParserBuilder::new(sql).with_recursion_limit(SQL_DEPTH * 4).build();
    let parsed = parser.and_then(|mut parser| parser.parse_statements());
    let mut statements = parsed.map_err(|e| Error::invalid(super::failure::syntax(&e)))?;
    let (Some(statement), true) = (statements.pop_front(), statements.is_empty()) else {
        return Err(Error::invalid("write exactly one SELECT"));
    };
    query_of(&statement)?;
    Ok(statement)
}

/// The query of `statement`, itself or explained.
///
/// # Errors
/// Any statement that is not a query.
pub fn query_of(statement: &Statement) -> Result<&Query> {
    match statement {
        Statement::Statement(statement) => match statement.as_ref() {
            SqlStatement::Query(query) => Ok(query),
            _ => Err(only_queries()),
        },
        Statement::Explain(explain) => match explain.statement.as_ref() {
            inner @ Statement::Statement(_) => query_of(inner),
            _ => Err(only_queries()),
        },
        _ => Err(only_queries()),
    }
}

fn only_queries() -> Error {
    Error::invalid(
        "only one SELECT, WITH or VALUES query, or EXPLAIN of one, can be asked; nothing can be written, set or shown",
    )
}

/// Checks the tree of `statement` against the tables that exist.
///
/// # Errors
/// Recursion, writing inside a query, unknown tables, too much after expansion.
pub fn check_statement(statement: &Statement, tables: &dyn Tables) -> Result<()> {
    let query = query_of(statement)?;
    let mut walk = Walk { tables, frames: vec![Frame::default()], unnests: 0, is_call: false };
    match query.visit(&mut walk) {
        ControlFlow::Break(refusal) => Err(refusal),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Walk<'a> {
    tables: &'a dyn Tables,
    frames: Vec<Frame>,
    unnests: usize,
    /// The table that is visited next has arguments.
    is_call: bool,
}

/// A query being visited: the tables it reads so far and its common table expressions.
#[derive(Default)]
struct Frame {
    weight: u64,
    expressions: Vec<CommonTable>,
}

struct CommonTable {
    name: String,
    query: *const Query,
    weight: Option<u64>,
}

pub(super) type Step = ControlFlow<Error>;

pub(super) fn refuse(message: impl Into<String>) -> Step {
    ControlFlow::Break(Error::invalid(message))
}

impl Walk<'_> {
    fn count(&mut self, weight: u64) -> Step {
        let Some(frame) = self.frames.last_mut() else { return Step::Continue(()) };
        frame.weight = frame.weight.saturating_add(weight);
        if frame.weight > SQL_PARTS {
            let message = format!(
                "the SQL has more than {SQL_PARTS} tables and SELECTs once its WITH parts and views are written out; split it"
            );
            return ControlFlow::Break(Error::limit(message));
        }
        Step::Continue(())
    }

    fn known(&self, name: &str) -> Option<u64> {
        let expressions = self.frames.iter().rev().flat_map(|frame| frame.expressions.iter().rev());
        let mut found = expressions.filter(|e| e.name == name).filter_map(|e| e.weight);
        found.next().or_else(|| self.tables.weight(name))
    }
}

impl Visitor for Walk<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> Step {
        if query.with.as_ref().is_some_and(|with| with.recursive) {
            return refuse("WITH RECURSIVE is for shipped queries only; it may never end");
        }
        let extras = [
            query.locks.is_empty(),
            query.for_clause.is_none(),
            query.settings.is_none(),
            query.format_clause.is_none(),
            query.pipe_operators.is_empty(),
        ];
        if extras.contains(&false) {
            return refuse("FOR, SETTINGS, FORMAT and |> are not part of a query here");
        }
        if !reads_only(&query.body) {
            return ControlFlow::Break(only_queries());
        }
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        let expressions = tables.map(|cte| CommonTable {
            name: cte.alias.name.value.to_ascii_lowercase(),
            query: std::ptr::from_ref(cte.query.as_ref()),
            weight: None,
        });
        self.frames.push(Frame { weight: 0, expressions: expressions.collect() });
        Step::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> Step {
        let weight = self.frames.pop().map_or(0, |frame| frame.weight);
        let outer = self.frames.last_mut().map(|frame| &mut frame.expressions);
        let defined = outer.into_iter().flatten().find(|e| std::ptr::eq(e.query, query));
        match defined {
            Some(expression) => {
                expression.weight = Some(weight);
                Step::Continue(())
            }
            None => self.count(weight),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> Step {
        if select.into.is_some() {
            return ControlFlow::Break(only_queries());
        }
        self.count(1)?;
        match &select.group_by {
            GroupByExpr::Expressions(exprs, modifiers) if modifiers.is_empty() => {
                let sets = exprs.iter().map(grouping_sets).fold(1usize, usize::saturating_mul);
                if sets > SQL_GROUPING_SETS {
                    return ControlFlow::Break(too_many("grouping sets", sets, SQL_GROUPING_SETS));
                }
                Step::Continue(())
            }
            GroupByExpr::All(modifiers) if modifiers.is_empty() => Step::Continue(()),
            _ => refuse("GROUP BY takes no WITH modifier here; write cube(...) or rollup(...)"),
        }
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> Step {
        let is_call = std::mem::take(&mut self.is_call);
        let weight = match name.0.as_slice() {
            [ObjectNamePart::Identifier(part)] if is_call => {
                let function =
                    TABLE_FUNCTIONS.iter().find(|(name, _)| part.quote_style.is_none() && *name == part.value);
                function.map(|(_, weight)| *weight)
            }
            [ObjectNamePart::Identifier(part)] => {
                let name =
                    if part.quote_style.is_some() { part.value.clone() } else { part.value.to_ascii_lowercase() };
                self.known(&name)
            }
            _ => None,
        };
        match weight {
            Some(weight) => self.count(weight),
            None => refuse(format!("there is no table {name}; there are {}", self.tables.names().join(", "))),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Step {
        use TableFactor as T;
        match factor {
            T::Table { version: Some(_), .. } => {
                refuse("a query reads the as-of point of its session, no version of a table")
            }
            T::Table { args, .. } => {
                self.is_call = args.is_some();
                Step::Continue(())
            }
            T::Derived { .. } | T::NestedJoin { .. } | T::UNNEST { .. } => Step::Continue(()),
            _ => refuse("in FROM stand tables, sub-queries, unnest(...) and blast_radius(...) only"),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Step {
        match expr {
            Expr::Function(function) if is_unnest(&function.name) => {
                self.unnests += 1;
                if self.unnests > 1 {
                    return refuse("unnest inside unnest is not possible here; use a sub-query");
                }
                Step::Continue(())
            }
            other => bounded(other),
        }
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> Step {
        if let Expr::Function(function) = expr
            && is_unnest(&function.name)
        {
            self.unnests -= 1;
        }
        Step::Continue(())
    }
}

fn is_unnest(name: &ObjectName) -> bool {
    name.to_string().eq_ignore_ascii_case("unnest")
}

fn reads_only(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => true,
        SetExpr::SetOperation { left, right, .. } => reads_only(left) && reads_only(right),
        _ => false,
    }
}

fn grouping_sets(expr: &Expr) -> usize {
    match expr {
        Expr::Cube(parts) => 1usize.checked_shl(u32::try_from(parts.len()).unwrap_or(u32::MAX)).unwrap_or(usize::MAX),
        Expr::Rollup(parts) => parts.len() + 1,
        Expr::GroupingSets(sets) => sets.len().max(1),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::Limits;
    use super::super::testing::{engine, random_events, snapshot};
    use crate::error::ErrorKind;

    /// What is refused before anything runs, with a word of the reason.
    const REFUSED: &[(&str, &str)] = &[
        ("", "no SQL"),
        ("-- nothing", "no SQL"),
        ("select 'open", "no SQL"),
        ("select 1; select 2", "exactly one"),
        ("select 1; drop table evidence", "exactly one"),
        ("selec 1", "Expected"),
        ("select * from 'file.parquet'", "no table"),
        ("select * from '/etc/passwd'", "no table"),
        ("select * from \"s3://bucket/x.parquet\"", "no table"),
        ("select * from read_parquet('x')", "no table"),
        ("select * from generate_series(1, 1000000000000)", "no table"),
        ("select * from range(1, 1000000000000)", "no table"),
        ("select * from blast_radius", "no table"),
        ("select * from \"blast_radius\"('true')", "no table"),
        ("select * from events('true')", "no table"),
        ("select * from blast_radius('seq in (select seq from events)')", "sub-query"),
        ("select * from blast_radius('1=1) union select (1')", "no SQL"),
        ("select * from blast_radius('true', 'yesterday')", "no instant"),
        ("select * from information_schema.tables", "no table"),
        ("select * from datafusion.public.evidence", "no table"),
        ("select * from nothing", "events, evidence"),
        ("select salt from evidence", "salt"),
        ("copy evidence to '/tmp/x.parquet'", "only one SELECT"),
        ("copy (select 1) to '/tmp/x.csv' stored as csv", "only one SELECT"),
        ("create external table t stored as parquet location '/tmp'", "only one SELECT"),
        ("create table t as select 1", "only one SELECT"),
        ("create view v as select 1", "only one SELECT"),
        ("create function f() returns int return 1", "only one SELECT"),
        ("drop view actions", "only one SELECT"),
        ("insert into evidence select * from evidence", "only one SELECT"),
        ("update evidence set seq = 1", "only one SELECT"),
        ("delete from evidence", "only one SELECT"),
        ("set datafusion.execution.batch_size = 1", "only one SELECT"),
        ("reset datafusion.execution.batch_size", "only one SELECT"),
        ("show all", "only one SELECT"),
        ("show tables", "only one SELECT"),
        ("describe evidence", "only one SELECT"),
        ("prepare p as select 1", "only one SELECT"),
        ("execute p", "only one SELECT"),
        ("begin", "only one SELECT"),
        ("explain copy evidence to '/tmp/x'", "only one SELECT"),
        ("explain delete from evidence", "only one SELECT"),
        ("select 1 as a into t", "only one SELECT"),
        ("with x as (delete from evidence returning *) select * from x", "SELECT"),
        ("table evidence", "no SQL"),
        ("select * from evidence for update", "not part"),
        ("with recursive r as (select 1 as n union all select n + 1 from r) select * from r", "RECURSIVE"),
        (
            "select count(*) from (with recursive r as (select 1 as n union all select n from r) select * from r)",
            "RECURSIVE",
        ),
        ("select $secret", "has no value"),
        ("select array_repeat(1, 1000000000)", "array_repeat"),
        ("select unnest(range(0, 1000000000))", "range"),
        ("select input_file_name() from evidence", "input_file_name"),
        ("select array_agg(event_id) over (order by seq) from evidence", "window"),
        (
            "select count(*) from evidence group by cube(seq, source, event_id, system, record_id, record_type, field)",
            "grouping sets",
        ),
        ("select a.b.c.d.e.f.g.h.i.j from evidence", "parts in a name"),
        ("select unnest(unnest([[1]]))", "unnest"),
        ("select repeat('a', 1000000000)", "repeat"),
        ("select length(lpad('a', 2000000000, 'b'))", "lpad"),
        ("select length(repeat(repeat('aaaaaaaaaa', 1000000), 1000000))", "repeat"),
    ];

    /// These and those that are too long to write down.
    fn refused() -> Vec<(String, &'static str)> {
        let nest = |open: &str, close: &str, n: usize| format!("select {}1{}", open.repeat(n), close.repeat(n));
        let chain = |op: &str, n: usize| format!("select 1{}", format!("{op}1").repeat(n));
        let doubling: String =
            (1..60).map(|i| format!(", t{i} as (select * from t{0} cross join t{0} as x{i})", i - 1)).collect();
        let growing: String = (1..60).map(|i| format!(", t{i} as (select a + a as a from t{})", i - 1)).collect();
        let mut all: Vec<(String, &str)> = REFUSED.iter().map(|(sql, why)| ((*sql).to_owned(), *why)).collect();
        all.extend([
            (chain("+", 10_000), "operators"),
            (chain(" or ", 10_000), "operators"),
            (chain("||", 2_000), "operators"),
            (format!("select {}1", "-".repeat(9_000).replace('-', "- ")), "operators"),
            (format!("select {}true", "not ".repeat(9_000)), "operators"),
            (format!("select [1]{}", "[1]".repeat(3_000)), "operators"),
            (nest("(", ")", 5_000), "nesting"),
            (nest("abs(", ")", 400), "nesting"),
            (nest("case when true then ", " end", 2_000), "nesting"),
            (format!("select 1{}", " union all select 1".repeat(5_000)), "limit"),
            (format!("select 1 where 1 in ({}1)", "1,".repeat(6_000)), "IN list"),
            (format!("select {}1", "1,".repeat(40_000)), "bytes"),
            (format!("select '{}'", "a".repeat(20_000)), "literal"),
            (format!("with t0 as (select 1 as a){doubling} select count(*) from t59"), "tables"),
            (format!("with t0 as (select seq as a from evidence){growing} select a from t59 where a > 1"), "parts"),
            (format!("select * from evidence{}", ", evidence".repeat(1_001)), "tables"),
        ]);
        all
    }

    #[tokio::test]
    async fn only_one_bounded_reading_query_is_asked() {
        let engine = engine(&snapshot(&random_events(5, 40), 30, 30).await).await;
        for (sql, why) in refused() {
            let shown: String = sql.chars().take(80).collect();
            let err = match engine.sql(&sql, Limits { rows: 10, seconds: 20 }).await {
                Ok(_) => panic!("accepted: {shown}"),
                Err(err) => err,
            };
            assert!(matches!(err.kind(), ErrorKind::Invalid | ErrorKind::Limit), "{shown}: {:?} {err}", err.kind());
            assert!(err.to_string().contains(why), "{shown}: {err}");
            for internal in ["datafusion", "DataFusion", "probity", "src/", ".rs:"] {
                assert!(!err.to_string().contains(internal) || sql.contains(internal), "{shown}: {err}");
            }
        }
    }

    #[tokio::test]
    async fn a_runaway_query_ends_by_a_bound_and_alone() {
        let engine = engine(&snapshot(&random_events(5, 400), 300, 300).await).await;
        let runaway = [
            (
                "select sum(a.seq + b.seq * c.seq - d.seq * e.seq) from evidence a, evidence b, evidence c, evidence d, evidence e",
                "longer than",
            ),
            ("select a.event_id from evidence a, evidence b, evidence c, evidence d order by 1", ""),
            (
                "select a.extra || b.event_id || c.event_id, count(*) from evidence a, evidence b, evidence c, evidence d group by 1",
                "",
            ),
            ("select string_agg(a.event_id, '0123456789') from evidence a, evidence b, evidence c, evidence d", ""),
            (
                "select max(length(replace(replace(a.event_id || 'eeeeeeee', 'e', 'eeeeeeeeeeeeeeeeeeeeeeee'), 'e', repeat('e', 8000)))) from evidence a",
                "replace",
            ),
        ];
        for (sql, why) in runaway {
            let err = engine.sql(sql, Limits { rows: 1_000_000, seconds: 2 }).await.map(|answer| answer.rows());
            let err = err.expect_err(sql);
            assert!(err.to_string().contains(why), "{sql}: {err}");
            assert!(matches!(err.kind(), ErrorKind::Limit | ErrorKind::Invalid), "{sql}: {:?} {err}", err.kind());
            // The next one is answered as if nothing had been.
            assert_eq!(engine.sql("select count(*) from evidence", Limits::default()).await.unwrap().rows(), 1);
        }
    }

    #[tokio::test]
    async fn honest_queries_pass() {
        let engine = engine(&snapshot(&random_events(5, 60), 40, 40).await).await;
        let honest = [
            "select 1".to_owned(),
            "values (1, 'a'), (2, 'b')".to_owned(),
            "explain select * from evidence".to_owned(),
            "explain analyze select count(*) from evidence".to_owned(),
            "select * from Evidence e where e.seq = 1;".to_owned(),
            "with a as (select * from evidence), b as (select * from a) select count(*) from b join a using (seq)".to_owned(),
            "select upper(event_id) || ':' || coalesce(source, '-') as x, \"a || b\" from (select event_id, source, event_id || source as \"a || b\" from evidence)".to_owned(),
            "select event_id || source from evidence union all select concat(event_id, 'x') from evidence order by 1 limit 3".to_owned(),
            "select regexp_replace(event_id, '[0-9]+', '#', 'g'), replace(source, 'c', 'k'), lpad(event_id, 9, '0') from evidence".to_owned(),
            "select unnest(inputs)['system'] from evidence".to_owned(),
            "select occurred_at + interval '30 days' > $as_of, now() from evidence".to_owned(),
            "select event_type, count(*) from evidence group by rollup(event_type, source)".to_owned(),
            "select row_number() over (partition by record_id order by occurred_at, seq) from evidence".to_owned(),
            "select wilson_low(1, 2), wilson_high(count(*), count(*)) from evidence".to_owned(),
            format!("select count(*) from evidence where record_id in ({}'r1')", "'r2', ".repeat(2_000)),
            format!("select 1{}", " + 1".repeat(400)),
        ];
        for sql in honest {
            let answer = engine.sql(&sql, Limits::default()).await;
            assert!(answer.is_ok(), "{sql}: {}", answer.unwrap_err());
        }
    }
}
