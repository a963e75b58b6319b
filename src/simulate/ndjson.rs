//! An event as one line of the native NDJSON.
//!
//! In: a draft. Out: bytes that [`crate::event::json::decode`] reads back as the same draft. Invariant: columns
//! stand in stored order and an absent one is left out. Written by hand because a generator that is slower than
//! the reader measures itself.

use std::io::Write;

use super::random::mix;
use crate::clock::{DAY, Micros, SECOND, civil};
use crate::event::columns::{COLUMNS, SUPPLIED};
use crate::event::draft::{Cell, Draft, Input};

/// Appends `draft` and a line feed to `out`.
pub fn write_ndjson(draft: &Draft<'_>, out: &mut Vec<u8>) {
    let mut separator = b'{';
    for (spec, cell) in COLUMNS[..SUPPLIED].iter().zip(draft.cells()) {
        if *cell == Cell::Absent {
            continue;
        }
        out.push(separator);
        separator = b',';
        out.push(b'"');
        out.extend_from_slice(spec.name.as_bytes());
        out.extend_from_slice(b"\":");
        write_cell(cell, out);
    }
    if separator == b'{' {
        out.push(b'{');
    }
    out.extend_from_slice(b"}\n");
}

fn write_cell(cell: &Cell<'_>, out: &mut Vec<u8>) {
    match cell {
        Cell::Absent => out.extend_from_slice(b"null"),
        Cell::Text(text) => write_text(text, out),
        Cell::Integer(n) => write_integer(*n, out),
        Cell::Ratio(ratio) => write_ratio(*ratio, out),
        Cell::Amount(hundredths) => write_amount(*hundredths, out),
        Cell::Instant(at) => write_instant(*at, out),
        Cell::Inputs(inputs) => write_inputs(inputs, out),
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    if text.bytes().all(|c| c >= 0x20 && c != b'"' && c != b'\\') {
        out.extend_from_slice(text.as_bytes());
    } else {
        text.bytes().for_each(|c| write_escaped(c, out));
    }
    out.push(b'"');
}

fn write_escaped(c: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match c {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', c]),
        0..0x20 => {
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[usize::from(c >> 4)], HEX[usize::from(c & 15)]])
        }
        _ => out.push(c),
    }
}

fn write_integer(n: i64, out: &mut Vec<u8>) {
    if n < 0 {
        out.push(b'-');
    }
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = n.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn write_ratio(ratio: f64, out: &mut Vec<u8>) {
    let hundredths = (ratio * 100.0).round();
    // Two decimals are the common case; the division gives back the same float exactly when they are all there is.
    if (0.0..1.0).contains(&ratio) && hundredths / 100.0 == ratio && hundredths < 100.0 {
        let n = hundredths as u8;
        out.extend_from_slice(&[b'0', b'.', b'0' + n / 10, b'0' + n % 10]);
    } else {
        // Writing to a vector cannot fail.
        let _ = write!(out, "{ratio}");
    }
}

fn write_amount(hundredths: i64, out: &mut Vec<u8>) {
    if hundredths < 0 {
        out.push(b'-');
    }
    write_integer((hundredths.unsigned_abs() / 100) as i64, out);
    let rest = (hundredths.unsigned_abs() % 100) as u8;
    out.extend_from_slice(&[b'.', b'0' + rest / 10, b'0' + rest % 10]);
}

fn write_instant(at: Micros, out: &mut Vec<u8>) {
    let (year, month, day) = civil(at.div_euclid(DAY));
    let of_day = at.rem_euclid(DAY);
    let (second, micros) = (of_day / SECOND, of_day % SECOND);
    let mut text = *b"\"0000-00-00T00:00:00.000000Z\"";
    for (from, width, value) in [
        (1, 4, year),
        (6, 2, month),
        (9, 2, day),
        (12, 2, second / 3600),
        (15, 2, second / 60 % 60),
        (18, 2, second % 60),
        (21, 6, micros),
    ] {
        put_digits(&mut text[from..from + width], value);
    }
    out.extend_from_slice(&text);
}

fn put_digits(place: &mut [u8], mut value: i64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn write_inputs(inputs: &[Input], out: &mut Vec<u8>) {
    for (i, input) in inputs.iter().enumerate() {
        out.push(if i == 0 { b'[' } else { b',' });
        let parts = [
            ("system", &input.system),
            ("record_type", &input.record_type),
            ("record_id", &input.record_id),
            ("field", &input.field),
        ];
        let mut separator = b'{';
        for (name, text) in parts {
            let Some(text) = text else { continue };
            out.push(separator);
            separator = b',';
            write_text(name, out);
            out.push(b':');
            write_text(text, out);
        }
        out.extend_from_slice(if separator == b'{' { b"{}" } else { b"}" });
    }
    out.extend_from_slice(if inputs.is_empty() { b"[]" } else { b"]" });
}

/// `prefix` and `n` in base 36, at least `width` digits.
pub fn numbered(prefix: &str, n: u64, width: usize) -> String {
    spell(prefix, n, 36, width)
}

/// `prefix` and `n` in decimal, at least `width` digits.
pub fn decimal(prefix: &str, n: u64, width: usize) -> String {
    spell(prefix, n, 10, width)
}

fn spell(prefix: &str, mut n: u64, base: u64, width: usize) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    while n > 0 {
        at -= 1;
        digits[at] = DIGITS[(n % base) as usize];
        n /= base;
    }
    at = at.min(digits.len().saturating_sub(width));
    let mut text = String::with_capacity(prefix.len() + digits.len() - at);
    text.push_str(prefix);
    text.extend(digits[at..].iter().map(|c| char::from(*c)));
    text
}

/// 32 hexadecimal digits that depend on `n` alone.
pub fn hex32(n: u64) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let value = u128::from(mix(n)) << 64 | u128::from(mix(n ^ 0x5851_F42D_4C95_7F2D));
    let mut text = String::with_capacity(32);
    text.extend((0..32).rev().map(|i| char::from(DIGITS[(value >> (4 * i)) as usize & 15])));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::rfc3339;
    use crate::event::columns::Column;
    use crate::event::json;

    #[test]
    fn a_line_is_read_back_as_the_draft_it_was_made_from() {
        let mut draft = Draft::default();
        draft.set_text(Column::EventId, "e\"1\\é");
        draft.set_text(Column::OldValue, "");
        draft.set_text(Column::Comment, "two\nlines\t\u{1}");
        draft.set(Column::SourceSeq, Cell::Integer(i64::MIN));
        draft.set(Column::Amount, Cell::Amount(-1_205));
        draft.set(Column::Threshold, Cell::Ratio(0.8125));
        draft.set(Column::OccurredAt, Cell::Instant(951_782_399_999_999));
        let part = |text: &str| Some(text.to_owned());
        let whole = Input { system: part("s"), record_type: part("Lead"), record_id: part("L-1"), field: None };
        let of_field = Input { field: part("OwnerId"), ..whole.clone() };
        draft.set(Column::Inputs, Cell::Inputs(vec![whole, of_field]));
        for hundredths in 0..=100 {
            draft.set(Column::Confidence, Cell::Ratio(f64::from(hundredths) / 100.0));
            let mut line = Vec::new();
            write_ndjson(&draft, &mut line);
            let text = line.strip_suffix(b"\n").unwrap();
            assert_eq!(json::decode(text).unwrap().cells(), draft.cells());
        }
    }

    #[test]
    fn instants_are_written_as_the_clock_writes_them() {
        for at in [0, -1, 951_782_400_000_000, 1_793_491_200_000_001, 4_107_542_399_999_999] {
            let mut out = Vec::new();
            write_instant(at, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("\"{}\"", rfc3339(at)));
        }
    }

    #[test]
    fn ids_are_padded_and_distinct() {
        assert_eq!(numbered("act-", 35 + 36, 1), "act-1z");
        assert_eq!(decimal("L-", 123, 6), "L-000123");
        assert_eq!(decimal("L-", 0, 1), "L-0");
        assert_eq!(hex32(1).len(), 32);
        assert_ne!(hex32(1), hex32(2));
    }
}
