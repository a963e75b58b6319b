//! When a reviewer opened an item, as the page itself says it when the mark comes back.
//!
//! In: the instant at which the page was served, and to whom for what. Out: a text that only this process can have
//! made. Invariant: nobody can say that an item was opened earlier than it was, nor for another item, review or
//! reviewer; a text of an earlier process says nothing.

use std::sync::OnceLock;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::clock::{Clock, Micros};
use crate::error::{Error, Result};
use crate::ledger::hash::hex;

/// The key of this process; nobody sees it, and it ends with the process.
static KEY: OnceLock<[u8; 32]> = OnceLock::new();

/// Who has opened what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opening<'a> {
    pub(super) tenant: &'a str,
    pub(super) reviewer: &'a str,
    pub(super) review: &'a str,
    pub(super) item: &'a str,
}

impl Opening<'_> {
    /// The text that says that it was opened at `at`.
    ///
    /// # Errors
    /// Internal for a key that is none.
    pub(super) fn sealed(&self, clock: &Clock, at: Micros) -> Result<String> {
        Ok(format!("{at}.{}", hex(&self.code(clock, at)?)))
    }

    /// The instant that `text` says; none where this process did not make it for this opening.
    ///
    /// # Errors
    /// As [`Opening::sealed`].
    pub(super) fn read(&self, clock: &Clock, text: &str) -> Result<Option<Micros>> {
        let Some(at) = text.split_once('.').and_then(|(at, _)| at.parse::<Micros>().ok()) else { return Ok(None) };
        let made = self.sealed(clock, at)?;
        Ok(bool::from(made.as_bytes().ct_eq(text.as_bytes())).then_some(at))
    }

    fn code(&self, clock: &Clock, at: Micros) -> Result<Vec<u8>> {
        let key = KEY.get_or_init(|| clock.random::<32>());
        let mut code = Hmac::<Sha256>::new_from_slice(key)
            .map_err(|_| Error::internal("the key that openings are sealed with is none"))?;
        for part in [self.tenant, self.reviewer, self.review, self.item] {
            // With its length, so that two parts are never taken for one.
            code.update(&(part.len() as u64).to_be_bytes());
            code.update(part.as_bytes());
        }
        code.update(&at.to_be_bytes());
        Ok(code.finalize().into_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opening_is_read_back_and_nothing_of_it_can_be_changed() {
        let clock = Clock::fixed(0);
        let opening = Opening { tenant: "t", reviewer: "ann", review: "rev-1", item: "aa" };
        let text = opening.sealed(&clock, 1_000).unwrap();
        assert_eq!(opening.read(&clock, &text).unwrap(), Some(1_000));
        let earlier = text.replacen("1000", "999", 1);
        for other in ["", "1000", "1000.", earlier.as_str(), &text[..text.len() - 1], "x.y"] {
            assert_eq!(opening.read(&clock, other).unwrap(), None, "{other}");
        }
        let others = [
            Opening { tenant: "u", ..opening },
            Opening { reviewer: "bob", ..opening },
            Opening { review: "rev-2", ..opening },
            Opening { item: "ab", ..opening },
            Opening { review: "rev-", item: "1aa", ..opening },
        ];
        for other in others {
            assert_eq!(other.read(&clock, &text).unwrap(), None, "{other:?}");
        }
    }
}
