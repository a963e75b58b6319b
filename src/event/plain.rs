//! The quick way through plain JSON: objects and arrays whose strings hold no escape.
//!
//! In: the text of one JSON value. Out: where its members or elements stand, or nothing when the text is not plain:
//! then the careful parser reads it, and says what is wrong with it. Invariant: what is found here is what that
//! parser finds, which a test compares on generated text; malformed text is never taken for plain.

use std::borrow::Cow;

/// Nesting that is still plain.
const DEPTH: usize = 6;

/// The members of the object `text`, each with its name, as the careful parser gives it, and the text of its value.
pub fn members(text: &str) -> Option<Vec<(Cow<'_, str>, &str)>> {
    let bytes = text.as_bytes();
    let mut found = Vec::with_capacity(32);
    let mut take = |name: Span, value: Span| found.push((Cow::Borrowed(&text[name]), &text[value]));
    let end = object(bytes, white(bytes, 0), DEPTH, &mut take)?;
    (white(bytes, end) == bytes.len()).then_some(found)
}

/// The elements of the array `text`.
pub fn elements(text: &str) -> Option<Vec<&str>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let end = array(bytes, white(bytes, 0), DEPTH, &mut |value| found.push(&text[value]))?;
    (white(bytes, end) == bytes.len()).then_some(found)
}

type Span = std::ops::Range<usize>;

/// Reads an object at `at`; gives the place behind it.
fn object(bytes: &[u8], at: usize, depth: usize, member: &mut dyn FnMut(Span, Span)) -> Option<usize> {
    let mut at = white(bytes, expect(bytes, at, b'{')?);
    if bytes.get(at) == Some(&b'}') {
        return Some(at + 1);
    }
    loop {
        let name_end = string(bytes, at)?;
        let name = at + 1..name_end - 1;
        let from = white(bytes, expect(bytes, white(bytes, name_end), b':')?);
        let to = value(bytes, from, depth)?;
        member(name, from..to);
        at = white(bytes, to);
        match bytes.get(at)? {
            b',' => at = white(bytes, at + 1),
            b'}' => return Some(at + 1),
            _ => return None,
        }
    }
}

/// Reads an array at `at`; gives the place behind it.
fn array(bytes: &[u8], at: usize, depth: usize, element: &mut dyn FnMut(Span)) -> Option<usize> {
    let mut at = white(bytes, expect(bytes, at, b'[')?);
    if bytes.get(at) == Some(&b']') {
        return Some(at + 1);
    }
    loop {
        let to = value(bytes, at, depth)?;
        element(at..to);
        at = white(bytes, to);
        match bytes.get(at)? {
            b',' => at = white(bytes, at + 1),
            b']' => return Some(at + 1),
            _ => return None,
        }
    }
}

fn value(bytes: &[u8], at: usize, depth: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => string(bytes, at),
        b'{' => object(bytes, at, depth.checked_sub(1)?, &mut |_, _| {}),
        b'[' => array(bytes, at, depth.checked_sub(1)?, &mut |_| {}),
        b't' => literal(bytes, at, b"true"),
        b'f' => literal(bytes, at, b"false"),
        b'n' => literal(bytes, at, b"null"),
        _ => number(bytes, at),
    }
}

fn string(bytes: &[u8], at: usize) -> Option<usize> {
    let from = expect(bytes, at, b'"')?;
    let is_end = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < 0x20;
    let end = from + bytes[from..].iter().position(is_end)?;
    (bytes[end] == b'"').then_some(end + 1)
}

fn literal(bytes: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    bytes[at..].starts_with(word).then_some(at + word.len())
}

/// RFC 8259 section 6: minus, integer without leading zero, fraction, exponent.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = |from: usize| from + bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let whole = at + usize::from(bytes.get(at) == Some(&b'-'));
    let mut end = digits(whole);
    if end == whole || (bytes[whole] == b'0' && end > whole + 1) {
        return None;
    }
    if bytes.get(end) == Some(&b'.') {
        let from = end + 1;
        end = digits(from);
        if end == from {
            return None;
        }
    }
    // Exponents are rare, and some are refused: the careful parser knows which.
    (!matches!(bytes.get(end), Some(b'e' | b'E'))).then_some(end)
}

fn expect(bytes: &[u8], at: usize, byte: u8) -> Option<usize> {
    (bytes.get(at) == Some(&byte)).then_some(at + 1)
}

fn white(bytes: &[u8], at: usize) -> usize {
    let is_white = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    at + bytes.get(at..).map_or(0, |rest| rest.iter().take_while(is_white).count())
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::event::jcs;

    const PIECES: [&str; 26] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"b c\"",
        "\"\\n\"",
        "\"é\"",
        "\"\"",
        "1",
        "-0.5",
        "01",
        "1.",
        "-",
        "1e5",
        "true",
        "false",
        "null",
        "nul",
        " ",
        "\n",
        "{\"k\":[1,{}]}",
        "[{\"k\":\"v\"}]",
        "\u{7}",
    ];

    fn random_text(rng: &mut StdRng) -> String {
        let mut text = String::from(if rng.random_bool(0.5) { "{" } else { "[" });
        for _ in 0..rng.random_range(0..9) {
            if text.starts_with('{') && rng.random_bool(0.8) {
                text.push_str(&format!("\"k{}\":", rng.random_range(0..3)));
            }
            text.push_str(PIECES[rng.random_range(6..PIECES.len())]);
            if rng.random_bool(0.8) {
                text.push(',');
            }
            if rng.random_bool(0.1) {
                text.push_str(PIECES[rng.random_range(0..PIECES.len())]);
            }
        }
        let text = text.trim_end_matches(',').to_owned();
        let close = if text.starts_with('{') { "}" } else { "]" };
        if rng.random_bool(0.9) { text + close } else { text }
    }

    #[test]
    fn what_is_plain_is_what_the_careful_parser_finds() {
        let seed = 0x5eed_0011;
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut objects, mut arrays) = (0, 0);
        for _ in 0..200_000 {
            let text = random_text(&mut rng);
            if let Some(found) = members(&text) {
                let careful = jcs::careful_members(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
                assert_eq!(found, careful, "{text}");
                objects += 1;
            }
            if let Some(found) = elements(&text) {
                assert_eq!(found, jcs::careful_elements(&text).unwrap_or_else(|e| panic!("{text}: {e}")), "{text}");
                arrays += 1;
            }
        }
        assert!(objects > 1_000 && arrays > 1_000, "{objects} {arrays}");
    }

    #[test]
    fn nesting_beyond_what_is_plain_is_left_to_the_careful_parser() {
        assert!(elements(&format!("{}{}", "[".repeat(6), "]".repeat(6))).is_some());
        assert!(elements(&format!("{}{}", "[".repeat(60), "]".repeat(60))).is_none());
    }
}
