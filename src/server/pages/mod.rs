//! The pages for people, one file a place.
//!
//! In: requests with their caller. Out: whole pages. Invariant: they show what the API gives, and post what it takes;
//! every page works without a script, but for the keys of the review desk.

pub mod action;
pub mod assets;
pub mod console;
pub mod desk;
pub mod health;
pub mod incident;
pub mod layout;
pub mod login;
pub mod monthly;
pub mod overview;
pub mod record;
pub mod reviews;
mod work;

use super::route::Route;

/// The routes of all pages.
pub fn routes() -> Vec<Route> {
    let of_files: [fn() -> Vec<Route>; 11] = [
        overview::routes,
        monthly::routes,
        incident::routes,
        record::routes,
        action::routes,
        reviews::routes,
        desk::routes,
        console::routes,
        health::routes,
        login::routes,
        assets::routes,
    ];
    of_files.iter().flat_map(|routes| routes()).collect()
}
