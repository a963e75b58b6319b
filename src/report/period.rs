//! Months as a policy's time zone draws their borders.
//!
//! In: `YYYY-MM` and an IANA zone. Out: instants. Invariant: months touch and do not overlap, in every zone.

use chrono::{Datelike, Months, NaiveDate};
use chrono_tz::Tz;

use super::gather::Period;
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::query::functions::time::instant_of;

/// A month of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month {
    first: NaiveDate,
}

impl Month {
    /// Reads `YYYY-MM`, years 0002..9998: the trend reaches months before it.
    ///
    /// # Errors
    /// Invalid for anything else.
    pub fn parse(month: &str) -> Result<Self> {
        let bad = || {
            Error::invalid(format!("`{month}` is no month of the years 0002..9998; give it as YYYY-MM, e.g. 2016-03"))
        };
        let (year, number) = month.split_once('-').filter(|(y, m)| y.len() == 4 && m.len() == 2).ok_or_else(bad)?;
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
        let (year, number) = (digits(year).ok_or_else(bad)?, digits(number).ok_or_else(bad)?);
        let first =
            NaiveDate::from_ymd_opt(year as i32, number, 1).filter(|_| (2..=9998).contains(&year)).ok_or_else(bad)?;
        Ok(Self { first })
    }

    /// The instants between which it lies in `zone`.
    pub fn period(self, zone: Tz) -> Period {
        let start = |month: Self| instant_of(month.first.and_time(chrono::NaiveTime::MIN), zone);
        Period {
            name: self.to_string(),
            start: start(self).unwrap_or(Micros::MIN),
            end: start(self.plus(1)).unwrap_or(Micros::MAX),
        }
    }

    /// This month and those before it, `count` in all, oldest first.
    pub fn trend(self, count: u32, zone: Tz) -> Vec<Period> {
        (0..count).rev().map(|back| self.minus(back).period(zone)).collect()
    }

    /// In words: `March 2016`.
    pub fn words(self) -> String {
        self.first.format("%B %Y").to_string()
    }

    fn plus(self, months: u32) -> Self {
        Self { first: self.first.checked_add_months(Months::new(months)).unwrap_or(self.first) }
    }

    fn minus(self, months: u32) -> Self {
        Self { first: self.first.checked_sub_months(Months::new(months)).unwrap_or(self.first) }
    }
}

impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}", self.first.year(), self.first.month())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::rfc3339;

    #[test]
    fn months_are_read_to_the_ends_of_the_calendar() {
        let period =
            |month: &str| Month::parse(month).map(|m| m.period(Tz::UTC)).map(|p| (rfc3339(p.start), rfc3339(p.end)));
        let (start, end) = period("2016-12").unwrap();
        assert_eq!((start.as_str(), end.as_str()), ("2016-12-01T00:00:00.000000Z", "2017-01-01T00:00:00.000000Z"));
        assert_eq!(period("9998-12").unwrap().1, "9999-01-01T00:00:00.000000Z");
        assert_eq!(period("0002-01").unwrap().0, "0002-01-01T00:00:00.000000Z");
        for bad in ["0001-12", "9999-01", "2016", "2016-13", "2016-3", "0000-01", "16-03", "2016-03-01", "x", "+016-03"]
        {
            assert!(Month::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn months_touch_in_every_zone_and_a_clock_change_moves_their_borders() {
        let month = Month::parse("2026-03").unwrap();
        let berlin = month.period(Tz::Europe__Berlin);
        assert_eq!(rfc3339(berlin.start), "2026-02-28T23:00:00.000000Z");
        assert_eq!(rfc3339(berlin.end), "2026-03-31T22:00:00.000000Z");
        for zone in [Tz::UTC, Tz::America__Sao_Paulo, Tz::Asia__Kathmandu, Tz::Pacific__Apia] {
            let trend = month.trend(200, zone);
            assert!(trend.windows(2).all(|pair| pair[0].end == pair[1].start), "{zone}");
        }
    }
}
