//! Wall clocks: instants as a zone's calendar shows them, and back.
//!
//! In: instants, IANA zone names. Out: instants and times without a zone. Invariant: a local time that a clock
//! change skips means the first instant after the gap, one that it repeats the earlier; an unknown zone is null.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, Duration, MappedLocalTime, NaiveDateTime, TimeZone};
use chrono_tz::Tz;
use datafusion::common::Result;
use datafusion::logical_expr::{Signature, TypeSignature, Volatility};

use super::FunctionNote;
use super::scalar::{Scalar, texts};
use crate::clock::Micros;

pub(super) const NOTES: &[FunctionNote] = &[
    FunctionNote {
        call: "local_time(instant, zone)",
        gives: "what a clock in an IANA zone shows, a timestamp without zone",
    },
    FunctionNote { call: "utc_time(local, zone)", gives: "the instant at which a clock in the zone shows that" },
];

const LOCAL: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

pub(super) fn functions() -> Vec<Scalar> {
    let takes = |time: DataType| {
        let zones = [DataType::Utf8View, DataType::Utf8];
        Signature::one_of(zones.map(|z| TypeSignature::Exact(vec![time.clone(), z])).to_vec(), Volatility::Immutable)
    };
    vec![
        Scalar { name: "local_time", signature: takes(instant()), returns: LOCAL, run: local_time },
        Scalar { name: "utc_time", signature: takes(LOCAL), returns: instant(), run: utc_time },
    ]
}

/// The wall clock of `zone` at `at`.
pub fn local(at: Micros, zone: Tz) -> Option<NaiveDateTime> {
    Some(DateTime::from_timestamp_micros(at)?.with_timezone(&zone).naive_local())
}

/// The first instant at which the wall clock of `zone` shows `local` or, where it skips that, a later time.
pub fn instant_of(local: NaiveDateTime, zone: Tz) -> Option<Micros> {
    // No clock change skips more than a day, and all of them are whole quarters of an hour.
    (0..=96).find_map(|quarters| {
        match zone.from_local_datetime(&local.checked_add_signed(Duration::minutes(15 * quarters))?) {
            MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(at, _) => Some(at.timestamp_micros()),
            MappedLocalTime::None => None,
        }
    })
}

fn over(columns: &[ArrayRef], convert: fn(Micros, Tz) -> Option<Micros>) -> Result<TimestampMicrosecondArray> {
    let times = cast(&columns[0], &LOCAL)?;
    let zones = texts(&columns[1])?;
    // Almost always one zone for the whole column.
    let mut known: Option<(String, Option<Tz>)> = None;
    let mut zone_of = |name: &str| match &known {
        Some((known, zone)) if known == name => *zone,
        _ => known.insert((name.to_owned(), name.parse().ok())).1,
    };
    Ok(times
        .as_primitive::<TimestampMicrosecondType>()
        .iter()
        .zip(&zones)
        .map(|(t, z)| convert(t?, zone_of(z?)?))
        .collect())
}

fn local_time(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let shown = over(columns, |at, zone| Some(local(at, zone)?.and_utc().timestamp_micros()))?;
    Ok(Arc::new(shown))
}

fn utc_time(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let at = over(columns, |local, zone| instant_of(DateTime::from_timestamp_micros(local)?.naive_utc(), zone))?;
    Ok(Arc::new(at.with_timezone("UTC")))
}

#[cfg(test)]
mod tests {
    use super::super::testing::text;

    #[tokio::test]
    async fn clocks_are_read_and_set_back_over_a_change() {
        let shown = text(
            "select local_time(at, 'America/New_York') as ny, utc_time(local_time(at, 'America/New_York'), 'America/New_York') = at as same,
                    utc_time(arrow_cast('2024-03-10T02:30:00', 'Timestamp(Microsecond, None)'), 'America/New_York') as gap,
                    local_time(at, 'Nowhere') as none
             from (values (arrow_cast('2024-07-01T03:00:00Z', 'Timestamp(Microsecond, Some(\"UTC\"))'))) as t(at)",
        )
        .await;
        assert!(shown.contains("| 2024-06-30T23:00:00 | true | 2024-03-10T07:00:00Z |      |"), "{shown}");
    }
}
