//! Arithmetic that SQL cannot state well.
//!
//! In: numbers and slices. Out: numbers. Pure: no I/O, no clock, no knowledge of events; every result is
//! checked against values computed elsewhere.

pub mod wilson;
