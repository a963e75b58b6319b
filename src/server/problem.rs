//! Errors as answers: RFC 9457 problem documents for programs, pages for people.
//!
//! In: an error of this crate. Out: a response with the status that tells the caller what to do. Invariants: what a
//! defect says of the inside stays inside, it goes to the log under the number of the request, and so does where the store
//! lies; whoever may try again is told when; what the store lacks or refuses to this server never passes for something
//! that there is not, or that the caller may not. The page for people is made by the guard, which knows whom the route
//! answers.

use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::api::Misfit;
use super::append::Busy;
use crate::error::{Error, ErrorKind};
use crate::store::object::Location;

/// Media type of a problem document.
pub const PROBLEM_TYPE: &str = "application/problem+json";
/// Seconds after which somebody may try again who met a full queue.
const BUSY_SECONDS: u32 = 1;
/// Seconds after which somebody may try again while the store fails.
const UNAVAILABLE_SECONDS: u32 = 5;
/// What the path of an object begins with, seen from its store.
const IN_STORE: [&str; 2] = ["tenants/", "keys/"];
/// What is said of a defect.
const HIDDEN: &str = "the server failed by a defect; its log tells more under this request's number";

/// An error on its way to the caller.
#[derive(Debug)]
pub struct Problem(pub Error);

/// What a handler gives.
pub type Reply = std::result::Result<Response, Problem>;

/// What a response that is a problem carries along for the guard and the log.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// What the caller reads.
    pub(super) message: String,
    /// What the log reads, where that is more.
    pub(super) hidden: Option<String>,
}

impl From<Error> for Problem {
    fn from(err: Error) -> Self {
        Self(err)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, retry_after) = status(&self.0);
        let is_inside = matches!(self.0.kind(), ErrorKind::Internal);
        let whole = self.0.to_string();
        let (message, hidden) = match is_inside {
            true => (HIDDEN.to_owned(), Some(whole)),
            false => (whole, None),
        };
        let mut response = problem(status, &message);
        if let Some(told) = response.extensions_mut().get_mut::<Told>() {
            told.hidden = hidden;
        }
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if Misfit::of(&self.0) == Some(Misfit::Length) {
            // What is left of the body stands where the next request would begin.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// The status of an error, and after how many seconds to try again.
fn status(err: &Error) -> (StatusCode, Option<u32>) {
    match kind(err) {
        ErrorKind::Invalid => (invalid(err), None),
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, None),
        ErrorKind::Denied => (StatusCode::FORBIDDEN, None),
        ErrorKind::Conflict => (StatusCode::CONFLICT, None),
        ErrorKind::Limit if Busy::is_why(err) => (StatusCode::TOO_MANY_REQUESTS, Some(BUSY_SECONDS)),
        ErrorKind::Limit => (StatusCode::PAYLOAD_TOO_LARGE, None),
        ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, Some(UNAVAILABLE_SECONDS)),
        ErrorKind::Damaged | ErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, None),
    }
}

/// What `err` is to the caller: what the store lacks or refuses is no fault of his, and may be there later.
pub(super) fn kind(err: &Error) -> ErrorKind {
    match err.kind() {
        ErrorKind::NotFound | ErrorKind::Denied if is_of_the_store(err) => ErrorKind::Unavailable,
        kind => kind,
    }
}

/// Whether `err` came about because the store lacks an object that it should have, or does not give it to this server.
fn is_of_the_store(err: &Error) -> bool {
    let mut cause = std::error::Error::source(err);
    while let Some(found) = cause {
        if found.is::<object_store::Error>() || found.is::<std::io::Error>() {
            return true;
        }
        cause = found.source();
    }
    false
}

/// The status of a request that is wrong.
fn invalid(err: &Error) -> StatusCode {
    match Misfit::of(err) {
        Some(Misfit::Form) => StatusCode::NOT_ACCEPTABLE,
        Some(Misfit::Body) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Some(Misfit::Length) | None => StatusCode::BAD_REQUEST,
    }
}

/// A problem document that says `message`.
pub(super) fn problem(status: StatusCode, message: &str) -> Response {
    let headers = [(CONTENT_TYPE, PROBLEM_TYPE), (header::CACHE_CONTROL, "no-store")];
    let mut response = (status, headers, document(status, message)).into_response();
    response.extensions_mut().insert(Told { message: message.to_owned(), hidden: None });
    response
}

fn document(status: StatusCode, message: &str) -> String {
    let document = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Problem"),
        "status": status.as_u16(),
        "detail": message,
    });
    document.to_string()
}

/// `answer` without the place where the store lies: a path in the words of a problem begins within the store. The log is
/// told it whole.
pub(super) fn within(answer: Response, store: &Location) -> Response {
    let is_document = answer.headers().get(CONTENT_TYPE).is_some_and(|media_type| media_type == PROBLEM_TYPE);
    let told = answer.extensions().get::<Told>().filter(|_| is_document).cloned();
    let Some(told) = told else { return answer };
    let message = unplaced(&told.message, store);
    if message == told.message {
        return answer;
    }
    let hidden = Some(told.hidden.unwrap_or(told.message));
    let (mut parts, _) = answer.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    let body = document(parts.status, &message).into();
    parts.extensions.insert(Told { message, hidden });
    Response::from_parts(parts, body)
}

/// `text` with paths that begin in `store`.
pub(super) fn unplaced(text: &str, store: &Location) -> String {
    let directory = store.directory.as_ref().map(|directory| directory.display().to_string());
    let places = [store.url.to_string(), directory.unwrap_or_default(), store.base.to_string()];
    let mut told = text.to_owned();
    for place in places.iter().map(|place| place.trim_matches('/')).filter(|place| !place.is_empty()) {
        for begin in IN_STORE {
            told = told.replace(&format!("/{place}/{begin}"), begin).replace(&format!("{place}/{begin}"), begin);
        }
    }
    told
}

/// Nobody is known: log in, or send a token.
pub(super) fn unknown(message: &str) -> Response {
    let mut response = problem(StatusCode::UNAUTHORIZED, message);
    let scheme = HeaderValue::from_static("Bearer realm=\"probity\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    response
}

/// Too many attempts: try again after so many seconds.
pub(super) fn too_many(message: &str, seconds: u32) -> Response {
    let mut response = problem(StatusCode::TOO_MANY_REQUESTS, message);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_status_that_tells_what_to_do() {
        let kinds = [
            (ErrorKind::Invalid, 400),
            (ErrorKind::NotFound, 404),
            (ErrorKind::Denied, 403),
            (ErrorKind::Conflict, 409),
            (ErrorKind::Limit, 413),
            (ErrorKind::Unavailable, 503),
            (ErrorKind::Damaged, 500),
            (ErrorKind::Internal, 500),
        ];
        for (kind, expected) in kinds {
            let response = Problem(Error::new(kind, "x")).into_response();
            assert_eq!(response.status().as_u16(), expected);
            assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_TYPE);
            assert_eq!(response.headers().contains_key(RETRY_AFTER), kind == ErrorKind::Unavailable);
        }
        let busy = Problem(Error::limit("the queue is full").because(Busy)).into_response();
        assert_eq!((busy.status().as_u16(), &busy.headers()[RETRY_AFTER]), (429, &HeaderValue::from(1u32)));
    }

    #[test]
    fn what_the_store_lacks_or_refuses_is_no_fault_of_who_asks() {
        let lost = || object_store::Error::NotFound { path: "x".to_owned(), source: "gone".into() };
        let refused =
            object_store::Error::PermissionDenied { path: "x".to_owned(), source: std::io::Error::other("no").into() };
        let told = |err: Error| Problem(err).into_response();
        for err in [
            Error::not_found("cannot read x").because(lost()),
            Error::not_found("cannot read x").because(Error::unavailable("cannot read y").because(lost())),
            Error::not_found("cannot read the key x").because(std::io::Error::other("no such file")),
            Error::new(ErrorKind::Denied, "cannot read x").because(refused),
        ] {
            let words = err.to_string();
            let response = told(err);
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{words}");
            assert!(response.headers().contains_key(RETRY_AFTER), "{words}");
        }
    }

    #[test]
    fn what_does_not_fit_has_a_status_and_words_of_its_own() {
        let told = |err: Error| Problem(err).into_response();
        for (misfit, expected) in [(Misfit::Form, 406), (Misfit::Body, 415)] {
            let response = told(Error::invalid("x").because(misfit));
            assert_eq!(response.status().as_u16(), expected);
            assert_eq!(response.extensions().get::<Told>().map(|told| told.message.as_str()), Some("x"));
            assert!(!response.headers().contains_key(header::CONNECTION));
        }
        let long = told(Error::limit("x").because(Misfit::Length));
        assert_eq!(
            (long.status().as_u16(), &long.headers()[header::CONNECTION]),
            (413, &HeaderValue::from_static("close"))
        );
    }

    #[tokio::test]
    async fn where_the_store_lies_is_told_to_the_log_only() {
        let store = Location { directory: Some("/srv/my store".into()), ..Location::memory() };
        let cause = "not found: /srv/my store/tenants/t/x; memory:///store/tenants/t/x; /store/tenants/t/x";
        let lost = Error::unavailable("cannot read store/tenants/t/x").because(cause);
        let told = within(Problem(lost).into_response(), &store);
        assert_eq!((told.status().as_u16(), &told.headers()[RETRY_AFTER]), (503, &HeaderValue::from(5u32)));
        assert!(told.extensions().get::<Told>().unwrap().hidden.as_deref().is_some_and(|text| text.contains("/srv")));
        let body = axum::body::to_bytes(told.into_body(), 1_000).await.unwrap();
        let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(document["detail"], "cannot read tenants/t/x: not found: tenants/t/x; tenants/t/x; tenants/t/x");
        let other = within(Problem(Error::invalid("no store/x")).into_response(), &store);
        assert_eq!(other.extensions().get::<Told>().map(|told| told.message.as_str()), Some("no store/x"));
    }

    #[test]
    fn a_defect_is_told_to_the_log_only() {
        let cause = std::io::Error::other("/home/somebody");
        let response = Problem(Error::internal("x is broken").because(cause)).into_response();
        let told = response.extensions().get::<Told>().unwrap();
        assert_eq!(told.message, HIDDEN);
        assert!(told.hidden.as_deref().is_some_and(|text| text.contains("/home/somebody")));
    }
}
