//! A route: method, path, what it needs, what it is about, and its handler.
//!
//! In: what a resource file declares. Out: entries that [`router`](super::router) puts behind the guard, that the
//! OpenAPI document is generated from, and that tests walk. Invariant: a route without a declared need does not
//! compile, and whoever reads the list reads all there is.

use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodRouter, get, post};

use super::state::App;
use crate::access::role::May;
use crate::limits::SERVER_BODY_BYTES;

/// Who a route answers: a program or a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Documents; an error is a problem document.
    Api,
    /// Pages; an error is a page, and who is not known is led to the login.
    Page,
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A part of the path.
    Path,
    /// Behind the question mark.
    Query,
    /// A header of the request.
    Header,
}

/// A parameter of a route.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// Where it stands.
    pub place: Place,
    /// Whether the route asks for it.
    pub is_required: bool,
    /// Type of its value: `string`, `int64`, `boolean`, `timestamp`, `date`.
    pub schema: &'static str,
    /// What it means.
    pub note: &'static str,
}

/// The body that a route reads.
#[derive(Debug, Clone, Copy)]
pub struct Body {
    /// Media types that it may have.
    pub types: &'static [&'static str],
    /// Name of its schema in `schemas.json`; empty where it has none.
    pub schema: &'static str,
    /// What it holds.
    pub note: &'static str,
}

/// An answer that a route gives.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Media types that it may have.
    pub types: &'static [&'static str],
    /// Name of its schema in `schemas.json`; empty where it has none.
    pub schema: &'static str,
    /// When it is given, or what it holds.
    pub note: &'static str,
}

/// What a route is about, for those who call it.
#[derive(Debug, Clone, Copy, Default)]
pub struct About {
    /// One sentence.
    pub summary: &'static str,
    /// Its parameters.
    pub params: &'static [Param],
    /// The body that it reads.
    pub body: Option<Body>,
    /// The answers that it gives, besides the errors that every route may give.
    pub answers: &'static [Answer],
}

/// One method on one path.
#[derive(Debug, Clone)]
pub struct Route {
    /// Method.
    pub method: Method,
    /// Path with its parameters in braces, as axum reads it.
    pub path: &'static str,
    /// What the caller must be allowed to do; `None`: open to everybody.
    pub needs: Option<May>,
    /// Who it answers.
    pub kind: Kind,
    /// What it is about.
    pub about: About,
    /// Bytes that its body may have.
    pub body_bytes: usize,
    /// What answers it.
    pub handler: MethodRouter<App>,
}

impl Route {
    /// Reads: `GET path`, and `HEAD` of it.
    pub fn get<H, T>(path: &'static str, needs: Option<May>, handler: H) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        let about = About::default();
        let (kind, body_bytes) = (Kind::Api, SERVER_BODY_BYTES);
        Self { method: Method::GET, path, needs, kind, about, body_bytes, handler: get(handler) }
    }

    /// Changes something, or asks with a body: `POST path`.
    pub fn post<H, T>(path: &'static str, needs: Option<May>, handler: H) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        let about = About::default();
        let (kind, body_bytes) = (Kind::Api, SERVER_BODY_BYTES);
        Self { method: Method::POST, path, needs, kind, about, body_bytes, handler: post(handler) }
    }

    /// The same route, answering a person.
    pub fn page(self) -> Self {
        Self { kind: Kind::Page, ..self }
    }

    /// The same route, told about.
    pub fn about(self, about: About) -> Self {
        Self { about, ..self }
    }

    /// The same route with a body of at most so many bytes instead of [`SERVER_BODY_BYTES`].
    pub fn body_limit(self, bytes: usize) -> Self {
        Self { body_bytes: bytes, handler: self.handler.layer(DefaultBodyLimit::max(bytes)), ..self }
    }
}
