//! HTTP: a finished page on a loopback address, to be looked at in a browser.
//!
//! In: the text of a page. Out: answers to `GET /`. Invariant: it binds to loopback only and serves this one
//! page; it reads nothing from the request but the path.

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::error::{Error, Result};

/// Where the page is served: the first free one of these ports.
const PORTS: std::ops::Range<u16> = 8787..8797;

/// Serves `page` until interrupted; `started` is told the address.
///
/// # Errors
/// When no port is free.
pub async fn serve_page(page: String, started: impl FnOnce(&str)) -> Result<()> {
    let router = Router::new().route("/", get(move || async move { Html(page) }));
    let mut listener = None;
    for port in PORTS {
        if let Ok(bound) = TcpListener::bind(("127.0.0.1", port)).await {
            listener = Some(bound);
            break;
        }
    }
    let busy = || Error::unavailable(format!("no port of {}..{} is free on 127.0.0.1", PORTS.start, PORTS.end - 1));
    let listener = listener.ok_or_else(busy)?;
    let address = listener.local_addr().map_err(|e| Error::internal("a bound socket has no address").because(e))?;
    started(&format!("http://{address}/"));
    let interrupted = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    axum::serve(listener, router)
        .with_graceful_shutdown(interrupted)
        .await
        .map_err(|e| Error::unavailable("the server stopped").because(e))
}
