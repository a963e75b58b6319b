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
    let mut out = String::with_capacity(27);
    write_rfc3339(micros, &mut out);
    out
}

/// Appends `micros` as [`rfc3339`] gives it: every event is hashed with two or three instants, and the general
/// formatter takes as long as the hash.
pub fn write_rfc3339(micros: Micros, out: &mut String) {
    let (days, of_day) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    if !(0..=9999).contains(&year) {
        let at = DateTime::from_timestamp_micros(micros);
        out.push_str(
            &at.map_or(format!("{micros} microseconds"), |at| at.to_rfc3339_opts(SecondsFormat::Micros, true)),
        );
        return;
    }
    let (second, fraction) = (of_day / SECOND, of_day % SECOND);
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    for (end, mut number) in [
        (4, year),
        (7, month),
        (10, day),
        (13, second / 3600),
        (16, second / 60 % 60),
        (19, second % 60),
        (26, fraction),
    ] {
        let mut at = end;
        while number > 0 {
            at -= 1;
            text[at] = b'0' + (number % 10) as u8;
            number /= 10;
        }
    }
    out.extend(text.iter().map(|byte| char::from(*byte)));
}

/// Year, month and day of a day number since 1970-01-01 in the proleptic Gregorian calendar; the algorithm
/// `civil_from_days` of Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
pub fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
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

    #[test]
    fn instants_print_as_the_general_formatter_prints_them() {
        let mut micros = -62_135_596_800_000_000i64;
        while micros < 253_402_300_800_000_000 {
            let general = DateTime::from_timestamp_micros(micros).unwrap().to_rfc3339_opts(SecondsFormat::Micros, true);
            assert_eq!(rfc3339(micros), general);
            micros += 86_399_999_999 * 11 + 1_234_567;
        }
    }
}
