//! What DataFusion's errors mean to the caller.
//!
//! In: an error of DataFusion. Out: an error of ours: kind, and a message without internals. Invariant: a
//! defect of the request is told apart from a bound that was met, a store that failed and a defect of ours.

use datafusion::common::DataFusionError;

use crate::error::{Error, ErrorKind};
use crate::limits::QUERY_MEMORY_BYTES;

/// Longest text of DataFusion's that is repeated; beyond it stands a plan, not a reason.
const MESSAGE_BYTES: usize = 600;
/// What DataFusion says where temporary files reached their bound, in errors of several classes.
const NO_ROOM: &str = "used disk space during the spilling";
/// What DataFusion says where a nested loop join lacks memory for its side: it reads it again in parts, and an exchange
/// gives it only once.
const READ_AGAIN: &str = "partition not used yet";
/// What stands in an error, of whatever class, about a pattern that is none.
const NO_PATTERN: [&str; 3] = ["Regular expression did not compile", "regex parse error", "Compiled regex exceeds"];

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
        _ if message.contains(READ_AGAIN) || message.contains(NO_ROOM) => exhausted(&message),
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

fn without_quotes(message: &str) -> String {
    let mut open = None;
    let mut kept = String::with_capacity(message.len());
    for c in message.chars() {
        match open {
            Some(quote) if c == quote => {
                kept.push('…');
                kept.push(c);
                open = None;
            }
            Some(_) => {}
            None => {
                kept.push(c);
                open = ['\'', '"'].contains(&c).then_some(c);
            }
        }
    }
    kept
}

/// The text of a syntax error.
pub fn syntax(cause: &DataFusionError) -> String {
    match cause.find_root() {
        DataFusionError::SQL(inner, _) => inner.to_string().replace("sql parser error: ", "this is no SQL: "),
        other => short(other),
    }
}

fn exhausted(text: &str) -> Error {
    if text.contains("disk") || text.contains("temporary") {
        return Error::limit("the query needs more temporary files than allowed; ask for less");
    }
    let mib = QUERY_MEMORY_BYTES / (1024 * 1024);
    Error::limit(format!("the query needs more memory than it may use (all queries: {mib} MiB); ask for less"))
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
