//! Around every request: its number, its time, its bounds, and the form of its answer.
//!
//! In: requests as they come, answers as handlers gave them. Out: answers with the headers that all have, problems in the
//! form that their reader understands, a line in the log, counts. Invariants: nothing is stored by a cache that was not
//! declared fit for it; a body that does not come is not waited for.

use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, BodyDataStream, Bytes, HttpBody, to_bytes};
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::{FutureExt, Stream, StreamExt, stream};
use tokio::time::timeout;

use super::guard::Asker;
use super::listen::{Answering, Peer};
use super::log::{self, Answered};
use super::pages::layout;
use super::problem::{Problem, Told, problem, within};
use super::route::Kind;
use super::state::{App, Logging};
use crate::error::Error;
use crate::limits::{REFUSAL_BYTES, REQUEST_SECONDS, STALL_SECONDS};

/// The header with the number of a request, by which the log is searched.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What every answer carries that does not say otherwise.
const DEFAULTS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];
/// What a document may load that is no page of the server: nothing.
const SANDBOX: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox";

/// Numbers, bounds, counts and logs a request, and gives its answer the form that all answers have.
pub(super) async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let (began, at, id) = (Instant::now(), app.clock().now(), app.clock().id());
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|info| info.0.answering());
    let under_way = UnderWay::new(&app, peer);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    // A defect that ends the work of one request ends neither its connection nor its line in the log.
    let work = AssertUnwindSafe(next.run(request.map(unstalled))).catch_unwind();
    let answer = timeout(Duration::from_secs(REQUEST_SECONDS), work).await;
    let answer = answer.map(|done| done.unwrap_or_else(|_| Problem(Error::internal("the work died")).into_response()));
    let answer = answer.unwrap_or_else(|_| {
        let words = format!("no answer had begun after {REQUEST_SECONDS} s; ask for less, or try again later");
        problem(StatusCode::SERVICE_UNAVAILABLE, &words)
    });
    let answer = formed(within(answer, &app.setup().location)).await;
    let (took, status) = (began.elapsed(), answer.status());
    let route = route.as_deref().unwrap_or("unmatched");
    app.metrics().answered((known(&method), route), status.as_u16(), took);
    let error = answer.extensions().get::<Told>().and_then(|told| told.hidden.as_deref());
    if app.setup().log == Logging::Requests || error.is_some() {
        log::answered(&Answered {
            at,
            id: &id,
            method: known(&method),
            route,
            status: status.as_u16(),
            took,
            bytes: answer.body().size_hint().exact(),
            caller: answer.extensions().get::<Asker>().map(|asker| asker.0.as_str()),
            error,
        });
    }
    finished(answer, &id, under_way)
}

/// The method, of those that there are: a label of a counter is not the caller's to choose.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// The body, without waiting for ever for the next piece of it.
fn unstalled(body: Body) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let pieces = stream::unfold(Some(body.into_data_stream()), |body| async move {
        let mut body = body?;
        match timeout(Duration::from_secs(STALL_SECONDS), body.next()).await {
            Ok(piece) => Some((piece?, Some(body))),
            Err(_) => Some((Err(axum::Error::new(io::Error::from(io::ErrorKind::TimedOut))), None)),
        }
    });
    Body::from_stream(pieces)
}

/// A refusal of the framework as a problem document; a problem for a person as a page.
async fn formed(answer: Response) -> Response {
    let is_failure = answer.status().is_client_error() || answer.status().is_server_error();
    if !is_failure {
        return answer;
    }
    let kind = answer.extensions().get::<Kind>().copied().unwrap_or(Kind::Api);
    let answer = match is_plain(&answer) {
        true => as_problem(answer).await,
        false => answer,
    };
    match answer.extensions().get::<Told>() {
        Some(told) if kind == Kind::Page => as_page(&answer, told),
        _ => answer,
    }
}

/// Whether a handler or the framework refused in plain text.
fn is_plain(answer: &Response) -> bool {
    let media = answer.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    answer.extensions().get::<Told>().is_none() && media.is_none_or(|media| media.starts_with("text/plain"))
}

async fn as_problem(answer: Response) -> Response {
    let (parts, body) = answer.into_parts();
    let text = to_bytes(body, REFUSAL_BYTES).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let words = match text.trim() {
        "" => parts.status.canonical_reason().unwrap_or("refused"),
        words => words,
    };
    let mut told = problem(parts.status, words);
    for name in [header::ALLOW, header::RETRY_AFTER, header::WWW_AUTHENTICATE] {
        if let Some(value) = parts.headers.get(&name) {
            told.headers_mut().insert(name, value.clone());
        }
    }
    if let Some(asker) = parts.extensions.get::<Asker>() {
        told.extensions_mut().insert(asker.clone());
    }
    told
}

fn as_page(answer: &Response, told: &Told) -> Response {
    let mut page = layout::problem(answer.status(), &told.message);
    for name in [header::ALLOW, header::RETRY_AFTER, header::WWW_AUTHENTICATE] {
        if let Some(value) = answer.headers().get(&name) {
            page.headers_mut().insert(name, value.clone());
        }
    }
    page.extensions_mut().insert(told.clone());
    if let Some(asker) = answer.extensions().get::<Asker>() {
        page.extensions_mut().insert(asker.clone());
    }
    page
}

/// The answer with the headers that all have; a body that is still being made counts as under way until it ends.
fn finished(mut answer: Response, id: &str, under_way: UnderWay) -> Response {
    let headers = answer.headers_mut();
    for (name, value) in DEFAULTS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if media.starts_with("text/html") || media.starts_with("image/svg") {
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(SANDBOX));
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    if answer.body().size_hint().exact().is_some() {
        return answer;
    }
    answer.map(|body| Body::from_stream(Held { pieces: body.into_data_stream(), _under_way: under_way }))
}

/// A request that is being answered.
struct UnderWay {
    app: App,
    _peer: Option<Answering>,
}

impl UnderWay {
    fn new(app: &App, peer: Option<Answering>) -> Self {
        app.metrics().request_began();
        Self { app: app.clone(), _peer: peer }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.app.metrics().request_ended();
    }
}

/// A body that is still being made.
struct Held {
    pieces: BodyDataStream,
    _under_way: UnderWay,
}

impl Stream for Held {
    type Item = std::result::Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.pieces).poll_next(cx)
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;
    use crate::server::problem::PROBLEM_TYPE;

    async fn text(answer: Response) -> String {
        String::from_utf8(to_bytes(answer.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn what_the_framework_refuses_becomes_a_problem_in_the_form_of_its_reader() {
        let refused = || (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Expected JSON").into_response();
        let told = formed(refused()).await;
        assert_eq!(told.headers()[header::CONTENT_TYPE], PROBLEM_TYPE);
        assert!(text(told).await.contains("\"detail\":\"Expected JSON\""));
        let mut page = refused();
        page.extensions_mut().insert(Kind::Page);
        let page = formed(page).await;
        assert!(page.headers()[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));
        assert_eq!(page.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        let json = (StatusCode::CONFLICT, [(header::CONTENT_TYPE, "application/json")], "{}").into_response();
        assert_eq!(text(formed(json).await).await, "{}");
        assert_eq!(text(formed("fine".into_response()).await).await, "fine");
    }
}
