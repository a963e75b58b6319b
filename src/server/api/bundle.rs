//! Finished reports in all their forms, and long work that makes them.
//!
//! In: a report, or the work that makes one. Out: the page, the JSON or a table, as it is asked for; until it is
//! finished, who waits is told what runs. Invariants: the forms of one report are made together, so that page and JSON
//! say the same; reports for readers who may not see sealed values are kept apart from the others. It computes
//! nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::asking::{CSV, HTML, JSON, file, form};
use crate::error::{Error, Result};
use crate::query::engine::Engine;
use crate::report::files::Report;
use crate::report::withheld::{Eyes, Sight};
use crate::server::cache::{Look, Rendered};
use crate::server::caller::{Caller, Read};

/// How long a request waits for long work before it is told to come again.
const PATIENCE: Duration = Duration::from_secs(5);
/// Ending of the name of a table.
const CSV_ENDING: &str = ".csv";

/// A finished report.
#[derive(Debug, Serialize, Deserialize)]
pub struct Bundle {
    name: String,
    headline: String,
    html: String,
    json: Box<RawValue>,
    csv: BTreeMap<String, String>,
}

impl Bundle {
    /// `report`, to be kept.
    ///
    /// # Errors
    /// When it cannot be written, which no report is.
    pub fn keep(report: Report) -> Result<Rendered> {
        let Report { name, html, json, csv, headline } = report;
        let json = to_raw_value(&json).map_err(unwritable)?;
        let bundle = serde_json::to_vec(&Self { name, headline, html, json, csv }).map_err(unwritable)?;
        Ok(Rendered { content_type: JSON, body: bundle.into() })
    }

    /// What was kept.
    ///
    /// # Errors
    /// When it is no report, which nothing kept under the key of one is.
    pub fn read(kept: &Rendered) -> Result<Self> {
        serde_json::from_slice(&kept.body).map_err(unwritable)
    }

    /// The report as it was made.
    ///
    /// # Errors
    /// As [`Bundle::read`].
    pub fn report(self) -> Result<Report> {
        let json = serde_json::from_str(self.json.get()).map_err(unwritable)?;
        Ok(Report { name: self.name, html: self.html, json, csv: self.csv, headline: self.headline })
    }

    /// The form that is wanted: a `table` by name, else page or JSON by `format` or the header.
    ///
    /// # Errors
    /// NotFound when there is no such table; Invalid when a table is wanted and none is named, and for a format that
    /// there is not.
    pub fn answer(self, headers: &HeaderMap, format: Option<&str>, table: Option<&str>) -> Result<Response> {
        let forms: &[&'static str] = if self.csv.is_empty() { &[JSON, HTML] } else { &[JSON, HTML, CSV] };
        match (table, form(format, headers, forms)?) {
            (Some(table), _) => self.table(table),
            (None, CSV) => Err(Error::invalid(format!("which table? give table=NAME, one of: {}", self.tables()))),
            (None, HTML) => Ok(file(&format!("{}.html", self.name), HTML, self.html)),
            (None, _) => Ok(file(&format!("{}.json", self.name), JSON, self.json.get().to_owned())),
        }
    }

    fn table(mut self, table: &str) -> Result<Response> {
        let name = format!("{}{CSV_ENDING}", table.strip_suffix(CSV_ENDING).unwrap_or(table));
        match self.csv.remove(&name) {
            Some(text) => Ok(file(&format!("{}-{name}", self.name), CSV, text)),
            None => {
                let table = table.escape_debug();
                Err(Error::not_found(format!("the report has no table `{table}`; it has: {}", self.tables())))
            }
        }
    }

    fn tables(&self) -> String {
        let names = self.csv.keys().map(|name| name.strip_suffix(CSV_ENDING).unwrap_or(name));
        let names: Vec<&str> = names.collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

fn unwritable(cause: serde_json::Error) -> Error {
    Error::internal("a report cannot be kept").because(cause)
}

/// What is kept under `key` for the caller's evidence as it is, or how far `work` on it is.
///
/// # Errors
/// What the work failed with.
pub async fn long<F>(caller: &Caller, key: String, work: F) -> Result<Look>
where
    F: Future<Output = Result<Rendered>> + Send + 'static,
{
    let key = match sight(caller) {
        Sight::Shown => key,
        Sight::Withheld => format!("{key}#withheld"),
    };
    let size = caller.tenant.content_size().await?;
    caller.tenant.pages().look(key, size, PATIENCE, work).await
}

/// What the caller may see.
pub fn sight(caller: &Caller) -> Sight {
    if caller.sees_sealed { Sight::Shown } else { Sight::Withheld }
}

/// States the read `what` in the evidence, with what was asked.
///
/// # Errors
/// As [`Caller::reads`].
pub async fn reads(caller: &Caller, what: &str, extra: serde_json::Value) -> Result<()> {
    caller.reads(Read { what, subject: None, extra }).await
}

/// The session that sees everything, for what is taken out of documents afterwards: as of `as_of`, or now.
///
/// # Errors
/// Invalid or NotFound for an as-of point that is none; when the store cannot be read.
pub async fn whole(caller: &Caller, as_of: Option<&str>) -> Result<Arc<Engine>> {
    match as_of {
        Some(as_of) => caller.tenant.engine_at(as_of).await,
        None => caller.tenant.engine().await,
    }
}

/// As [`whole`], for many questions about a period.
///
/// # Errors
/// As [`whole`].
pub async fn reporting(caller: &Caller, as_of: Option<&str>) -> Result<Arc<Engine>> {
    match as_of {
        Some(as_of) => caller.tenant.engine_at(as_of).await,
        None => caller.tenant.reporting().await,
    }
}

/// The sessions that a report for the caller reads through.
#[derive(Debug)]
pub struct Sessions {
    whole: Arc<Engine>,
    seen: Arc<Engine>,
}

impl Sessions {
    /// Those as of `as_of`, or of now.
    ///
    /// # Errors
    /// As [`reporting`].
    pub async fn of(caller: &Caller, as_of: Option<&str>) -> Result<Self> {
        let whole = reporting(caller, as_of).await?;
        let seen = match sight(caller) {
            Sight::Shown => whole.clone(),
            Sight::Withheld => Arc::new(whole.without_sealed()?),
        };
        Ok(Self { whole, seen })
    }

    /// As a report takes them.
    pub fn eyes(&self) -> Eyes<'_> {
        Eyes { whole: &self.whole, seen: &self.seen }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::{ACCEPT, CONTENT_TYPE};
    use serde_json::json;

    use super::*;

    fn bundle() -> Bundle {
        let csv = BTreeMap::from([("metrics.csv".to_owned(), "metric\r\n".to_owned())]);
        let (name, html, headline) = ("monthly-2016-03".to_owned(), "<p>\u{e4}</p>".to_owned(), "h".to_owned());
        let report = Report { name, html, json: json!({"metrics": {"a": 1.50}}), csv, headline };
        Bundle::read(&Bundle::keep(report).unwrap()).unwrap()
    }

    #[test]
    fn a_report_is_kept_whole() {
        let report = bundle().report().unwrap();
        assert_eq!((report.html.as_str(), &report.json), ("<p>\u{e4}</p>", &json!({"metrics": {"a": 1.50}})));
        assert_eq!(report.digest(), crate::ledger::hash::sha256("<p>\u{e4}</p>"));
    }

    #[test]
    fn each_form_is_given_as_it_is_asked_for() {
        let answer = |accept: &str, table: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            let answer = bundle().answer(&headers, None, table)?;
            Ok::<_, Error>(answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned())
        };
        assert_eq!(answer("*/*", None).unwrap(), JSON);
        assert!(answer("text/html", None).unwrap().starts_with(HTML));
        assert!(answer("*/*", Some("metrics")).unwrap().starts_with(CSV));
        assert!(answer("text/csv", None).unwrap_err().to_string().contains("metrics"));
        assert!(answer("*/*", Some("none")).unwrap_err().to_string().contains("metrics"));
    }
}
