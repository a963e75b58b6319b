//! What a request asks and how it is answered: paths, questions, bodies and media types, read strictly.
//!
//! In: the parts of a request. Out: values, or an error that says what would do; responses in the form that was asked
//! for. Invariants: a parameter that a route does not know is refused, so that a misspelt one never passes for a
//! default; a body is JSON and says so, which no form of another site can send unasked. It reads no evidence.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::body::Body;
use axum::extract::path::ErrorKind as PathError;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header::{
    ACCEPT, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, RETRY_AFTER,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::received::{media_type, on_thread};
use crate::clock::rfc3339;
use crate::error::{Error, Result};
use crate::server::cache::{Progress, Rendered};
use crate::server::problem::Problem;
use crate::server::state::App;

/// JSON.
pub const JSON: &str = "application/json";
/// JSON, one object a line.
pub const NDJSON: &str = "application/x-ndjson";
/// CSV with a header.
pub const CSV: &str = "text/csv";
/// A page that stands alone.
pub const HTML: &str = "text/html";

/// Seconds after which who waits for long work looks again.
const RETRY_SECONDS: u32 = 2;
/// What a document that stands alone may load: its own styles and nothing else; it runs nothing.
const ALONE: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
                     form-action 'none'; frame-ancestors 'none'; sandbox";

/// Why a request does not fit its route, where the status says more than that it is wrong. It adds no words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Misfit {
    /// The answer has no form that the caller accepts: 406.
    Form,
    /// The body is of a type, or packed in a way, that is not read here: 415.
    Body,
    /// The body is longer than it may be, and its rest was not read: 413 on a connection that takes nothing more.
    Length,
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}

impl std::error::Error for Misfit {}

impl Misfit {
    /// Whether, and how, this is why `err` came about.
    pub(in crate::server) fn of(err: &Error) -> Option<Self> {
        std::error::Error::source(err)?.downcast_ref::<Self>().copied()
    }
}

/// The parameters of the path.
#[derive(Debug)]
pub struct Named<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> std::result::Result<Self, Problem> {
        let read = Path::<T>::from_request_parts(parts, app).await;
        read.map(|Path(named)| Self(named)).map_err(|e| Problem(unnamed(&e)))
    }
}

/// What is wrong with a path.
fn unnamed(rejected: &PathRejection) -> Error {
    let PathRejection::FailedToDeserializePathParams(failed) = rejected else {
        return Error::invalid(format!("the path: {rejected}"));
    };
    let words = match failed.kind() {
        PathError::InvalidUtf8InPathParam { key } => format!("`{key}` in the path is no percent-encoded UTF-8"),
        PathError::ParseError { value, .. }
        | PathError::ParseErrorAtIndex { value, .. }
        | PathError::ParseErrorAtKey { value, .. } => {
            format!("`{}` in the path is no number from 0 on", value.escape_debug())
        }
        _ => format!("the path: {rejected}"),
    };
    Error::invalid(words)
}

/// The parameters behind the question mark, each once.
#[derive(Debug, Default)]
pub struct Asked(Vec<(String, String)>);

impl FromRequestParts<App> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> std::result::Result<Self, Problem> {
        Ok(Self::of(&parts.uri))
    }
}

impl Asked {
    fn of(uri: &Uri) -> Self {
        let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// All of them by name.
    ///
    /// # Errors
    /// Invalid when one is given twice, or is none of `known`.
    pub fn only(self, known: &[&str]) -> Result<Params> {
        let params = self.all()?;
        let Some(name) = params.0.keys().find(|name| !known.contains(&name.as_str())).cloned() else {
            return Ok(params);
        };
        let takes = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Err(Error::invalid(format!("there is no parameter `{}` here; it takes {takes}", name.escape_debug())))
    }

    /// Takes out all values of `name`, which may be given several times.
    pub fn several(&mut self, name: &str) -> Vec<String> {
        let (taken, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.0).into_iter().partition(|(given, _)| given == name);
        self.0 = left;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// All of them by name, whatever they are called.
    ///
    /// # Errors
    /// Invalid when one is given twice.
    pub fn all(self) -> Result<Params> {
        let mut params = BTreeMap::new();
        for (name, value) in self.0 {
            if params.insert(name.clone(), value).is_some() {
                return Err(Error::invalid(format!("parameter `{}` is given twice", name.escape_debug())));
            }
        }
        Ok(Params(params))
    }
}

/// Parameters by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(pub BTreeMap<String, String>);

impl Params {
    /// The text of `name`; none where it is not given or empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// Takes the text of `name` out.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|text| !text.is_empty())
    }

    /// Whether `name` is true; not where it is not given.
    ///
    /// # Errors
    /// Invalid when it is neither true nor false.
    pub fn flag(&self, name: &str) -> Result<bool> {
        match self.text(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Error::invalid(format!("`{name}` is true or false"))),
        }
    }

    /// The number of `name`.
    ///
    /// # Errors
    /// Invalid when it is none.
    pub fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        let read = |text: &str| {
            text.parse()
                .map_err(|_| Error::invalid(format!("`{name}` is no number that it takes; give e.g. {name}=20")))
        };
        self.text(name).map(read).transpose()
    }

    /// As the evidence tells of a read: null where there are none.
    pub fn note(&self) -> Value {
        if self.0.is_empty() { Value::Null } else { json!({"params": self.0}) }
    }
}

/// A JSON body; an empty one is the empty object.
#[derive(Debug)]
pub struct Sent<T>(pub T);

impl<T: DeserializeOwned + Send + 'static> FromRequest<App> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> std::result::Result<Self, Problem> {
        let media_type = media_type(request.headers());
        if is_packed(request.headers()) {
            let words = "the body is packed, which is not read here; send it as it is";
            return Err(Error::invalid(words).because(Misfit::Body).into());
        }
        let words = "the body has more bytes than this takes; /openapi.json says how many it may have";
        let body = Bytes::from_request(request, app).await.map_err(|e| unread(&e, words))?;
        Ok(Self(on_thread(body.len(), move || read_body(&media_type, &body)).await?))
    }
}

/// Why a body could not be read; `long` is said where it has too many bytes.
pub(super) fn unread(rejected: &BytesRejection, long: impl Into<String>) -> Error {
    match rejected.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Error::limit(long).because(Misfit::Length),
        _ => Error::invalid(format!("the body: {}", rejected.body_text())),
    }
}

/// Whether the body is said to be packed.
fn is_packed(headers: &HeaderMap) -> bool {
    let coding = headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?").trim());
    coding.is_some_and(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
}

/// What a body of this media type says; an empty one is the empty object.
///
/// # Errors
/// Invalid when it is not what is taken, by [`Misfit::Body`] where it is not said to be JSON.
pub(super) fn read_body<T: DeserializeOwned>(media_type: &str, body: &[u8]) -> Result<T> {
    let body: &[u8] = if body.trim_ascii().is_empty() { b"{}" } else { body };
    if media_type != JSON && body != b"{}" {
        let words = format!("the body is not said to be JSON; send it with Content-Type: {JSON}");
        return Err(Error::invalid(words).because(Misfit::Body));
    }
    serde_json::from_slice(body)
        .map_err(|e| Error::invalid(format!("the body is not what this takes: {e}; /openapi.json tells what it takes")))
}

/// The one of `offered` that the caller wants most; the first of equals, and where he does not say.
///
/// # Errors
/// Invalid, by [`Misfit::Form`], when he says what he accepts and none of them is.
pub fn wanted(headers: &HeaderMap, offered: &[&'static str]) -> Result<&'static str> {
    let accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<(&str, u16)> = accepts.flat_map(|value| value.split(',')).filter_map(range).collect();
    if ranges.is_empty() {
        return Ok(offered.first().copied().unwrap_or(JSON));
    }
    let mut best = (JSON, 0);
    for media_type in offered {
        let weight = weight(&ranges, media_type);
        if weight > best.1 {
            best = (*media_type, weight);
        }
    }
    if best.1 == 0 {
        let words = format!("the Accept header names none of the forms that there are here: {}", offered.join(", "));
        return Err(Error::invalid(words).because(Misfit::Form));
    }
    Ok(best.0)
}

/// The one of `offered` that the word `format` names; without it the one that the caller wants most.
///
/// # Errors
/// Invalid when it, or the Accept header, names none of them.
pub fn form(format: Option<&str>, headers: &HeaderMap, offered: &[&'static str]) -> Result<&'static str> {
    let Some(word) = format else { return wanted(headers, offered) };
    offered.iter().copied().find(|media_type| word_of(media_type) == word).ok_or_else(|| {
        let words: Vec<&str> = offered.iter().map(|media_type| word_of(media_type)).collect();
        Error::invalid(format!("`format` is none that there is here; give one of: {}", words.join(", ")))
    })
}

/// A media type in a word.
fn word_of(media_type: &str) -> &str {
    match media_type {
        JSON => "json",
        NDJSON => "ndjson",
        CSV => "csv",
        HTML => "html",
        other => other,
    }
}

/// A media range with its weight in thousandths.
fn range(text: &str) -> Option<(&str, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().filter(|essence| !essence.is_empty())?;
    let given = parts.find_map(|part| part.strip_prefix("q=")).map(|q| q.parse::<f32>().unwrap_or(0.0));
    Some((essence, (given.unwrap_or(1.0).clamp(0.0, 1.0) * 1_000.0) as u16))
}

/// The weight of the narrowest range that `media_type` is in.
fn weight(ranges: &[(&str, u16)], media_type: &str) -> u16 {
    let family = media_type.split('/').next().unwrap_or_default();
    let narrowness = |range: &str| match range {
        range if range.eq_ignore_ascii_case(media_type) => Some(2),
        "*/*" => Some(0),
        range => range.strip_suffix("/*").filter(|of| of.eq_ignore_ascii_case(family)).map(|_| 1),
    };
    let fits = ranges.iter().filter_map(|&(range, weight)| Some((narrowness(range)?, weight)));
    fits.max().map_or(0, |(_, weight)| weight)
}

/// `document` as the answer.
pub fn document(document: &Value) -> Response {
    ([(CONTENT_TYPE, JSON)], document.to_string()).into_response()
}

/// `document` as the answer to what made something: it is in the ledger now.
pub fn created(document: &Value, location: &str) -> Response {
    let mut response = (StatusCode::CREATED, [(CONTENT_TYPE, JSON)], document.to_string()).into_response();
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// `body` as a file called `name`, of the type `media_type`.
pub fn file(name: &str, media_type: &'static str, body: impl Into<Body>) -> Response {
    let media_type = match media_type {
        HTML => "text/html; charset=utf-8",
        CSV => "text/csv; charset=utf-8; header=present",
        other => other,
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ['.', '-', '_'].contains(&c);
    let name: String = name.chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
    let mut response = ([(CONTENT_TYPE, media_type)], body.into()).into_response();
    let headers = response.headers_mut();
    if let Ok(disposition) = HeaderValue::from_str(&format!("inline; filename=\"{name}\"")) {
        headers.insert(CONTENT_DISPOSITION, disposition);
    }
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(ALONE));
    response
}

/// What was kept, as it is.
pub fn kept(rendered: &Rendered) -> Response {
    ([(CONTENT_TYPE, rendered.content_type)], rendered.body.clone()).into_response()
}

/// Says that what `uri` asks for is being worked on, and when to ask again.
pub fn working(uri: &Uri, progress: &Progress) -> Response {
    let words = json!({"state": "working", "since": rfc3339(progress.since), "step": progress.step});
    let mut response = (StatusCode::ACCEPTED, [(CONTENT_TYPE, JSON)], words.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
    let same = uri.path_and_query().map_or("/", |same| same.as_str());
    if let Ok(location) = HeaderValue::from_str(same) {
        headers.insert(LOCATION, location);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Asked {
        Asked::of(&format!("/x?{text}").parse().unwrap())
    }

    #[test]
    fn a_parameter_that_is_unknown_or_given_twice_is_refused() {
        let params = asked("as_of=v7&limit=3&empty=").only(&["as_of", "limit", "empty"]).unwrap();
        assert_eq!((params.text("as_of"), params.text("empty")), (Some("v7"), None));
        assert_eq!(params.number::<usize>("limit").unwrap(), Some(3));
        assert!(params.number::<usize>("as_of").is_err());
        assert!(asked("asof=v7").only(&["as_of"]).unwrap_err().to_string().contains("as_of"));
        assert!(asked("a=1&a=2").all().is_err());
        let mut several = asked("a=1&b=true&a=2");
        assert_eq!(several.several("a"), ["1", "2"]);
        let rest = several.only(&["b", "c"]).unwrap();
        assert_eq!((rest.flag("b").unwrap(), rest.flag("c").unwrap()), (true, false));
        assert!(asked("b=yes").all().unwrap().flag("b").is_err());
        assert_eq!(asked("where=a%20%3D%201").all().unwrap().text("where"), Some("a = 1"));
    }

    #[test]
    fn the_form_that_is_wanted_most_is_given() {
        let want = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            wanted(&headers, &[JSON, HTML, CSV])
        };
        assert_eq!(want("text/html,application/xhtml+xml,*/*;q=0.8").unwrap(), HTML);
        for (accept, expected) in [
            ("*/*", JSON),
            ("text/csv", CSV),
            ("text/*;q=0.5, application/json", JSON),
            ("application/json;q=0, */*", HTML),
            (" , ;", JSON),
        ] {
            assert_eq!(want(accept).unwrap(), expected, "{accept}");
        }
        for accept in ["image/png", "application/json;q=0", "nonsense"] {
            let refused = want(accept).unwrap_err();
            assert_eq!(Misfit::of(&refused), Some(Misfit::Form), "{accept}");
            assert!(refused.to_string().ends_with("application/json, text/html, text/csv"), "{refused}");
        }
        assert_eq!(wanted(&HeaderMap::new(), &[JSON, HTML]).unwrap(), JSON);
        assert_eq!(form(Some("html"), &HeaderMap::new(), &[JSON, HTML]).unwrap(), HTML);
        assert!(form(Some("csv"), &HeaderMap::new(), &[JSON, HTML]).unwrap_err().to_string().contains("json, html"));
    }

    #[test]
    fn a_body_says_that_it_is_json_unless_there_is_none() {
        let read = |media_type, text: &str| read_body::<BTreeMap<String, u8>>(media_type, text.as_bytes());
        assert_eq!(read("", " ").unwrap(), BTreeMap::new());
        assert_eq!(read(JSON, r#"{"a": 1}"#).unwrap()["a"], 1);
        assert_eq!(Misfit::of(&read("text/plain", r#"{"a": 1}"#).unwrap_err()), Some(Misfit::Body));
        assert_eq!(Misfit::of(&read(JSON, "[").unwrap_err()), None);
        let packed = |coding: &'static str| {
            is_packed(&HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(coding))]))
        };
        assert!(packed("gzip") && packed("br") && !packed("identity") && !packed("") && !is_packed(&HeaderMap::new()));
    }

    #[test]
    fn who_waits_is_told_where_and_when_to_look() {
        let uri: Uri = "/v1/reports/monthly/2016-03?maturity_days=30".parse().unwrap();
        let response = working(&uri, &Progress { since: 0, step: "reading".to_owned() });
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        assert_eq!(response.headers()[LOCATION], uri.to_string());
        assert!(response.headers().contains_key(RETRY_AFTER));
        let page = file("monthly 2016/03.html", HTML, "x");
        assert_eq!(page.headers()[CONTENT_DISPOSITION], "inline; filename=\"monthly-2016-03.html\"");
        assert!(page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().contains("sandbox"));
    }
}
