//! A sheet of marks: what reviewers filled in elsewhere, one line an item.
//!
//! In: the text of a file, CSV with a header or lines of JSON. Out: marks that are still to be checked against a review.
//! Invariant: a line that cannot be read refuses the sheet, with its number, so that no half of it is stored. Pure.

use csv_core::ReadRecordResult;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::marks::{Mark, Word};
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::event::parse;

/// Columns of a sheet at most.
const COLUMNS: usize = 64;

/// What a reviewer says of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marking {
    /// The mark; its item is an id of the review, or the beginning of one.
    pub mark: Mark,
    /// By whom, where the sheet says so.
    pub reviewer: Option<String>,
    /// When the item was opened, where that is known.
    pub opened_at: Option<Micros>,
    /// In words.
    pub comment: Option<String>,
}

/// A line of a sheet; the names of its columns.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    item: String,
    mark: Word,
    wrong_amount: Option<String>,
    reviewer: Option<String>,
    review_opened_at: Option<String>,
    comment: Option<String>,
}

/// The marks of the sheet `text`.
///
/// # Errors
/// Invalid with the number of the first line that is none, or for a sheet without any.
pub fn read(text: &str) -> Result<Vec<Marking>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = if text.trim_start().starts_with('{') { of_json(text)? } else { of_csv(text)? };
    if lines.is_empty() {
        return Err(Error::invalid("the sheet has no marks; write a line for each, with item and mark"));
    }
    lines.into_iter().map(|(number, line)| marking(line).map_err(|e| at(number, e.message()))).collect()
}

fn at(number: usize, what: &str) -> Error {
    Error::invalid(format!("line {number} of the sheet: {what}"))
}

/// The instant at which an item was opened.
///
/// # Errors
/// Invalid when it is none.
pub fn opened_at(text: &str) -> Result<Micros> {
    parse::instant(text)
        .map_err(|reason| Error::invalid(format!("`review_opened_at` {reason}; write e.g. 2026-03-01T09:00:00Z")))
}

fn marking(line: Line) -> Result<Marking> {
    let mark = Mark { item: line.item.trim().to_owned(), mark: line.mark, wrong_amount: line.wrong_amount };
    mark.check()?;
    let opened_at = line.review_opened_at.as_deref().map(opened_at).transpose()?;
    Ok(Marking { mark, reviewer: line.reviewer, opened_at, comment: line.comment })
}

fn of_json(text: &str) -> Result<Vec<(usize, Line)>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = |(place, line): (usize, &str)| match serde_json::from_str(line) {
        Ok(line) => Ok((place + 1, line)),
        Err(e) => Err(at(place + 1, &unreadable(&e))),
    };
    lines.map(read).collect()
}

/// What is wrong with a line, and what it may hold.
fn unreadable(cause: &serde_json::Error) -> String {
    let known = "item, mark (correct, incorrect or escalate), wrong_amount, reviewer, review_opened_at, comment";
    format!("it is no mark ({cause}); it takes {known}, all of them text")
}

fn of_csv(text: &str) -> Result<Vec<(usize, Line)>> {
    let mut rows = csv_rows(text.as_bytes())?.into_iter();
    let Some(header) = rows.next() else { return Ok(Vec::new()) };
    let line = |(place, row): (usize, Vec<String>)| {
        let number = place + 2;
        if row.len() > header.len() {
            return Err(at(number, &format!("it has {} fields, the header has {}", row.len(), header.len())));
        }
        // An empty field is absent, as in any CSV that is read here.
        let fields = header.iter().zip(row).filter(|(_, field)| !field.is_empty());
        let members: Map<String, Value> =
            fields.map(|(name, field)| (name.trim().to_owned(), Value::String(field))).collect();
        serde_json::from_value(Value::Object(members))
            .map(|line| (number, line))
            .map_err(|e| at(number, &unreadable(&e)))
    };
    rows.enumerate().map(line).collect()
}

/// The rows of a CSV text, RFC 4180.
fn csv_rows(bytes: &[u8]) -> Result<Vec<Vec<String>>> {
    let mut reader = csv_core::Reader::new();
    let (mut fields, mut ends) = (vec![0; bytes.len() + 1], vec![0; COLUMNS]);
    let (mut rest, mut filled, mut ended) = (bytes, 0, 0);
    let mut rows = Vec::new();
    loop {
        let (result, nin, nout, nends) = reader.read_record(rest, &mut fields[filled..], &mut ends[ended..]);
        rest = &rest[nin..];
        (filled, ended) = (filled + nout, ended + nends);
        match result {
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                return Err(at(rows.len() + 1, &format!("it has more than {COLUMNS} fields")));
            }
            ReadRecordResult::Record => {
                let mut from = 0;
                let field = |end: &usize| {
                    let field = String::from_utf8_lossy(&fields[from..*end]).into_owned();
                    from = *end;
                    field
                };
                rows.push(ends[..ended].iter().map(field).collect());
                (filled, ended) = (0, 0);
            }
            ReadRecordResult::End => return Ok(rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_sheet_say_the_same() {
        let csv = "item,mark,comment,review_opened_at\r\n\
                   aa11,correct,,\r\n\
                   bb22,incorrect,\"wrong, twice\",2026-03-01T09:00:00Z\r\n";
        let json = "{\"item\":\"aa11\",\"mark\":\"correct\"}\n\n\
                    {\"item\":\"bb22\",\"mark\":\"incorrect\",\"comment\":\"wrong, twice\",\
                    \"review_opened_at\":\"2026-03-01T09:00:00Z\"}\n";
        let marks = read(csv).unwrap();
        assert_eq!(marks, read(json).unwrap());
        assert_eq!((marks.len(), marks[1].comment.as_deref()), (2, Some("wrong, twice")));
        assert_eq!((marks[0].mark.mark, marks[0].opened_at), (Word::Correct, None));
        assert_eq!(marks[1].opened_at, Some(1_772_355_600_000_000));
    }

    #[test]
    fn a_line_that_is_no_mark_refuses_the_sheet_with_its_number() {
        for (sheet, words) in [
            ("item,mark\naa,perhaps\n", "line 2"),
            ("item,mark\naa,correct\nbb\n", "line 3"),
            ("item,mark,colour\naa,correct,red\n", "colour"),
            ("item,mark\naa,correct,x\n", "3 fields"),
            ("item,mark,wrong_amount\naa,correct,1.00\n", "not marked incorrect"),
            ("item,mark,review_opened_at\naa,correct,noon\n", "review_opened_at"),
            ("{\"item\":\"aa\",\"mark\":\"correct\"}\n{\"item\":1}\n", "line 2"),
            ("item,mark\n", "no marks"),
            ("", "no marks"),
        ] {
            let refused = read(sheet).unwrap_err().to_string();
            assert!(refused.contains(words), "{sheet:?}: {refused}");
        }
    }
}
