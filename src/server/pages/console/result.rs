//! An answer as a table on a page.
//!
//! In: an answer that is held as a whole. Out: markup. Invariant: values are shown exactly, or with the exact value
//! beside them; what is cut says so; a null is never a zero. It must not sort, round or leave out a row.

use serde_json::Value;

use crate::error::Result;
use crate::query::answer::Answer;
use crate::query::judgement::{Judgement, Verdict};
use crate::query::rows;
use crate::query::types::ValueType;
use crate::report::document::{Kind, Tone};
use crate::report::format;
use crate::server::pages::layout;

/// Characters of a value that a cell shows.
const CELL_CHARACTERS: usize = 400;
/// Columns that a sheet of paper may be too narrow for.
const PAPER_COLUMNS: usize = 10;

/// `answer` over the first `size` events, with `links` to all of it.
///
/// # Errors
/// When a column has a type that no page can show.
pub(super) fn shown(answer: &Answer, size: i64, links: &[String]) -> Result<String> {
    let mut out = String::new();
    if let Some(judgement) = answer.judgement {
        out += &verdict(judgement);
    }
    let count = u64::try_from(answer.rows()).unwrap_or_default();
    let over = layout::counted(u64::try_from(size).unwrap_or_default(), "event", "events");
    let rows = if answer.is_truncated {
        format!("The first {}; there are more, and the links lead to them.", layout::counted(count, "row", "rows"))
    } else {
        format!("{}.", layout::counted(count, "row", "rows"))
    };
    out +=
        &format!("<p class=\"note\" role=\"status\">{} Over {}.</p>\n", layout::escape(&rows), layout::escape(&over));
    out += &layout::actions(links);
    if answer.columns().len() > PAPER_COLUMNS {
        out += &layout::on_paper(TOO_WIDE);
    }
    Ok(out + &table(answer)?)
}

/// Said where a printed table may end before its last column.
const TOO_WIDE: &str = "<p class=\"note\">Columns that do not fit on the sheet are cut off here; the answer as a file has \
                        all of them.</p>\n";

fn verdict(judgement: Judgement) -> String {
    let Judgement { population, violations, untestable } = judgement;
    let tone = match judgement.verdict() {
        Verdict::Pass => Tone::Good,
        Verdict::Fail => Tone::Bad,
        Verdict::NotTestable => Tone::Absent,
    };
    let mut words = format!("{} violate this control.", format::of(violations, population));
    if untestable > 0 {
        words += &format!(" {} lack what it needs and could not be judged.", format::count(untestable));
    }
    let state = layout::state(judgement.verdict().word());
    layout::notice(tone, &format!("<p>{state} {}</p>", layout::escape(&words)))
}

fn table(answer: &Answer) -> Result<String> {
    let columns: Vec<Column> = answer
        .columns()
        .into_iter()
        .zip(answer.types())
        .map(|(name, value_type)| Column { name: name.to_owned(), kind: kind_of(name, value_type) })
        .collect();
    let mut cells: Vec<Vec<String>> = Vec::with_capacity(answer.rows());
    for batch in &answer.batches {
        for i in 0..batch.num_rows() {
            let values = rows::row(batch, i)?;
            let row = Row { columns: &columns, values: &values };
            cells.push((0..columns.len()).map(|column| row.cell(column)).collect());
        }
    }
    let headings: Vec<(&str, Kind)> = columns.iter().map(|column| (column.name.as_str(), column.kind)).collect();
    Ok(layout::table("", &headings, &cells, "No row."))
}

struct Column {
    name: String,
    kind: Kind,
}

struct Row<'a> {
    columns: &'a [Column],
    values: &'a [Value],
}

impl Row<'_> {
    fn cell(&self, column: usize) -> String {
        let (Some(of), Some(value)) = (self.columns.get(column), self.values.get(column)) else { return String::new() };
        match value {
            Value::Null => String::new(),
            Value::Bool(truth) => truth.to_string(),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(whole), _) if !is_name(&of.name) => format::count(whole),
                (None, Some(whole)) if !is_name(&of.name) => format::change(whole),
                (Some(_), _) | (_, Some(_)) => number.to_string(),
                (None, None) => exact(&number.to_string(), number.as_f64()),
            },
            Value::String(text) => self.text(&of.name, of.kind, text),
            other => cut(&other.to_string(), Kind::Code),
        }
    }

    /// A text, leading to the thing that it names where there is a page of it.
    fn text(&self, name: &str, kind: Kind, text: &str) -> String {
        match (name, kind) {
            ("action_id", _) => layout::link(&layout::path(&["actions", text]), text),
            ("incident_id", _) => layout::link(&layout::path(&["incidents", text]), text),
            ("review_id", _) => layout::link(&layout::path(&["reviews", text]), text),
            ("record_id", _) => match (self.named("system"), self.named("record_type")) {
                (Some(system), Some(record_type)) => {
                    layout::link(&layout::path(&["records", system, record_type, text]), text)
                }
                _ => cut(text, kind),
            },
            ("result" | "state" | "status", _) => layout::state(text),
            (_, Kind::Time) => layout::parts::time(text),
            _ => cut(text, kind),
        }
    }

    fn named(&self, name: &str) -> Option<&str> {
        let place = self.columns.iter().position(|column| column.name == name)?;
        self.values.get(place).and_then(Value::as_str).filter(|text| !text.is_empty())
    }
}

/// Whether a whole number is a name, which has no thousands.
fn is_name(column: &str) -> bool {
    column == "seq" || column.ends_with("_seq") || column.ends_with("version") || column.ends_with("year")
}

fn kind_of(name: &str, value_type: Option<ValueType>) -> Kind {
    let is_code = ["_id", "_hash", "_sha256", "_ref"].iter().any(|end| name.ends_with(end)) || name == "inputs";
    match value_type {
        Some(ValueType::Timestamp | ValueType::Date) => Kind::Time,
        Some(ValueType::Int8 | ValueType::Int32 | ValueType::Int64) => Kind::Count,
        Some(ValueType::Float64 | ValueType::Decimal(..)) => Kind::Number,
        _ if is_code => Kind::Code,
        _ => Kind::Text,
    }
}

/// A number as people read it, with the exact one beside it.
fn exact(digits: &str, value: Option<f64>) -> String {
    let digits = layout::escape(digits);
    format!("<data value=\"{digits}\" title=\"{digits}\">{}</data>", layout::escape(&format::number(value)))
}

/// The beginning of a long text, which says how long it is.
fn cut(text: &str, kind: Kind) -> String {
    let set = |text: &str| if kind == Kind::Code { layout::code(text) } else { layout::escape(text) };
    match text.char_indices().nth(CELL_CHARACTERS) {
        None => set(text),
        Some((end, _)) => {
            let length = u64::try_from(text.chars().count()).unwrap_or_default();
            let shown = set(text.get(..end).unwrap_or_default());
            format!("{shown}… <span class=\"muted\">({} characters)</span>", format::count(length))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cells(columns: &[(&str, Option<ValueType>)], values: &[Value]) -> Vec<String> {
        let columns: Vec<Column> = columns
            .iter()
            .map(|(name, value_type)| Column { name: (*name).to_owned(), kind: kind_of(name, *value_type) })
            .collect();
        let row = Row { columns: &columns, values };
        (0..columns.len()).map(|column| row.cell(column)).collect()
    }

    #[test]
    fn a_value_is_shown_as_what_it_is_and_a_null_is_no_zero() {
        let (whole, real) = (Some(ValueType::Int64), Some(ValueType::Float64));
        let columns = [("n", whole), ("seq", whole), ("value", real), ("gone", whole), ("below", whole)];
        let shown = cells(&columns, &[json!(12_345), json!(12_345), json!(0.123_456), Value::Null, json!(-7)]);
        assert_eq!((shown[0].as_str(), shown[1].as_str(), shown[3].as_str()), ("12,345", "12345", ""));
        assert!(shown[2].contains("title=\"0.123456\">0.123<"), "{}", shown[2]);
        assert_eq!(shown[4], "\u{2212}7");
    }

    #[test]
    fn a_record_leads_to_its_page_and_hostile_text_stays_text() {
        let text = Some(ValueType::Utf8);
        let columns = [("system", text), ("record_type", text), ("record_id", text), ("note", text)];
        let shown = cells(&columns, &[json!("crm"), json!("account"), json!("a/1"), json!("<b>&")]);
        assert!(shown[2].contains("href=\"/records/crm/account/a%2F1\""));
        assert_eq!(shown[3], "&lt;b&gt;&amp;");
        let alone = cells(&columns[2..3], &[json!("a/1")]);
        assert!(!alone[0].contains("href"));
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let shown = cells(&[("extra", Some(ValueType::Utf8))], &[json!("é".repeat(1_200))]);
        assert!(shown[0].ends_with("(1,200 characters)</span>") && shown[0].chars().count() < 500);
    }
}
