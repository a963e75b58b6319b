//! Documents.
mod canvas;
pub mod charts;
pub mod document;
pub mod format;
pub mod html;
