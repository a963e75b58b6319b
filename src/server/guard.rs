//! The guard: what every request passes before a handler sees it, and every answer on its way out.
//!
//! In: requests. Out: requests with their caller, or refusals; answers with their headers, counted and logged.
//! Invariants: there is no way to a handler but through here; who somebody is comes from a token or a session, never from
//! what the request says of itself; a foreign page can make a browser send nothing that counts. In local mode, in which
//! everybody on this machine is admitted, the request must be meant for this machine by name, so that no foreign name
//! that leads here is served, and must not have come through a proxy.

use std::net::IpAddr;

use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use url::form_urlencoded::byte_serialize;

use super::caller::{Caller, Via};
use super::problem::{Problem, problem, unknown};
use super::route::Kind;
use super::session;
use super::state::{App, Reach};
use crate::access::role::{May, Role};
use crate::access::token::{self, Grant};
use crate::error::{Error, Result};
use crate::limits::SERVER_BODY_BYTES;

/// The header by which a page's own requests to the API show that they are its own.
pub const CSRF_HEADER: HeaderName = HeaderName::from_static("x-probity-csrf");

/// What the guard of one route knows of it.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    /// The server.
    pub(super) app: App,
    /// What the caller must be allowed to do.
    pub(super) needs: Option<May>,
    /// Whom the route answers.
    pub(super) kind: Kind,
}

/// Who asked, for the log.
#[derive(Debug, Clone)]
pub(super) struct Asker(pub(super) String);

/// A refusal: boxed, because the way of most requests is the other one.
type Refused = Box<Response>;

/// Lets a request pass to its handler, with its caller, or refuses it.
pub(super) async fn guard(State(watch): State<Watch>, mut request: Request, next: Next) -> Response {
    let mut response = match admit(&watch, request.method(), request.headers(), request.uri()).await {
        Err(refused) => *refused,
        Ok(None) => next.run(request).await,
        Ok(Some(caller)) => {
            let asker = Asker(caller.name.clone());
            request.extensions_mut().insert(caller);
            let mut response = match watch.app.room(body_bytes(&request)) {
                Ok(_room) => next.run(request).await,
                Err(busy) => *failed(busy),
            };
            response.extensions_mut().insert(asker);
            response
        }
    };
    response.extensions_mut().insert(watch.kind);
    response
}

/// Bytes that the body may have: as it says, or as many as are read at most.
fn body_bytes(request: &Request) -> usize {
    if request.body().is_end_stream() {
        return 0;
    }
    let said = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    said.unwrap_or(SERVER_BODY_BYTES)
}

/// The caller of a request; none on a route that is open to everybody.
async fn admit(
    watch: &Watch,
    method: &Method,
    headers: &HeaderMap,
    uri: &axum::http::Uri,
) -> std::result::Result<Option<Caller>, Refused> {
    let is_local = match is_local(&watch.app).await {
        // What is open to everybody answers also while the store does not.
        Err(_) if watch.needs.is_none() => false,
        found => found.map_err(failed)?,
    };
    if is_local && let Some(words) = why_not_local(headers) {
        return Err(refuse(StatusCode::FORBIDDEN, words));
    }
    let is_by_token = headers.contains_key(header::AUTHORIZATION);
    if !method.is_safe() && !is_by_token && !is_same_origin(headers) {
        return Err(refuse(StatusCode::FORBIDDEN, "the request comes from a page of another site"));
    }
    let Some(needs) = watch.needs else { return Ok(None) };
    if is_local && is_foreign(headers, uri) {
        let words = "the request comes from a page of another site; open its address by hand";
        return Err(refuse(StatusCode::FORBIDDEN, words));
    }
    let caller = match identify(&watch.app, headers, is_local).await.map_err(failed)? {
        Some(caller) => caller,
        None => return Err(Box::new(introduce(watch.kind, method, uri, is_by_token))),
    };
    if !caller.may(needs) {
        let (role, what) = (caller.role.word(), needs.word());
        let words = format!("the role `{role}` may not {what} here; ask for a token of a role that may");
        return Err(refuse(StatusCode::FORBIDDEN, &words));
    }
    // Forms of pages carry their mark in a field, which their handlers check.
    if caller.via == Via::Session && watch.kind == Kind::Api && !method.is_safe() {
        let given = headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
        caller.check_csrf(given).map_err(failed)?;
    }
    Ok(Some(caller))
}

/// Whether everybody on this machine is admitted: nobody else can reach the server, and no token was ever made.
pub(super) async fn is_local(app: &App) -> Result<bool> {
    let setup = app.setup();
    Ok(setup.reach == Reach::Loopback && !app.grants().exist(&setup.tenant).await?)
}

/// Who sent these headers.
async fn identify(app: &App, headers: &HeaderMap, is_local: bool) -> Result<Option<Caller>> {
    if headers.contains_key(header::AUTHORIZATION) {
        let Some(presented) = bearer(headers) else { return Ok(None) };
        let Some(grant) = app.grants().admit(&presented).await? else { return Ok(None) };
        let made = (String::new(), Via::Token);
        return caller(app, &presented.tenant, grant, made).await.map(Some);
    }
    // A cookie may be left over from a server that ended.
    if let Some(value) = session_cookie(headers, app.setup().reach)
        && let Some(session) = app.sessions().find(value)
    {
        if let Some(grant) = app.grants().in_force(&session.tenant, &session.token_id).await? {
            return caller(app, &session.tenant, grant, (session.csrf, Via::Session)).await.map(Some);
        }
        app.sessions().close(value);
    }
    if !is_local {
        return Ok(None);
    }
    let setup = app.setup();
    Ok(Some(Caller {
        tenant: app.tenant(&setup.tenant).await?,
        name: setup.person.clone(),
        role: Role::Admin,
        sees_sealed: true,
        csrf: app.local_csrf().to_owned(),
        via: Via::Local,
        token_id: None,
    }))
}

fn bearer(headers: &HeaderMap) -> Option<token::Presented> {
    let (scheme, text) = only(headers, header::AUTHORIZATION)?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    token::parse(text).ok()
}

async fn caller(app: &App, tenant: &str, grant: Grant, (csrf, via): (String, Via)) -> Result<Caller> {
    let tenant = app.tenant(tenant).await?;
    let (role, sees_sealed, token_id) = (grant.role, grant.sees_sealed, Some(grant.id));
    Ok(Caller { tenant, name: grant.name, role, sees_sealed, csrf, via, token_id })
}

/// The value of the session's cookie.
pub(super) fn session_cookie(headers: &HeaderMap, reach: Reach) -> Option<&str> {
    let mut all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.find_map(|value| session::cookie_in(value, reach == Reach::Tls))
}

/// What somebody is told who is not known: people are led to the login and back.
fn introduce(kind: Kind, method: &Method, uri: &axum::http::Uri, is_by_token: bool) -> Response {
    if kind == Kind::Page && method.is_safe() && !is_by_token {
        let asked = uri.path_and_query().map_or("/", |asked| asked.as_str());
        let way = match asked {
            "/" => "/login".to_owned(),
            asked => format!("/login?next={}", byte_serialize(asked.as_bytes()).collect::<String>()),
        };
        return (StatusCode::SEE_OTHER, [(header::LOCATION, way)]).into_response();
    }
    unknown(match is_by_token {
        true => "the access token is unknown, expired or revoked; `probity token create` makes another one",
        false => "this needs an access token: Authorization: Bearer probity_…, or a login at /login",
    })
}

/// Whether a browser sent the request from a page of this server, or no browser did.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let is_site = match text(HeaderName::from_static("sec-fetch-site")) {
        None => true,
        Some(site) => matches!(site, "same-origin" | "none"),
    };
    let is_origin = match (text(header::ORIGIN), text(header::HOST)) {
        (None, _) => true,
        (Some(origin), Some(host)) => {
            let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
        }
        (Some(_), None) => false,
    };
    is_site && is_origin
}

/// The one value of a header; none where it is given more than once: who stands between may go by another one.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut given = headers.get_all(name).iter();
    match (given.next(), given.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// What a proxy adds to the requests that it passes on.
const OF_PROXIES: [&str; 5] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"];

/// Why a request is refused in local mode, where whoever can send one is an administrator.
fn why_not_local(headers: &HeaderMap) -> Option<&'static str> {
    if !is_loopback_host(headers) {
        return Some("this server is for this machine only; open it as http://127.0.0.1 or http://localhost");
    }
    // Whoever is at the other end of a proxy is not seen, and may be anywhere.
    OF_PROXIES.iter().any(|name| headers.contains_key(*name)).then_some(
        "this server is for this machine only, and the request came through a proxy; `probity token create` makes a \
         token, and then others are served who have one",
    )
}

/// Whether a page of another site made a browser send this although nobody followed a link: in local mode there is no
/// cookie that the browser would keep back, and it would ask, and be put on record, in the name of the person here.
fn is_foreign(headers: &HeaderMap, uri: &axum::http::Uri) -> bool {
    let text = |name: &'static str| only(headers, HeaderName::from_static(name)).unwrap_or_default();
    if !matches!(text("sec-fetch-site"), "cross-site" | "same-site") {
        return false;
    }
    let is_link = text("sec-fetch-mode") == "navigate" && text("sec-fetch-dest") == "document";
    // A question in an address would be asked by whoever made the link.
    !is_link || uri.query().is_some()
}

/// Whether the request is meant for this machine by name.
fn is_loopback_host(headers: &HeaderMap) -> bool {
    let Some(host) = only(headers, header::HOST) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Answers a path that is none.
pub(super) async fn missing(request: Request) -> Response {
    let mut response = problem(StatusCode::NOT_FOUND, "there is nothing at this address");
    response.extensions_mut().insert(kind_of_path(request.uri().path()));
    response
}

/// Answers a method that the path does not have.
pub(super) async fn wrong_method(request: Request) -> Response {
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "this address does not answer that method");
    response.extensions_mut().insert(kind_of_path(request.uri().path()));
    response
}

fn kind_of_path(path: &str) -> Kind {
    let is_api = path.starts_with("/v1/") || path.ends_with(".json");
    if is_api { Kind::Api } else { Kind::Page }
}

fn refuse(status: StatusCode, words: &str) -> Refused {
    Box::new(problem(status, words))
}

fn failed(err: Error) -> Refused {
    Box::new(Problem(err).into_response())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn what_another_sites_page_makes_a_browser_send_is_told_apart() {
        let host = ("host", "probity.example:8787");
        for (given, expected) in [
            (vec![host], true),
            (vec![host, ("origin", "https://probity.example:8787")], true),
            (vec![host, ("origin", "http://PROBITY.example:8787")], true),
            (vec![host, ("origin", "https://probity.example")], false),
            (vec![host, ("origin", "https://evil.example")], false),
            (vec![host, ("origin", "null")], false),
            (vec![("origin", "https://probity.example:8787")], false),
            (vec![host, ("sec-fetch-site", "same-origin")], true),
            (vec![host, ("sec-fetch-site", "none")], true),
            (vec![host, ("sec-fetch-site", "same-site")], false),
            (vec![host, ("sec-fetch-site", "cross-site")], false),
            (vec![host, ("origin", "https://probity.example:8787"), ("sec-fetch-site", "cross-site")], false),
        ] {
            assert_eq!(is_same_origin(&headers(&given)), expected, "{given:?}");
        }
    }

    #[test]
    fn only_names_of_this_machine_are_this_machine() {
        for (host, expected) in [
            ("127.0.0.1:8787", true),
            ("127.0.0.1", true),
            ("localhost:8787", true),
            ("LOCALHOST", true),
            ("[::1]:8787", true),
            ("[::1]", true),
            ("10.0.0.1:8787", false),
            ("evil.example:8787", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example:8787", false),
            ("", false),
        ] {
            assert_eq!(is_loopback_host(&headers(&[("host", host)])), expected, "{host}");
        }
        assert!(!is_loopback_host(&HeaderMap::new()));
        let mut two = headers(&[("host", "localhost")]);
        two.append(header::HOST, HeaderValue::from_static("evil.example"));
        assert!(!is_loopback_host(&two));
    }

    #[test]
    fn nobody_comes_to_this_machine_through_a_proxy() {
        assert_eq!(why_not_local(&headers(&[("host", "localhost")])), None);
        for name in OF_PROXIES {
            let why = why_not_local(&headers(&[("host", "localhost"), (name, "10.0.0.7")]));
            assert!(why.is_some_and(|why| why.contains("token create")), "{name}");
        }
    }

    #[test]
    fn a_foreign_page_leads_to_pages_of_this_machine_and_asks_nothing() {
        let sent = |site, mode, dest, uri: &str| {
            let given = [("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)];
            is_foreign(&headers(&given), &uri.parse().unwrap())
        };
        assert!(!sent("cross-site", "navigate", "document", "/health"));
        assert!(!sent("same-site", "navigate", "document", "/health"));
        assert!(sent("cross-site", "navigate", "document", "/sql?q=select%201"));
        assert!(sent("cross-site", "navigate", "iframe", "/health"));
        assert!(sent("cross-site", "no-cors", "image", "/health"));
        assert!(sent("same-site", "no-cors", "empty", "/v1/queries"));
        for site in ["same-origin", "none"] {
            assert!(!sent(site, "navigate", "document", "/sql?q=select%201"), "{site}");
        }
        assert!(!is_foreign(&HeaderMap::new(), &"/sql?q=select%201".parse().unwrap()));
    }

    #[test]
    fn of_two_tokens_neither_is_heard() {
        let token = format!("Bearer probity_t_{}_{}", "0".repeat(32), "A".repeat(43));
        let value = HeaderValue::from_str(&token).unwrap();
        let mut given = HeaderMap::new();
        given.append(header::AUTHORIZATION, value.clone());
        assert!(bearer(&given).is_some());
        given.append(header::AUTHORIZATION, value);
        assert!(bearer(&given).is_none());
    }

    #[test]
    fn people_are_led_to_the_login_and_back_and_programs_are_told() {
        let uri: axum::http::Uri = "/reviews/a?b=c&d".parse().unwrap();
        let led = introduce(Kind::Page, &Method::GET, &uri, false);
        assert_eq!(led.status(), StatusCode::SEE_OTHER);
        assert_eq!(led.headers()[header::LOCATION], "/login?next=%2Freviews%2Fa%3Fb%3Dc%26d");
        for (kind, method, is_by_token) in
            [(Kind::Api, Method::GET, false), (Kind::Page, Method::POST, false), (Kind::Page, Method::GET, true)]
        {
            let told = introduce(kind, &method, &uri, is_by_token);
            assert_eq!(told.status(), StatusCode::UNAUTHORIZED);
            assert!(told.headers().contains_key(header::WWW_AUTHENTICATE));
        }
    }
}
