//! Documents: queries become pages, JSON and CSV.
//!
//! In: an engine over one prefix of the evidence and a dashboard that says what to show. Out: self-contained
//! HTML with SVG charts, the same numbers as JSON, tables as CSV. Invariant: a page computes no number; what
//! it shows is an answer of a query that its appendix prints, or, of an incident, what its account holds.

pub mod batch;
mod canvas;
pub mod charts;
pub mod compose;
pub mod dashboard;
pub mod document;
pub mod files;
pub mod format;
pub mod gather;
pub mod ground;
pub mod html;
pub mod incident;
pub mod issued;
pub mod monthly;
pub mod period;
pub mod review;
pub mod withheld;
