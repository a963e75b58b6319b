//! The log: one JSON line for each request, and for what failed beside requests, on standard error.
//!
//! In: what a request was and how it ended. Out: lines. Invariant: a line holds the template of the route, never a path
//! with its values, a query string, a body, a token or a value of the evidence; whoever reads logs reads no records.

use std::io::Write;
use std::time::Duration;

use serde_json::json;

use crate::clock::{Micros, rfc3339};
use crate::error::Error;

/// A request that was answered.
#[derive(Debug)]
pub(super) struct Answered<'a> {
    /// When.
    pub(super) at: Micros,
    /// Its number.
    pub(super) id: &'a str,
    /// Its method.
    pub(super) method: &'a str,
    /// Template of its route.
    pub(super) route: &'a str,
    /// Status of the answer.
    pub(super) status: u16,
    /// How long it took until the answer began.
    pub(super) took: Duration,
    /// Bytes of the body, where they are known by then.
    pub(super) bytes: Option<u64>,
    /// Who asked, where that is known.
    pub(super) caller: Option<&'a str>,
    /// What a defect says of the inside.
    pub(super) error: Option<&'a str>,
}

/// Writes the line of a request.
pub(super) fn answered(one: &Answered<'_>) {
    write(&line(one));
}

fn line(one: &Answered<'_>) -> serde_json::Value {
    let mut line = json!({
        "at": rfc3339(one.at),
        "request": one.id,
        "method": one.method,
        "route": one.route,
        "status": one.status,
        "ms": (one.took.as_secs_f64() * 1_000_000.0).round() / 1_000.0,
        "bytes": one.bytes,
        "caller": one.caller,
    });
    if let Some(error) = one.error {
        line["error"] = json!(error);
    }
    line
}

/// Writes what failed beside requests.
pub(super) fn failure(what: &str, err: &Error) {
    write(&json!({"failed": what, "error": err.to_string()}));
}

fn write(line: &serde_json::Value) {
    // One call for the whole line, so that lines of several threads do not mix. Nobody reads it: nothing is lost.
    let _ = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_json_object() {
        let one = Answered {
            at: 0,
            id: "r",
            method: "GET",
            route: "/v1/records/{system}/{type}/{id}",
            status: 200,
            took: Duration::from_micros(1_500),
            bytes: None,
            caller: Some("Ada"),
            error: None,
        };
        let expected = "{\"at\":\"1970-01-01T00:00:00.000000Z\",\"bytes\":null,\"caller\":\"Ada\",\"method\":\"GET\",\
                        \"ms\":1.5,\"request\":\"r\",\"route\":\"/v1/records/{system}/{type}/{id}\",\"status\":200}";
        assert_eq!(line(&one).to_string(), expected);
    }
}
