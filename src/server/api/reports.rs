//! `/v1/reports`: the monthly review, the packet of a batch, what was issued.
//!
//! In: a month or a batch, parameters as the command line takes them. Out: page, JSON and tables; an issued report is
//! an event. Invariant: a report that takes long is made once however many ask for it, kept while the evidence stays
//! the same and the day does (its numbers count days), and says itself as of when it tells.

use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde_json::{Value, json};

use super::asking::{Asked, CSV, HTML, JSON, Named, Params, created, form, kept, working};
use super::bundle::{Bundle, Sessions, long, reads, sight};
use crate::access::role::May;
use crate::clock::DAY;
use crate::error::{Error, Result};
use crate::query::catalogue::Catalogue;
use crate::query::objects::{Row, rows, text};
use crate::query::params::Params as Given;
use crate::report::period::Month;
use crate::report::{batch, issued, monthly};
use crate::server::cache::{Look, Rendered, step};
use crate::server::caller::Caller;
use crate::server::problem::Reply;
use crate::server::route::{About, Answer, Param, Place, Route};

const LIST: &str = "/v1/reports";
const MONTHLY: &str = "/v1/reports/monthly/{month}";
const ISSUE: &str = "/v1/reports/monthly/{month}/issue";
const BATCH: &str = "/v1/reports/batch/{id}";

/// The routes of reports.
pub fn routes() -> Vec<Route> {
    vec![
        Route::get(LIST, Some(May::Read), list).about(ABOUT_LIST),
        Route::get(MONTHLY, Some(May::Read), month).about(ABOUT_MONTHLY),
        Route::post(ISSUE, Some(May::Administer), issue).about(ABOUT_ISSUE),
        Route::get(BATCH, Some(May::Read), packet).about(ABOUT_BATCH),
    ]
}

/// A parameter of a path that must be there.
pub(super) const fn in_path(name: &'static str, note: &'static str) -> Param {
    Param { name, place: Place::Path, is_required: true, schema: "string", note }
}

/// A parameter that may be given.
pub(super) const fn may_give(name: &'static str, schema: &'static str, note: &'static str) -> Param {
    Param { name, place: Place::Query, is_required: false, schema, note }
}

/// The point of the ledger that an answer is about.
pub(super) const AS_OF: Param = may_give(
    "as_of",
    "string",
    "The point that the answer is about: an RFC 3339 instant, a ledger size, or `vN`, a version of the table. Without \
     it: all that is acknowledged by now.",
);
/// The form of an answer, where a header cannot be set.
pub(super) const FORMAT: Param = may_give(
    "format",
    "string",
    "The form of the answer in a word: `json`, and as far as the answer has it `html`, `csv`, `ndjson`. Without it the \
     Accept header decides.",
);
/// Long work is on.
pub(super) const WORKING: Answer = Answer {
    status: 202,
    types: &[JSON],
    schema: "Progress",
    note: "The work takes longer than a request waits, and goes on: ask the same again after Retry-After seconds.",
};
const MONTH: Param = in_path("month", "The month, YYYY-MM, in the time zone of the policy in force.");
const MATURITY: Param = may_give(
    "maturity_days",
    "int64",
    "Days after which a later fact no longer changes a number; without it what the policy says. Any other parameter of \
     the metrics, e.g. `fast_seconds`, is given in the same way.",
);
const TABLE: Param = may_give(
    "table",
    "string",
    "One table of the report as CSV, e.g. `metrics`; a wrong name is answered with all names.",
);
const REPORT: Answer = Answer {
    status: 200,
    types: &[JSON, HTML, CSV],
    schema: "Report",
    note: "The report: its numbers as JSON, as a page that stands alone, or one table as CSV.",
};

const ABOUT_LIST: About = About {
    summary: "The months that the evidence covers, and the reports that were issued.",
    params: &[AS_OF],
    body: None,
    answers: &[
        Answer {
            status: 200,
            types: &[JSON],
            schema: "Reports",
            note: "Months, oldest first; issued reports, oldest first.",
        },
        WORKING,
    ],
};
const ABOUT_MONTHLY: About = About {
    summary: "The governance review of one month.",
    params: &[MONTH, AS_OF, MATURITY, FORMAT, TABLE],
    body: None,
    answers: &[REPORT, WORKING],
};
const ABOUT_ISSUE: About = About {
    summary: "State that the review of a month was issued, so that later ones show its numbers beside theirs.",
    params: &[MONTH, MATURITY],
    body: None,
    answers: &[
        Answer {
            status: 201,
            types: &[JSON],
            schema: "Issued",
            note: "It is stated by the event `seq`. What was issued is the report with that digest, as of that point.",
        },
        Answer {
            note: "The report is still being made, nothing is stated yet: send it again after Retry-After seconds.",
            ..WORKING
        },
    ],
};
const ABOUT_BATCH: About = About {
    summary: "The packet of one batch: every flagged record with its evidence, decision and result.",
    params: &[in_path("id", "The batch, as the events name it."), AS_OF, MATURITY, FORMAT, TABLE],
    body: None,
    answers: &[REPORT, WORKING],
};

async fn list(caller: Caller, asked: Asked, uri: Uri) -> Reply {
    let params = asked.only(&["as_of"])?;
    let (reader, as_of) = (caller.clone(), params.text("as_of").map(str::to_owned));
    let key = format!("{LIST}?{:?}", params.0);
    let look = long(&caller, key, async move { known(&reader, as_of.as_deref()).await }).await?;
    match look {
        Look::Working(progress) => Ok(working(&uri, &progress)),
        Look::Ready(found) => {
            reads(&caller, LIST, params.note()).await?;
            Ok(kept(&found))
        }
    }
}

/// Months and issued reports.
async fn known(caller: &Caller, as_of: Option<&str>) -> Result<Rendered> {
    let engine = caller.engine(as_of).await?;
    let (catalogue, none) = (Catalogue::shipped()?, Given::new());
    let months = rows(&engine.run(catalogue.get("months")?, &none).await?)?;
    let issued = rows(&engine.run(catalogue.get("issued_reports")?, &none).await?)?;
    let as_of = engine.as_of();
    let mut answer = json!({
        "as_of": {"size": as_of.size, "version": engine.version()},
        "months": months, "issued": issued.into_iter().map(parsed).collect::<Vec<Row>>(),
    });
    sight(caller).mark(&mut answer);
    Ok(Rendered { content_type: JSON, body: answer.to_string().into() })
}

/// The row with its JSON texts as JSON.
fn parsed(mut row: Row) -> Row {
    for column in ["params", "metrics"] {
        if row.contains_key(column) {
            let read: Value = serde_json::from_str(text(&row, column)).unwrap_or_default();
            row.insert(column.to_owned(), read);
        }
    }
    row
}

/// What is asked of a report beside its subject.
#[derive(Debug, Clone, Default)]
struct Wanted {
    params: Given,
    as_of: Option<String>,
    table: Option<String>,
    format: Option<String>,
}

impl Wanted {
    fn of(asked: Asked) -> Result<Self> {
        let mut params = asked.all()?;
        let (as_of, table, format) = (params.take("as_of"), params.take("table"), params.take("format"));
        Ok(Self { params: params.0, as_of, table, format })
    }

    /// The key of the report `of` a subject; without a point of its own it is another one each day.
    fn key(&self, route: &str, of: &str, caller: &Caller) -> String {
        let day = self.as_of.is_none().then(|| caller.tenant.store().clock().now().div_euclid(DAY));
        format!("{route}?{of:?}&{:?}&{:?}&{day:?}", self.params, self.as_of)
    }

    /// Refuses a form that no report has before it is made.
    fn check_form(&self, headers: &HeaderMap) -> Result<()> {
        form(self.format.as_deref(), headers, &[JSON, HTML, CSV]).map(drop)
    }

    /// As the evidence tells of the read.
    fn note(&self, name: &str, of: &str) -> Value {
        let mut params = self.params.clone();
        params.insert(name.to_owned(), of.to_owned());
        let more = [("as_of", &self.as_of), ("table", &self.table), ("format", &self.format)];
        params.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))));
        Params(params).note()
    }
}

async fn month(caller: Caller, Named(month): Named<String>, asked: Asked, uri: Uri, headers: HeaderMap) -> Reply {
    let wanted = Wanted::of(asked)?;
    wanted.check_form(&headers)?;
    match of_month(&caller, &month, &wanted).await? {
        Look::Working(progress) => Ok(working(&uri, &progress)),
        Look::Ready(kept) => {
            let answer = Bundle::read(&kept)?.answer(&headers, wanted.format.as_deref(), wanted.table.as_deref())?;
            reads(&caller, MONTHLY, wanted.note("month", &month)).await?;
            Ok(answer)
        }
    }
}

/// The review of a month with nothing else asked, or how far it is: the same for pages as for programs.
///
/// # Errors
/// Invalid when it is no month; what the questions failed with.
pub async fn review(caller: &Caller, month: &str) -> Result<Look> {
    of_month(caller, month, &Wanted::default()).await
}

/// The review of a month, or how far it is.
async fn of_month(caller: &Caller, month: &str, wanted: &Wanted) -> Result<Look> {
    let month = Month::parse(month)?;
    let (reader, wanted, key) = (caller.clone(), wanted.clone(), wanted.key(MONTHLY, &month.to_string(), caller));
    let work = async move {
        step("opening the evidence");
        let sessions = Sessions::of(&reader, wanted.as_of.as_deref()).await?;
        step("asking the questions of the review");
        let request = monthly::Request { month, params: wanted.params, tenant: reader.tenant.name().to_owned() };
        let dashboard = monthly::dashboard()?;
        Bundle::keep(monthly::seen(sessions.eyes(), &request, (&dashboard, Catalogue::shipped()?)).await?)
    };
    long(caller, key, work).await
}

async fn issue(caller: Caller, Named(month): Named<String>, asked: Asked, uri: Uri) -> Reply {
    let wanted = Wanted::of(asked)?;
    if wanted.as_of.is_some() || wanted.table.is_some() || wanted.format.is_some() {
        let words = "an issued report states all that is known now; leave as_of, table and format out";
        return Err(Error::invalid(words).into());
    }
    match of_month(&caller, &month, &wanted).await? {
        Look::Working(progress) => Ok(working(&uri, &progress)),
        Look::Ready(kept) => stated(&caller, Bundle::read(&kept)?).await,
    }
}

/// States that the caller issued a report.
async fn stated(caller: &Caller, bundle: Bundle) -> Reply {
    let report = bundle.report()?;
    let seq = issued::state(caller.tenant.store(), &report, &caller.name).await?;
    let part = |name: &str| report.json.get(name).cloned().unwrap_or_default();
    let answer: Response = created(
        &json!({
            "seq": seq, "report": part("report"), "subject": part("subject"), "params": part("params"),
            "as_of": part("as_of"), "sha256": report.digest(), "headline": report.headline, "issued_by": caller.name,
        }),
        &format!("/v1/events/{seq}"),
    );
    Ok(answer)
}

async fn packet(caller: Caller, Named(id): Named<String>, asked: Asked, uri: Uri, headers: HeaderMap) -> Reply {
    let wanted = Wanted::of(asked)?;
    wanted.check_form(&headers)?;
    let (reader, given, key, batch_id) = (caller.clone(), wanted.clone(), wanted.key(BATCH, &id, &caller), id.clone());
    let work = async move {
        step("opening the evidence");
        let sessions = Sessions::of(&reader, given.as_of.as_deref()).await?;
        step("asking the questions of the packet");
        let request = batch::Request { batch_id, params: given.params, tenant: reader.tenant.name().to_owned() };
        let dashboard = batch::dashboard()?;
        Bundle::keep(batch::seen(sessions.eyes(), &request, (&dashboard, Catalogue::shipped()?)).await?)
    };
    match long(&caller, key, work).await? {
        Look::Working(progress) => Ok(working(&uri, &progress)),
        Look::Ready(kept) => {
            let answer = Bundle::read(&kept)?.answer(&headers, wanted.format.as_deref(), wanted.table.as_deref())?;
            reads(&caller, BATCH, wanted.note("id", &id)).await?;
            Ok(answer)
        }
    }
}
