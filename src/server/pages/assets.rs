//! The files that pages load: two style sheets, an icon, the keys of the review desk.
//!
//! In: a name. Out: the file, compiled into the program. Invariant: an address carries the digest of what it names,
//! so that a browser may keep it for ever and never shows a new page with an old look. It must not read a disk.

use std::sync::LazyLock;

use axum::extract::{Path, Query};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::error::Error;
use crate::ledger::hash::sha256;
use crate::report::html;
use crate::server::problem::{Problem, Reply};
use crate::server::route::{About, Answer, Param, Place, Route};

/// Letters of a digest that an address carries.
const DIGEST_LETTERS: usize = 12;

struct Asset {
    name: &'static str,
    content_type: &'static str,
    text: &'static str,
}

const ASSETS: [Asset; 4] = [
    Asset { name: "report.css", content_type: "text/css; charset=utf-8", text: html::STYLE },
    Asset { name: "probity.css", content_type: "text/css; charset=utf-8", text: include_str!("../assets/probity.css") },
    Asset { name: "icon.svg", content_type: "image/svg+xml", text: include_str!("../assets/icon.svg") },
    Asset { name: "desk.js", content_type: "text/javascript; charset=utf-8", text: include_str!("../assets/desk.js") },
];

static DIGESTS: LazyLock<[String; ASSETS.len()]> =
    LazyLock::new(|| ASSETS.map(|asset| sha256(asset.text).chars().take(DIGEST_LETTERS).collect()));

const ABOUT: About = About {
    summary: "a style sheet, script or icon of the pages",
    params: &[Param {
        name: "name",
        place: Place::Path,
        is_required: true,
        schema: "string",
        note: "name of the file",
    }],
    body: None,
    answers: &[Answer {
        status: 200,
        types: &["text/css", "text/javascript", "image/svg+xml"],
        schema: "",
        note: "the file; an address with its digest may be kept for ever",
    }],
};

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![Route::get("/assets/{name}", None, file).page().about(ABOUT)]
}

/// Where a page finds the asset of this name.
pub fn address(name: &str) -> String {
    match ASSETS.iter().position(|asset| asset.name == name) {
        Some(i) => format!("/assets/{name}?v={}", DIGESTS[i]),
        None => format!("/assets/{name}"),
    }
}

#[derive(Deserialize)]
struct Version {
    v: Option<String>,
}

async fn file(Path(name): Path<String>, Query(version): Query<Version>) -> Reply {
    let found = ASSETS.iter().position(|asset| asset.name == name);
    let Some(i) = found else { return Err(Problem(Error::not_found("there is no such file among the assets"))) };
    let is_named = version.v.as_deref() == Some(DIGESTS[i].as_str());
    Ok(answer(&ASSETS[i], if is_named { "public, max-age=31536000, immutable" } else { "no-cache" }))
}

fn answer(asset: &Asset, kept: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, kept),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // A drawing opened by itself is a document: it may load and run nothing.
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    ];
    (headers, asset.text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_what_it_leads_to() {
        for asset in &ASSETS {
            let address = address(asset.name);
            let (_, digest) = address.split_once("?v=").unwrap();
            assert!(sha256(asset.text).starts_with(digest) && digest.len() == DIGEST_LETTERS);
        }
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere() {
        for asset in &ASSETS {
            let text = asset.text.replace("http://www.w3.org/2000/svg", "");
            for needle in ["http:", "https:", "//cdn", "@import", "url("] {
                assert!(!text.contains(needle), "{needle} in {}", asset.name);
            }
        }
    }

    #[test]
    fn every_colour_of_the_pages_is_a_variable_of_the_reports() {
        let own = include_str!("../assets/probity.css");
        let without_comments: String =
            own.split("/*").map(|part| part.split_once("*/").map_or(part, |(_, rest)| rest)).collect();
        for line in without_comments.lines().filter(|line| !line.trim_start().starts_with("--")) {
            assert!(!line.contains(": #"), "a colour of its own: {line}");
        }
    }
}
