//! HTTP: the API, the pages, and the access to both.
//!
//! In: a store with its tenants, a door to listen at. Out: answers, each recorded as evidence where it tells of evidence.
//!
//! ```text
//! listen ─ observe ─ guard ─ handler in api/ or pages/ ─ query, report, incident, review
//!    │        │         └ caller: who asks, may what, sees what     │
//!    │        └ number, bounds, counts, log line                    └ append ─ group commit ─ journal
//!    └ TLS, connections
//! ```
//!
//! Invariants: every [`Route`] of [`routes`] goes through the guard, and there is no other way to add one; an event is
//! answered after it is durable; a read is evidence before its first row leaves; a tenant comes from a token. It computes
//! nothing: handlers call the rooms above.
//!
//! One resource, one file, with its `routes()`: `api/` for programs, `pages/` for people.

pub mod api;
pub mod append;
mod background;
pub mod cache;
pub mod caller;
mod grants;
pub mod guard;
pub mod listen;
mod log;
pub mod metrics;
mod observe;
pub mod pages;
pub mod problem;
pub mod route;
mod session;
pub mod state;
pub mod tls;
mod upkeep;

use std::pin::pin;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use tokio::sync::watch;

use crate::error::{Error, Result};
use crate::limits::{SERVER_BODY_BYTES, SHUTDOWN_SECONDS};
use guard::Watch;
use listen::{Door, Peer};
use route::Route;
use state::App;

/// Every route there is.
pub fn routes() -> Vec<Route> {
    let mut routes = api::routes();
    routes.extend(pages::routes());
    routes
}

/// The server as a service.
pub fn router(app: App) -> Router {
    let mut router = Router::new();
    for route in routes() {
        let watch = Watch { app: app.clone(), needs: route.needs, kind: route.kind };
        router = router.route(route.path, route.handler.route_layer(from_fn_with_state(watch, guard::guard)));
    }
    router
        .fallback(guard::missing)
        .method_not_allowed_fallback(guard::wrong_method)
        .layer(DefaultBodyLimit::max(SERVER_BODY_BYTES))
        .layer(from_fn_with_state(app.clone(), observe::observe))
        .with_state(app)
}

/// Serves at `door` until `shutdown`: then nothing new is taken in, what was begun has
/// [`SHUTDOWN_SECONDS`] to end in, everything that waits is made durable, and the journal is folded.
///
/// # Errors
/// Unavailable when the server stops by itself; what the last fold failed with.
pub async fn serve(app: App, door: Door, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<()> {
    let (stop, mut stopped) = watch::channel(false);
    let service = router(app.clone()).into_make_service_with_connect_info::<Peer>();
    let asked = async move {
        shutdown.await;
        let _ = stop.send(true);
    };
    let server = axum::serve(door, service).with_graceful_shutdown(asked);
    let mut served = pin!(server.into_future());
    let too_long = async {
        let _ = stopped.wait_for(|stopped| *stopped).await;
        tokio::time::sleep(Duration::from_secs(SHUTDOWN_SECONDS)).await;
    };
    let outcome = tokio::select! {
        outcome = &mut served => outcome.map_err(|e| Error::unavailable("the server stopped").because(e)),
        () = too_long => Ok(()),
    };
    app.close().await.and(outcome)
}

/// The content of `mutex`, also after a thread died that held it: what is kept here is whole between two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_routes_are_one_and_each_is_told_about() {
        let mut seen = BTreeSet::new();
        for route in routes() {
            assert!(seen.insert((route.path, route.method.to_string())), "{} {}", route.method, route.path);
            assert!(!route.about.summary.is_empty(), "{} {}", route.method, route.path);
        }
    }

    #[test]
    fn what_is_open_to_everybody_is_a_short_list() {
        let open = routes().into_iter().filter(|route| route.needs.is_none());
        let open: BTreeSet<&str> = open.map(|route| route.path).collect();
        let expected = ["/assets/{name}", "/healthz", "/login", "/logout", "/readyz"];
        assert_eq!(open.into_iter().collect::<Vec<_>>(), expected);
    }
}
