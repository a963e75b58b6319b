//! The only reader of time and the only maker of ids and randomness.
//!
//! Invariant: whoever holds a [`Clock`] made by [`Clock::fixed`] or [`Clock::simulated`] can replay a run
//! exactly; nothing else in the crate reads the time or draws a random byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use chrono::{DateTime, SecondsFormat, Utc};
use sha2::{Digest, Sha256};

/// Microseconds since 1970-01-01T00:00:00Z, the resolution of every instant in the evidence.
pub type Micros = i64;

/// Microseconds of one second.
pub const SECOND: Micros = 1_000_000;
/// Microseconds of one hour.
pub const HOUR: Micros = 3_600 * SECOND;
/// Microseconds of one day.
pub const DAY: Micros = 24 * HOUR;

/// Source of time and randomness, shared by clones.
#[derive(Debug, Clone)]
pub struct Clock {
    simulated: Option<Arc<Simulated>>,
}

#[derive(Debug)]
struct Simulated {
    now: AtomicI64,
    seed: u64,
    drawn: AtomicU64,
}

impl Clock {
    /// The time of the machine and the randomness of the operating system.
    pub fn system() -> Self {
        Self { simulated: None }
    }

    /// A clock that stands at `now` until [`Clock::set`] moves it, with randomness drawn from `seed`.
    pub fn simulated(now: Micros, seed: u64) -> Self {
        Self { simulated: Some(Arc::new(Simulated { now: AtomicI64::new(now), seed, drawn: AtomicU64::new(0) })) }
    }

    /// A clock that stands at `now`.
    pub fn fixed(now: Micros) -> Self {
        Self::simulated(now, 0)
    }

    /// Moves a simulated clock; the system clock moves by itself.
    pub fn set(&self, now: Micros) {
        if let Some(sim) = &self.simulated {
            sim.now.store(now, Ordering::SeqCst);
        }
    }

    /// The present instant.
    pub fn now(&self) -> Micros {
        match &self.simulated {
            Some(sim) => sim.now.load(Ordering::SeqCst),
            None => Utc::now().timestamp_micros(),
        }
    }

    /// `N` random bytes; fit for salts and ids.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0u8; N];
        self.fill(&mut bytes);
        bytes
    }

    /// Fills `bytes` with randomness.
    ///
    /// # Panics
    /// When the operating system has no randomness to give: a salt must never be guessable.
    pub fn fill(&self, bytes: &mut [u8]) {
        let Some(sim) = &self.simulated else {
            getrandom::fill(bytes).expect("the operating system gives randomness");
            return;
        };
        for chunk in bytes.chunks_mut(32) {
            let mut hash = Sha256::new();
            hash.update(sim.seed.to_le_bytes());
            hash.update(sim.drawn.fetch_add(1, Ordering::SeqCst).to_le_bytes());
            chunk.copy_from_slice(&hash.finalize()[..chunk.len()]);
        }
    }

    /// A random id of 32 hexadecimal digits.
    pub fn id(&self) -> String {
        self.random::<16>().iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// `micros` as RFC 3339 in UTC with six digits, `2026-03-01T09:00:00.000000Z`.
pub fn rfc3339(micros: Micros) -> String {
    match DateTime::from_timestamp_micros(micros) {
        Some(at) => at.to_rfc3339_opts(SecondsFormat::Micros, true),
        None => format!("{micros} microseconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulated_clock_replays_time_and_randomness() {
        let (a, b) = (Clock::simulated(5, 42), Clock::simulated(5, 42));
        assert_eq!((a.now(), a.random::<40>()), (b.now(), b.random::<40>()));
        assert_ne!(a.random::<16>(), a.random::<16>());
        a.set(9);
        assert_eq!(a.now(), 9);
    }

    #[test]
    fn instants_print_with_six_digits() {
        assert_eq!(rfc3339(1_772_355_600_000_000), "2026-03-01T09:00:00.000000Z");
    }
}
