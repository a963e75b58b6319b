//! Logging in and out: a token in a form becomes a session of this browser.
//!
//! In: a form with a token. Out: a cookie, or the form again. Invariants: the token is in no page, no log and no address;
//! attempts are counted before a token is looked at; after the login only addresses of this server are gone to.

use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Form, Query, State};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::layout;
use crate::access::role::May;
use crate::access::token::{self, Grant, Presented};
use crate::error::{Error, ErrorKind, Result};
use crate::server::guard::{is_local, session_cookie};
use crate::server::listen::Peer;
use crate::server::problem::{Reply, too_many};
use crate::server::route::{About, Answer, Body, Param, Place, Route};
use crate::server::session::{clear_cookie, set_cookie};
use crate::server::state::{App, Reach};

const FORM: &str = "application/x-www-form-urlencoded";
/// Bytes of a login form: a token, and where to go.
const FORM_BYTES: usize = 8 * 1024;

const SHOW: About = About {
    summary: "The form to log in with an access token.",
    params: &[Param {
        name: "next",
        place: Place::Query,
        is_required: false,
        schema: "string",
        note: "the page to go to afterwards",
    }],
    body: None,
    answers: &[
        Answer { status: 200, types: &["text/html"], schema: "", note: "the form" },
        Answer { status: 303, types: &[], schema: "", note: "no login is needed here" },
    ],
};
const LOG_IN: About = About {
    summary: "Begins a session of the pages.",
    params: &[],
    body: Some(Body { types: &[FORM], schema: "", note: "`token`, and `next`: the page to go to" }),
    answers: &[
        Answer { status: 303, types: &[], schema: "", note: "logged in; the answer sets the cookie of the session" },
        Answer { status: 401, types: &["text/html"], schema: "", note: "the token admits nobody; the form again" },
        Answer { status: 429, types: &["text/html"], schema: "", note: "too many attempts" },
    ],
};
const LOG_OUT: About = About {
    summary: "Ends the session of the pages.",
    params: &[],
    body: Some(Body { types: &[FORM], schema: "", note: "`csrf`: what the forms of the session carry" }),
    answers: &[Answer { status: 303, types: &[], schema: "", note: "logged out" }],
};

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/login", None, show).page().about(SHOW),
        Route::post("/login", None, log_in).page().body_limit(FORM_BYTES).about(LOG_IN),
        Route::post("/logout", None, log_out).page().body_limit(FORM_BYTES).about(LOG_OUT),
    ]
}

#[derive(Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
struct Given {
    #[serde(default)]
    token: String,
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
struct Leaving {
    #[serde(default)]
    csrf: String,
}

async fn show(State(app): State<App>, Query(given): Query<Next>) -> Reply {
    Ok(match is_local(&app).await? {
        true => see_other("/"),
        false => page(StatusCode::OK, &given.next, ""),
    })
}

async fn log_in(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    Form(given): Form<Given>,
) -> Reply {
    let address = peer.address.ip();
    if let Err(seconds) = app.logins().attempt(address) {
        app.metrics().login_refused();
        return Ok(too_many("too many attempts to log in from this address; wait before you try again", seconds));
    }
    let Some((presented, grant)) = admitted(&app, &given.token).await? else {
        app.metrics().login_refused();
        let words = "This token is unknown, expired or revoked.";
        return Ok(page(StatusCode::UNAUTHORIZED, &given.next, words));
    };
    if !May::ALL.into_iter().any(|what| what != May::Write && grant.role.may(what)) {
        let words = format!("The role {} sends events and has no pages.", grant.role.word());
        return Ok(page(StatusCode::FORBIDDEN, &given.next, &words));
    }
    app.logins().succeeded(address);
    if let Some(old) = session_cookie(&headers, app.setup().reach) {
        app.sessions().close(old);
    }
    let cookie = app.sessions().open(&presented.tenant, &grant.id)?;
    let is_tls = app.setup().reach == Reach::Tls;
    let mut response = see_other(own_page(&given.next));
    let header = set_cookie(&cookie, is_tls).parse().map_err(|_| Error::internal("a cookie is no header"))?;
    response.headers_mut().insert(SET_COOKIE, header);
    Ok(response)
}

async fn admitted(app: &App, text: &str) -> Result<Option<(Presented, Grant)>> {
    let Ok(presented) = token::parse(text) else { return Ok(None) };
    let grant = app.grants().admit(&presented).await?;
    Ok(grant.map(|grant| (presented, grant)))
}

async fn log_out(State(app): State<App>, headers: HeaderMap, Form(given): Form<Leaving>) -> Reply {
    let reach = app.setup().reach;
    if let Some(cookie) = session_cookie(&headers, reach)
        && let Some(session) = app.sessions().find(cookie)
    {
        if !bool::from(session.csrf.as_bytes().ct_eq(given.csrf.as_bytes())) {
            let words = "the form is of another session; load the page again and send it once more";
            return Err(Error::new(ErrorKind::Denied, words).into());
        }
        app.sessions().close(cookie);
    }
    let mut response = see_other("/login");
    let header = clear_cookie(reach == Reach::Tls).parse().map_err(|_| Error::internal("a cookie is no header"))?;
    response.headers_mut().insert(SET_COOKIE, header);
    Ok(response)
}

fn see_other(way: &str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, way)]).into_response()
}

/// The page to go to: one of this server's, or its first one.
fn own_page(next: &str) -> &str {
    let is_own = next.starts_with('/') && !next.starts_with("//") && !next.contains('\\');
    let is_plain = next.bytes().all(|c| (0x21..0x7f).contains(&c));
    if is_own && is_plain { next } else { "/" }
}

/// The form; `wrong` says what was wrong with the last attempt.
fn page(status: StatusCode, next: &str, wrong: &str) -> Response {
    let told = match wrong {
        "" => String::new(),
        words => format!("<p class=\"notice bad\" role=\"alert\">{}</p>\n", layout::escape(words)),
    };
    let body = format!(
        "{}{told}<form class=\"login\" method=\"post\" action=\"/login\">\n\
         <input type=\"hidden\" name=\"next\" value=\"{}\">\n\
         <p><label for=\"token\">Access token</label>\n\
         <input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"current-password\" spellcheck=\"false\" \
         maxlength=\"256\" required autofocus></p>\n\
         <p><button class=\"button\">Log in</button></p>\n</form>\n\
         <p class=\"note\">An administrator makes tokens with <code>probity token create</code>. What you read here is \
         recorded under the name of your token.</p>\n",
        layout::heading("Log in", ""),
        layout::escape(own_page(next)),
    );
    layout::bare(status, "Log in", &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_login_only_own_pages_are_gone_to() {
        for next in ["/", "/reviews/a/desk", "/query/x?a=b%20c"] {
            assert_eq!(own_page(next), next);
        }
        for next in ["", "//evil.example", "/\\evil.example", "https://evil.example", "reviews", "/a b", "/a\r\nx: y"] {
            assert_eq!(own_page(next), "/", "{next}");
        }
    }
}
