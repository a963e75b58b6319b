//! The header of a query file: what it answers, what it takes and what it gives.
//!
//! In: the text of a file under `queries/`. Out: a [`NamedQuery`]. Invariant: what the header says about
//! parameters is what the text uses; a header that is incomplete or says too much is an error with file and
//! line.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::types::{ParamValue, ValueType};
use crate::error::{Error, Result};

/// The parameter that the engine provides to every query: the instant of the as-of point.
pub const AS_OF: &str = "as_of";

/// Where a query lives, which says what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A table for other queries.
    View,
    /// A number of the monthly review.
    Metric,
    /// Judges every item that a rule is about.
    Control,
    /// A table of the monthly review that is no metric.
    Governance,
    /// Whether the evidence itself can be believed.
    Health,
    /// For incidents.
    Incident,
    /// For sample reviews.
    Review,
    /// Turns a source's rows into events.
    Mapping,
}

impl Kind {
    /// The kind of the files in `folder`.
    pub fn of_folder(folder: &str) -> Option<Self> {
        Some(match folder {
            "views" => Self::View,
            "metrics" => Self::Metric,
            "controls" => Self::Control,
            "governance" => Self::Governance,
            "health" => Self::Health,
            "incident" => Self::Incident,
            "review" => Self::Review,
            "mappings" => Self::Mapping,
            _ => return None,
        })
    }
}

/// A query with a name.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedQuery {
    /// File stem: its name in report, URL, command line and test.
    pub name: String,
    /// Its kind, from the folder.
    pub kind: Kind,
    /// Path under `queries/`, for messages.
    pub file: String,
    /// The whole text, header included.
    pub text: String,
    /// The question that it answers.
    pub question: String,
    /// What a row stands for.
    pub grain: String,
    /// What it takes.
    pub params: Vec<Param>,
    /// The columns that it gives.
    pub returns: Vec<Return>,
    /// Events or columns without which it says nothing.
    pub needs: String,
    /// What the answer for a period depends on; everything when `None`.
    pub window: Option<Window>,
    /// Months before `period_end` in which the period begins, where no parameter says so.
    pub window_months: Option<i64>,
    /// Why it is computed so.
    pub why: String,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Its name, without `$`.
    pub name: String,
    /// Its type.
    pub value_type: ValueType,
    /// Its value when none is given.
    pub default: Option<ParamValue>,
    /// What it means.
    pub note: String,
}

/// A column of the result.
#[derive(Debug, Clone, PartialEq)]
pub struct Return {
    /// Its name.
    pub name: String,
    /// Its type.
    pub value_type: ValueType,
    /// What it means.
    pub note: String,
    /// It repeats or is made from text of sealed columns: who may not see these gets the answer without it.
    pub is_sealed: bool,
}

/// One key of a header with its lines: line number, indentation, text.
struct Section<'a> {
    key: &'a str,
    line: usize,
    lines: Vec<(usize, usize, &'a str)>,
}

/// What the note of a column with sealed text begins with.
const SEALED: &str = "sealed";
const KEYS: [&str; 7] = ["question", "grain", "params", "returns", "needs", "window", "why"];
/// What the answer for a period depends on; see `query::window`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Window {
    /// The actions at work in it and those of their batches.
    Actions,
    /// The reviews of it and of their batches, and the actions of that time and of the maturity after it.
    Reviews,
    /// As those, and the three batches of each workflow before them.
    Batches,
}

impl Window {
    fn called(word: &str) -> Option<Self> {
        match word {
            "actions" => Some(Self::Actions),
            "reviews" => Some(Self::Reviews),
            "batches" => Some(Self::Batches),
            _ => None,
        }
    }
}

/// What `text` says of a window: `reviews`, or `reviews, 6 months`.
fn window_of(text: &str) -> (Option<Window>, Option<i64>) {
    let Some((of, length)) = text.split_once(", ") else { return (Window::called(text), None) };
    match length.strip_suffix(" months").and_then(|months| months.parse::<i64>().ok()) {
        Some(months) if months > 0 => (Window::called(of), Some(months)),
        _ => (None, None),
    }
}

impl NamedQuery {
    /// Reads the file `file` (`folder/name.sql`) with content `text`.
    ///
    /// # Errors
    /// Unknown folder or key, a missing question, grain or returns, a bad line, a parameter that is
    /// undeclared or unused. The message names file and line.
    pub fn parse(file: &str, text: &str) -> Result<Self> {
        let query = Self::read(file, text)?;
        let params_line = || sections(text).ok()?.iter().find(|s| s.key == "params").map(|s| s.line);
        query.check_params().map_err(|(line, what)| {
            let line = line.or_else(params_line).unwrap_or(1);
            Error::invalid(format!("queries/{file}:{line}: {what}"))
        })?;
        Ok(query)
    }

    /// Reads the file `file` with content `text`, whose parameters are known to be those that its header declares: to
    /// find them takes a tokenizer of all SQL, which a short command would spend more time in than in its work.
    ///
    /// # Errors
    /// Unknown folder or key, a missing question, grain or returns, a bad line. The message names file and line.
    pub(super) fn read(file: &str, text: &str) -> Result<Self> {
        let at = |line: usize, what: String| Error::invalid(format!("queries/{file}:{line}: {what}"));
        let (folder, name) = file.split_once('/').ok_or_else(|| at(1, "not in a folder of queries/".to_owned()))?;
        let kind = Kind::of_folder(folder).ok_or_else(|| at(1, format!("unknown folder `{folder}`")))?;
        let name = name.strip_suffix(".sql").unwrap_or(name);
        let sections = sections(text).map_err(|(line, what)| at(line, what))?;
        let prose = |key: &str| -> String {
            let lines = sections.iter().filter(|s| s.key == key).flat_map(|s| &s.lines);
            lines.map(|(_, _, text)| *text).collect::<Vec<_>>().join(" ")
        };
        for key in ["question", "grain", "returns"] {
            if prose(key).is_empty() {
                return Err(at(1, format!("the header lacks `{key}`")));
            }
        }
        let (window, window_months) = window_of(&prose("window"));
        let mut query = Self {
            name: name.to_owned(),
            kind,
            file: file.to_owned(),
            text: text.to_owned(),
            question: prose("question"),
            grain: prose("grain"),
            params: Vec::new(),
            returns: Vec::new(),
            needs: prose("needs"),
            window,
            window_months,
            why: prose("why"),
        };
        for section in &sections {
            for (line, entry) in entries(section) {
                match section.key {
                    "params" => query.params.push(param(&entry).map_err(|what| at(line, what))?),
                    "returns" => query.returns.push(column(&entry).map_err(|what| at(line, what))?),
                    _ => {}
                }
            }
        }
        let begins = query.param("period_start").is_some() != query.window_months.is_some();
        let has_period = begins && query.param("period_end").is_some();
        if let Some(section) = sections.iter().find(|s| s.key == "window")
            && !(query.window.is_some() && has_period)
        {
            return Err(at(
                section.line,
                "a window is `actions`, `reviews` or `batches`, and needs period_start and period_end, or `, N months` \
                 behind it and period_end alone"
                    .to_owned(),
            ));
        }
        Ok(query)
    }

    /// The parameter called `name`.
    pub fn param(&self, name: &str) -> Option<&Param> {
        self.params.iter().find(|p| p.name == name)
    }

    fn check_params(&self) -> std::result::Result<(), (Option<usize>, String)> {
        let tokens = Tokenizer::new(&GenericDialect {}, &self.text).tokenize_with_location();
        let tokens = tokens.map_err(|e| (None, format!("the text is no SQL: {e}")))?;
        let mut used = BTreeSet::new();
        for token in &tokens {
            let Token::Placeholder(name) = &token.token else { continue };
            let name = name.trim_start_matches('$');
            if name != AS_OF && self.param(name).is_none() {
                let line = usize::try_from(token.span.start.line).ok();
                return Err((line, format!("`${name}` is used but not declared")));
            }
            used.insert(name);
        }
        let mut seen = BTreeSet::new();
        for param in &self.params {
            if !seen.insert(&param.name) {
                return Err((None, format!("parameter `{}` is declared twice", param.name)));
            }
            if param.name != AS_OF && !used.contains(param.name.as_str()) {
                return Err((None, format!("parameter `{}` is declared but not used", param.name)));
            }
            if param.name == AS_OF && param.value_type != ValueType::Timestamp {
                return Err((None, "parameter `as_of` is a timestamp".to_owned()));
            }
        }
        let mut seen = BTreeSet::new();
        match self.returns.iter().find(|column| !seen.insert(&column.name)) {
            Some(column) => Err((None, format!("column `{}` is returned twice", column.name))),
            None => Ok(()),
        }
    }
}

fn sections(text: &str) -> std::result::Result<Vec<Section<'_>>, (usize, String)> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let number = i + 1;
        let Some(comment) = line.strip_prefix("--") else { break };
        let content = comment.trim();
        if content.is_empty() {
            continue;
        }
        let indent = 2 + comment.len() - comment.trim_start().len();
        if indent > 3 {
            let Some(section) = sections.last_mut() else {
                return Err((number, "a line before the first key".to_owned()));
            };
            section.lines.push((number, indent, content));
            continue;
        }
        let Some((key, value)) = content.split_once(':').filter(|(key, _)| !key.contains(' ')) else {
            return Err((number, "neither `key: value` nor an indented continuation".to_owned()));
        };
        let Some(key) = KEYS.into_iter().find(|known| *known == key) else {
            return Err((number, format!("unknown key `{key}`; known are {}", KEYS.join(", "))));
        };
        if sections.iter().any(|s| s.key == key) {
            return Err((number, format!("key `{key}` appears twice")));
        }
        let value_indent = indent + key.len() + 1 + (value.len() - value.trim_start().len());
        let lines = if value.trim().is_empty() { Vec::new() } else { vec![(number, value_indent, value.trim())] };
        sections.push(Section { key, line: number, lines });
    }
    Ok(sections)
}

/// The entries of a list: lines at the indentation of the first; deeper lines continue the one before.
fn entries(section: &Section<'_>) -> Vec<(usize, String)> {
    let mut entries: Vec<(usize, String)> = Vec::new();
    let Some((_, first, text)) = section.lines.first() else { return entries };
    if *text == "none" && section.lines.len() == 1 {
        return entries;
    }
    for (line, indent, text) in &section.lines {
        match entries.last_mut() {
            Some((_, entry)) if indent > first => {
                entry.push(' ');
                entry.push_str(text);
            }
            _ => entries.push((*line, (*text).to_owned())),
        }
    }
    entries
}

fn name_and_type(entry: &str) -> std::result::Result<(String, ValueType, &str), String> {
    let (name, rest) = entry.split_once(char::is_whitespace).ok_or_else(|| format!("`{entry}` has no type"))?;
    let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !is_name || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("`{name}` is no name of lower-case letters, digits and _"));
    }
    let rest = rest.trim_start();
    let (word, note) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let value_type = ValueType::named(word).ok_or_else(|| format!("`{name}` has unknown type `{word}`"))?;
    Ok((name.to_owned(), value_type, note.trim()))
}

fn column(entry: &str) -> std::result::Result<Return, String> {
    let (name, value_type, note) = name_and_type(entry)?;
    let is_sealed = note.split(|c: char| !c.is_alphanumeric()).next() == Some(SEALED);
    Ok(Return { name, value_type, note: note.to_owned(), is_sealed })
}

fn param(entry: &str) -> std::result::Result<Param, String> {
    let (name, value_type, note) = name_and_type(entry)?;
    if !value_type.is_for_params() {
        return Err(format!("parameter `{name}` cannot have type `{}`", value_type.word()));
    }
    let Some(rest) = note.strip_prefix('=') else {
        return Ok(Param { name, value_type, default: None, note: note.to_owned() });
    };
    let rest = rest.trim_start();
    let (word, note) = match rest.strip_prefix('\'').and_then(|r| r.split_once('\'')) {
        Some((word, note)) => (word, note),
        None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
    };
    let default = match word {
        "null" => ParamValue::Null,
        word => value_type.value(word).ok_or_else(|| format!("default of `{name}` is no {}", value_type.word()))?,
    };
    Ok(Param { name, value_type, default: Some(default), note: note.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
-- question: How many, and
--           when?
-- grain:    one row
-- params:   since          timestamp
--           maturity_days  int64      = 30  days that
--                          count
--           word           utf8       = 'two words'  free
-- returns:  n      int64          how many
--           price  decimal(18,2)
--           text   utf8           sealed; as it was written
--           more   utf8           sealedness is no seal
-- why:      because: of that.

select $since, $maturity_days, $word, $as_of -- $not_a_parameter
";

    fn error(text: &str) -> String {
        NamedQuery::parse("metrics/x.sql", text).unwrap_err().to_string()
    }

    #[test]
    fn a_header_is_read_as_it_is_written() {
        let query = NamedQuery::parse("metrics/x.sql", GOOD).unwrap();
        assert_eq!((query.name.as_str(), query.kind), ("x", Kind::Metric));
        assert_eq!(query.question, "How many, and when?");
        assert_eq!(query.why, "because: of that.");
        assert_eq!(query.params[1].default, Some(ParamValue::Int64(30)));
        assert_eq!(query.params[1].note, "days that count");
        assert_eq!(query.params[2].default, Some(ParamValue::Utf8("two words".to_owned())));
        assert_eq!(query.returns[1].value_type, ValueType::Decimal(18, 2));
        assert_eq!(query.returns.iter().map(|c| c.is_sealed).collect::<Vec<_>>(), [false, false, true, false]);
        assert_eq!(query.returns[2].note, "sealed; as it was written");
        let none = GOOD
            .replace("since          timestamp", "none")
            .lines()
            .filter(|l| !l.contains("days") && !l.contains("word"))
            .filter(|l| !l.contains("count"))
            .collect::<Vec<_>>()
            .join("\n")
            + "\nselect 1";
        assert_eq!(NamedQuery::parse("views/y.sql", &none).unwrap().params, vec![]);
    }

    const BOTH: &str = "\
-- question: q
-- grain: g
-- params: period_start timestamp
--         period_end timestamp
-- returns: a timestamp
-- window: WINDOW

select $period_start, $period_end
";

    #[test]
    fn a_window_has_one_beginning() {
        let end = BOTH.replace("period_start timestamp\n--         ", "").replace("$period_start, ", "");
        let parsed = |text: &str, window: &str| NamedQuery::parse("metrics/x.sql", &text.replace("WINDOW", window));
        let query = parsed(BOTH, "actions").unwrap();
        assert_eq!((query.window, query.window_months), (Some(Window::Actions), None));
        let query = parsed(&end, "reviews, 6 months").unwrap();
        assert_eq!((query.window, query.window_months), (Some(Window::Reviews), Some(6)));
        for (text, window) in [
            (end.as_str(), "reviews"),
            (BOTH, "reviews, 6 months"),
            (end.as_str(), "reviews, six months"),
            (end.as_str(), "reviews, 0 months"),
            (end.as_str(), "reviews, -6 months"),
            (BOTH, "reviews, 6 weeks"),
            (BOTH, "months"),
        ] {
            let err = parsed(text, window).unwrap_err().to_string();
            assert!(err.contains("a window is `actions`, `reviews` or `batches`"), "{window}: {err}");
        }
    }

    #[test]
    fn every_defect_names_file_and_line() {
        assert_eq!(
            error(&GOOD.replace("-- why:", "-- reason:")),
            "queries/metrics/x.sql:12: unknown key `reason`; known are question, grain, params, returns, needs, window, why"
        );
        assert_eq!(
            error(&GOOD.replace("$as_of", "$other")),
            "queries/metrics/x.sql:14: `$other` is used but not declared"
        );
        assert_eq!(
            error(&GOOD.replace(", $word", "")),
            "queries/metrics/x.sql:4: parameter `word` is declared but not used"
        );
        assert_eq!(
            error(&GOOD.replace("-- grain:    one row\n", "")),
            "queries/metrics/x.sql:1: the header lacks `grain`"
        );
        assert_eq!(
            error(&GOOD.replace("n      int64", "n      number")),
            "queries/metrics/x.sql:8: `n` has unknown type `number`"
        );
        assert_eq!(
            error(&GOOD.replace("= 30", "= soon")),
            "queries/metrics/x.sql:5: default of `maturity_days` is no int64"
        );
        assert_eq!(
            error(&GOOD.replace("-- why:      because: of", "-- why because of")),
            "queries/metrics/x.sql:12: neither `key: value` nor an indented continuation"
        );
        assert!(NamedQuery::parse("odd/x.sql", GOOD).unwrap_err().to_string().contains("unknown folder `odd`"));
    }
}
