//! What DataFusion's errors mean to the caller.
//!
//! In: an error of DataFusion. Out: an error of ours: kind, and a message without internals. Invariant: a
//! defect of the request is told apart from a bound that was met, a store that failed and a defect of ours.

use datafusion::common::DataFusionError;

use crate::error::{Error, ErrorKind};
use crate::limits::QUERY_MEMORY_BYTES;

/// Longest text of DataFusion's that is repeated; beyond it stands a plan, not a reason.
const MESSAGE_BYTES: usize = 600;

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
        DataFusionError::ObjectStore(inner) if matches!(**inner, object_store::Error::NotFound { .. }) => {
            Error::unavailable("a data file is gone; the query took too long, ask again").because(message)
        }
        DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => {
            Error::unavailable("the evidence cannot be read").because(message)
        }
        DataFusionError::ParquetError(_) => Error::damaged("a data file cannot be decoded").because(message),
        DataFusionError::Internal(_) | DataFusionError::ExecutionJoin(_) => {
            Error::internal("the query cannot be run").because(message)
        }
        _ => Error::new(ErrorKind::Invalid, message),
    }
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
        "Error during planning: ", "Execution error: ", "Schema error: ", "SQL error: ", "Arrow error: ",
        "Optimizer rule 'simplify_expressions' failed", "type_coercion", "caused by",
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
