//! What DataFusion's errors mean to the caller.
//!
//! In: an error of DataFusion. Out: an error of ours: kind, and a message without internals. Invariant: a
//! defect of the request is told apart from a bound that was met, a store that failed and a defect of ours.

use datafusion::common::DataFusionError;

use crate::error::{Error, ErrorKind};

/// Longest text of DataFusion's that is repeated; beyond it stands a plan, not a reason.
const MESSAGE_BYTES: usize = 600;
/// What is said where memory does not suffice.
const NO_MEMORY: &str = "the query needs more memory than it may use";
/// What DataFusion says where temporary files reached their bound, in errors of several classes.
const NO_ROOM: &str = "used disk space during the spilling";
/// What stands in an error about an instant that a number of nanoseconds cannot hold.
const NO_NANOSECONDS: [&str; 2] = ["to Nanosecond", "represented as nanoseconds"];
/// What DataFusion says of a window function outside of what it lists and orders by.
const WINDOW_INSIDE: &str = "logical expression WindowFunction(";
/// What stands in an error, of whatever class, about a pattern that is none.
const NO_PATTERN: [&str; 3] = ["Regular expression did not compile", "regex parse error", "Compiled regex exceeds"];
/// What values stand between in messages.
const QUOTES: [char; 2] = ['\'', '"'];

/// What stands before the cause, values and all, where a condition fails while a file is decoded.
const PREDICATE: &str = "Error evaluating filter predicate";

/// `cause` as an error of ours.
pub fn error(cause: DataFusionError) -> Error {
    let root = cause.find_root();
    if let DataFusionError::External(inner) = root
        && let Some(ours) = inner.downcast_ref::<Error>()
    {
        return Error::new(ours.kind(), ours.message());
    }
    let message = short(root);
    match root {
        DataFusionError::ResourcesExhausted(text) => exhausted(text),
        _ if message.contains(NO_ROOM) => exhausted(&message),
        DataFusionError::ObjectStore(inner) if matches!(**inner, object_store::Error::NotFound { .. }) => {
            Error::unavailable("a data file is gone; the query took too long, ask again").because(message)
        }
        DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => {
            Error::unavailable("the evidence cannot be read").because(message)
        }
        DataFusionError::ParquetError(_) => Error::damaged("a data file cannot be decoded").because(message),
        _ if NO_PATTERN.iter().any(|said| message.contains(said)) => Error::invalid(
            "a pattern is no regular expression, or too large a one; docs.rs/regex says what it may hold",
        ),
        _ if NO_NANOSECONDS.iter().any(|said| message.contains(said)) => Error::invalid(
            "an instant lies outside of 1677-09-21 to 2262-04-11, which is all that `timestamp` can hold; compare with \
             the text of the instant alone, without the word `timestamp`",
        ),
        _ if message.contains(PREDICATE) => Error::invalid(
            "a condition fails on a value, such as a text that is no number, or a whole number that does not fit its \
             type; write try_cast, or a wider type",
        ),
        DataFusionError::NotImplemented(text) if text.contains(WINDOW_INSIDE) => Error::invalid(
            "a window function stands where rows are grouped, filtered or joined; compute it in a sub-query in `from`, \
             and use its column",
        ),
        DataFusionError::NotImplemented(text) if text.contains("logical expression") => {
            Error::invalid("a sub-query cannot use the tables around it in this way; write a join")
        }
        DataFusionError::NotImplemented(text) if text.contains("ast node") => {
            Error::invalid("this is SQL, but of a kind that is not answered here; write it otherwise")
        }
        DataFusionError::Internal(_) | DataFusionError::ExecutionJoin(_) => {
            Error::internal("the query cannot be run").because(message)
        }
        _ => Error::new(ErrorKind::Invalid, message),
    }
}

/// `cause`, met while rows were computed: what it quotes may come from a record and is left out.
pub fn running(cause: DataFusionError) -> Error {
    let is_about_values = matches!(cause.find_root(), DataFusionError::ArrowError(..) | DataFusionError::Execution(_));
    let err = error(cause);
    if is_about_values { Error::new(err.kind(), without_quotes(err.message())) } else { err }
}

/// `message` without what stands between its first quote and the last one of that kind: a value may hold quotes itself,
/// so that no other one is sure to be its end.
fn without_quotes(message: &str) -> String {
    let Some((before, rest)) = message.split_once(QUOTES) else { return message.to_owned() };
    let quote = if message[before.len()..].starts_with('"') { '"' } else { '\'' };
    match rest.rsplit_once(quote) {
        Some((_, behind)) => format!("{before}{quote}…{quote}{}", without_quotes(behind)),
        None => format!("{before}{quote}…"),
    }
}

/// The text of a syntax error.
pub fn syntax(cause: &DataFusionError) -> String {
    match cause.find_root() {
        DataFusionError::SQL(inner, _) => inner.to_string().replace("sql parser error: ", "this is no SQL: "),
        other => short(other),
    }
}

/// The bound that was met, by what DataFusion says of it.
fn exhausted(text: &str) -> Error {
    if text.contains("disk") || text.contains("temporary") {
        return Error::limit("the query needs more temporary files than allowed; ask for less");
    }
    // The pool of queries says how much there is; an operator that counts by itself does not.
    let said = text.find(NO_MEMORY).map(|at| &text[at..]);
    Error::limit(said.map_or_else(|| format!("{NO_MEMORY}; ask for less"), str::to_owned))
}

/// What is said where the memory of all queries, so many bytes, does not suffice.
pub(super) fn no_memory(bytes: usize) -> String {
    format!("{NO_MEMORY} (all queries: {} MiB); ask for less", bytes / (1024 * 1024))
}

/// The message without the names of error classes before it and without a backtrace.
fn short(cause: &DataFusionError) -> String {
    let text = cause.strip_backtrace();
    let mut text = text.as_str();
    for class in [
        "Error during planning: ",
        "Execution error: ",
        "Schema error: ",
        "SQL error: ",
        "Arrow error: ",
        "External error: ",
        "Parser error: ",
        "Cast error: ",
        "Compute error: ",
        "Invalid argument error: ",
        "Optimizer rule 'simplify_expressions' failed",
        "type_coercion",
        "caused by",
    ] {
        text = text.strip_prefix(class).unwrap_or(text).trim_start();
    }
    let mut text = text.to_owned();
    if text.len() > MESSAGE_BYTES {
        let end = (0..=MESSAGE_BYTES).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn a_failure_on_rows_does_not_repeat_them() {
        let sql = "select cast(x as bigint) from (values ('5'), ('secret')) as t(x)";
        let cause = SessionContext::new().sql(sql).await.unwrap().collect().await.unwrap_err();
        let err = running(cause);
        assert_eq!(err.kind(), ErrorKind::Invalid);
        assert!(!err.to_string().contains("secret"), "{err}");
        assert!(err.to_string().contains("'…'"), "{err}");
    }

    #[test]
    fn what_is_quoted_is_left_out_also_where_it_holds_quotes() {
        for (message, expected) in [
            ("cannot cast string 'se' cret' to Int32", "cannot cast string '…' to Int32"),
            ("cannot cast string 'se\"cr\"et' to Int32", "cannot cast string '…' to Int32"),
            ("\"it's secret\" is no date", "\"…\" is no date"),
            ("'secret' is no \"date\"", "'…' is no \"…\""),
            ("cannot cast 'secret", "cannot cast '…"),
            ("division by zero", "division by zero"),
        ] {
            assert_eq!(without_quotes(message), expected);
        }
    }

    #[tokio::test]
    async fn a_pattern_that_is_none_is_a_defect_of_the_request() {
        for condition in ["x ~ '('", "x similar to '(('", "x ~ '((a{1000}){1000}){1000}'", "regexp_like(x, '[')"] {
            let sql = format!("select count(*) from (values ('5'), ('secret')) as t(x) where {condition}");
            let cause = match SessionContext::new().sql(&sql).await {
                Ok(frame) => frame.collect().await.expect_err(condition),
                Err(cause) => cause,
            };
            let err = running(cause);
            assert_eq!(err.kind(), ErrorKind::Invalid, "{condition}: {err}");
            assert!(err.to_string().contains("no regular expression"), "{condition}: {err}");
        }
    }

    #[tokio::test]
    async fn an_instant_that_nanoseconds_cannot_hold_is_told_with_what_they_can() {
        for sql in [
            "select timestamp '0001-01-01T00:00:00Z'",
            "select cast(x as timestamp) from (values ('9999-12-31T00:00:00Z')) as t(x)",
            "select to_timestamp('2500-01-01T00:00:00Z')",
        ] {
            let cause = match SessionContext::new().sql(sql).await {
                Ok(frame) => frame.collect().await.expect_err(sql),
                Err(cause) => cause,
            };
            let err = running(cause);
            assert_eq!(err.kind(), ErrorKind::Invalid, "{sql}: {err}");
            assert!(err.to_string().contains("1677-09-21 to 2262-04-11"), "{sql}: {err}");
        }
    }

    #[tokio::test]
    async fn a_window_function_out_of_place_is_told_where_it_belongs() {
        for tail in ["group by row_number() over ()", "where row_number() over () > 1"] {
            let sql = format!("select count(*) from (values (1), (2)) as t(x) {tail}");
            let cause = match SessionContext::new().sql(&sql).await {
                Ok(frame) => frame.collect().await.expect_err(tail),
                Err(cause) => cause,
            };
            let err = error(cause);
            assert_eq!(err.kind(), ErrorKind::Invalid, "{tail}: {err}");
            assert!(err.to_string().contains("a window function"), "{tail}: {err}");
        }
    }

    #[test]
    fn kinds_tell_request_bound_store_and_defect_apart() {
        let kind = |cause: DataFusionError| error(cause.context("somewhere")).kind();
        assert_eq!(kind(DataFusionError::Plan("x".to_owned())), ErrorKind::Invalid);
        assert_eq!(kind(DataFusionError::ResourcesExhausted("x".to_owned())), ErrorKind::Limit);
        assert_eq!(kind(DataFusionError::IoError(std::io::Error::other("x"))), ErrorKind::Unavailable);
        assert_eq!(kind(DataFusionError::Internal("x".to_owned())), ErrorKind::Internal);
        let ours = DataFusionError::External(Box::new(Error::limit("too long")));
        assert_eq!(error(ours).to_string(), "too long");
    }
}
