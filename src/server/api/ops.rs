//! What operators and their machines ask: is it alive, does it serve, what does it count.
//!
//! In: nothing. Out: words and figures. Invariant: nothing here tells of evidence but how much of it there is, and that
//! to who may read it.

use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::json;
use tokio::time::timeout;

use crate::access::role::May;
use crate::error::Error;
use crate::server::caller::Caller;
use crate::server::problem::Reply;
use crate::server::route::{About, Answer, Route};
use crate::server::state::App;

/// Time in which the store must answer for the server to count as ready.
const READY: Duration = Duration::from_secs(5);
/// Media type of Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const HEALTHZ: About = About {
    summary: "Whether the process is alive.",
    params: &[],
    body: None,
    answers: &[Answer { status: 200, types: &["text/plain"], schema: "", note: "`ok`" }],
};
const READYZ: About = About {
    summary: "Whether the server takes events in and answers questions now.",
    params: &[],
    body: None,
    answers: &[
        Answer { status: 200, types: &["application/json"], schema: "Ready", note: "it does" },
        Answer { status: 503, types: &["application/problem+json"], schema: "Problem", note: "it does not" },
    ],
};
const METRICS: About = About {
    summary: "Counters and gauges for Prometheus: of the process, and of the caller's own ledger.",
    params: &[],
    body: None,
    answers: &[Answer { status: 200, types: &["text/plain"], schema: "", note: "text format 0.0.4" }],
};

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/healthz", None, healthz).about(HEALTHZ),
        Route::get("/readyz", None, readyz).about(READYZ),
        Route::get("/metrics", Some(May::Read), metrics).about(METRICS),
    ]
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(app): State<App>) -> Reply {
    // Why it cannot be read is told to the log of the upkeep, not to everybody.
    let unread = || Error::unavailable("the store cannot be read now");
    let tenant = app.tenant(&app.setup().tenant).await.map_err(|_| unread())?;
    if !tenant.appender().is_alive() {
        return Err(Error::unavailable("the writer has ended; restart the server").into());
    }
    match timeout(READY, tenant.snapshot()).await {
        Ok(Ok(_)) => Ok(axum::Json(json!({"ready": true})).into_response()),
        _ => Err(unread().into()),
    }
}

async fn metrics(State(app): State<App>, caller: Caller) -> Reply {
    let figures = caller.tenant.figures().await?;
    let text = app.metrics().text((caller.tenant.name(), figures));
    Ok(([(CONTENT_TYPE, METRICS_TYPE)], text).into_response())
}
