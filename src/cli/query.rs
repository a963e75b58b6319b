//! `probity query` and `probity queries`.

use std::io;

use super::args::{Format as Asked, Global, QueryArgs};
use super::output::{Output, closed};
use super::{Answer, open, session};
use crate::error::{Error, Result};
use crate::query::answer::Limits;
use crate::query::blast;
use crate::query::catalogue::Catalogue;
use crate::query::functions;
use crate::query::header::{Kind, NamedQuery};
use crate::query::judgement::{Judgement, Verdict};
use crate::query::listing::{self, named};
use crate::query::output::{self, Format, Preamble};
use crate::query::params::{Bound, Params};

/// Runs a named query or one SELECT.
///
/// # Errors
/// When there is no such query, a parameter is wrong, or a bound is met.
pub async fn run(global: &Global, args: &QueryArgs, out: &Output) -> Result<Answer> {
    let params = parse_params(&args.params)?;
    let named = named(&args.query)?;
    if named.is_none() && !params.is_empty() {
        return Err(Error::invalid("-p gives parameters of named queries; write values into the SQL instead"));
    }
    let store = open(global).await?;
    let engine = session(global, &store).await?;
    let limits = Limits { rows: args.limit.unwrap_or(Limits::default().rows), ..Limits::default() };
    let (mut answer, bound, label) = match named {
        Some(query) => {
            (engine.stream(query, &params, limits).await?, engine.bind(query, &params)?, query.name.as_str())
        }
        None => (engine.sql_stream(&args.query, limits).await?, Bound::as_of(engine.as_of().at), args.query.as_str()),
    };
    let as_of = engine.as_of();
    let format = if out.is_json { Format::Json } else { format(args.format) };
    // Only JSON says which tree the rows are of.
    let root = if format == Format::Json { store.root_at(as_of.size).await? } else { None };
    let preamble = Preamble { query: label, params: &bound, size: as_of.size, version: engine.version(), root };
    let mut stdout = io::BufWriter::new(io::stdout());
    let written = output::write(&mut answer, format, &preamble, &mut stdout).await?;
    if written.is_truncated {
        out.say(&format!("only the first {} rows are shown; raise --limit for more", written.rows));
    }
    Ok(answer.judgement().map_or(Answer::Done, |judgement| tell(judgement, out)))
}

/// Says how a control ended.
fn tell(judgement: Judgement, out: &Output) -> Answer {
    let Judgement { population, violations, untestable } = judgement;
    let verdict = judgement.verdict();
    let number = super::output::thousands;
    let mut words = format!(
        "{}: {} of {} violate this control",
        verdict.word().replace('_', " "),
        number(violations),
        number(population)
    );
    if untestable > 0 {
        words.push_str(&format!("; {} lack what it needs and could not be judged", number(untestable)));
    }
    out.say(&words);
    if verdict == Verdict::Fail { Answer::NotAll } else { Answer::Done }
}

fn format(asked: Asked) -> Format {
    match asked {
        Asked::Table => Format::Table,
        Asked::Csv => Format::Csv,
        Asked::Json => Format::Json,
        Asked::Ndjson => Format::Ndjson,
        Asked::Parquet => Format::Parquet,
    }
}

/// Reads `key=value` pairs.
///
/// # Errors
/// When one has no `=` or is given twice.
pub(super) fn parse_params(given: &[String]) -> Result<Params> {
    let mut params = Params::new();
    for pair in given {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| Error::invalid(format!("`-p {pair}` has no `=`; write -p name=value")))?;
        if params.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(Error::invalid(format!("parameter `{key}` is given twice")));
        }
    }
    Ok(params)
}

/// Lists the named queries.
///
/// # Errors
/// When standard output is closed.
pub fn list(out: &Output) -> Result<Answer> {
    let catalogue = Catalogue::shipped()?;
    let groups = [
        (Kind::Metric, "metrics"),
        (Kind::Control, "controls"),
        (Kind::Governance, "tables of the governance review"),
        (Kind::Health, "health"),
        (Kind::View, "views, to be read with SQL"),
        (Kind::Mapping, "mappings, for ingest --map"),
    ];
    let mut text = String::new();
    for (kind, title) in groups {
        let queries: Vec<&NamedQuery> = catalogue.list().filter(|q| q.kind == kind).collect();
        if !queries.is_empty() {
            text.push_str(&format!("{title}\n"));
            queries.iter().for_each(|query| text.push_str(&describe(query)));
        }
    }
    text.push_str("functions\n");
    functions::notes()
        .chain(blast::NOTES)
        .for_each(|note| text.push_str(&format!("  {}\n      {}\n", note.call, note.gives)));
    if out.is_json {
        out.json(&listing::document(catalogue))?;
    } else {
        use io::Write;
        io::stdout().write_all(text.as_bytes()).map_err(closed)?;
    }
    Ok(Answer::Done)
}

fn describe(query: &NamedQuery) -> String {
    let mut text = format!("  {}\n      {}\n", query.name, query.question);
    for param in &query.params {
        let default = param.default.as_ref().map_or(String::new(), |value| format!(" = {value}"));
        text.push_str(&format!("      -p {}: {}{default}  {}\n", param.name, param.value_type.word(), param.note));
    }
    text
}
