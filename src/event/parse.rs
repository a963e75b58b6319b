//! Text to typed values: instants, integers, amounts and ratios, the same for every input format.
//!
//! In: the text of one value. Out: the value, or the reason for refusing it. Invariant: a value is never
//! rounded silently but for digits past the microsecond, which are cut off before anything is hashed.

use chrono::{DateTime, NaiveDate};

use crate::clock::Micros;

/// Reason for refusing a value, without the value itself.
pub type Reason = String;

/// RFC 3339 with a zone (`-00:00` is UTC) to microseconds; further digits are cut off.
///
/// # Errors
/// Anything else, a missing zone, second 60, and instants outside the years 0001..9999.
pub fn instant(text: &str) -> Result<Micros, Reason> {
    parse_instant(text.as_bytes()).map_err(|why| format!("is no RFC 3339 instant: {why}"))
}

fn parse_instant(b: &[u8]) -> Result<Micros, &'static str> {
    const SHAPE: &str = "expected YYYY-MM-DDThh:mm:ssZ";
    let is_shaped = b.len() >= 20 && b[4] == b'-' && b[7] == b'-' && b[13] == b':' && b[16] == b':';
    if !is_shaped || !matches!(b[10], b'T' | b't') {
        return Err(if b.len() == 19 { "the zone is missing; end it with Z or +hh:mm" } else { SHAPE });
    }
    let number = |range: std::ops::Range<usize>| digits(&b[range]).ok_or(SHAPE);
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let date = NaiveDate::from_ymd_opt(year as i32, month, day).ok_or("no such day")?;
    if second == 60 {
        return Err("second 60 cannot be stored");
    }
    let time = date.and_hms_opt(hour, minute, second).ok_or("no such time of day")?;
    let (fraction, zone) = fraction_micros(&b[19..])?;
    let micros = time.and_utc().timestamp_micros() + fraction - offset_micros(zone)?;
    match DateTime::from_timestamp_micros(micros).map(|at| chrono::Datelike::year(&at)) {
        Some(1..=9999) => Ok(micros),
        _ => Err("the year is outside 0001..9999"),
    }
}

/// Reads `.digits` if there; gives microseconds and what follows.
fn fraction_micros(rest: &[u8]) -> Result<(i64, &[u8]), &'static str> {
    if rest.first() != Some(&b'.') {
        return Ok((0, rest));
    }
    let len = rest[1..].iter().take_while(|c| c.is_ascii_digit()).count();
    if len == 0 {
        return Err("digits are missing after the point");
    }
    let mut micros = 0i64;
    for i in 0..6 {
        micros = micros * 10 + if i < len { i64::from(rest[1 + i] - b'0') } else { 0 };
    }
    Ok((micros, &rest[1 + len..]))
}

fn offset_micros(zone: &[u8]) -> Result<i64, &'static str> {
    match zone {
        b"Z" | b"z" => Ok(0),
        [] => Err("the zone is missing; end it with Z or +hh:mm"),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let hours = digits(&[*h1, *h2]).filter(|h| *h < 24).ok_or("no such zone offset")?;
            let minutes = digits(&[*m1, *m2]).filter(|m| *m < 60).ok_or("no such zone offset")?;
            let micros = i64::from(hours * 60 + minutes) * 60_000_000;
            Ok(if *sign == b'-' { -micros } else { micros })
        }
        _ => Err("the zone must be Z or +hh:mm"),
    }
}

fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0u32, |n, c| c.is_ascii_digit().then(|| n * 10 + u32::from(c - b'0')))
}

/// Decimal digits with an optional minus; `4.0` and `1e3` are no integers.
///
/// # Errors
/// Other text, or a number outside `min..=max`.
pub fn integer(text: &str, min: i64, max: i64) -> Result<i64, Reason> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let is_plain = !unsigned.is_empty() && unsigned.bytes().all(|c| c.is_ascii_digit());
    if !is_plain {
        return Err("is no integer".into());
    }
    match text.parse::<i64>() {
        Ok(n) if (min..=max).contains(&n) => Ok(n),
        _ => Err(format!("is outside {min}..{max}")),
    }
}

/// A decimal(18,2) as hundredths.
///
/// # Errors
/// Other text, an exponent, more than two decimals, more than 16 digits before the point.
pub fn amount(text: &str) -> Result<i64, Reason> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, decimals) = unsigned.split_once('.').unwrap_or((unsigned, "00"));
    let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|c| c.is_ascii_digit());
    if !all_digits(whole) || !all_digits(decimals) {
        return Err("is no plain decimal number".into());
    }
    if decimals.len() > 2 {
        return Err("has more than two decimals".into());
    }
    let hundredths: Option<i64> =
        format!("{whole}{decimals:0<2}").parse().ok().filter(|n| *n < 1_000_000_000_000_000_000);
    let hundredths = hundredths.ok_or("has more than 16 digits before the point")?;
    Ok(if text.starts_with('-') { -hundredths } else { hundredths })
}

/// A number 0..1; minus zero becomes zero.
///
/// # Errors
/// Text that is no JSON number, or a number outside 0..1.
pub fn ratio(text: &str) -> Result<f64, Reason> {
    let is_number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) && !text.ends_with('.');
    let value = text.parse::<f64>().ok().filter(|_| is_number).ok_or("is no number")?;
    if !(0.0..=1.0).contains(&value) {
        return Err("is outside 0..1".into());
    }
    Ok(value + 0.0) // turns -0 into 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::rfc3339;

    #[test]
    fn instants_are_read_to_the_microsecond_and_cut_off() {
        for (text, expected) in [
            ("2026-03-01T09:00:00Z", "2026-03-01T09:00:00.000000Z"),
            ("2026-03-01T09:00:00.1234569Z", "2026-03-01T09:00:00.123456Z"),
            ("2026-03-01t09:00:00.5-00:00", "2026-03-01T09:00:00.500000Z"),
            ("2026-03-01T09:00:00+05:30", "2026-03-01T03:30:00.000000Z"),
            ("1969-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.999999Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
            ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(instant(text).map(rfc3339), Ok(expected.to_string()), "{text}");
        }
    }

    #[test]
    fn instants_without_zone_or_out_of_range_are_refused() {
        for text in [
            "2026-03-01T09:00:00",
            "2026-03-01T09:00:00.5",
            "2026-03-01",
            "2026-03-01 09:00:00Z",
            "2026-02-29T09:00:00Z",
            "2026-03-01T24:00:00Z",
            "2026-03-01T09:00:60Z",
            "2026-03-01T09:00:00.Z",
            "2026-03-01T09:00:00+24:00",
            "2026-03-01T09:00:00+0530",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59-01:00",
            "+2026-03-01T09:00:00Z",
            "",
            "2026-03-0xT09:00:00Z",
        ] {
            assert!(instant(text).is_err(), "{text}");
        }
    }

    #[test]
    fn integers_have_no_point_and_no_exponent() {
        assert_eq!(integer("-9223372036854775808", i64::MIN, i64::MAX), Ok(i64::MIN));
        assert_eq!(integer("5", 1, 5), Ok(5));
        for text in ["4.0", "1e3", "", "-", "+4", "6", "0", "9223372036854775808", "٤"] {
            assert!(integer(text, 1, 5).is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_are_exact_to_two_decimals() {
        for (text, hundredths) in
            [("12.5", 1250), ("-0.01", -1), ("9999999999999999.99", 999_999_999_999_999_999), ("7", 700)]
        {
            assert_eq!(amount(text), Ok(hundredths), "{text}");
        }
        for text in ["1.234", "1e2", "10000000000000000", ".5", "5.", "", "NaN", "--1"] {
            assert!(amount(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ratios_lie_between_zero_and_one() {
        assert_eq!(ratio("-0").map(f64::to_bits), Ok(0f64.to_bits()));
        assert_eq!(ratio("8.7e-1"), Ok(0.87));
        for text in ["1.0000001", "-0.1", "NaN", "inf", "+0.5", ".5", "1.", "0,5", ""] {
            assert!(ratio(text).is_err(), "{text}");
        }
    }
}
