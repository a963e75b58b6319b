//! The point up to which evidence is read: so many events, and the instant that counts as now.
//!
//! In: what the caller wrote (`--as-of`): an instant, a ledger size or a table version. Out: a pair (size,
//! instant). Invariant: the same text over the same ledger gives the same pair, however far the ledger has
//! grown. The clock is a parameter.

use std::str::FromStr;

use crate::clock::{Micros, rfc3339};
use crate::error::{Error, Result};
use crate::event::parse;

/// A resolved as-of point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsOf {
    /// Events that count: `seq` < size.
    pub size: i64,
    /// The instant for maturity and age, microseconds.
    pub at: Micros,
}

/// An as-of point as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AsOfText {
    /// All events, now.
    #[default]
    Head,
    /// The events recorded until an instant, at that instant.
    At(Micros),
    /// The first so many events, at the instant when the last of them was recorded.
    Size(i64),
    /// The events of a table version, at the instant when the last of them was recorded.
    Version(i64),
}

impl FromStr for AsOfText {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = || {
            Error::invalid(format!(
                "`{text}` is no as-of point; give an RFC 3339 instant, e.g. 2026-11-01T00:00:00Z, a ledger size, \
                 e.g. 1200, or a table version, e.g. v7"
            ))
        };
        if let Some(version) = text.strip_prefix('v') {
            return parse::integer(version, 0, i64::MAX).map(Self::Version).map_err(|_| refused());
        }
        if text.contains(['T', 't', ':']) {
            return parse::instant(text).map(Self::At).map_err(|_| refused());
        }
        parse::integer(text, 0, i64::MAX).map(Self::Size).map_err(|_| refused())
    }
}

impl std::fmt::Display for AsOfText {
    /// As it is written on the command line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Head => f.write_str("head"),
            Self::At(at) => f.write_str(&rfc3339(*at)),
            Self::Size(size) => write!(f, "{size}"),
            Self::Version(version) => write!(f, "v{version}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_are_told_apart() {
        assert_eq!("1200".parse::<AsOfText>().unwrap(), AsOfText::Size(1200));
        assert_eq!("v7".parse::<AsOfText>().unwrap(), AsOfText::Version(7));
        assert_eq!("1970-01-01T00:00:01Z".parse::<AsOfText>().unwrap(), AsOfText::At(1_000_000));
        assert_eq!("1970-01-01T01:00:01+01:00".parse::<AsOfText>().unwrap().to_string(), "1970-01-01T00:00:01.000000Z");
        for bad in ["", "v", "v-1", "-1", "2026-11-01", "2026-11-01T00:00:00", "yesterday", "1e3"] {
            assert!(bad.parse::<AsOfText>().is_err(), "{bad}");
        }
    }
}
