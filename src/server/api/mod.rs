//! The API for programs, one file a resource.
//!
//! In: requests with their caller. Out: documents, the same as the command line prints with `--json`. Invariant: what a
//! route needs and gives stands beside it, and the OpenAPI document is made from that.

pub mod actions;
mod asking;
pub(super) mod bundle;
mod cloud;
pub mod events;
pub(super) mod explained;
pub mod incidents;
pub mod ledger;
pub mod openapi;
pub mod ops;
pub mod otlp;
mod otlp_proto;
pub mod packs;
mod places;
pub mod query;
mod received;
pub mod records;
pub mod reports;
pub mod reviews;

pub(super) use asking::Misfit;

use super::route::Route;

/// The routes of all resources.
pub fn routes() -> Vec<Route> {
    let of_files: [fn() -> Vec<Route>; 12] = [
        events::routes,
        otlp::routes,
        records::routes,
        actions::routes,
        query::routes,
        reports::routes,
        incidents::routes,
        reviews::routes,
        packs::routes,
        ledger::routes,
        ops::routes,
        openapi::routes,
    ];
    of_files.iter().flat_map(|routes| routes()).collect()
}
